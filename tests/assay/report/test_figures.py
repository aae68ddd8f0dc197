import re

import numpy as np
import pytest

from assay.conditions import SurvivalCurve
from assay.report.figures import (
    IncidenceCurve,
    colour_classes,
    curve_of,
    incidence_figure,
    interval_strip,
    lag_figure,
)
from assay.report.svg import tag, text, ticks


def flat_curve(name: str, level: float, *, band: bool = True) -> IncidenceCurve:
    killed = np.array([0.0, level])
    return IncidenceCurve(
        condition=name,
        kind="sample",
        n_wells=2,
        n_targets=100,
        time_min=np.array([0.0, 60.0]),
        killed_percent=killed,
        killed_low=killed * 0.5 if band else np.full(2, np.nan),
        killed_high=killed * 1.5 if band else np.full(2, np.nan),
        uncredited_percent=np.zeros(2),
    )


def test_text_and_attributes_are_escaped():
    assert str(text(0, 0, "<b>&")) == '<text x="0" y="0" text-anchor="start">&lt;b&gt;&amp;</text>'
    assert str(tag("a", name='"><script>')) == '<a name="&#34;&gt;&lt;script&gt;"/>'


@pytest.mark.parametrize(
    ("high", "expected"),
    [
        (36.8, [0, 10, 20, 30, 40]),
        (5, [0, 2, 4, 6]),
        (1, [0, 0.25, 0.5, 0.75, 1.0]),
        (100, [0, 25, 50, 75, 100]),
    ],
)
def test_ticks_are_round_and_reach_the_largest_value(high, expected):
    assert ticks(0, high, about=4) == pytest.approx(expected)


def test_ticks_reach_below_a_negative_value():
    assert ticks(-3, 10, about=4) == [-5, 0, 5, 10]


def test_a_curve_climbs_in_steps_to_its_last_level():
    figure = str(incidence_figure([flat_curve("CAR", 40.0)], {"CAR": "c1"}))
    points = re.search(r'points="([^"]+)" class="curve c1"', figure)[1]
    places = [tuple(map(float, point.split(","))) for point in points.split()]
    # the axis runs from 0 (y 344) to 60 (y 26): 40 % lies two thirds up; time from x 56 to 770
    assert places == [
        (56.0, 344.0),
        (770.0, 344.0),
        (770.0, pytest.approx(132.0)),
        (770.0, pytest.approx(132.0)),
    ]


def test_a_single_well_has_no_band():
    assert "band" not in str(incidence_figure([flat_curve("CAR", 40.0, band=False)], {"CAR": "c1"}))


def test_many_conditions_get_a_panel_each():
    curves = [flat_curve(f"CAR {n}", 10.0 + n) for n in range(8)]
    classes = colour_classes([(curve.condition, curve.kind) for curve in curves])
    figure = str(incidence_figure(curves, classes))
    assert figure.count('class="curve') == 8
    assert figure.count('class="ghost"') == 8  # drawn once, shown behind each panel
    assert figure.count("<use ") == 8


def test_controls_are_grey_and_samples_take_colours_in_turn():
    classes = colour_classes([("a", "sample"), ("m", "mock"), ("b", "sample"), ("t", "target_only")])
    assert classes == {"a": "c1", "m": "k-mock", "b": "c2", "t": "k-target-only"}


def test_an_unknown_value_draws_no_dot():
    drawn = str(interval_strip(np.nan, np.nan, np.nan, axis=[0, 10], class_="c1"))
    assert "circle" not in drawn
    assert "not known" in drawn


def test_a_value_without_interval_draws_a_dot_alone():
    drawn = str(interval_strip(5.0, np.nan, np.nan, axis=[0, 10], class_="c1", width=128))
    assert "whisker" not in drawn
    assert 'cx="64"' in drawn  # the middle of the axis is the middle of the drawing


def test_lags_are_weighed_by_their_share():
    figure = str(lag_figure(np.array([10.0, 10.0, 50.0]), np.array([0.5, 0.25, 0.25])))
    assert "median 10 min" in figure
    assert figure.count('class="bar"') == 2


def test_a_survival_curve_becomes_percent_and_splits_deaths_by_who_did_it():
    half = np.array([0.0, 0.5])
    survival = SurvivalCurve(
        condition="CAR",
        n_wells=2,
        times_min=np.array([0.0, 60.0]),
        alive=np.array([1.0, 0.375]),
        alive_low=half,
        alive_high=half,
        killed=half,
        killed_low=half / 2,
        killed_high=half * 1.5,
    )
    curve = curve_of(survival, kind="sample", n_targets=80)
    assert curve.killed_percent.tolist() == [0, 50]
    assert curve.killed_low.tolist() == [0, 25]
    assert curve.killed_high.tolist() == [0, 75]
    assert curve.uncredited_percent.tolist() == [0, 12.5]
