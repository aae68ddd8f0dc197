"""Folders of images with masks: what is taken, and what is refused in one line."""

import json
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from assay.errors import CalibrationError, ImageError, ProtocolError, ShapeError
from assay.io.annotated_images import ReadingSettings, annotated_names, parse_channels, read_annotated_images
from assay.protocol import parse_protocol

NUCLEI = ReadingSettings(channels=("nuclei",), pixel_um=(0.5, 0.5))


def image(planes: int = 1) -> np.ndarray:
    """(planes, 20, 30) or (20, 30), plane k is all k + 1."""
    planes_of = np.stack([np.full((20, 30), k + 1, np.uint16) for k in range(planes)])
    return planes_of[0] if planes == 1 else planes_of


def mask() -> np.ndarray:
    """Two cells, numbered 4 and 9."""
    labels = np.zeros((20, 30), np.uint16)
    labels[2:8, 3:10], labels[10:15, 12:20] = 4, 9
    return labels


def write(folder: Path, **pictures: np.ndarray) -> Path:
    for name, pixels in pictures.items():
        path = folder / f"{name.replace('__', '/')}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, pixels, photometric="minisblack")
    return folder


def read(folder: Path, settings: ReadingSettings = NUCLEI):
    return list(read_annotated_images(folder, settings))


def test_a_mask_is_found_by_its_name_and_numbered_without_holes(tmp_path: Path):
    [one] = read(write(tmp_path, a=image(), a_labels=mask()))
    assert (one.name, one.group, one.pixel_um) == ("a", "a", (0.5, 0.5))
    assert list(one.masks) == ["target"]
    assert np.array_equal(one.masks["target"], np.select([mask() == 4, mask() == 9], [1, 2]))
    assert one.known is None


@pytest.mark.parametrize("ending", ["label", "mask", "masks", "cp_masks"])
def test_other_programs_endings_are_known(tmp_path: Path, ending: str):
    [one] = read(write(tmp_path, **{"a": image(), f"a_{ending}": mask()}))
    assert one.masks["target"].max() == 2


def test_folders_of_images_and_masks_are_paired_by_name(tmp_path: Path):
    write(tmp_path, images__a=image(), masks__a=mask(), images__b=image(), masks__b_masks=mask())
    assert [one.name for one in read(tmp_path)] == ["a", "b"]


def test_masks_may_be_of_effectors_or_of_both_roles(tmp_path: Path):
    write(tmp_path, a=image(), a_labels=mask(), b=image(), b_targets=mask(), b_effectors=mask())
    settings = ReadingSettings(channels=("brightfield",), pixel_um=(0.5, 0.5), mask_role="effector")
    first, second = read(tmp_path, settings)
    assert set(first.masks) == {"effector"}
    assert set(second.masks) == {"effector", "target"}


def test_only_the_corrected_area_less_the_ignored_is_known(tmp_path: Path):
    area, ignore = np.zeros((20, 30), np.uint8), np.zeros((20, 30), np.uint8)
    area[:, :15], ignore[:5] = 1, 255
    [one] = read(write(tmp_path, a=image(), a_labels=mask(), a_area=area, a_ignore=ignore))
    expected = np.zeros((20, 30), bool)
    expected[5:, :15] = True
    assert one.known is not None
    assert np.array_equal(one.known, expected)


def test_an_image_without_a_mask_is_named_and_left_out(tmp_path: Path):
    write(tmp_path, a=image(), a_labels=mask(), b=image())
    assert annotated_names(tmp_path, mask_role="target") == (["a"], ["b"])
    assert [one.name for one in read(tmp_path)] == ["a"]


def test_an_empty_mask_says_that_there_are_no_cells(tmp_path: Path):
    [one] = read(write(tmp_path, a=image(), a_labels=np.zeros((20, 30), np.uint8)))
    assert not one.masks["target"].any()


@pytest.mark.parametrize("last", [False, True])
def test_channels_may_stand_first_or_last(tmp_path: Path, last: bool):
    planes = np.moveaxis(image(3), 0, -1) if last else image(3)
    write(tmp_path, a=planes, a_labels=mask())
    settings = ReadingSettings(channels=("brightfield", None, "nuclei"), pixel_um=(0.5, 0.5))
    [one] = read(tmp_path, settings)
    assert one.channels == {"brightfield": (0,), "nuclei": (2,)}
    assert one.planes[:, 0, 0].tolist() == [1, 2, 3]


def test_a_png_is_an_image_and_a_mask(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(image()))
    (tmp_path / "a_masks.png").write_bytes(imagecodecs.png_encode(mask()))
    [one] = read(tmp_path)
    assert (one.planes.shape, one.masks["target"].max()) == ((1, 20, 30), 2)


