import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from assay.errors import ModelError, StorageError
from models.export import export_bioimageio, export_onnx
from models.network import Architecture
from models.training.initial import fresh_network
from models.weights import ModelCard, load_network, save_model

WIDTHS = (8, 8, 8, 8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    network = fresh_network(Architecture(slots=5, cell_roles=2, widths=WIDTHS), seed=0)
    path = tmp_path_factory.mktemp("model") / "tiny.json"
    facts = {
        "licence": "BSD-3-Clause",
        "training_data": "nothing",
        "scores": {"film": {"target": {"ap50": 0.9}}},
    }
    save_model(network, path, ModelCard(name="tiny", sha256="", widths=WIDTHS, pixel_um=0.65, **facts))
    return path


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    folder = tmp_path_factory.mktemp("exported")
    export_onnx(model, folder / "tiny.onnx")
    export_bioimageio(model, folder / "package")
    export_bioimageio(model, folder / "package.zip")
    return folder


@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 208, 224), (3, 64, 48)])
def test_onnx_gives_the_maps_of_the_network_at_any_size_and_batch(exported, model, shape):
    runtime = pytest.importorskip("onnxruntime")
    planes = np.random.default_rng(0).uniform(0, 1, (shape[0], 10, *shape[1:])).astype(np.float32)
    session = runtime.InferenceSession(exported / "tiny.onnx", providers=["CPUExecutionProvider"])
    [maps] = session.run(None, {"planes": planes})
    _, network = load_network(model)
    with torch.inference_mode():
        expected = network.eval()(torch.from_numpy(planes)).numpy()
    assert maps.shape == (shape[0], 8, *shape[1:])
    assert np.abs(maps - expected).max() <= 1e-4 * max(1.0, np.abs(expected).max())


def test_onnx_says_of_which_model_it_is_and_under_which_licence(exported, model):
    onnx = pytest.importorskip("onnx")
    found = onnx.load(exported / "tiny.onnx")
    facts = {entry.key: entry.value for entry in found.metadata_props}
    assert facts["weights_sha256"] == load_network(model)[0].sha256
    assert (facts["licence"], facts["pixel_um"]) == ("BSD-3-Clause", "0.65")
    assert facts["channel_roles"] == "effector, target, nuclei, death, brightfield"
    assert found.opset_import[0].version >= 17


_VALIDATE = """
import sys
import bioimageio.spec as spec
for path in sys.argv[1:]:
    found = spec.load_description(path, format_version="latest")
    if isinstance(found, spec.InvalidDescr):
        raise SystemExit(str(found.validation_summary.display()))
"""


@pytest.mark.conformance
def test_the_package_describes_itself_as_bioimage_io_asks(exported):
    pytest.importorskip("bioimageio.spec")
    paths = [str(exported / "package" / "rdf.yaml"), str(exported / "package.zip")]
    # in a process of its own: the validator leaves files open
    done = subprocess.run(
        [sys.executable, "-c", _VALIDATE, *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_holds_an_input_with_the_output_that_belongs_to_it(exported):
    runtime = pytest.importorskip("onnxruntime")
    folder = exported / "package"
    session = runtime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    [maps] = session.run(None, {"planes": np.load(folder / "test_input.npy")})
    assert np.allclose(maps, np.load(folder / "test_output.npy"), atol=1e-4)
    said = (folder / "README.md").read_text()
    for word in ("min_heat", "capture_um", "0.65 um per pixel", "BSD-3-Clause", '"ap50": 0.9'):
        assert word in said
    description = json.loads((folder / "rdf.yaml").read_text())
    assert description["config"]["killassay"]["scores"] == {"film": {"target": {"ap50": 0.9}}}


def test_folder_and_zip_hold_the_same_files_and_the_same_model_gives_the_same_zip(exported, model, tmp_path):
    with zipfile.ZipFile(exported / "package.zip") as archive:
        packed = {name: archive.read(name) for name in archive.namelist()}
    assert packed == {path.name: path.read_bytes() for path in (exported / "package").iterdir()}
    export_bioimageio(model, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (exported / "package.zip").read_bytes()


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_a_missing_package_is_named_with_the_line_that_installs_it(model, tmp_path, monkeypatch, package):
    for other in {"onnx", "onnxruntime"} - {package}:
        pytest.importorskip(other)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ModelError,
        match=rf"^exporting a model needs the package '{package}', which is not installed\. Install it: pip install "
        r"'killassay\[export\]'\.$",
    ):
        export_onnx(model, tmp_path / "tiny.onnx")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(exported, model):
    with pytest.raises(
        StorageError, match=r"tiny\.onnx.inside\.onnx: cannot be written \(.*Choose another place"
    ):
        export_onnx(model, exported / "tiny.onnx" / "inside.onnx")
