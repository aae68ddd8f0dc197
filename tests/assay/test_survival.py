import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit

from assay.columns import table_of_rows
from assay.conditions import compare_conditions, difference_interval, mean_interval, survival_curve
from assay.contacts import Contact
from assay.deaths import Death
from assay.errors import ShapeError
from assay.field_events import FieldEvents
from assay.incidence import CAUSES, aalen_johansen
from assay.intervals import Vanished, draw_counts
from assay.kills import LagModel
from assay.survival import (
    ControlDeaths,
    FieldOutcome,
    control_deaths,
    corrected_percent,
    summarise_well,
    target_ends,
    untold,
    vanished_targets,
    well_incidence,
)
from assay.tracks import Track
from assay.units import Calibration

FOUR_MIN = Calibration(pixel_um=(0.65, 0.65), frame_min=4.0)
MODEL = LagModel(
    edges_min=(0.0, 60.0), kernel_per_min2=(1e-3,), h0_per_min=1e-4, h0_deaths=20.0, kill_deaths=100.0,
    potency={}, potency_kills={}, has_controls=True,
)  # fmt: skip


def track(number, first=0, last=9, end="movie_end", start="movie_start"):
    return Track(
        track_id=number,
        first_frame=first,
        last_frame=last,
        parent_track_id=None,
        start=start,
        end=end,
    )


def death(number, target, frame, probability=1.0):
    return Death(
        death_id=number, role="target", track_id=target, frame=frame, first_possible_frame=frame,
        last_possible_frame=frame, probability=probability, evidence=("dye",),
    )  # fmt: skip


def outcome(
    targets,
    deaths=(),
    uncredited=None,
    *,
    effectors=(),
    contacts=(),
    well="B02",
    kind="sample",
    dead=frozenset(),
    frames=10,
):
    return FieldOutcome(
        events=FieldEvents(
            well=well, field=0, kind=kind, n_frames=frames, calibration=FOUR_MIN, contacts=tuple(contacts),
            deaths=tuple(deaths), targets=tuple(targets),
        ),
        uncredited=uncredited if uncredited is not None else {d.death_id: 0.0 for d in deaths},
        effectors=tuple(effectors), first_valid_frame=0, last_valid_frame=frames - 1,
        n_valid_frames=frames, dead_targets=dead,
    )  # fmt: skip


def row_of(outcomes, *, control=None, kind="sample", well="B02"):
    return summarise_well(outcomes, well=well, condition="CAR-T", kind=kind, model=MODEL, control=control)


def test_a_wells_deaths_and_kills_are_sums_of_probabilities():
    one = outcome(
        [track(n) for n in range(1, 11)], [death(1, 1, 5, 0.9), death(2, 2, 6, 0.5)], {1: 0.1, 2: 1.0},
        effectors=[track(n) for n in range(1, 6)],
    )  # fmt: skip
    row = row_of([one, one])
    assert row["deaths"] == pytest.approx(2 * 1.4)
    assert row["kills"] == pytest.approx(2 * 0.9 * 0.9)
    assert (row["n_targets"], row["n_effectors"], row["measured_et_ratio"], row["n_fields"]) == (
        20,
        10,
        0.5,
        2,
    )
    assert row["kills_low"] <= row["kills"] <= row["kills_high"]


def test_a_row_fits_the_wells_table():
    table = table_of_rows("wells", [row_of([outcome([track(1)])])])
    assert table["well"].tolist() == ["B02"]
    assert math.isnan(table["cytolysis_percent"][0])


def test_cytolysis_is_corrected_by_all_target_only_wells_together():
    # sample: 4 dead, 4 alive at the end: d = 0.5; controls: 1 dead, 9 alive: d0 = 0.1
    sample = outcome([track(n) for n in range(1, 9)], [death(n, n, 5) for n in range(1, 5)])
    controls = [
        outcome([track(n) for n in range(1, 6)], [death(1, 1, 5)], {1: 1.0}, kind="target_only", well="C01"),
        outcome([track(n) for n in range(1, 6)], kind="target_only", well="C02"),
    ]
    control = control_deaths([sample, *controls])
    assert control == ControlDeaths(wells=("C01", "C02"), deaths=1.0, alive=9.0)
    row = row_of([sample], control=control)
    assert row["cytolysis_percent"] == pytest.approx(100 * (0.5 - 0.1) / (1 - 0.1))
    assert row["cytolysis_percent_low"] < row["cytolysis_percent"] < row["cytolysis_percent_high"]