def test_an_index_tells_channels_pixel_size_and_experiment(tmp_path: Path):
    write(tmp_path, a=image(2), a_labels=mask(), b=image(), b_labels=mask())
    index = [
        {"name": "a", "channels": ["Hoechst", "PI"], "um_per_px": 0.3, "experiment": "one"},
        {"name": "b", "channels": ["Hoechst"], "pixel_um": [0.4, 0.5], "experiment": "two"},
    ]
    (tmp_path / "index.json").write_text(json.dumps(index))
    protocol = parse_protocol('[channels]\nnuclei = "Hoechst"\ndeath = "PI"\neffector = "CFSE"\n')
    a, b = read(tmp_path, ReadingSettings(protocol=protocol))
    assert (a.channels, a.pixel_um, a.group) == ({"nuclei": (0,), "death": (1,)}, (0.3, 0.3), "one")
    assert (b.channels, b.pixel_um, b.group) == ({"nuclei": (0,)}, (0.4, 0.5), "two")


def test_an_imagej_file_tells_its_own_pixel_size_and_channels(tmp_path: Path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        image(2),
        imagej=True,
        resolution=(2.0, 2.0),
        metadata={"unit": "um", "axes": "CYX", "Labels": ["GFP", "PI"]},
    )
    write(tmp_path, a_labels=mask())
    protocol = parse_protocol('[channels]\ntarget = "GFP"\n')
    [one] = read(tmp_path, ReadingSettings(protocol=protocol))
    assert (one.channels, one.pixel_um) == ({"target": (0,)}, (0.5, 0.5))


def test_an_ome_file_tells_its_own_pixel_size_and_channels(tmp_path: Path):
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        image(2),
        metadata={
            "axes": "CYX",
            "PhysicalSizeX": 0.65,
            "PhysicalSizeY": 0.65,
            "Channel": {"Name": ["GFP", "PI"]},
        },
    )
    write(tmp_path, a_labels=mask())
    [one] = read(tmp_path, ReadingSettings(protocol=parse_protocol('[channels]\ntarget = "GFP"\n')))
    assert (one.name, one.channels, one.pixel_um) == ("a", {"target": (0,)}, (0.65, 0.65))


def test_what_is_given_by_hand_goes_before_what_files_say(tmp_path: Path):
    write(tmp_path, a=image(), a_labels=mask())
    (tmp_path / "index.json").write_text('[{"name": "a", "pixel_um": 0.3}]')
    assert read(tmp_path)[0].pixel_um == (0.5, 0.5)


def test_a_pixel_size_is_never_guessed(tmp_path: Path):
    write(tmp_path, a=image(), a_labels=mask())
    with pytest.raises(CalibrationError, match=r"a\.tif: no pixel size is known.*--pixel-um"):
        read(tmp_path, ReadingSettings(channels=("nuclei",)))


def test_what_channels_show_is_never_guessed(tmp_path: Path):
    write(tmp_path, a=image(), a_labels=mask())
    with pytest.raises(ProtocolError, match=r"a\.tif: it is not said what its channels show"):
        read(tmp_path, ReadingSettings(pixel_um=(0.5, 0.5)))


def test_a_number_of_channels_that_differs_names_the_image(tmp_path: Path):
    write(tmp_path, a=image(), a_labels=mask(), b=image(2), b_labels=mask())
    with pytest.raises(ShapeError, match=r"b\.tif has 2 channels, --channels names 1"):
        read(tmp_path)


def test_a_colour_picture_is_said_to_be_one(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((20, 30, 3), np.uint8), photometric="rgb")
    write(tmp_path, a_labels=mask())
    with pytest.raises(ShapeError, match=r"a\.tif has 3 channels.*It is a colour picture"):
        read(tmp_path)


def test_a_mask_of_another_size_names_both(tmp_path: Path):
    write(tmp_path, a=image(), a_labels=np.zeros((20, 31), np.uint8))
    with pytest.raises(ShapeError, match=r"a_labels\.tif has 1 plane of 20 x 31 pixels, expected .*20 x 30"):
        read(tmp_path)


def test_a_binary_mask_is_refused_and_not_parted(tmp_path: Path):
    binary = np.zeros((20, 30), np.uint8)
    binary[1:5, 1:5], binary[8:12, 1:5], binary[8:12, 12:18] = 255, 255, 255
    write(tmp_path, a=image(), a_labels=binary)
    with pytest.raises(ImageError, match=r"a_labels\.tif: 3 separate pieces share a single number"):
        read(tmp_path)


