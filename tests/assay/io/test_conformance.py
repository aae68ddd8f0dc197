"""What we write is OME-Zarr to others: the validator, and the three readers that labs use."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import zarr

from assay.io.ome_zarr import LabelPlate, PlateWriter
from assay.stack import FieldId
from tests.assay.io.conftest import FOUR_MINUTES, NAMES, noisy

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # warnings of other people's libraries are theirs
]
FIELDS = [FieldId("B02", 0), FieldId("B02", 1), FieldId("C03", 0)]
PLATES = ["0.5", "0.4", "labels"]
IMAGES = noisy((3, 2, 530, 600))
LABELS = np.random.default_rng(0).integers(0, 4, (3, 530, 600))


@pytest.fixture(scope="module")
def stores(tmp_path_factory) -> Path:
    """A plate of 0.5, one of 0.4, and a plate of labels; two pyramid levels each."""
    base = tmp_path_factory.mktemp("stores")
    for ngff in ("0.5", "0.4"):
        with PlateWriter.create(
            base / f"{ngff}.zarr",
            fields=FIELDS,
            shapes=IMAGES.shape,
            dtype=np.uint16,
            channel_names=NAMES,
            channel_roles={"CTDR": "effector", "GFP": "target"},
            calibration=FOUR_MINUTES,
            ngff=ngff,
        ) as writer:
            for field in FIELDS:
                writer.write(field, 0, IMAGES)
    labels = LabelPlate.create(
        base / "labels.zarr",
        fields=FIELDS,
        shapes=(3, 530, 600),
        calibration=FOUR_MINUTES,
        preview_channels=NAMES,
    )
    for field in FIELDS:
        for role in ("effector", "target"):
            labels.write(field, role, 0, LABELS)
        labels.write_preview(field, 0, labels.shrink(field, IMAGES))
    labels.choose_windows()
    labels.close()
    return base


@pytest.mark.parametrize("name", PLATES)
def test_ome_zarr_models_finds_it_valid(stores, name):
    models = pytest.importorskip("ome_zarr_models")
    from ome_zarr_models.exceptions import ValidationWarning

    with warnings.catch_warnings():
        warnings.simplefilter("error", ValidationWarning)
        plate = models.open_ome_zarr(zarr.open_group(str(stores / f"{name}.zarr"), mode="r"))
    assert type(plate).__name__ == "HCS"
    assert plate.n_wells == 2
    wells = list(plate.well_groups)
    assert len(wells) == 2


@pytest.mark.parametrize("name", PLATES)
def test_ngio_reads_images_labels_and_calibration(stores, name):
    ngio = pytest.importorskip("ngio")
    images = ngio.open_ome_zarr_plate(str(stores / f"{name}.zarr")).get_images()
    assert sorted(images) == ["B/02/0", "B/02/1", "C/03/0"]
    for container in images.values():
        image = container.get_image()
        assert image.channel_labels == list(NAMES)
        assert image.pixel_size.t == 240.0
        if name != "labels":
            assert (image.pixel_size.y, image.pixel_size.x) == (0.65, 0.5)
            np.testing.assert_array_equal(np.asarray(image.get_array()), IMAGES)
            continue
        assert container.list_labels() == ["effectors", "targets"]
        label = container.get_label("targets")
        assert (label.pixel_size.y, label.pixel_size.x) == (0.65, 0.5)
        np.testing.assert_array_equal(np.asarray(label.get_array()), LABELS)


@pytest.mark.parametrize("name", PLATES)
def test_ome_zarr_py_reads_the_plate(stores, name):
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    nodes = list(Reader(parse_url(str(stores / f"{name}.zarr")))())
    height, width = (530, 600) if name != "labels" else (133, 150)
    assert nodes[0].data[0].shape == (3, 2, 2 * height, 2 * width)  # two rows and columns of wells
    if name != "labels":
        np.testing.assert_array_equal(nodes[0].data[0][1, 1, :530, :600].compute(), IMAGES[1, 1])


def test_ome_zarr_py_reads_the_labels_of_a_field(stores):
    pytest.importorskip("ome_zarr")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    nodes = list(Reader(parse_url(str(stores / "labels.zarr/B/02/0")))())
    assert [node.data[0].shape for node in nodes if node.data] == [
        (3, 2, 133, 150),
        (3, 530, 600),
        (3, 530, 600),
    ]
    np.testing.assert_array_equal(nodes[-1].data[0][2].compute(), LABELS[2])


@pytest.mark.parametrize("name", PLATES)
def test_napari_opens_it_with_names_colours_and_scale(stores, name):
    pytest.importorskip("napari_ome_zarr")
    from napari_ome_zarr._reader import napari_get_reader

    path = str(stores / f"{name}.zarr")
    layers = napari_get_reader(path)(path)
    data, image, kind = layers[0]
    assert kind == "image"
    assert [label.split(": ")[1] for label in image["name"]] == list(NAMES)
    assert all(0 < low < high < 65535 for low, high in image["contrast_limits"])
    if name == "labels":
        assert [kind for _, _, kind in layers] == ["image", "labels", "labels"]
        assert layers[1][0][0].shape == (3, 1060, 1200)
        assert layers[1][1]["scale"] == [240.0, 0.65, 0.5]
    else:
        assert image["scale"] == [240.0, 0.65, 0.5]
        assert [level.shape for level in data] == [(3, 2, 1060, 1200), (3, 2, 530, 600)]
        colours = [np.asarray(colormap.colors)[-1, :3].tolist() for colormap in image["colormap"]]
        assert colours == [[1, 1, 0], [1, 0, 0]]  # effector yellow, target red
