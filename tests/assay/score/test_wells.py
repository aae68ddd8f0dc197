import math

import numpy as np
import pytest

from assay.columns import Table
from assay.score.wells import TrueWell, score_number, true_cytolysis, true_well


def text(*values):
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


def wells(name, rows) -> Table:
    """Rows: well, value, low, high."""
    names = ("well", name, f"{name}_low", f"{name}_high")
    columns = list(zip(*rows, strict=True))
    return {
        key: text(*values) if key == "well" else np.array(values, dtype=float)
        for key, values in zip(names, columns, strict=True)
    }


def test_true_well_counts_kills_by_share_and_the_living_of_the_last_frame():
    deaths = {
        "role": text("target", "target", "effector"),
        "probability": np.array([1.0, 1.0, 1.0]),
        "uncredited_share": np.array([0.25, 1.0, np.nan]),
    }
    cells = {
        "role": text("target", "target", "target", "effector"),
        "dead": np.array([False, False, True, False]),
    }
    well = true_well("B02", "sample", deaths, cells)
    assert (well.deaths, well.kills, well.alive) == (2.0, 0.75, 2)
    assert well.dead_share == 0.5


def test_true_cytolysis_is_corrected_by_all_target_only_wells_together():
    plate = [
        TrueWell(well="B02", kind="sample", deaths=6.0, kills=5.0, alive=4),
        TrueWell(well="B03", kind="target_only", deaths=1.0, kills=0.0, alive=9),
        TrueWell(well="B04", kind="target_only", deaths=3.0, kills=0.0, alive=7),
    ]
    # d0 = 4 / 20 = 0.2, d = 0.6: 100 x 0.4 / 0.8
    assert true_cytolysis(plate)["B02"] == pytest.approx(50.0)
    assert true_cytolysis(plate)["B03"] == pytest.approx(100 * (0.1 - 0.2) / 0.8)


def test_without_target_only_wells_there_is_no_true_cytolysis():
    assert math.isnan(
        true_cytolysis([TrueWell(well="B02", kind="sample", deaths=6, kills=5, alive=4)])["B02"]
    )


def test_bias_keeps_the_sign_and_absolute_error_does_not():
    table = wells("kills", [("B02", 12.0, 9.0, 15.0), ("B03", 7.0, 5.0, 7.5), ("B04", 1.0, 0.0, 2.0)])
    scores = score_number("kills", {"B02": 10.0, "B03": 8.0, "B04": 0.0}, table)
    assert scores.bias == pytest.approx((2 - 1 + 1) / 3)
    assert scores.absolute_error == pytest.approx((2 + 1 + 1) / 3)
    assert scores.coverage == pytest.approx(2 / 3)  # 8 lies above 7.5
    assert (scores.n_wells, scores.n_missing) == (3, 0)


def test_relative_error_leaves_out_wells_in_which_nothing_was_killed():
    table = wells("kills", [("B02", 12.0, 9.0, 15.0), ("B03", 7.0, 5.0, 7.5), ("B04", 1.0, 0.0, 2.0)])
    scores = score_number("kills", {"B02": 10.0, "B03": 8.0, "B04": 0.0}, table)
    assert scores.relative_error == pytest.approx((2 / 10 + 1 / 8) / 2)
    assert math.isnan(score_number("kills", {"B04": 0.0}, table).relative_error)


def test_ends_of_the_interval_hold_the_truth():
    table = wells("kills", [("B02", 12.0, 10.0, 15.0), ("B03", 7.0, 5.0, 8.0)])
    assert score_number("kills", {"B02": 10.0, "B03": 8.0}, table).coverage == 1.0


def test_well_without_a_number_is_reported_as_missing_not_as_zero():
    table = wells("kills", [("B02", 12.0, 9.0, 15.0), ("B03", np.nan, np.nan, np.nan)])
    scores = score_number("kills", {"B02": 12.0, "B03": 8.0, "B05": 3.0}, table)
    assert (scores.bias, scores.n_wells, scores.n_missing) == (0.0, 1, 2)


def test_well_without_interval_is_not_asked_to_hold_the_truth():
    table = wells("kills", [("B02", 12.0, np.nan, np.nan)])
    assert math.isnan(score_number("kills", {"B02": 12.0}, table).coverage)


def test_number_without_truth_is_left_out():
    table = wells("cytolysis_percent", [("B02", 12.0, 9.0, 15.0)])
    scores = score_number("cytolysis_percent", {"B02": math.nan}, table)
    assert (scores.n_wells, scores.n_missing) == (0, 0)
    assert math.isnan(scores.bias)
