import numpy as np
import pytest

from assay.errors import ImageError, ShapeError
from assay.stack import ArrayStack, FieldId, Stack, well_name
from assay.units import Calibration

FOUR_MIN = Calibration(pixel_um=(0.65, 0.65), frame_min=4.0)


@pytest.mark.parametrize("text", ["b3", "B3", "B03", " B03 "])
def test_a_well_has_one_name_however_it_was_written(text: str):
    assert well_name(text) == "B03"


def test_plates_of_1536_wells_have_rows_of_two_letters():
    assert well_name("af48") == "AF48"


@pytest.mark.parametrize("text", ["3B", "B", "B00", "B103", "../B3", "B3/0", ""])
def test_what_is_no_well_is_refused(text: str):
    with pytest.raises(ImageError, match="is not understood"):
        well_name(text)


def test_a_field_lies_at_row_column_number():
    assert FieldId("B03", 2).path == "B/03/2"
    assert FieldId("AF48", 0).path == "AF/48/0"
    assert str(FieldId("B03", 2)) == "well B03, field 2"


def test_a_stack_in_memory_reads_frames_and_channels():
    images = np.arange(3 * 2 * 4 * 5).reshape(3, 2, 4, 5)
    stack = ArrayStack(
        images=images, field=FieldId("B03", 0), channel_names=("GFP", "PI"), calibration=FOUR_MIN
    )
    assert isinstance(stack, Stack)
    assert stack.read([2, 0], [1]).tolist() == images[[2, 0]][:, [1]].tolist()


def test_channel_names_must_fit_the_images():
    with pytest.raises(ShapeError, match="well B03, field 0: 2 channels but 1 channel names"):
        ArrayStack(
            images=np.zeros((1, 2, 3, 3)),
            field=FieldId("B03", 0),
            channel_names=("GFP",),
            calibration=FOUR_MIN,
        )
