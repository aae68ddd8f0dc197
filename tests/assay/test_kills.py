from dataclasses import replace

import numpy as np
import pytest

from assay.contacts import Contact
from assay.deaths import Death
from assay.field_events import FieldEvents
from assay.kills import LagModel, credit_kills, effector_kills, fit_lag_model
from assay.lag_fit import PRIOR_H0_PER_MIN
from assay.tracks import Track
from assay.units import Calibration

TWO_MIN = Calibration(pixel_um=(0.65, 0.65), frame_min=2.0)


def contact(number, effector, target, first, last):
    return Contact(
        contact_id=number, effector_track_id=effector, target_track_id=target, first_frame=first, last_frame=last,
        min_gap_um=0.0, mean_interface_um=4.0, starts_censored=False, ends_censored=False,
    )  # fmt: skip


def death(number, target, frame, *, first=None, last=None, probability=1.0):
    return Death(
        death_id=number, role="target", track_id=target, frame=frame,
        first_possible_frame=frame if first is None else first,
        last_possible_frame=frame if last is None else last, probability=probability, evidence=("dye",),
    )  # fmt: skip


def field(*, contacts=(), deaths=(), targets=10, frames=100, kind="sample", well="B02"):
    tracks = tuple(
        Track(track_id=n, first_frame=0, last_frame=frames - 1, parent_track_id=None, start="movie_start", end="movie_end")
        for n in range(1, targets + 1)
    )  # fmt: skip
    return FieldEvents(
        well=well, field=0, kind=kind, n_frames=frames, calibration=TWO_MIN, contacts=tuple(contacts),
        deaths=tuple(deaths), targets=tracks,
    )  # fmt: skip


def model(*, kernel=(1e-3, 1e-4), edges=(0.0, 20.0, 100.0), h0=1e-4, potency=None):
    return LagModel(
        edges_min=edges, kernel_per_min2=kernel, h0_per_min=h0, h0_deaths=10.0, kill_deaths=50.0,
        potency=potency or {}, potency_kills={}, has_controls=True,
    )  # fmt: skip


def test_shares_and_the_uncredited_share_sum_to_one_for_every_death():
    contacts = [contact(n, n, 1, 10 + n, 20) for n in range(1, 6)]
    one = field(contacts=contacts, deaths=[death(1, 1, 22, first=20, last=24), death(2, 2, 30)])
    kills, uncredited = credit_kills(one, model())
    for number in (1, 2):
        given = sum(kill.share for kill in kills if kill.death_id == number)
        assert given + uncredited[number] == pytest.approx(1.0, abs=1e-12)
    assert uncredited[2] == 1.0  # nobody touched target 2


def test_a_share_is_given_as_far_as_the_track_is_one_cell_in_the_contact_and_the_rest_to_all_alike():
    """Effector 2 has most of it; its track has a link of 0.5 in the middle of the contact, frames 10 to 13."""
    contacts = [contact(1, 1, 1, 19, 19), contact(2, 2, 1, 10, 13), contact(3, 3, 1, 18, 19)]
    sure = field(contacts=contacts, deaths=[death(1, 1, 20)])
    doubts = {2: (np.arange(10, 14), -np.log([1.0, 1.0, 0.5, 0.5])), 3: (np.arange(18, 20), np.zeros(2))}
    flat = model(kernel=(1e-3, 1e-3))
    before, nobody = credit_kills(sure, flat)
    after, still_nobody = credit_kills(replace(sure, link_doubts=doubts), flat)
    was, now = ({kill.effector_track_id: kill.share for kill in kills} for kills in (before, after))
    assert max(was, key=was.get) == 2
    moved = was[2] * (1 - 0.75)  # of two frames of the contact, half are on the same side of the link
    assert now == pytest.approx(
        {1: was[1] + moved / 3, 2: was[2] - moved * 2 / 3, 3: was[3] + moved / 3}, abs=0.02
    )
    assert moved > 0.1
    assert still_nobody[1] == pytest.approx(
        nobody[1], abs=0.01
    )  # what it does elsewhere counts a little, too


def test_the_only_effector_keeps_its_share_however_doubtful_its_track_is():
    one = field(contacts=[contact(1, 1, 1, 10, 13)], deaths=[death(1, 1, 15)])
    doubts = {1: (np.arange(10, 14), np.arange(4.0))}
    plain, _ = credit_kills(one, model())
    doubtful, _ = credit_kills(replace(one, link_doubts=doubts), model())
    assert [kill.share for kill in doubtful] == pytest.approx([kill.share for kill in plain], abs=0.01)
    assert len(plain) == 1


