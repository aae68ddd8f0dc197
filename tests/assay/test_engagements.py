import itertools

import numpy as np
import pytest

from assay import engagements
from assay.engagements import find_held_contacts
from assay.labels import CellMeasures, Pairs
from assay.tracks import Track, Tracks
from assay.units import Calibration

THREE_MINUTES = Calibration(pixel_um=(0.65, 0.65), frame_min=3.0)
R = 10.0  # of a target; effectors have half of it
HELD = 15.0  # distance of the centres at gap 0


def cells(role, places):
    """`places[i]` maps frame -> (y, x) of cell i + 1; its label is its number."""
    rows = sorted((frame, number, *yx) for number, way in enumerate(places, 1) for frame, yx in way.items())
    frame, label, y, x = (np.array(column) for column in zip(*rows, strict=True)) if rows else ([],) * 4
    zero = np.zeros(len(rows))
    measures = CellMeasures(
        role=role,
        frame=np.array(frame, np.int32),
        label=np.array(label, np.int32),
        y_um=np.array(y, float),
        x_um=np.array(x, float),
        area_um2=zero,
        eccentricity=zero,
        covered=zero,
        at_border=zero > 0,
        score=zero,
    )
    tracks = tuple(
        Track(
            track_id=number,
            first_frame=min(way),
            last_frame=max(way),
            parent_track_id=None,
            start="appeared",
            end="lost",
        )
        for number, way in enumerate(places, 1)
    )
    return measures, Tracks(role=role, track_id=measures.label.astype(np.int64), tracks=tracks)


def engaged(effector_ways, target_ways, *, masked_frames=(), calibration=THREE_MINUTES):
    """Contacts and engagements of round cells that walk these ways."""
    effectors, targets = cells("effector", effector_ways), cells("target", target_ways)
    rows = sorted(
        (frame, e, t, gap)
        for e, way in enumerate(effector_ways, 1)
        for t, other in enumerate(target_ways, 1)
        for frame in way.keys() & other.keys()
        if (gap := max(float(np.hypot(*np.subtract(way[frame], other[frame]))) - HELD, 0.0)) <= 3.0
    )
    frame, e, t, gap = (np.array(column) for column in zip(*rows, strict=True)) if rows else ([],) * 4
    pairs = Pairs(
        frame=np.array(frame, np.int32),
        effector_label=np.array(e, np.int32),
        target_label=np.array(t, np.int32),
        gap_um=np.array(gap, float),
        interface_um=np.ones(len(rows)),
    )
    return find_held_contacts(
        pairs,
        effectors=effectors[0],
        effector_tracks=effectors[1],
        targets=targets[0],
        target_tracks=targets[1],
        masked_frames=masked_frames,
        calibration=calibration,
        enter_um=1.0,
        leave_um=3.0,
        bridge_frames=2,
        min_frames=2,
    )


def spans(found):
    return [(e.contact_id, e.first_frame, e.last_frame) for e in found.engagements]


def resting(frames, y=100.0, x=100.0):
    return dict.fromkeys(frames, (y, x))


def beside(angle_deg, away=HELD, y=100.0, x=100.0):
    angle = np.radians(angle_deg)
    return y + away * np.sin(angle), x + away * np.cos(angle)


def jittered(frames, rng, angle_deg=0.0, um=0.8):
    return {f: tuple(np.add(beside(angle_deg), um * rng.standard_normal(2))) for f in frames}


def walk_by(frames, start_deg):
    """Along the target's rim, 7.9 um a frame (30 degrees of a circle of 15 um)."""
    return {frame: beside(start_deg + 30 * k) for k, frame in enumerate(frames)}


def test_an_effector_that_stands_still_beside_a_target_is_engaged_as_long_as_it_does():
    way = {0: (100.0, 150.0), 1: (100.0, 130.0)} | jittered(range(2, 12), np.random.default_rng(0))
    way |= {12: (100.0, 135.0), 13: (100.0, 150.0)}
    contacts, found = engaged([way], [resting(range(14))])
    assert spans(found) == [(1, 2, 11)]
    assert found.engagements[0].probability > 0.95
    assert found.probability[0] > 0.99
    assert (contacts[0].first_frame, contacts[0].last_frame) == (2, 11)


def test_an_effector_that_crawls_along_a_target_passes_by():
    way = {0: (60.0, 115.0)} | walk_by(range(1, 7), 0.0) | {7: (140.0, 115.0)}
    contacts, found = engaged([way], [resting(range(8))])
    assert len(contacts) == 1
    assert found.engagements == ()
    assert found.probability[0] < 0.3


def test_an_effector_that_lets_go_and_grips_elsewhere_has_two_engagements_in_one_contact():
    rng = np.random.default_rng(1)
    way = jittered(range(6), rng, 0.0) | jittered(range(6, 12), rng, 120.0)
    contacts, found = engaged([way], [resting(range(12))])
    assert len(contacts) == 1
    assert spans(found) == [(1, 0, 5), (1, 6, 11)]


