"""What is held out is never learned from, and what is unknown never counts."""

import numpy as np
import pytest

from assay.errors import ModelError
from assay.labels import FrameLabels
from models.training.dataset import TrainingFrame
from models.training.held_out import AnnotatedFrame, divide, score


def frame(*boxes, shape=(40, 40), known=None):
    """Targets as (top, left, side); effectors were not outlined."""
    targets = np.zeros(shape, np.int32)
    for number, (top, left, side) in enumerate(boxes, start=1):
        targets[top : top + side, left : left + side] = number
    everywhere = np.ones(shape, bool) if known is None else known
    return TrainingFrame(
        slots=np.zeros((5, *shape), np.float32),
        present=np.array([False, True, False, False, False]),
        effectors=np.zeros(shape, np.int32),
        targets=targets,
        known=np.stack([np.zeros(shape, bool), everywhere]),
    )


def named(n, group=lambda k: ""):
    return [AnnotatedFrame(name=f"image{k}", frame=frame((5, 5, 6)), group=group(k)) for k in range(n)]


class Fixed:
    """Finds the same targets in every frame."""

    identity = {"model": "fixed"}  # noqa: RUF012

    def __init__(self, *boxes):
        self.targets = frame(*boxes).targets

    def segment(self, images, *, present, pixel_um):
        empty, none = np.zeros_like(self.targets), np.zeros(0, np.float32)
        return [
            FrameLabels(effectors=empty, targets=self.targets, effector_scores=none, target_scores=none)
            for _ in images
        ]


def test_of_five_images_a_whole_one_is_held_out_and_its_order_does_not_matter():
    division = divide(named(5), None)
    assert len(division.held_out) == 1
    assert {one.name for one in division.learned}.isdisjoint(one.name for one in division.held_out)
    assert divide(named(5)[::-1], None).held_out[0].name == division.held_out[0].name


def test_of_twenty_images_four_are_held_out():
    division = divide(named(20), None)
    assert (len(division.held_out), len(division.learned)) == (4, 16)


def test_images_of_one_experiment_stay_on_one_side():
    division = divide(named(12, group=lambda k: f"experiment{k % 3}"), None)
    held_out = {one.group for one in division.held_out}
    assert len(held_out) == 1
    assert held_out.isdisjoint(one.group for one in division.learned)


def test_images_and_experiments_can_be_held_out_by_name():
    frames = named(6, group=lambda k: "ab"[k % 2])
    assert [one.name for one in divide(frames, ["b"]).held_out] == ["image1", "image3", "image5"]
    assert [one.name for one in divide(frames, ["image2"]).held_out] == ["image2"]
    with pytest.raises(ModelError, match="--held-out image9: there is no such image"):
        divide(frames, ["image9"])


def test_something_must_be_left_to_learn_from():
    with pytest.raises(ModelError, match="no outlined cell is left to learn from"):
        divide(named(3), ["image0", "image1", "image2"])


def four_corners():
    return AnnotatedFrame(name="a", frame=frame((4, 4, 6), (4, 30, 6), (30, 4, 6), (30, 30, 6), (17, 2, 8)))


def test_of_a_single_image_a_quarter_is_held_out_and_a_cells_width_around_it_is_not_learned():
    # the left quarters share the cell at rows 17-24: half and more of it lies in the lower one (rows 20-24)
    division = divide([four_corners()], None)
    [learned], [held_out] = division.learned, division.held_out
    quarter = held_out.frame.known[1]
    assert quarter.sum() == 20 * 20
    assert quarter[:20, :20].all()
    # a cell of 36 px is as wide as a disc of 2 * sqrt(36 / pi) = 6.8 px: six rows and columns are left out
    assert not learned.frame.known[1][:26, :20].any()
    assert not learned.frame.known[1][:20, :26].any()
    assert learned.frame.known[1][27:, 27:].all()
    # nor is any pixel of the cell that reaches into the quarter
    assert not learned.frame.known[1][learned.frame.targets == 5].any()
    assert learned.frame.known[1][learned.frame.targets == 4].all()
    assert not learned.frame.known[0].any()  # effectors stay unknown


def test_an_image_of_few_cells_is_learned_from_whole():
    division = divide([four_corners(), AnnotatedFrame(name="b", frame=frame((5, 5, 6), (25, 25, 6)))], None)
    assert [one.name for one in division.held_out] == ["a"]
    assert division.learned[1].frame.known[1].all()


def test_a_single_image_of_few_cells_cannot_be_judged():
    with pytest.raises(ModelError, match="no outlined cell is left to judge by"):
        divide([AnnotatedFrame(name="a", frame=frame((5, 5, 6)))], None)


def test_cells_mostly_outside_the_known_area_count_neither_way():
    known = np.zeros((40, 40), bool)
    known[:, :20] = True
    judged = AnnotatedFrame(name="a", frame=frame((5, 5, 6), (20, 30, 6), known=known))
    # right, invented inside, invented outside
    result = score(Fixed((5, 5, 6), (30, 5, 6), (5, 30, 6)), [judged], pixel_um=0.65)
    assert (result.cells, result.ap50, result.f1_50) == (1, 1 / 2, 2 / 3)


def test_a_role_that_was_not_outlined_is_not_judged():
    class Effectors(Fixed):
        def segment(self, images, *, present, pixel_um):
            found = super().segment(images, present=present, pixel_um=pixel_um)[0]
            return [
                FrameLabels(
                    effectors=found.targets,
                    targets=found.targets,
                    effector_scores=found.target_scores,
                    target_scores=found.target_scores,
                )
            ]

    result = score(Effectors((5, 5, 6)), [AnnotatedFrame(name="a", frame=frame((5, 5, 6)))], pixel_um=0.65)
    assert (result.cells, result.f1_50) == (1, 1.0)
