import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from assay.errors import ImageError, ResultsError
from assay.pipeline.run import RunOptions
from assay.stack import FieldId
from assay.units import Calibration
from napari_plugin.layers import Images, fields_of, layer_options, layers_of
from napari_plugin.reader import open_plate, open_results
from tests.assay.pipeline.test_run import run
from tests.small_plates import film, write_small_plate

B02 = FieldId("B02", 0)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("napari")
    run(write_small_plate(folder / "small.zarr", {"B02": film(6)}), folder / "results")
    return folder / "results"


@pytest.fixture
def images(results: Path) -> Iterator[Images]:
    opened = Images.open(results)
    yield opened
    opened.close()


def test_a_field_opens_with_its_channels_and_the_labels_of_both_roles(images: Images):
    layers = layers_of(images, images.fields[0])
    names = [(options["name"], kind) for _, options, kind in layers]
    assert names == [
        ("CTDR", "image"),
        ("GFP", "image"),
        ("PI", "image"),
        ("effectors", "labels"),
        ("targets", "labels"),
    ]
    assert [options["colormap"] for _, options, kind in layers if kind == "image"] == [
        "yellow",
        "red",
        "cyan",
    ]
    assert all(data.shape == (6, 72, 96) for data, _, _ in layers)


def test_a_frame_is_read_when_it_is_shown(images: Images):
    layers = {options["name"]: data for data, options, _ in layers_of(images, B02)}
    assert images.store.reads == 0
    assert layers["GFP"][4].tolist() == film(6)[4, 1].tolist()
    assert np.unique(layers["targets"][4]).tolist() == [0, 1, 2, 3, 4]
    assert images.store.reads == 2


def test_frames_too_large_to_be_held_are_refused(images: Images, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("assay.labels.LARGEST_WHOLE_PX", 72 * 96 - 1)
    with pytest.raises(
        ImageError, match=r"well B02, field 0: its frames of 72 x 96 pixels are too large to be shown"
    ):
        images.of(B02)


def test_the_world_is_in_minutes_and_micrometres(images: Images):
    _, options, _ = layers_of(images, B02)[0]
    assert options["scale"] == (5.0, 1.0, 1.0)
    assert options["units"] == ("min", "um", "um")
    assert options["axis_labels"] == ("t", "y", "x")
    one_frame = layer_options(Calibration(pixel_um=(0.5, 0.25), frame_min=None))
    assert one_frame["scale"] == (1.0, 0.5, 0.25)
    assert one_frame["units"] == ("pixel", "um", "um")


def test_what_is_displayed_comes_from_the_run_and_is_the_same_in_every_well(images: Images):
    limits = {options["name"]: options.get("contrast_limits") for _, options, _ in layers_of(images, B02)}
    low, high = limits["GFP"]
    # noise 200 +- 6, cells 900 above it: the background lies within the noise and cells reach the upper end
    assert 180 < low < 220
    assert 1000 < high < 1200
    assert images.store.reads == 0


def test_a_small_film_of_an_event_is_the_same_whether_its_frames_lie_in_memory_or_not(images: Images):
    opened = images.of(B02)
    rows, columns = slice(10, 31), slice(5, 50)
    fresh = opened.crop([1, 2, 5], rows, columns)
    labels = opened.crop_labels("target", [1, 2], rows, columns)
    assert images.store.reads == 0
    assert fresh.tolist() == film(6)[[1, 2, 5], :, rows, columns].tolist()
    for channel in opened.channels:
        channel.film.frame(2)
    assert opened.crop([1, 2, 5], rows, columns).tolist() == fresh.tolist()
    assert labels.tolist() == opened.labels["target"][1:3][:, rows, columns].tolist()


def test_a_frame_that_was_never_recorded_shows_as_black(tmp_path: Path):
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(6)}, missing_frames={B02: [3]})
    run(plate, tmp_path / "results")
    images = Images.open(tmp_path / "results")
    layers = {options["name"]: data for data, options, _ in layers_of(images, B02)}
    assert not layers["GFP"][3].any()
    assert layers["GFP"][4].tolist() == film(6)[4, 1].tolist()
    strip = images.of(B02).crop([2, 3], slice(0, 72), slice(0, 96))
    assert strip[0].tolist() == film(6)[2].tolist()
    assert not strip[1].any()
    images.close()


def test_without_the_raw_plate_the_small_preview_is_shown_in_its_place(results: Path, tmp_path: Path):
    moved = shutil.copytree(results, tmp_path / "results")
    mark = (moved / "results.json").read_text()
    (moved / "results.json").write_text(mark.replace("small.zarr", "gone.zarr"))
    images = Images.open(moved)
    layers = layers_of(images, B02)
    assert [options["name"] for _, options, _ in layers][:2] == ["CTDR (preview)", "GFP (preview)"]
    assert all(options["scale"] == (5.0, 1.0, 1.0) for _, options, _ in layers)  # 96 px need no shrinking
    images.close()


def test_fields_that_were_not_run_are_not_offered(tmp_path: Path):
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(4), "C02": film(4)})
    run(plate, tmp_path / "results", options=RunOptions(wells=("C02",)))
    assert fields_of(tmp_path / "results") == (FieldId("C02", 0),)


def test_only_results_folders_are_taken(results: Path, tmp_path: Path):
    assert open_results(str(tmp_path)) is None
    reader = open_results([str(results)])
    assert reader is not None
    assert len(reader(str(results))) == 5


def test_a_plate_that_was_not_analysed_opens_with_all_its_channels(tmp_path: Path):
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(2)})
    assert open_plate(str(tmp_path)) is None
    reader = open_plate(str(plate))
    assert reader is not None
    layers = reader(str(plate))
    assert [(options["name"], options["colormap"]) for _, options, _ in layers] == [
        ("CTDR", "yellow"),
        ("GFP", "red"),
        ("PI", "cyan"),
    ]


def test_a_folder_that_holds_no_results_is_refused(tmp_path: Path):
    with pytest.raises(ResultsError, match="is no RESULTS folder"):
        fields_of(tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # npe2's own, of pydantic
def test_the_manifest_is_valid_and_names_functions_that_exist():
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(Path(__file__).parents[2] / "napari_plugin" / "napari.yaml")
    manifest.validate_imports()
