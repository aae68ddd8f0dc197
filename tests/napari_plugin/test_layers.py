from pathlib import Path

import numpy as np
import pytest

from assay.errors import ResultsError
from assay.pipeline.run import RunOptions
from assay.stack import FieldId
from napari_plugin.layers import fields_of, layers_of
from napari_plugin.reader import open_results
from tests.assay.pipeline.test_run import run
from tests.small_plates import film, write_small_plate

B02 = FieldId("B02", 0)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("napari")
    run(write_small_plate(folder / "small.zarr", {"B02": film(6)}), folder / "results")
    return folder / "results"


def test_a_field_opens_with_its_channels_and_the_labels_of_both_roles(results: Path):
    layers = layers_of(results, fields_of(results)[0])
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


def test_a_frame_is_read_when_it_is_shown(results: Path):
    layers = {options["name"]: data for data, options, _ in layers_of(results, B02)}
    assert layers["GFP"][4].compute().tolist() == film(6)[4, 1].tolist()
    assert np.unique(layers["targets"][4].compute()).tolist() == [0, 1, 2, 3, 4]


def test_a_frame_that_was_never_recorded_shows_as_black(tmp_path: Path):
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(6)}, missing_frames={B02: [3]})
    run(plate, tmp_path / "results")
    layers = {options["name"]: data for data, options, _ in layers_of(tmp_path / "results", B02)}
    assert not layers["GFP"][3].compute().any()
    assert layers["GFP"][4].compute().tolist() == film(6)[4, 1].tolist()


def test_fields_that_were_not_run_are_not_offered(tmp_path: Path):
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(4), "C02": film(4)})
    run(plate, tmp_path / "results", options=RunOptions(wells=("C02",)))
    assert fields_of(tmp_path / "results") == (FieldId("C02", 0),)


def test_only_results_folders_are_taken(results: Path, tmp_path: Path):
    assert open_results(str(tmp_path)) is None
    reader = open_results([str(results)])
    assert reader is not None
    assert len(reader(str(results))) == 5


def test_a_folder_that_holds_no_results_is_refused(tmp_path: Path):
    with pytest.raises(ResultsError, match="is no RESULTS folder"):
        fields_of(tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # npe2's own, of pydantic
def test_the_manifest_is_valid_and_names_functions_that_exist():
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(Path(__file__).parents[2] / "napari_plugin" / "napari.yaml")
    manifest.validate_imports()
