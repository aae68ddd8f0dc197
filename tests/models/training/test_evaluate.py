import math

import numpy as np
import pytest

from assay.labels import FrameLabels
from models.training.dataset import TrainingFrame
from models.training.evaluate import Counts, Tally, count_matches, evaluate, overlaps_of, tally_frame


def boxes(*columns):
    """One-pixel-high cells: (start, stop) columns."""
    labels = np.zeros((1, 60), dtype=np.int32)
    for number, (start, stop) in enumerate(columns, start=1):
        labels[0, start:stop] = number
    return labels


def test_a_cell_matches_at_the_least_iou_and_not_below():
    truth = boxes((0, 10))
    assert count_matches(boxes((0, 5)), truth, least_iou=0.5).found == 1  # 5 of 10
    assert count_matches(boxes((0, 4)), truth, least_iou=0.5).found == 0


def test_two_halves_of_a_cell_match_it_once():
    counts = count_matches(boxes((0, 5), (5, 10)), boxes((0, 10)), least_iou=0.5)
    assert counts == Counts(found=1, invented=1, overlooked=0)


def test_merged_cells_overlook_one():
    counts = count_matches(boxes((0, 16)), boxes((0, 10), (10, 16)), least_iou=0.5)  # 10 of 16
    assert counts == Counts(found=1, invented=0, overlooked=1)


def test_ap_and_f1_follow_from_the_counts():
    counts = Counts(found=6, invented=1, overlooked=3)
    assert counts.ap == pytest.approx(0.6)
    assert counts.f1 == pytest.approx(12 / 16)
    assert math.isnan(Counts().ap)


class Fixed:
    """Finds the same cells in every frame."""

    identity = {"model": "fixed"}  # noqa: RUF012

    def segment(self, images, *, present, pixel_um):
        found = FrameLabels(
            effectors=boxes(),
            targets=boxes((0, 10), (20, 28)),
            effector_scores=np.zeros(0, np.float32),
            target_scores=np.ones(2, np.float32),
        )
        return [found for _ in images]


def test_scores_are_pooled_over_frames_and_kept_apart_by_role():
    slots, present = np.zeros((5, 1, 60), np.float32), np.ones(5, bool)
    frames = [
        # IoU 1 and 0.8
        TrainingFrame(slots=slots, present=present, effectors=boxes(), targets=boxes((0, 10), (20, 30))),
        # IoU 0.7, and one cell invented
        TrainingFrame(slots=slots, present=present, effectors=boxes((40, 45)), targets=boxes((0, 7))),
    ]
    scores = evaluate(Fixed(), frames, pixel_um=0.65)
    assert scores["target"]["ap50"] == pytest.approx(3 / 4)
    assert scores["target"]["ap75"] == pytest.approx(2 / 5)  # found 2, invented 2, overlooked 1
    assert scores["effector"]["ap50"] == 0
    assert scores["target"]["cells"] == 3


def labels_of(*, effectors, targets):
    return FrameLabels(
        effectors=effectors,
        targets=targets,
        effector_scores=np.ones(int(effectors.max()), np.float32),
        target_scores=np.ones(int(targets.max()), np.float32),
    )


def frame_of(*, effectors, targets, known=None):
    slots, present = np.zeros((5, 1, 60), np.float32), np.ones(5, bool)
    return TrainingFrame(slots=slots, present=present, effectors=effectors, targets=targets, known=known)


def test_a_target_called_effector_is_of_the_wrong_class():
    truth = frame_of(effectors=boxes(), targets=boxes((0, 10), (20, 30), (40, 50)))
    # the first target is found as an effector, the second as both but better as a target, the third not at all
    found = labels_of(effectors=boxes((0, 9), (20, 26)), targets=boxes((20, 29)))
    tally = tally_frame(found, truth)["target"]
    assert (tally.seen, tally.right) == (2, 1)
    assert tally.figures()["class_right"] == 0.5


def test_a_cell_found_too_roughly_in_either_role_says_nothing_of_classes():
    truth = frame_of(effectors=boxes(), targets=boxes((0, 10)))
    found = labels_of(effectors=boxes((0, 4)), targets=boxes())
    tally = tally_frame(found, truth)["target"]
    assert tally.seen == 0
    assert math.isnan(tally.figures()["class_right"])


def test_cells_mostly_where_the_truth_is_unknown_do_not_count():
    known = np.ones((2, 1, 60), bool)
    known[1, :, 20:] = False  # of targets
    truth = frame_of(effectors=boxes(), targets=boxes((0, 10)), known=known)
    found = labels_of(effectors=boxes(), targets=boxes((0, 10), (17, 27), (12, 22), (40, 50)))
    # of the second cell 3 of 10 px are known, of the third 8 of 10, of the fourth none
    counts = tally_frame(found, truth)["target"].half
    assert counts == Counts(found=1, invented=1, overlooked=0)


def test_tallies_of_parts_add_up():
    one = Tally(half=Counts(found=1), three_quarters=Counts(invented=1), seen=2, right=1)
    both = one + one
    assert both == Tally(half=Counts(found=2), three_quarters=Counts(invented=2), seen=4, right=2)


def test_a_frame_without_cells_has_no_overlaps():
    empty = overlaps_of(boxes(), boxes())
    assert len(empty.iou) == 0
    assert len(empty.matched(least_iou=0.5)) == 0