def test_two_equal_contacts_share_a_death_equally_and_nobody_gets_the_rest():
    contacts = [contact(1, 1, 1, 15, 19), contact(2, 2, 1, 15, 19)]
    kills, uncredited = credit_kills(field(contacts=contacts, deaths=[death(1, 1, 20)]), model())
    # each: 5 frames x 2 min x 1e-3 = 0.01 per min; spontaneous 1e-4
    assert [kill.share for kill in kills] == pytest.approx([0.01 / 0.0201] * 2, rel=1e-3)
    assert uncredited[1] == pytest.approx(1e-4 / 0.0201, rel=0.1)


def test_a_contact_that_begins_after_the_onset_never_counts():
    contacts = [contact(1, 1, 1, 5, 9), contact(2, 2, 1, 13, 30)]
    kills, _ = credit_kills(field(contacts=contacts, deaths=[death(1, 1, 12, first=11, last=16)]), model())
    assert {kill.effector_track_id for kill in kills} == {1}


def test_a_contact_longer_ago_than_the_longest_lag_does_not_count():
    kills, uncredited = credit_kills(
        field(contacts=[contact(1, 1, 1, 0, 4)], deaths=[death(1, 1, 90)]), model(edges=(0.0, 20.0, 100.0))
    )
    assert kills == []
    assert uncredited == {1: 1.0}


def test_the_lag_runs_from_the_beginning_of_the_credited_contact_to_the_death():
    contacts = [contact(1, 7, 1, 2, 3), contact(2, 7, 1, 14, 19)]
    (kill,), _ = credit_kills(field(contacts=contacts, deaths=[death(1, 1, 20)]), model())
    assert kill.contact_id == 2
    assert kill.lag_min == 12.0  # 6 frames of 2 min


def test_an_uncertain_onset_is_averaged_over_its_frames():
    early, late = contact(1, 1, 1, 0, 9), contact(2, 2, 1, 28, 29)
    sure, _ = credit_kills(field(contacts=[early, late], deaths=[death(1, 1, 30)]), model())
    unsure, _ = credit_kills(
        field(contacts=[early, late], deaths=[death(1, 1, 30, first=18, last=30)]), model()
    )
    share = {"sure": {k.effector_track_id: k.share for k in sure}}
    share["unsure"] = {k.effector_track_id: k.share for k in unsure}
    assert share["unsure"][1] > share["sure"][1]


def test_an_effector_with_other_kills_gets_more_than_one_that_touched_many_in_vain():
    contacts = [contact(n, 1, n, 10, 19) for n in range(2, 7)]  # effector 1 touches 2..6, all die
    contacts += [contact(10 + n, 2, n, 10, 19) for n in range(11, 16)]  # effector 2 touches 11..15, none dies
    contacts += [contact(30, 1, 1, 10, 19), contact(31, 2, 1, 10, 19)]  # both touch 1, which dies
    deaths = [death(n, n, 20) for n in range(1, 7)]
    kills, _ = credit_kills(field(contacts=contacts, deaths=deaths, targets=20), model())
    shares = {kill.effector_track_id: kill.share for kill in kills if kill.death_id == 1}
    assert shares[1] > 2 * shares[2]


def test_a_lone_death_tells_nothing_of_the_effectors_own_activity():
    # twice the contact, twice the share: its own death is left out of an effector's record
    contacts = [contact(1, 1, 1, 12, 19), contact(2, 2, 1, 16, 19)]
    kills, _ = credit_kills(field(contacts=contacts, deaths=[death(1, 1, 20)]), model(kernel=(1e-4, 0.0)))
    assert kills[0].share / kills[1].share == pytest.approx(2.0, rel=0.05)


def test_without_fields_events_or_controls_the_model_falls_back_on_its_priors():
    for fields in ([], [field()], [field(kind="mock")]):
        fitted = fit_lag_model(fields, max_lag_min=120.0)
        assert 0 < fitted.h0_per_min <= PRIOR_H0_PER_MIN
        assert fitted.kills_per_contact_min > 0
        assert fitted.edges_min[-1] == 120.0
    assert fit_lag_model([field(kind="mock")], max_lag_min=120.0).has_controls
    assert not fit_lag_model([field()], max_lag_min=120.0).has_controls


def test_one_death_moves_the_priors_only_a_little():
    none = fit_lag_model([field(contacts=[contact(1, 1, 1, 10, 14)])], max_lag_min=120.0)
    one = fit_lag_model(
        [field(contacts=[contact(1, 1, 1, 10, 14)], deaths=[death(1, 1, 20)])], max_lag_min=120.0
    )
    assert 1.0 < one.kills_per_contact_min / none.kills_per_contact_min < 10.0


