import itertools
from dataclasses import dataclass, replace

import numpy as np
import pytest

from assay import engagements
from assay.contacts import Meetings
from assay.engagement_loops import Odds, expect
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


def counted(found):
    return [(e.contact_id, e.first_frame, e.last_frame) for e in found.engagements if e.is_counted]


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
    assert counted(found) == [(1, 2, 11)]
    assert found.engagements[0].probability > 0.95
    assert found.probability[0] > 0.99
    assert (contacts[0].first_frame, contacts[0].last_frame) == (2, 11)


def test_an_effector_that_crawls_along_a_target_passes_by():
    way = {0: (60.0, 115.0)} | walk_by(range(1, 7), 0.0) | {7: (140.0, 115.0)}
    contacts, found = engaged([way], [resting(range(8))])
    assert len(contacts) == 1
    assert all(e.first_frame == e.last_frame for e in found.engagements)
    assert found.probability[0] < 0.3


def test_an_effector_that_lets_go_and_grips_elsewhere_has_two_engagements_in_one_contact():
    rng = np.random.default_rng(1)
    way = jittered(range(6), rng, 0.0) | jittered(range(6, 12), rng, 120.0)
    contacts, found = engaged([way], [resting(range(12))])
    assert len(contacts) == 1
    assert counted(found) == [(1, 0, 5), (1, 6, 11)]


def test_a_target_that_crawls_with_its_effector_and_a_stage_that_jumps_are_no_steps():
    rng = np.random.default_rng(2)
    shift = np.cumsum(np.where(np.arange(12)[:, None] == 6, 80.0, 4.0) * np.ones((12, 2)), axis=0)
    target = {f: (100.0 + shift[f, 0], 100.0 + shift[f, 1]) for f in range(12)}
    effector = {f: tuple(np.add(place, shift[f])) for f, place in jittered(range(12), rng).items()}
    _, found = engaged([effector], [target])
    assert counted(found) == [(1, 0, 11)]


def test_masked_and_missed_frames_neither_end_nor_split_an_engagement():
    way = jittered(range(12), np.random.default_rng(3))
    way[5] = (100.0, 400.0)  # nonsense in the masked frame
    del way[8]
    _, found = engaged([way], [resting(range(12))], masked_frames=[5])
    assert counted(found) == [(1, 0, 11)]


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


def test_an_effector_between_two_targets_holds_on_to_the_one_beside_which_it_stays():
    """Its outline touches both. The other one crawls to and fro, 3 um a frame."""
    rng = np.random.default_rng(6)
    held, other = resting(range(12)), {f: (100.0 + 3.0 * (f % 2), 130.0) for f in range(12)}
    contacts, found = engaged([jittered(range(12), rng, um=0.4)], [held, other])
    assert len(contacts) == 2
    assert counted(found) == [(1, 0, 11)]
    assert found.probability[0] > 0.95 and found.probability[1] < 0.1


def test_between_two_targets_that_rest_alike_nobody_can_tell():
    way = jittered(range(12), np.random.default_rng(7), um=0.3)
    _, found = engaged([way], [resting(range(12)), resting(range(12), x=130.0)])
    assert all(0.3 < each < 0.7 for each in found.probability)
    assert found.probability.sum() < 1.2  # it may hold on to one after the other
    in_frame_5 = [e.probability for e in found.engagements if e.first_frame <= 5 <= e.last_frame]
    assert len(in_frame_5) == 2 and sum(in_frame_5) < 1.01


def test_an_effector_may_let_go_of_one_target_and_take_hold_of_its_neighbour():
    rng = np.random.default_rng(8)
    way = jittered(range(8), rng, 180.0, um=0.4)
    way |= {
        f: (100.0 + y, 145.0 + x)
        for f, (y, x) in zip(range(8, 16), 0.4 * rng.standard_normal((8, 2)), strict=True)
    }
    _, found = engaged([way], [resting(range(16)), resting(range(16), x=130.0)])
    assert counted(found) == [(1, 0, 7), (2, 8, 15)]


@dataclass(frozen=True)
class Span:
    """As much of a contact as the moments are made of."""

    effector_track_id: int
    target_track_id: int
    first_frame: int
    last_frame: int


