import pytest

from assay.columns import table_of_rows
from assay.report.numbers import rows
from assay.report.plate_map import condition_letters, layout_map, plate_shape, result_map, row_index, shade


def wells_of(cases, *values):
    return rows(table_of_rows("wells", values))


@pytest.mark.parametrize(
    ("wells", "shape"),
    [
        (["A01"], (8, 12)),
        (["H12"], (8, 12)),
        (["I01"], (16, 24)),
        (["P24"], (16, 24)),
        (["AF48"], (32, 48)),
        ([], (8, 12)),
    ],
)
def test_the_smallest_usual_plate_that_holds_all_wells_is_drawn(wells, shape):
    assert plate_shape(wells) == shape


def test_rows_go_on_after_z():
    assert [row_index(name) for name in ("A", "Z", "AA", "AF")] == [0, 25, 26, 31]


def test_a_failed_well_is_hatched_and_has_no_number(cases):
    failed = cases.well_values(
        "B02", "CAR", "sample", status="failed", reason="no pixel size", **cases.NO_NUMBERS
    )
    drawn = str(result_map(wells_of(cases, failed, cases.well_values("B03", "CAR", "sample"))))
    assert drawn.count('class="well failed"') == 2  # the well and the legend
    assert "B02: failed, no pixel size" in drawn
    assert drawn.count("well-text") == 1


def test_the_number_in_a_well_is_kills_per_100_targets(cases):
    well = cases.well_values(
        "B03", "CAR", "sample", n_targets=50.0, kills=10.0, kills_low=8.0, kills_high=13.0
    )
    drawn = str(result_map(wells_of(cases, well)))
    assert ">20</text>" in drawn
    assert "20.0 (16.0–26.0) kills per 100 targets" in drawn


def test_a_well_without_targets_has_no_kills_per_100_targets(cases):
    well = cases.well_values("B03", "T cells", "effector_only", n_targets=0.0, kills=0.0)
    assert "well-text" not in str(result_map(wells_of(cases, well)))


def test_one_frame_plates_show_the_targets_seen(cases):
    case = cases.one_frame()
    drawn = str(result_map(rows(case.tables["wells"]), counts_only=True))
    assert ">48</text>" in drawn
    assert ">61</text>" in drawn


def test_all_wells_of_a_384_plate_are_drawn(cases):
    wells = [
        cases.well_values(f"{row}{column:02d}", "CAR", "sample")
        for row in "ABCDEFGHIJKLMNOP"
        for column in range(1, 25)
    ]
    drawn = str(layout_map(wells_of(cases, *wells), {"CAR": "A"}, {"CAR": "c1"}))
    assert drawn.count('class="well back-c1"') == 384
    assert "empty-well" not in drawn


def test_shades_run_from_the_palest_to_the_strongest():
    assert [shade(share) for share in (-1, 0, 0.5, 1, 2)] == [0, 0, 5, 10, 10]


def test_conditions_have_letters_beyond_z():
    letters = condition_letters([str(n) for n in range(28)])
    assert [letters["0"], letters["25"], letters["26"], letters["27"]] == ["A", "Z", "AA", "AB"]