def test_without_target_only_wells_there_is_no_cytolysis_and_the_reason_says_so():
    row = row_of([outcome([track(1)])])
    assert row["cytolysis_percent"] is None
    assert "no target_only well" in row["reason"]


def test_cytolysis_may_be_negative():
    assert corrected_percent(0.0, 0.2) == pytest.approx(-25.0)


@pytest.mark.parametrize("frames", [1, 2])
def test_a_film_too_short_to_see_a_death_has_no_events_and_not_zero_of_them(frames: int):
    row = row_of([outcome([track(1, last=frames - 1), track(2, last=frames - 1)], frames=frames)])
    assert row["status"] == "no_events"
    assert row["kills"] is None
    assert row["contacts"] is None
    assert row["n_targets"] == 2


def test_control_films_too_short_to_see_a_death_do_not_count_as_survival():
    long = outcome([track(1), track(2)], [death(1, 1, 5, 1.0)], kind="target_only")
    short = outcome([track(n, last=1) for n in range(1, 9)], kind="target_only", frames=2)
    assert control_deaths([long, short]) == control_deaths([long])
    assert control_deaths([short]) is None


def test_cells_dead_when_first_seen_count_neither_as_targets_nor_as_survivors():
    one = outcome([track(1), track(2)], dead=frozenset({2}))
    assert row_of([one])["n_targets"] == 1
    assert target_ends([one])[0].tolist() == [0.0]


def test_only_contacts_with_live_targets_are_counted():
    def contact(number, target, first):
        return Contact(
            contact_id=number, effector_track_id=1, target_track_id=target, first_frame=first, last_frame=9,
            min_gap_um=0.0, mean_interface_um=1.0, starts_censored=False, ends_censored=False,
        )  # fmt: skip

    contacts = [contact(1, 1, 2), contact(2, 1, 7), contact(3, 2, 7)]
    assert row_of([outcome([track(1), track(2)], [death(1, 1, 5)], contacts=contacts)])["contacts"] == 2


def test_the_interval_of_kills_does_not_depend_on_the_other_wells():
    one = outcome(
        [track(n) for n in range(1, 9)],
        [death(n, n, 5, 0.8) for n in range(1, 5)],
        dict.fromkeys(range(1, 5), 0.3),
    )
    assert row_of([one]) == row_of([one])
    assert row_of([one], well="B03")["kills"] == row_of([one])["kills"]


def test_sure_deaths_with_sure_killers_leave_a_narrow_interval():
    one = outcome([track(n) for n in range(1, 31)], [death(n, n, 5) for n in range(1, 21)])
    row = row_of([one])
    assert 19.5 <= row["kills_low"] <= 20  # a count of cells is known to half a cell at best
    assert 20 <= row["kills_high"] <= 24


def test_competing_risks_worked_by_hand():
    # four cells from 0: killed at 4, spontaneous at 8, censored at 8, killed at 12
    causes = np.zeros((4, len(CAUSES)))
    causes[0, 0] = causes[3, 0] = causes[1, 1] = 1
    curve = aalen_johansen(np.zeros(4), np.array([4.0, 8.0, 8.0, 12.0]), causes)
    assert curve.times_min.tolist() == [4.0, 8.0, 12.0]
    assert curve.at_risk.tolist() == [4, 3, 1]
    # S: 1 -> 3/4 -> 3/4 * 2/3 = 1/2 -> 0; killed: 1/4, 1/4, 1/4 + 1/2; spontaneous: 0, 3/4 * 1/3 = 1/4, 1/4
    np.testing.assert_allclose(curve.at_time[0], [0.25, 0.25, 0.75])
    np.testing.assert_allclose(curve.at_time[1], [0.0, 0.25, 0.25])
    np.testing.assert_allclose(curve.surviving, [0.75, 0.5, 0.0], atol=1e-12)


