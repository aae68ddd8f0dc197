import numpy as np
import pytest

from assay.contacts import Contact, find_contacts
from assay.errors import ProtocolError, ShapeError
from assay.labels import CellMeasures, Pairs
from assay.tracks import Track, Tracks
from assay.units import Calibration

SETTINGS = {"enter_um": 1.0, "leave_um": 3.0, "bridge_frames": 2, "min_frames": 2}
FAR = 9.0


def cells(role, lives):
    """Cells of a film: `lives[i]` lists the frames in which cell i + 1 was seen; its label is 10 + its id."""
    rows = sorted((frame, 10 + number) for number, frames in enumerate(lives, 1) for frame in frames)
    frame = np.array([row[0] for row in rows], np.int32)
    label = np.array([row[1] for row in rows], np.int32)
    zero = np.zeros(len(rows))
    measures = CellMeasures(
        role=role,
        frame=frame,
        label=label,
        y_um=zero,
        x_um=zero,
        area_um2=zero,
        eccentricity=zero,
        covered=zero,
        at_border=zero > 0,
        score=zero,
    )
    tracks = tuple(
        Track(
            track_id=number,
            first_frame=min(frames),
            last_frame=max(frames),
            parent_track_id=None,
            start="appeared",
            end="lost",
        )
        for number, frames in enumerate(lives, 1)
    )
    return measures, Tracks(role=role, track_id=label.astype(np.int64) - 10, tracks=tracks)


def pairs_of(gaps, interface_um=5.0):
    """`gaps[effector, target]` is one gap per frame; None where the pair was not listed."""
    rows = sorted(
        (frame, 10 + effector, 10 + target, gap)
        for (effector, target), of_pair in gaps.items()
        for frame, gap in enumerate(of_pair)
        if gap is not None
    )
    frame, effector, target, gap = (list(column) for column in zip(*rows, strict=True)) if rows else ([],) * 4
    return Pairs(
        frame=np.array(frame, np.int32),
        effector_label=np.array(effector, np.int32),
        target_label=np.array(target, np.int32),
        gap_um=np.array(gap, float),
        interface_um=np.full(len(rows), interface_um),
    )


def contacts(gaps, *, effectors=None, targets=None, masked_frames=(), **settings):
    """Contacts of a drawn film; by default every cell is seen in every frame."""
    n_frames = max(len(of_pair) for of_pair in gaps.values())
    always = range(n_frames)
    effector_cells = cells("effector", effectors or [always] * max(pair[0] for pair in gaps))
    target_cells = cells("target", targets or [always] * max(pair[1] for pair in gaps))
    return find_contacts(
        pairs_of(gaps),
        effectors=effector_cells[0],
        effector_tracks=effector_cells[1],
        targets=target_cells[0],
        target_tracks=target_cells[1],
        masked_frames=masked_frames,
        **(SETTINGS | settings),
    )


def spans(found):
    return [(contact.first_frame, contact.last_frame) for contact in found]


def test_a_contact_lasts_from_touching_to_the_last_frame_within_leave_um():
    found = contacts({(1, 1): [FAR, 2.0, 0.5, 0.0, 2.9, 3.1, FAR, FAR, FAR]})
    assert found == [
        Contact(
            contact_id=1,
            effector_track_id=1,
            target_track_id=1,
            first_frame=2,
            last_frame=4,
            min_gap_um=0.0,
            mean_interface_um=5.0,
            starts_censored=False,
            ends_censored=False,
        )
    ]
    assert found[0].duration_min(Calibration(pixel_um=(1.0, 1.0), frame_min=4.0)) == 12.0


def test_coming_near_without_touching_is_no_contact():
    assert contacts({(1, 1): [FAR, 2.0, 1.5, 2.0, FAR]}) == []


def test_both_limits_are_included():
    assert spans(contacts({(1, 1): [FAR, 1.0, 3.0, FAR]})) == [(1, 2)]
    pixel = 0.65  # three pixels are 1.9500000000000002 um
    assert spans(contacts({(1, 1): [FAR, 3 * pixel, 3 * pixel, FAR]}, enter_um=1.95, leave_um=1.95)) == [
        (1, 2)
    ]


def test_two_frames_apart_are_bridged_and_three_are_not():
    assert spans(contacts({(1, 1): [FAR, 0, 0, FAR, FAR, 0, 0, FAR]})) == [(1, 6)]
    assert spans(contacts({(1, 1): [FAR, 0, 0, FAR, FAR, FAR, 0, 0]})) == [(1, 2), (6, 7)]
    assert spans(contacts({(1, 1): [FAR, 0, 0, FAR, 0, 0]}, bridge_frames=0)) == [(1, 2), (4, 5)]