def test_a_target_that_crawls_with_its_effector_and_a_stage_that_jumps_are_no_steps():
    rng = np.random.default_rng(2)
    shift = np.cumsum(np.where(np.arange(12)[:, None] == 6, 80.0, 4.0) * np.ones((12, 2)), axis=0)
    target = {f: (100.0 + shift[f, 0], 100.0 + shift[f, 1]) for f in range(12)}
    effector = {f: tuple(np.add(place, shift[f])) for f, place in jittered(range(12), rng).items()}
    _, found = engaged([effector], [target])
    assert spans(found) == [(1, 0, 11)]


def test_masked_and_missed_frames_neither_end_nor_split_an_engagement():
    way = jittered(range(12), np.random.default_rng(3))
    way[5] = (100.0, 400.0)  # nonsense in the masked frame
    del way[8]
    _, found = engaged([way], [resting(range(12))], masked_frames=[5])
    assert spans(found) == [(1, 0, 11)]


def test_a_film_that_jitters_more_teaches_what_still_is():
    """Steps of 4 um or more in two thirds of the frames: too much for one contact, usual in this film."""
    rng = np.random.default_rng(4)
    targets = [resting(range(30), y=100.0 + 100 * k, x=100.0) for k in range(40)]
    shaky = [
        {
            f: (100.0 * (k + 1) + 2.5 * a, 100.0 + 14.0 + 1.2 * b)
            for f, (a, b) in enumerate(rng.standard_normal((30, 2)))
        }
        for k in range(40)
    ]
    free = [{f: (50.0 + 100 * k, 500.0 + 25 * f) for f in range(30)} for k in range(40)]
    _, found = engaged(shaky + free, targets)
    frames = sum(e.last_frame - e.first_frame + 1 for e in found.engagements)
    assert frames > 0.95 * 40 * 30
    assert len(found.engagements) < 60


def test_without_contacts_there_are_no_engagements():
    _, found = engaged([{0: (0.0, 0.0), 1: (5.0, 5.0)}], [resting(range(2))])
    assert found.engagements == () and len(found.probability) == 0


def test_the_order_of_contacts_and_other_pairs_do_not_change_what_one_pair_did():
    rng = np.random.default_rng(5)
    one = jittered(range(10), rng)
    passing = {f: (y + 300, x) for f, (y, x) in walk_by(range(3, 9), 0.0).items()}
    targets = [resting(range(10)), resting(range(10), y=400.0)]
    contacts, found = engaged([passing, one], targets)
    by_pair = {
        (c.effector_track_id, c.target_track_id): p for c, p in zip(contacts, found.probability, strict=True)
    }
    assert by_pair[2, 1] > 0.95 and by_pair[1, 2] < 0.3


@pytest.mark.parametrize("seed", range(8))
def test_posteriors_and_most_probable_ways_are_those_of_trying_all_ways(seed):
    """States: 0 free, 1 engaged, 2 engaged at a new place since the row before."""
    rng = np.random.default_rng(seed)
    lengths = np.sort(rng.integers(1, 7, 4))[::-1]
    n = int(lengths.sum())
    visits = engagements._Visits(
        contact=np.arange(4),
        first=np.concatenate([[0], np.cumsum(lengths)[:-1]]),
        length=lengths,
        step_um=np.zeros(n),
        step=rng.integers(0, 15, n),
        gap=rng.integers(0, 7, n),
        apart=rng.integers(0, 2, n),
    )
    model = engagements._Model.usual(rng.integers(0, 50, 15).astype(float), 3.0)
    posterior, ways = engagements._expect(visits, model), engagements._most_probable(visits, model)
    for visit, (first, length) in enumerate(zip(visits.first, lengths, strict=True)):
        total, engaged_in, never, best = 0.0, np.zeros(length), 0.0, (0.0, ())
        for way in itertools.product((0, 1, 2), repeat=int(length)):
            chance = (1 - model.begins, 0.0, model.begins)[way[0]]
            for k, state in enumerate(way):
                row = first + k
                chance *= (model.gap_engaged if state else model.gap_free)[visits.gap[row]]
                if k == 0:
                    continue
                still = model.step_engaged[visits.step[row]] * 0.05 ** visits.apart[row]
                free = model.step_free[visits.step[row]]
                chance *= {
                    (True, 1): model.goes_on[0] * still,
                    (True, 2): model.goes_on[1] * free,
                    (True, 0): model.goes_on[2] * free,
                    (False, 1): 0.0,
                    (False, 2): model.takes_hold * free,
                    (False, 0): (1 - model.takes_hold) * free,
                }[way[k - 1] > 0, state]
            total += chance
            engaged_in += chance * (np.array(way) > 0)
            never += chance * (1 not in way)
            best = max(best, (chance, way))
        assert posterior.engaged[first : first + length] == pytest.approx(engaged_in / total)
        assert posterior.never[visit] == pytest.approx(never / total)
        runs, way = [], best[1]
        for k, state in enumerate(way):
            if state == 2:
                runs.append([visit, first + k, first + k])
            elif state == 1:
                runs[-1][2] = first + k
        assert sorted(list(w) for w in ways if w[0] == visit) == runs