def simulated(seed, *, kind, well, targets=150, frames=200, h0=5e-5, lag_frames=(20, 30), kills=0.5):
    """Contacts of 10 frames at random; half of them kill after 20 to 30 frames, unless kind is a control."""
    rng = np.random.default_rng(seed)
    contacts, deaths, died = [], [], {}
    for target in range(1, targets + 1):
        alone = rng.exponential(1 / (h0 * 2.0))
        ends = alone if alone < frames else np.inf
        for first in [] if kind == "target_only" else sorted(rng.integers(0, frames, rng.poisson(1.5))):
            contacts.append(
                contact(len(contacts) + 1, int(rng.integers(1, 40)), target, int(first), int(first) + 9)
            )
            if kind == "sample" and rng.random() < kills:
                ends = min(ends, first + rng.uniform(*lag_frames))
        if ends < frames - 1:
            died[target] = int(np.ceil(ends))
    deaths = [death(n, target, frame) for n, (target, frame) in enumerate(died.items(), start=1) if frame > 0]
    return field(contacts=contacts, deaths=deaths, targets=targets, frames=frames, kind=kind, well=well)


def plate(seed, h0=5e-5):
    kinds = ("sample", "sample", "mock", "target_only")
    return [simulated([seed, n], kind=kind, well=f"B{n:02d}", h0=h0) for n, kind in enumerate(kinds, start=2)]


def test_the_fit_finds_the_lag_and_the_spontaneous_hazard():
    fitted = fit_lag_model(plate(100, h0=2e-4), max_lag_min=120.0)
    assert (
        25 < fitted.median_lag_min < 60
    )  # true: 40 to 60 min from the start, 22 to 60 from the minutes of contact
    assert fitted.h0_per_min == pytest.approx(2e-4, rel=0.4)


def test_mock_wells_get_next_to_no_kills():
    fields = plate(101, h0=2e-4)
    fitted = fit_lag_model(fields, max_lag_min=120.0)
    sample, mock = fields[0], fields[2]
    kills, _ = credit_kills(mock, fitted)
    assert sum(kill.share for kill in kills) <= 0.015 * len(mock.targets)
    kills, _ = credit_kills(sample, fitted)
    assert sum(kill.share for kill in kills) >= 0.8 * len(sample.deaths)


def test_the_order_of_fields_changes_nothing():
    fields = plate(102)
    assert fit_lag_model(fields, max_lag_min=120.0) == fit_lag_model(fields[::-1], max_lag_min=120.0)


def test_one_effector_is_counted_hard_fractional_and_multi_hit():
    contacts = [contact(1, 1, 1, 15, 19), contact(2, 2, 1, 18, 19)]
    one = field(contacts=contacts, deaths=[death(1, 1, 20, probability=0.8)])
    kills, uncredited = credit_kills(one, model())
    counts = effector_kills(kills, one.deaths, uncredited, least_hit_share=0.2)
    assert [(c.effector_track_id, c.hard, c.multi_hit) for c in counts] == [(1, 1, 1), (2, 0, 1)]
    assert counts[0].fractional == pytest.approx(0.8 * kills[0].share)


def test_a_film_of_another_interval_is_credited_in_minutes():
    # the same film at half the interval: frames doubled, minutes the same
    coarse = field(contacts=[contact(1, 1, 1, 10, 14)], deaths=[death(1, 1, 20)])
    fine = replace(
        coarse, calibration=replace(TWO_MIN, frame_min=1.0), contacts=(contact(1, 1, 1, 20, 29),),
        deaths=(death(1, 1, 40),),
    )  # fmt: skip
    shares = [
        credit_kills(each, model(edges=(0.0, 100.0), kernel=(1e-4,)))[0][0].share for each in (coarse, fine)
    ]
    assert shares[0] == pytest.approx(shares[1], rel=0.01)


def twice_hit(seed, *, well, kind="sample", targets=120, frames=200, needs=2):
    """Contacts of 8 frames at random; a target dies 5 to 8 frames after the `needs`-th within 25 frames."""
    rng = np.random.default_rng(seed)
    contacts, deaths = [], []
    for target in range(1, targets + 1):
        firsts = np.sort(rng.integers(0, frames - 20, rng.poisson(5)))
        for first in firsts.tolist():
            contacts.append(contact(len(contacts) + 1, int(rng.integers(1, 60)), target, first, first + 7))
        close = [
            b for a, b in zip(firsts, firsts[needs - 1 :], strict=False) if b - a <= 25 and rng.random() < 0.6
        ]
        if close and kind == "sample":
            frame = int(close[0]) + int(rng.integers(5, 9))
            deaths.append(death(len(deaths) + 1, target, frame))
    return field(contacts=contacts, deaths=deaths, targets=targets, frames=frames, kind=kind, well=well)


