import json

import numpy as np
import pytest
import tifffile

from assay.labels import CHANNEL_ROLES, FrameLabels
from benchmarks.real_images import data_folder, pooled, score_set, zero_shot_page
from benchmarks.real_sets import DSB_LEARNED, SETS, folds_of, real_image

PIXEL_UM = 0.65


def cells(*columns):
    labels = np.zeros((4, 60), dtype=np.int32)
    for number, (start, stop) in enumerate(columns, start=1):
        labels[:, start:stop] = number
    return labels


def image_of(name, targets, group=""):
    planes = np.random.default_rng(1).integers(90, 110, (1, *targets.shape)).astype(np.uint16)
    return real_image(name, planes, {"nuclei": 0}, targets, pixel_um=PIXEL_UM, group=group)


class Finds:
    """Finds the same cells in every image."""

    identity = {"model": "fixed", "numerics": "none"}  # noqa: RUF012

    def __init__(self, *, targets, effectors):
        self.found = FrameLabels(
            effectors=effectors,
            targets=targets,
            effector_scores=np.ones(int(effectors.max()), np.float32),
            target_scores=np.ones(int(targets.max()), np.float32),
        )

    def segment(self, images, *, present, pixel_um):
        assert pixel_um == (PIXEL_UM, PIXEL_UM)
        return [self.found for _ in images]


def test_a_nucleus_stands_in_its_slot_and_effectors_are_not_known():
    frame = image_of("a", cells((0, 10))).frame
    assert frame.present.tolist() == [role == "nuclei" for role in CHANNEL_ROLES]
    assert not frame.known[0].any()
    assert frame.known[1].all()


def test_images_of_an_experiment_stay_together_and_folds_are_of_about_one_size():
    sizes = {"a": 5, "b": 3, "c": 2, "d": 2, "e": 1}
    images = [
        image_of(f"{group}{n}", cells((0, 9)), group) for group, size in sizes.items() for n in range(size)
    ]
    folds = folds_of(images, 3)
    assert [sorted({image.group for image in fold}) for fold in folds] == [["a"], ["b", "e"], ["c", "d"]]
    assert sum(map(len, folds)) == 13


def test_single_images_are_left_out_one_by_one():
    assert [len(fold) for fold in folds_of([image_of(name, cells((0, 9))) for name in "abc"], 8)] == [1, 1, 1]


def test_effectors_called_targets_are_invented_and_called_effectors_do_not_count():
    images = [image_of("one", cells((0, 10)), "x"), image_of("two", cells((0, 10), (30, 40)), "y")]
    finder = Finds(targets=cells((0, 10), (50, 60)), effectors=cells((30, 40)))
    scores = score_set(images, {"model": finder})
    assert scores["all"]["model"]["at_50"] == {"found": 2, "invented": 2, "overlooked": 1}
    assert scores["all"]["model"]["f1_50"] == pytest.approx(4 / 7)
    assert scores["groups"]["x"]["model"]["ap50"] == pytest.approx(1 / 2)
    assert scores["groups"]["y"]["model"]["ap50"] == pytest.approx(1 / 3)


def test_folds_are_pooled_by_counts_not_by_shares():
    one = {
        "at_50": {"found": 9, "invented": 0, "overlooked": 1},
        "at_75": {"found": 0, "invented": 9, "overlooked": 10},
    }
    two = {
        "at_50": {"found": 0, "invented": 0, "overlooked": 1},
        "at_75": {"found": 0, "invented": 0, "overlooked": 1},
    }
    together = pooled([one, two])
    assert together["ap50"] == pytest.approx(9 / 11)
    assert together["ap75"] == 0
    assert together["cells"] == 11


def test_the_page_says_whether_the_bar_was_reached():
    finder = Finds(targets=cells((0, 10)), effectors=cells())
    ways = dict.fromkeys(("model", "Otsu", "local threshold"), finder)
    scores = {"adcc_mcf7": score_set([image_of("a", cells((0, 10), (20, 30)), "may")], ways)}
    page = zero_shot_page({"model": finder.identity, "sets": scores})
    assert "| may (1) | 2 | 0.667 | 0.500 | 0.500 |" in page
    assert "adcc_mcf7 f1_50: 0.667, bar 0.7 not reached" in page


def test_no_image_of_dsb2018_is_both_learned_from_and_scored(tmp_path):
    folder = tmp_path / "dsb2018_fluo"
    folder.mkdir()
    for number in range(30):
        for suffix in ("", "_labels"):
            tifffile.imwrite(folder / f"{number:04d}{suffix}.tif", cells((0, 10)).astype(np.uint8))
    scored = {image.name for image in SETS["dsb2018_fluo"].images(tmp_path)}
    learned = {image.name for image in DSB_LEARNED.images(tmp_path)}
    assert not scored & learned
    assert len(scored) + len(learned) == 30
    assert 3 <= len(scored) <= 17


def test_without_a_folder_it_says_how_to_give_one(monkeypatch):
    monkeypatch.delenv("KILLASSAY_DATA", raising=False)
    with pytest.raises(SystemExit, match="--data or KILLASSAY_DATA"):
        data_folder(None)


def test_a_cross_validation_goes_on_with_its_own_results_only(tmp_path):
    from benchmarks.real_finetuning import _resumed

    path = tmp_path / "folds.json"
    settings = {"set": "t98g_phase", "minutes": 3.0}
    assert _resumed(path, settings) == {"settings": settings, "folds": {}}
    path.write_text(json.dumps({"settings": settings, "folds": {"0": {"cells": 4}}}))
    assert _resumed(path, settings)["folds"] == {"0": {"cells": 4}}
    with pytest.raises(SystemExit, match="Give another file"):
        _resumed(path, settings | {"minutes": 1.0})