def test_a_cell_that_enters_late_is_not_at_risk_before():
    causes = np.zeros((2, len(CAUSES)))
    causes[0, 0] = 1
    curve = aalen_johansen(np.array([0.0, 6.0]), np.array([4.0, 20.0]), causes)
    assert curve.at_risk.tolist() == [1]


def test_a_death_splits_by_its_shares():
    causes = np.zeros((2, len(CAUSES)))
    causes[0, :2] = 0.7, 0.2
    curve = aalen_johansen(np.zeros(2), np.array([4.0, 8.0]), causes)
    assert curve.at_time[:2, 0].tolist() == pytest.approx([0.35, 0.1])


def test_causes_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"shape \(2, 5\)"):
        aalen_johansen(np.zeros(2), np.zeros(2), np.zeros((2, 3)))


def test_nobody_dying_gives_an_empty_curve_that_reads_as_zero():
    curve = well_incidence([outcome([track(1)])])
    assert curve.on(np.array([0.0, 100.0]), "killed").tolist() == [0.0, 0.0]


def test_lost_and_left_cells_are_censored_when_last_seen():
    one = outcome(
        [track(1, last=4, end="lost"), track(2, last=6, end="left_field"), track(3, last=5, end="divided")]
    )
    _, exits, causes = target_ends([one])
    assert exits.tolist() == [16.0, 24.0, 20.0]
    assert causes.sum(axis=1).tolist() == [0.0, 0.0, 1.0]
    assert causes[2, CAUSES.index("divided")] == 1.0
    assert target_ends([one], censored=())[2].sum() == 3.0


def test_the_mean_over_wells_has_a_t_interval():
    # values 1, 2, 3: sd 1, t(2, 95 %) = 2.92
    mean, low, high = mean_interval(np.array([1.0, 2.0, 3.0]))
    assert (mean, low, high) == pytest.approx(
        (2.0, 2 - 2.92 / math.sqrt(3), 2 + 2.92 / math.sqrt(3)), abs=1e-3
    )
    assert all(math.isnan(end) for end in mean_interval(np.array([1.0]))[1:])


def test_the_difference_of_equal_spreads_has_the_freedom_of_both():
    # both sd 1, n 3: standard error sqrt(2/3), 4 degrees of freedom, t = 2.132
    difference, low, high = difference_interval(np.array([4.0, 5.0, 6.0]), np.array([1.0, 2.0, 3.0]))
    half = 2.1318 * math.sqrt(2 / 3)
    assert (difference, low, high) == pytest.approx((3.0, 3.0 - half, 3.0 + half), abs=1e-3)


def well_row(well, condition, kind, kills, targets=100.0, status="ok", cytolysis=None):
    return {
        "well": well, "condition": condition, "kind": kind, "status": status, "kills": kills, "n_targets": targets,
        "cytolysis_percent": cytolysis,
    }  # fmt: skip


def test_conditions_are_compared_over_wells():
    wells = [
        well_row("B02", "CAR-T", "sample", 40.0, 200.0, cytolysis=20.0), well_row("B03", "CAR-T", "sample", 30.0, cytolysis=30.0),
        well_row("C02", "mock", "mock", 1.0), well_row("C03", "mock", "mock", 3.0),
        well_row("B04", "CAR-T", "sample", 99.0, status="failed"),
    ]  # fmt: skip
    sample, mock = compare_conditions(wells)
    assert (sample["n_wells"], sample["kills_per_100_targets"]) == (2, 25.0)
    assert sample["cytolysis_percent"] == 25.0
    assert sample["difference_to_control"] == 23.0
    assert sample["difference_low"] < 23.0 < sample["difference_high"]
    assert sample["note"] is None
    assert math.isnan(mock["difference_to_control"])
    assert "is the control itself" in mock["note"]
    assert len(table_of_rows("conditions", [sample, mock])["note"]) == 2


def test_one_well_gives_no_interval_and_says_so():
    (row,) = compare_conditions([well_row("B02", "CAR-T", "sample", 40.0)])
    assert row["kills_per_100_targets"] == 40.0
    assert math.isnan(row["kills_per_100_targets_low"])
    assert (
        row["note"]
        == "one well: no interval; no target_only wells: no cytolysis_percent; no mock wells: no difference"
    )


