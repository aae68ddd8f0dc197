import json
import math

import numpy as np
import pytest

from assay.errors import ModelError
from models.confidence import (
    CURVES,
    NUMBERS,
    Confidence,
    Curve,
    Usual,
    cell_numbers,
    curve_of,
    read_confidence,
)
from models.decode import CellFeatures

TERMS = 1 + 8 + 36
ALL = [True] * 5


def cells(places, areas_um2, *, heat=0.9):
    n = len(places)
    filled = {name: np.full(n, value, np.float32) for name, value in LOOKS.items()}
    return CellFeatures(
        seed_y=np.array([y for y, _ in places], np.int32),
        seed_x=np.array([x for _, x in places], np.int32),
        area_um2=np.array(areas_um2, np.float32),
        heat=np.full(n, heat, np.float32),
        **filled,
    )


LOOKS = {"vote_miss_um": 0.8, "foreground": 0.5, "class_margin": 0.4, "unsure": 0.1}


def curve(**weights):
    values = [0.0] * TERMS
    for name, weight in weights.items():
        values[1 + NUMBERS.index(name)] = weight
    return Curve(centre=(0.0,) * 8, spread=(1.0,) * 8, weights=tuple(values))


def confidence():
    usual = Usual(least_area_um2=40.0, most_area_um2=400.0, most_stray=0.3)
    return Confidence(
        curves={name: curve(heat=1.0) for name in CURVES}, usual=dict.fromkeys(CURVES, usual), frames=3
    )


def test_numbers_of_a_cell_are_those_worked_out_by_hand():
    # radius 2 um; 10 px of 0.4 um apart are 4 um, 2 radii; the upper one's seed is half a pixel from the edge
    area = math.pi * 4
    numbers = cell_numbers(cells([(0, 50), (10, 50)], [area, area]), shape=(101, 101), pixel_um=(0.4, 0.8))
    expected = [
        math.log(1.0),
        0.0,
        math.log(9),
        0.4,
        math.log(area),
        0.0,
        math.log(0.3 + 2.0),
        math.log(0.3 + 0.1),
    ]
    assert numbers[0] == pytest.approx(expected, rel=1e-5)
    assert numbers[1, -1] == pytest.approx(math.log(0.3 + 2.0))  # 4.2 um from the edge: far enough


def test_a_lone_cell_has_no_neighbour_and_the_usual_size():
    [numbers] = cell_numbers(cells([(50, 50)], [80.0]), shape=(101, 101), pixel_um=(1.0, 1.0))
    assert numbers[NUMBERS.index("relative_area")] == 0
    assert numbers[NUMBERS.index("neighbour")] == pytest.approx(math.log(6.3))


def test_a_frame_without_cells_has_no_scores():
    scores = confidence().scores(
        cells([], []), role="effector", present=ALL, shape=(9, 9), pixel_um=(1.0, 1.0)
    )
    assert scores.shape == (0,)
    assert scores.dtype == np.float32


def test_a_score_is_the_probability_of_the_curve():
    [score] = confidence().scores(
        cells([(5, 5)], [80.0], heat=0.8), role="target", present=ALL, shape=(9, 9), pixel_um=(1.0, 1.0)
    )
    assert score == pytest.approx(0.8, abs=1e-4)  # weight 1 on the logit of the heat


def test_beyond_what_was_fitted_the_curve_stays_level():
    steep = curve(vote_miss=-1.0)
    far, farther = np.zeros((2, 8))
    far[0], farther[0] = 3.0, 30.0
    one, other = steep.probability(np.stack([far, farther]))
    assert one == other == pytest.approx(1 / (1 + math.exp(3)), abs=1e-4)


@pytest.mark.parametrize(
    ("role", "present", "name"),
    [
        ("effector", [True, True, False, False, True], "effector"),
        ("effector", [False, True, False, False, True], "effector without dye"),
        ("target", [True, False, True, False, False], "target"),
        ("target", [True, False, False, True, True], "target without dye"),
    ],
)
def test_cells_without_a_dye_of_their_own_have_a_curve_of_their_own(role, present, name):
    assert curve_of(role, present) == name


def test_a_confidence_is_read_back_from_json_as_it_was():
    there = json.loads(json.dumps(confidence().as_json()))
    assert read_confidence(there) == confidence()
    assert read_confidence(there).identity == confidence().identity


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("numbers",), ["heat"]),
        (("curves", "target", "weights"), [1.0]),
        (("curves", "target", "weights"), [float("nan")] * TERMS),
        (("curves", "effector", "spread"), [0.0] * 8),
        (("usual", "effector", "most_stray"), 2.0),
        (("usual", "effector"), {}),
    ],
)
def test_a_broken_confidence_is_refused(path, value):
    content = confidence().as_json()
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(ModelError, match="killassay models calibrate"):
        read_confidence(content)