@pytest.mark.parametrize("needs", [1, 2])
def test_several_hits_are_believed_only_where_targets_die_of_contacts_that_follow_each_other(needs: int):
    fields = [twice_hit(n, well=f"B{n:02d}", needs=needs) for n in (1, 2)]
    fields.append(twice_hit(3, well="B03", kind="mock"))
    fitted = fit_lag_model(fields, max_lag_min=120.0)
    assert (fitted.hits_needed > 1) == (needs > 1)
    told = fitted.log_likelihoods
    assert (told[2] > told[1]) == (needs > 1)


def always_touched(seed, *, kind="sample", well="B02", h0=1e-3, targets=60, frames=200):
    """Every target is touched all the time, and dies of nothing but itself."""
    rng = np.random.default_rng(seed)
    contacts, deaths = [], []
    for target in range(1, targets + 1):
        ends = min(int(np.ceil(rng.exponential(1 / (h0 * 2.0)))), frames)
        for first in range(0, frames if kind != "target_only" else 0, 20):
            contacts.append(
                contact(
                    len(contacts) + 1, int(rng.integers(1, 200)), target, first, min(first + 19, frames - 1)
                )
            )
        if 0 < ends < frames:
            deaths.append(death(len(deaths) + 1, target, ends))
    return field(contacts=contacts, deaths=deaths, targets=targets, frames=frames, kind=kind, well=well)


def test_where_all_targets_are_touched_all_the_time_only_a_control_well_tells_kills_from_spontaneous_deaths():
    sample = always_touched(1)
    blind = fit_lag_model([sample], max_lag_min=120.0)
    assert not blind.tells_h0
    assert blind.nobody_share[0] < 0.05 < 0.35 < blind.nobody_share[1]
    told = fit_lag_model([sample, always_touched(2, kind="target_only", well="B03")], max_lag_min=120.0)
    assert told.tells_h0
    assert told.nobody_share[0] > 0.3  # in truth all are spontaneous
    assert blind.h0_per_min < 1e-4 < 4e-4 < told.h0_per_min  # in truth 1e-3


def test_other_kills_of_a_track_count_as_far_as_it_is_the_same_cell():
    contacts = [contact(n, 1, n, 10, 19) for n in range(2, 7)]  # effector 1 touches 2..6, all die
    contacts += [contact(10 + n, 2, n, 10, 19) for n in range(11, 16)]  # effector 2 touches 11..15, none dies
    contacts += [contact(30, 1, 1, 60, 69), contact(31, 2, 1, 60, 69)]  # both touch 1 later, which dies
    deaths = [death(1, 1, 70), *(death(n, n, 20) for n in range(2, 7))]
    sure = field(contacts=contacts, deaths=deaths, targets=20)
    # the track of effector 1 is the same cell before and after frame 40 with probability 0.02 only
    doubts = {1: (np.array([0, 39, 40, 99]), -np.log(np.array([1.0, 1.0, 0.02, 0.02])))}
    share = {}
    for name, one in (("sure", sure), ("doubtful", replace(sure, link_doubts=doubts))):
        kills, _ = credit_kills(one, model())
        share[name] = {k.effector_track_id: k.share for k in kills if k.death_id == 1}
    assert share["sure"][1] > 2 * share["sure"][2]
    assert share["doubtful"][1] < share["sure"][1]


class OnDisk:
    """A film that says when it is read."""

    def __init__(self, events, read):
        self._events, self._read = events, read
        self.well, self.field, self.kind, self.n_contacts = (
            events.well,
            events.field,
            events.kind,
            events.n_contacts,
        )

    def load(self):
        self._read.append(self.well)
        return self._events


def test_of_a_large_plate_some_fields_tell_what_all_wells_share_and_each_well_its_own_potency():
    killing = [0.5] * 9 + [0.05]  # the last well's contacts hardly kill
    fields = [
        simulated([7, n], kind="sample", well=f"C{n:02d}", kills=share) for n, share in enumerate(killing, 1)
    ]
    fields.append(simulated([7, 11], kind="target_only", well="D01"))
    whole = fit_lag_model(fields, max_lag_min=120.0)
    read = []
    some = fit_lag_model([OnDisk(each, read) for each in fields], max_lag_min=120.0, most_contacts=1)
    assert whole.fitted_fields == (10, 10)
    assert some.fitted_fields == (8, 10)
    assert some == fit_lag_model(fields[::-1], max_lag_min=120.0, most_contacts=1)
    assert some.kills_per_contact_min == pytest.approx(whole.kills_per_contact_min, rel=0.25)
    assert set(some.potency) == {each.well for each in fields}
    for well in ("C01", "C10", *(well for well in some.potency if well != "D01")):
        assert some.potency[well] == pytest.approx(whole.potency[well], rel=0.3, abs=0.05)
    assert some.potency["C10"] < 0.4
    assert len(read) <= 2 * len(fields)  # once for the fit, once for each well's own