def test_a_condition_whose_wells_all_failed_is_listed_without_numbers():
    (row,) = compare_conditions([well_row("B02", "CAR-T", "sample", None, status="failed")])
    assert row["n_wells"] == 0
    assert math.isnan(row["kills_per_100_targets"])
    assert "no well counts" in row["note"]


def test_survival_curves_have_a_band_over_wells_only_with_two_wells():
    times = np.array([0.0, 20.0, 36.0])
    wells = [
        well_incidence([outcome([track(n) for n in range(1, 5)], [death(n, n, 5) for n in range(1, k)])])
        for k in (2, 4)
    ]
    curve = survival_curve("CAR-T", wells, times_min=times)
    assert curve.alive.tolist() == pytest.approx([1.0, 0.5, 0.5])  # 3 of 4 and 1 of 4 alive
    assert curve.killed.tolist() == pytest.approx([0.0, 0.5, 0.5])
    assert np.all(curve.alive_low <= curve.alive)
    single = survival_curve("CAR-T", wells[:1], times_min=times)
    assert np.isnan(single.alive_low).all()


def test_the_interval_holds_the_true_number_of_kills_in_about_nine_of_ten_made_films():
    rng = np.random.default_rng(100)
    held = 0
    for film in range(100):
        n, n_missed = 60, int(rng.poisson(3))
        probability = rng.choice([0.6, 0.9, 0.99], n)
        uncredited = rng.choice([0.05, 0.2, 0.9], n)
        tilt = np.log(rng.gamma(20.0) / 20.0)  # of the potency, common to the well
        share = expit(logit(1 - uncredited) + tilt)
        caused = (rng.random(n) < probability) & (rng.random(n) < share)
        missed = rng.random(n_missed) < caused.mean()
        # a target that bursts unseen is lost; 4 tracks break and go on under another name
        gone = [track(200 + k, last=6, end="lost") for k in range(n_missed + 4)]
        again = [track(300 + k, first=5, start="appeared") for k in range(4)]
        one = outcome(
            [track(k) for k in range(1, 101)] + gone + again,
            [death(k + 1, k + 1, 5, float(probability[k])) for k in range(n)],
            {k + 1: float(uncredited[k]) for k in range(n)},
        )
        # controls that agree: of 60 deaths 0.83 are real, 0.383 of them nobody's, within 100 targets of 20 to 36 min
        firm = replace(MODEL, potency_kills={f"B{film:02d}": 20.0}, h0_odds=((-0.1, 0.5), (0.1, 0.5)))
        firm = replace(firm, h0_per_min=60 * 0.83 * 0.383 / (60 * 20 + 44 * 36))
        row = summarise_well(
            [one], well=f"B{film:02d}", condition=None, kind="sample", model=firm, control=None
        )
        held += row["kills_low"] <= caused.sum() + missed.sum() <= row["kills_high"]
    assert 85 <= held <= 95


def drawn_kills(alone):
    """Of 40 deaths beside effectors that hold on, and 20 beside none that do, which nobody gets by four fifths."""
    caused = np.repeat([0.98, 0.2], [40, 20])
    vanished = Vanished(lost=0.0, returned=0.0, late=0.0)
    model = replace(MODEL, kill_deaths=1e6, h0_deaths=1e6)
    return draw_counts(
        np.random.default_rng(0), np.ones(60), caused, vanished=vanished, model=model, well="B02", n_targets=100,
        has_effectors=True, alone=alone,
    ).kills.mean()  # fmt: skip


def test_deaths_that_nobody_gets_beyond_what_controls_foretell_may_be_kills_whose_contact_was_not_seen():
    # Of 16.8 deaths that nobody gets, controls foretell 4: the unseen hazard x (in units of the spontaneous one) has the
    # log likelihood 40 log(50 + x) + 20 log(1.25 + x) - 4 x, and 1.85 x against it beforehand (43.2 kills / 20 / 4 = 0.54):
    # highest at 2.7, where the 20 are kills by 1 - 1 / 3.95 = 0.75 instead of 0.2
    assert drawn_kills(4.0) - drawn_kills(None) == pytest.approx(20 * 0.55, abs=1.5)
    # controls foretell 17: 16.8 falls short of 17 + 7.9, so x stays within some 1 / 8
    assert 0.0 < drawn_kills(17.0) - drawn_kills(None) < 20 * 0.1


