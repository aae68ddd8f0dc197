import math

import numpy as np
import pytest

from models.confidence import CURVES, Confidence, Usual
from models.decode import CellFeatures, DecodedCells
from models.doubts import FoundCells, frame_doubts, swap_doubt, swapped, swaps_of, usual_of

ALL = [True] * 5


def found(n, *, area_um2=100.0, inside_px=90, foreground_px=100):
    labels = np.zeros((10, 20), np.int32)
    labels.ravel()[:inside_px] = 1
    features = CellFeatures(
        seed_y=np.zeros(n, np.int32),
        seed_x=np.arange(n, dtype=np.int32),
        **{name: np.full(n, 0.5, np.float32) for name in ("vote_miss_um", "foreground", "heat")},
        area_um2=np.full(n, area_um2, np.float32),
        class_margin=np.zeros(n, np.float32),
        unsure=np.zeros(n, np.float32),
    )
    return FoundCells(
        cells=DecodedCells(labels=labels, features=features, foreground_px=foreground_px),
        foreground_px=foreground_px,
    )


CONFIDENCE = Confidence(
    curves={},
    usual=dict.fromkeys(CURVES, Usual(least_area_um2=40.0, most_area_um2=400.0, most_stray=0.3)),
    frames=1,
)


def test_a_frame_tells_how_many_cells_are_probably_wrong_and_how_much_foreground_is_lost():
    scores = {"target": np.linspace(0.5, 0.9, 9, dtype=np.float32)}
    doubts = frame_doubts({"target": found(9)}, scores, present=ALL, confidence=CONFIDENCE)
    values = {doubt.about: (doubt.value, doubt.least, doubt.most) for doubt in doubts}
    assert values["wrong"] == (pytest.approx(0.3), 0.0, 0.3)
    assert values["stray"] == (pytest.approx(0.1), 0.0, 0.3)
    assert values["area_um2"] == (100.0, 40.0, 400.0)
    assert {doubt.of for doubt in doubts} == {"target"}


def test_a_few_cells_say_nothing_of_their_frame():
    scores = {"effector": np.zeros(7, np.float32)}
    doubts = frame_doubts({"effector": found(7)}, scores, present=ALL, confidence=CONFIDENCE)
    assert all(math.isnan(doubt.value) for doubt in doubts)


def test_only_channels_that_are_there_can_be_swapped():
    assert swaps_of([True, True, False, False, True]) == [("effector", "target")]
    assert swaps_of([True, False, True, True, False]) == [
        ("effector", "nuclei"),
        ("effector", "death"),
        ("nuclei", "death"),
    ]
    assert swaps_of([False, False, False, True, True]) == []


def test_a_swap_exchanges_two_slots_and_leaves_the_frame_alone():
    image = np.arange(5, dtype=np.float32)[:, None, None]
    assert swapped(image, ("target", "death")).ravel().tolist() == [0, 3, 2, 1, 4]
    assert image.ravel().tolist() == [0, 1, 2, 3, 4]


def test_a_swap_is_judged_by_the_share_of_right_cells():
    given = [np.full(10, 0.6, np.float32), np.full(10, 0.8, np.float32)]  # 14 of 20 right
    other = [np.full(6, 0.9, np.float32), np.full(6, 0.9, np.float32)]  # 10.8 of 12, more than half of 14
    doubt = swap_doubt(("effector", "target"), given, other)
    assert (doubt.about, doubt.of) == ("swap", "effector target")
    assert doubt.value == pytest.approx(0.2)
    assert doubt.value > doubt.most


def test_few_good_cells_are_no_better_than_many():
    given = [np.full(20, 0.7, np.float32)]
    assert swap_doubt(("target", "death"), given, [np.full(9, 0.7, np.float32)]).value == -1.0
    assert math.isnan(swap_doubt(("target", "death"), given, [np.full(3, 1.0, np.float32)]).value)


def test_where_no_order_looks_right_none_is_called_swapped():
    poor, better = [np.full(20, 0.4, np.float32)], [np.full(20, 0.8, np.float32)]
    assert swap_doubt(("effector", "death"), poor, better).value == -1.0


def test_where_nothing_is_found_as_it_is_the_other_order_wins():
    nothing = np.zeros(0, np.float32)
    doubt = swap_doubt(("effector", "target"), [nothing], [np.full(9, 0.9, np.float32)])
    assert doubt.value == pytest.approx(0.9)


def test_usual_areas_leave_room_beyond_what_was_met():
    usual = usual_of([115.0] * 5, [0.01] * 5)
    assert (usual.least_area_um2, usual.most_area_um2, usual.most_stray) == (100.0, 132.2, 0.3)
