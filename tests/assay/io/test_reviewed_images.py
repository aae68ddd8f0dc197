import shutil
from pathlib import Path

import numpy as np
import pytest

from assay.errors import ResultsError
from assay.io.label_patches import label_patch, write_patch
from assay.io.label_plate import LabelPlate
from assay.io.results import Results
from assay.io.review_logs import open_log
from assay.io.reviewed_images import corrected_area, corrected_frames, is_results, read_corrected_images
from assay.io.tables import read_table
from assay.review.events import review_events
from assay.review.sitting import Sitting
from assay.stack import FieldId
from tests.assay.pipeline.test_run import run
from tests.small_plates import film, write_small_plate

B02 = FieldId("B02", 0)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reviewed")
    run(write_small_plate(folder / "small.zarr", {"B02": film(4)}), folder / "results")
    return folder / "results"


@pytest.fixture
def results(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "results"))


def correct(results: Path, frame: int, *, undo: bool = False) -> None:
    """Let a reader rub out the upper half of target 1 in a frame."""
    opened = Results.open(results)
    labels = LabelPlate.open(opened.labels).read(B02, "target", [frame])[0]
    after = labels.copy()
    after[:18][after[:18] == labels[18, 20]] = 0
    patch = label_patch(labels, after)
    assert patch is not None
    name, sha256 = write_patch(opened.review, patch, field=B02, role="target", frame=frame)
    tables = {
        name: read_table(opened.tables, name)
        for name in ("deaths", "kills", "contacts", "wells", "fields", "cells")
    }
    log = open_log(opened, reader="ana")
    sitting = Sitting(review_events(tables), log, reader="ana")
    sitting.decide("labels", well="B02", field=0, role="target", frame=frame, patch=name, sha256=sha256)
    if undo:
        sitting.undo()
    log.close()


def test_corrected_frames_become_images_with_masks_that_are_known_around_the_corrected_cells_only(
    results: Path,
):
    correct(results, 2)
    assert is_results(results)
    assert corrected_frames(results) == [(B02, "target", 2)]
    (image,) = read_corrected_images(results)
    assert image.name == "B02_0_frame2_targets"
    assert image.planes.tolist() == film(4)[2].tolist()
    assert image.channels == {"effector": (0,), "target": (1,), "death": (2,)}
    assert list(image.masks) == ["target"]
    mask, known = image.masks["target"], image.known
    assert known is not None
    assert not mask[14, 20]  # rubbed out
    assert mask[22, 20]
    assert known[14, 20]
    assert known[22, 20]
    assert known[8, 20]  # within 3 um of what was rubbed out, whose radius is 8
    assert not known[50, 30]  # another target
    assert mask[50, 30]
    assert known.sum() < 500  # a disk of radius 11 to 12
    assert sorted(np.unique(mask).tolist()) == [0, 1, 2, 3, 4]


def test_results_without_corrected_outlines_say_so(results: Path):
    with pytest.raises(ResultsError, match="no outlines were corrected"):
        corrected_frames(results)
    correct(results, 1, undo=True)
    with pytest.raises(ResultsError, match="no outlines were corrected"):
        list(read_corrected_images(results))


def test_an_altered_correction_is_not_learned_from(results: Path):
    correct(results, 1)
    (patch,) = results.glob("review/*.npz")
    patch.write_bytes(patch.read_bytes()[:-1])
    with pytest.raises(ResultsError, match="was altered"):
        list(read_corrected_images(results))


def test_without_the_raw_images_nothing_can_be_learned(results: Path):
    correct(results, 1)
    mark = results / "results.json"
    mark.write_text(mark.read_text().replace("small.zarr", "gone.zarr"))
    with pytest.raises(ResultsError, match="Put the plate back"):
        list(read_corrected_images(results))


def test_the_known_area_is_the_changed_cells_and_three_micrometres_around():
    labels = np.zeros((40, 40), np.uint32)
    labels[10:14, 10:14] = 5
    labels[30:34, 30:34] = 6
    changed = np.zeros(labels.shape, bool)
    changed[10, 10] = True
    known = corrected_area(labels, changed, (1.0, 0.5))
    # rows 10-13 and 3 um = 3 rows; columns 10-13 and 3 um = 6 columns
    assert np.flatnonzero(known.any(axis=1)).tolist() == list(range(7, 17))
    assert np.flatnonzero(known.any(axis=0)).tolist() == list(range(4, 20))
    assert not corrected_area(labels, np.zeros_like(changed), (1.0, 0.5)).any()