def test_in_a_control_well_what_nobody_gets_is_nobodys():
    eight = [death(n, n, 5) for n in range(1, 9)]
    one = outcome(
        [track(n) for n in range(1, 31)], eight, dict.fromkeys(range(1, 9), 0.5), effectors=[track(40)]
    )
    for kind, alike in (("mock", True), ("sample", False)):
        few, many = (
            summarise_well(
                [one],
                well="B02",
                condition=None,
                kind=kind,
                model=replace(MODEL, h0_per_min=h0),
                control=None,
            )
            for h0 in (1e-4, 1e-2)
        )
        assert (few["kills_high"] == many["kills_high"]) is alike


def test_a_well_without_kills_does_not_claim_that_none_was_missed():
    near = [track(1)]
    sure = row_of([outcome([track(n) for n in range(1, 31)], effectors=near)])
    assert sure["kills"] == sure["kills_low"] == 0.0
    assert 0.0 < sure["kills_high"] < 1.5
    vanished = [track(30 + n, last=6, end="lost") for n in range(1, 9)]
    doubtful = row_of([outcome([*(track(n) for n in range(1, 31)), *vanished], effectors=near)])
    assert doubtful["missed_deaths"] == 8.0
    assert doubtful["kills_high"] > 4.0


def test_no_more_are_killed_than_were_seen_alive_and_none_where_no_effector_is():
    nothing = row_of([outcome([], effectors=[track(1)])])
    assert (nothing["kills"], nothing["kills_low"], nothing["kills_high"]) == (0.0, 0.0, 0.0)
    # two of three targets die, the third bursts or is lost: three at most
    both = [death(n, n, 5) for n in (1, 2)]
    three = row_of([outcome([track(1), track(2), track(3, last=6, end="lost")], both, effectors=[track(1)])])
    assert 2.0 < three["kills_high"] <= 3.0
    vanished = [track(n, last=6, end="lost") for n in range(1, 9)]
    alone = row_of([outcome(vanished, kind="target_only")], kind="target_only")
    assert (alone["missed_deaths"], alone["kills_low"], alone["kills_high"]) == (8.0, 0.0, 0.0)


def test_targets_that_come_back_under_another_name_have_not_vanished():
    broken = [track(1, last=6, end="lost"), track(2, first=5, start="appeared")]
    assert vanished_targets([outcome(broken)]).missed == 0.0
    dead_when_back = outcome(broken, dead=frozenset({2}))
    assert vanished_targets([dead_when_back]).missed == 1.0


def test_what_is_short_at_the_edge_or_a_called_death_has_not_vanished():
    targets = [track(1, last=2, end="lost"), track(2, last=6, end="left_field"), track(3, last=6, end="lost")]
    one = outcome(targets, [death(1, 3, 5)])
    assert vanished_targets([one]).lost == 0.0


def test_a_target_that_is_only_missed_in_the_last_frame_is_alive_at_the_end():
    targets = [
        track(1),
        track(2, last=8, end="lost"),
        track(3, last=5, end="lost"),
        track(4, last=8, end="left_field"),
    ]
    one = replace(outcome(targets, kind="target_only"), max_gap_frames=2)
    assert control_deaths([one]) == ControlDeaths(wells=("B02",), deaths=0.0, alive=2.0)


def test_where_kills_cannot_be_told_from_spontaneous_deaths_wells_and_conditions_say_so():
    blind = replace(MODEL, has_controls=False, nobody_share=(0.05, 0.9), h0_odds=((-3.0, 0.5), (0.0, 0.5)))
    one = outcome(
        [track(n) for n in range(1, 31)],
        [death(n, n, 5) for n in range(1, 21)],
        dict.fromkeys(range(1, 21), 0.1),
    )
    row = summarise_well([one], well="B02", condition="CAR-T", kind="sample", model=blind, control=None)
    assert "effectors had no part in 5 to 90 % of the deaths" in row["reason"]
    told = row_of([one])
    assert told["kills_high"] - told["kills_low"] < 0.7 * (row["kills_high"] - row["kills_low"])
    (condition,) = compare_conditions([row], untold=untold(blind))
    assert "hardly told from spontaneous deaths" in condition["note"]