def test_after_a_bridge_it_is_enough_to_be_within_leave_um():
    assert spans(contacts({(1, 1): [FAR, 0, FAR, 2.5, FAR, FAR, FAR]})) == [(1, 3)]


def test_unlisted_pairs_are_apart():
    assert spans(contacts({(1, 1): [None, 0, 0, None, None, None, 0, 0]})) == [(1, 2), (6, 7)]


def test_a_contact_shorter_than_min_frames_is_none():
    assert contacts({(1, 1): [FAR, 0, FAR, FAR, FAR]}) == []
    assert spans(contacts({(1, 1): [FAR, 0, FAR, FAR, FAR]}, min_frames=1)) == [(1, 1)]


def test_a_masked_frame_neither_ends_nor_begins_a_contact():
    apart_by_mask = [FAR, 0, 0, None, None, None, None, 0, 0, FAR]
    assert spans(contacts({(1, 1): apart_by_mask}, masked_frames=[3, 4, 5, 6])) == [(1, 8)]
    begins_in_mask = [FAR, FAR, 0, 0, 0, FAR]
    assert spans(contacts({(1, 1): begins_in_mask}, masked_frames=[2])) == [(3, 4)]
    # 2 frames apart on either side of a mask are 3 in all: more than the bridge
    assert spans(contacts({(1, 1): [0, 0, FAR, FAR, None, FAR, 0, 0]}, masked_frames=[4])) == [(0, 1), (6, 7)]
    assert spans(contacts({(1, 1): [0, 0, FAR, None, None, FAR, 0, 0]}, masked_frames=[3, 4])) == [(0, 7)]


def test_a_contact_that_begins_or_ends_at_a_frame_without_image_is_censored_there():
    gaps = {(1, 1): [FAR, FAR, None, 0, 0, None, 0, None, FAR, FAR]}
    (one,) = contacts(gaps, masked_frames=[2, 5, 7])
    assert (one.first_frame, one.last_frame, one.unseen_frames) == (3, 6, 1)
    assert (one.starts_censored, one.ends_censored) == (True, True)
    (whole,) = contacts({(1, 1): [FAR, FAR, 0, 0, 0, 0, FAR, FAR]})
    assert (whole.unseen_frames, whole.starts_censored, whole.ends_censored) == (0, False, False)


def test_a_frame_in_which_one_cell_was_missed_does_not_end_a_contact():
    gaps = {(1, 1): [FAR, 0, 0, None, None, None, 0, 0, FAR]}
    assert spans(contacts(gaps, effectors=[[0, 1, 2, 6, 7, 8]])) == [(1, 7)]
    assert spans(contacts(gaps, effectors=[[0, 1, 2, 5, 6, 7, 8]], targets=[[0, 1, 2, 4, 6, 7, 8]])) == [
        (1, 7)
    ]
    assert spans(contacts(gaps, effectors=[[0, 1, 2, 3, 4, 5, 6, 7, 8]])) == [(1, 2), (6, 7)]


def test_a_contact_seen_with_the_first_or_last_of_a_cell_is_censored():
    def flags(gaps, **lives):
        (found,) = contacts({(1, 1): gaps}, **lives)
        return found.starts_censored, found.ends_censored

    assert flags([0, 0, 0]) == (True, True)
    assert flags([FAR, 0, 0]) == (False, True)
    assert flags([0, 0, FAR]) == (True, False)
    late = [range(2, 6)]
    assert flags([None, None, 0, 0, FAR, FAR], targets=late) == (True, False)
    early = [range(4)]
    assert flags([FAR, FAR, 0, 0, None, None], effectors=early) == (False, True)
    # a masked or missed frame before it is no sight of the pair apart
    assert flags([None, 0, 0, FAR], masked_frames=[0]) == (True, False)
    assert flags([None, None, 0, 0, FAR], effectors=[[0, 2, 3, 4]], targets=[[1, 2, 3, 4]]) == (True, False)


def test_interface_is_averaged_over_the_frames_within_leave_um():
    effectors, targets = cells("effector", [range(4)]), cells("target", [range(4)])
    pairs = Pairs(
        frame=np.array([0, 1, 2, 3], np.int32),
        effector_label=np.full(4, 11, np.int32),
        target_label=np.full(4, 11, np.int32),
        gap_um=np.array([0.0, 5.0, 0.5, 0.0]),
        interface_um=np.array([6.0, 0.0, 3.0, 9.0]),
    )
    (found,) = find_contacts(
        pairs,
        effectors=effectors[0],
        effector_tracks=effectors[1],
        targets=targets[0],
        target_tracks=targets[1],
        masked_frames=(),
        **SETTINGS,
    )
    assert found.mean_interface_um == 6.0  # (6 + 3 + 9) / 3