def test_a_mask_of_one_cell_is_a_mask(tmp_path: Path):
    one_cell = np.zeros((20, 30), bool)
    one_cell[3:9, 3:9] = True
    [one] = read(write(tmp_path, a=image(), a_labels=one_cell))
    assert one.masks["target"].sum() == 36


def test_a_slip_of_the_pen_makes_no_class_map(tmp_path: Path):
    labels = mask()
    labels[18, 28] = labels[0, 0] = labels[19, 0] = 4
    [one] = read(write(tmp_path, a=image(), a_labels=labels))
    assert one.masks["target"].max() == 2


@pytest.mark.parametrize(
    ("drawn", "said"),
    [
        (np.full((20, 30), 0.5, np.float32), "values that are no whole numbers"),
        (np.full((20, 30), np.nan, np.float32), "values that are no whole numbers"),
        (np.full((20, 30), -1, np.int16), r"negative numbers \(-1\)"),
        (np.ones((20, 30), np.uint8), "no pixel is 0"),
        (np.zeros((3, 20, 30), np.uint8), "has 3 planes of 20 x 30 pixels"),
    ],
)
def test_what_is_no_mask_of_cells_is_refused(tmp_path: Path, drawn: np.ndarray, said: str):
    write(tmp_path, a=image(), a_labels=drawn)
    with pytest.raises((ImageError, ShapeError), match=said):
        read(tmp_path)


def test_whole_numbers_in_floating_point_are_a_mask(tmp_path: Path):
    [one] = read(write(tmp_path, a=image(), a_labels=mask().astype(np.float64)))
    assert one.masks["target"].max() == 2


def test_pixels_that_are_no_numbers_are_counted(tmp_path: Path):
    pixels = image().astype(np.float32)
    pixels[0, :3] = np.nan
    write(tmp_path, a=pixels, a_labels=mask())
    with pytest.raises(ImageError, match=r"a\.tif: 3 pixels are no numbers"):
        read(tmp_path)


def test_a_film_is_no_image(tmp_path: Path):
    tifffile.imwrite(tmp_path / "a.tif", image(4), imagej=True, metadata={"axes": "TYX"})
    write(tmp_path, a_labels=mask())
    with pytest.raises(ImageError, match=r"a\.tif has the axes TYX .*one frame and one slice a file"):
        read(tmp_path)


def test_a_file_that_was_cut_off_is_named(tmp_path: Path):
    write(tmp_path, a=image(), a_labels=mask())
    whole = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(whole[:-200])
    with pytest.raises(ImageError, match=r"a\.tif is cut off"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_a_file_of_another_kind_is_named(tmp_path: Path, name: str):
    write(tmp_path, a_labels=mask())
    (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(ImageError, match=rf"{name}: cannot be read as an image"):
        read(tmp_path)


def test_folders_without_pairs_say_what_is_expected(tmp_path: Path):
    with pytest.raises(ImageError, match="there is no such folder"):
        read(tmp_path / "nowhere")
    with pytest.raises(ImageError, match="holds no images"):
        read(tmp_path)
    write(tmp_path, a=image(), b=image())
    with pytest.raises(ImageError, match=r"none of its 2 images has a mask.* Expected pairs"):
        read(tmp_path)
    write(tmp_path, c_labels=mask())
    with pytest.raises(ImageError, match=r"c_labels\.tif is a mask, but there is no image 'c'"):
        read(tmp_path)


def test_two_masks_of_one_role_are_refused(tmp_path: Path):
    write(tmp_path, a=image(), a_labels=mask(), a_masks=mask())
    with pytest.raises(ImageError, match=r"a_labels\.tif and a_masks\.tif are two target masks of 'a'"):
        read(tmp_path)


def test_reviewed_results_are_not_there_yet(tmp_path: Path):
    (tmp_path / "provenance.json").write_text("{}")
    with pytest.raises(ImageError, match=r"is a RESULTS folder, expected a folder of images"):
        read(tmp_path)


def test_a_broken_index_is_named(tmp_path: Path):
    write(tmp_path, a=image(), a_labels=mask())
    (tmp_path / "index.json").write_text('{"a": 1}')
    with pytest.raises(ImageError, match=r"index\.json: expected a list of entries"):
        read(tmp_path)


def test_roles_are_written_in_the_order_of_the_planes():
    assert parse_channels("nuclei, -,death") == ("nuclei", None, "death")
    with pytest.raises(ProtocolError, match="'hoechst' is no role"):
        parse_channels("hoechst")
    with pytest.raises(ProtocolError, match="every plane is left out"):
        parse_channels("-,none")