def drawn_moments(rng):
    """Two effectors, up to three contacts each within six frames, some frames of which are not seen."""
    spans, rows = [], []
    for effector, target in itertools.product((1, 2), (1, 2, 3)):
        first = int(rng.integers(0, 5))
        last = int(rng.integers(first, min(first + 4, 6)))
        spans.append(Span(effector, target, first, last))
        seen = {first, last} | {f for f in range(first, last) if rng.random() < 0.6}
        rows += [(effector, target, frame) for frame in sorted(seen)]
    effector, target, frame = np.array(rows).T
    zero = np.zeros(len(rows))
    meetings = Meetings(
        leave_um=3.0,
        effector=effector,
        target=target,
        frame=frame,
        effector_label=effector,
        target_label=target,
        gap_um=zero,
        interface_um=zero,
    )
    return engagements._moments_of(spans, meetings), len(rows), len(spans)


def all_ways(m, odds):
    """Every way through the moments as (chance, one state per moment): (None, "free"), (entry, "new") or (entry, "on")."""
    ways = [(1.0, ())]
    for k in range(len(m.opens)):
        entries = range(m.begin[k], m.begin[k + 1])
        seen = [n for n in entries if m.row[n] >= 0]
        wanted = {n: odds.takes_hold if m.before[n] >= 0 else odds.begins for n in seen}
        none = np.prod([1 - each for each in wanted.values()])
        again = odds.elsewhere if seen else 0.0
        going = []
        for chance, way in ways:
            was = way[-1][0] if way and not m.opens[k] else None
            after = next((n for n in entries if was is not None and m.before[n] == was), None)
            if m.opens[k]:
                nexts = {(None, "free"): 1 - odds.begins} | {
                    (n, "new"): odds.begins / len(seen) for n in seen
                }
            elif was is None:
                share = {n: (1 - none) * each / sum(wanted.values()) for n, each in wanted.items()}
                nexts = {(None, "free"): none} | {(n, "new"): share[n] for n in seen}
            else:
                leaves = 1.0 if after is None else 1 - odds.stays
                nexts = {(None, "free"): leaves * (1 - again)}
                nexts |= {(n, "new"): leaves * again / len(seen) for n in seen}
                if after is not None:
                    still = odds.still[m.row[after]] if m.row[after] >= 0 else 1.0
                    nexts[after, "on"] = odds.stays * still
            for (n, how), each in nexts.items():
                near = odds.near[m.row[n]] if n is not None and m.row[n] >= 0 else 1.0
                going.append((chance * each * near, (*way, (n, how))))
        ways = going
    return ways


@pytest.mark.parametrize("seed", range(12))
def test_posteriors_are_those_of_trying_all_ways(seed):
    rng = np.random.default_rng(seed)
    m, n_rows, n_contacts = drawn_moments(rng)
    odds = Odds(
        still=rng.gamma(1.0, 3.0, n_rows),
        near=rng.gamma(1.0, 1.0, n_rows),
        begins=0.3,
        takes_hold=0.2,
        stays=0.7,
        elsewhere=0.25,
    )
    posterior = expect(m, odds, n_contacts)
    for effector in (0, 1):
        part, mine = only(m, effector), np.flatnonzero(m.contact // 3 == effector)
        ways = all_ways(part, odds)
        total = sum(chance for chance, _ in ways)
        engaged_in, held = np.zeros(len(mine)), np.zeros(len(mine))
        never = np.zeros(n_contacts)
        for chance, way in ways:
            for n, how in way:
                if n is not None:
                    engaged_in[n] += chance / total
                    held[n] += chance / total * (how == "on")
            on = {int(part.contact[n]) for n, how in way if how == "on" and part.row[n] >= 0}
            for contact in set(part.contact.tolist()) - on:
                never[contact] += chance / total
        assert posterior.engaged[mine] == pytest.approx(engaged_in)
        assert posterior.held[mine] == pytest.approx(held)
        for contact in set(part.contact.tolist()):
            assert posterior.never[contact] == pytest.approx(never[contact])


def only(m, effector):
    """The moments of one of the two effectors; each has the contacts of three targets."""
    mine = np.flatnonzero(m.contact // 3 == effector)
    start, moments = mine[0], np.unique(m.moment[mine])
    return replace(
        m,
        begin=np.append(m.begin[moments], mine[-1] + 1) - start,
        opens=m.opens[moments],
        contact=m.contact[mine],
        row=m.row[mine],
        before=np.where(m.before[mine] >= 0, m.before[mine] - start, -1),
        after=np.where(m.after[mine] >= 0, m.after[mine] - start, -1),
        moment=m.moment[mine] - moments[0],
        frame=m.frame[mine],
    )