def test_contacts_are_numbered_by_first_frame_then_effector_then_target():
    gaps = {
        (2, 1): [0, 0, FAR, FAR, FAR, 0, 0],
        (1, 2): [FAR, FAR, 0, 0, FAR, FAR, FAR],
        (1, 1): [0, 0, FAR, FAR, FAR, FAR, FAR],
        (2, 2): [0, 0, 0, 0, 0, 0, 0],
    }
    found = contacts(gaps)
    assert [(c.contact_id, c.first_frame, c.effector_track_id, c.target_track_id) for c in found] == [
        (1, 0, 1, 1),
        (2, 0, 2, 1),
        (3, 0, 2, 2),
        (4, 2, 1, 2),
        (5, 5, 2, 1),
    ]


def test_two_effectors_on_one_target_are_two_contacts():
    found = contacts({(1, 1): [0, 0, 0], (2, 1): [FAR, 0, 0]})
    assert [(c.effector_track_id, c.first_frame) for c in found] == [(1, 0), (2, 1)]


def test_a_film_without_pairs_has_no_contacts():
    assert contacts({(1, 1): [None, None]}) == []
    nobody = cells("effector", [])
    targets = cells("target", [range(3)])
    assert (
        find_contacts(
            pairs_of({}),
            effectors=nobody[0],
            effector_tracks=nobody[1],
            targets=targets[0],
            target_tracks=targets[1],
            masked_frames=(),
            **SETTINGS,
        )
        == []
    )


def slow_contacts(gaps, seen, masked, *, enter_um, leave_um, bridge_frames, min_frames):
    """The definition, frame by frame, for one pair: spans and censoring."""
    found, first, last, apart = [], None, None, 0
    together = [frame for frame in range(len(gaps)) if seen[frame]]
    for frame in together:
        if gaps[frame] <= leave_um:
            if first is None and gaps[frame] <= enter_um:
                first = frame
            last, apart = frame, 0
        elif first is not None:
            apart += 1
            if apart > bridge_frames:
                found.append((first, last))
                first = None
    if first is not None:
        found.append((first, last))
    return [
        (
            begun,
            ended,
            begun == together[0] or begun - 1 in masked,
            ended == together[-1] or ended + 1 in masked,
        )
        for begun, ended in found
        if ended - begun + 1 >= min_frames
    ]


@pytest.mark.parametrize("seed", range(30))
def test_contacts_of_many_pairs_are_those_of_going_through_each_pair_frame_by_frame(seed):
    rng = np.random.default_rng(seed)
    n_frames, n_effectors, n_targets = 25, 4, 3
    masked = set(rng.choice(n_frames, 3, replace=False).tolist())
    settings = {"enter_um": 1.0, "leave_um": 2.0, "bridge_frames": int(rng.integers(0, 3)), "min_frames": 2}
    effectors = rng.random((n_effectors, n_frames)) < 0.8
    targets = rng.random((n_targets, n_frames)) < 0.9
    effectors[:, sorted(masked)] = targets[:, sorted(masked)] = False
    gaps, expected = {}, []
    for effector in range(n_effectors):
        for target in range(n_targets):
            of_pair = rng.choice([0.0, 0.5, 1.5, 5.0], n_frames, p=[0.3, 0.2, 0.1, 0.4])
            seen = effectors[effector] & targets[target]
            gaps[effector + 1, target + 1] = [
                float(gap) if both else None for gap, both in zip(of_pair, seen, strict=True)
            ]
            expected += [
                (first, effector + 1, target + 1, last, starts, ends)
                for first, last, starts, ends in slow_contacts(of_pair, seen, masked, **settings)
            ]
    found = contacts(
        gaps,
        effectors=[np.flatnonzero(row).tolist() for row in effectors],
        targets=[np.flatnonzero(row).tolist() for row in targets],
        masked_frames=masked,
        **settings,
    )
    assert [
        (
            c.first_frame,
            c.effector_track_id,
            c.target_track_id,
            c.last_frame,
            c.starts_censored,
            c.ends_censored,
        )
        for c in found
    ] == sorted(expected)


def test_a_leave_um_below_enter_um_is_refused():
    with pytest.raises(ProtocolError, match=r"leave_um must be at least enter_um = 1.0 um, got 0.5 um"):
        contacts({(1, 1): [0, 0]}, leave_um=0.5)


def test_a_pair_of_a_cell_that_was_not_measured_is_refused():
    with pytest.raises(ShapeError, match="frame 1 has no effector with label 11"):
        contacts({(1, 1): [0, 0]}, effectors=[[0]])
