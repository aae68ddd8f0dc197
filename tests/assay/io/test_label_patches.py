from pathlib import Path

import numpy as np
import pytest

from assay.errors import ResultsError, ShapeError
from assay.io.label_patches import LabelPatch, apply_patch, label_patch, read_patch, write_patch
from assay.stack import FieldId

B02 = FieldId("B02", 1)
BEFORE = np.zeros((5, 8), np.uint32)
BEFORE[1:3, 2:5] = 7
AFTER = BEFORE.copy()
AFTER[2, 4:6] = 9


def stored(folder: Path) -> tuple[str, str]:
    patch = label_patch(BEFORE, AFTER)
    assert patch is not None
    return write_patch(folder, patch, field=B02, role="target", frame=3)


def test_a_patch_is_the_box_of_what_changed():
    patch = label_patch(BEFORE, AFTER)
    assert patch is not None
    assert (patch.top, patch.left) == (2, 4)
    assert patch.before.tolist() == [[7, 0]]
    assert patch.after.tolist() == [[9, 9]]
    assert patch.changed_labels == (7, 9)
    assert label_patch(BEFORE, BEFORE) is None


def test_a_patch_on_disk_gives_back_the_correction(tmp_path: Path):
    name, sha256 = stored(tmp_path / "review")
    assert name.startswith("labels-B02-1-target-00003-")
    patch = read_patch(tmp_path / "review", name, sha256=sha256)
    assert apply_patch(BEFORE, patch, where="frame 3").tolist() == AFTER.tolist()
    assert BEFORE[2, 5] == 0


def test_the_same_correction_is_the_same_file(tmp_path: Path):
    assert stored(tmp_path) == stored(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


def test_an_altered_or_lost_patch_is_named(tmp_path: Path):
    name, sha256 = stored(tmp_path)
    file = tmp_path / name
    data = bytearray(file.read_bytes())
    data[40] ^= 1
    file.write_bytes(data)
    with pytest.raises(ResultsError, match="was altered"):
        read_patch(tmp_path, name, sha256=sha256)
    file.unlink()
    with pytest.raises(ResultsError, match="is not there"):
        read_patch(tmp_path, name, sha256=sha256)


def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path):
    with pytest.raises(ResultsError, match="cannot be the name"):
        read_patch(tmp_path, "../labels.npz", sha256="")


def test_a_correction_is_only_applied_to_what_it_was_drawn_on():
    patch = label_patch(BEFORE, AFTER)
    assert patch is not None
    elsewhere = BEFORE.copy()
    elsewhere[0, 0] = 3  # outside of what was changed: no matter
    assert apply_patch(elsewhere, patch, where="frame 3")[0, 0] == 3
    with pytest.raises(ResultsError, match="frame 3: the labels were corrected on other outlines"):
        apply_patch(np.zeros_like(BEFORE), patch, where="frame 3")
    outside = LabelPatch(top=4, left=7, before=patch.before, after=patch.after)
    with pytest.raises(ResultsError, match="outside the image"):
        apply_patch(BEFORE, outside, where="frame 3")


def test_images_of_two_sizes_make_no_patch():
    with pytest.raises(ShapeError, match="cannot correct"):
        label_patch(BEFORE, BEFORE[1:])
