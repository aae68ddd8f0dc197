"""The network for other programs: as ONNX, and as a bioimage.io package around it.

What is exported gives the network's raw maps. Making cells of them is described in words beside it; killassay
itself does it in `models.decode`.
"""

import hashlib
import importlib
import io
import json
import tempfile
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.errors import ModelError, StorageError
from models.decode import SETTINGS
from models.network import HALO_PX, MAPS_PER_ROLE, OFFSET_UNIT_PX, STRIDE, SegmentationNet
from models.weights import ModelCard, load_network

OPSET = 17
TOLERANCE = 1e-4  # of a map, between this network and what was exported
_TEST_PX = (208, 224)  # nothing smaller has a pixel that no edge reaches
_RDF_VERSION = "0.5.4"
_MAPS = ("foreground_logit", "heat_logit", "offset_y", "offset_x")
_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # so that the same model gives the same file


def export_onnx(name_or_path: str | Path, path: Path) -> ModelCard:
    """Write a model as ONNX, and look that it gives the same maps.

    The input `planes` is (B, 2R, Y, X) in fp32, sides multiples of 16: one plane per channel role, then one per role
    that is 1 where there is such a channel. The output `maps` is (B, 4 per cell role, Y, X): the raw maps.

    Raises:
        ModelError: The model cannot be loaded, the packages are missing, or the maps differ.
        StorageError: The file cannot be written.
    """
    card, network = load_network(name_or_path)
    content, _, _ = _onnx(card, network)
    _write(path, content)
    return card


def export_bioimageio(name_or_path: str | Path, path: Path) -> ModelCard:
    """Write a model as a bioimage.io package (rdf.yaml of format 0.5): a folder, or a zip file by its suffix.

    Raises:
        ModelError: As for `export_onnx`.
        StorageError: Folder or file cannot be written.
    """
    card, network = load_network(name_or_path)
    content, planes, maps = _onnx(card, network)
    files = {
        "model.onnx": content,
        "test_input.npy": _npy(planes),
        "test_output.npy": _npy(maps),
        "README.md": _readme(card).encode(),
    }
    files["rdf.yaml"] = (json.dumps(_rdf(card, files), indent=2) + "\n").encode()  # JSON is YAML
    if path.suffix != ".zip":
        for name, part in files.items():
            _write(path / name, part)
        return card
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name, _LONG_AGO), files[name], zipfile.ZIP_DEFLATED)
    _write(path, packed.getvalue())
    return card


def _onnx(
    card: ModelCard, network: SegmentationNet
) -> tuple[bytes, NDArray[np.float32], NDArray[np.float32]]:
    """The ONNX file's bytes, with planes and the maps that both give of them."""
    onnx, runtime = (_required(name) for name in ("onnx", "onnxruntime"))
    network = network.for_inference(torch.float32, one_pass=False)
    planes = _test_planes(len(card.channel_roles))
    axes = {0: "batch", 2: "y", 3: "x"}
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        # the newer exporter takes half a minute and a package more
        warnings.simplefilter("ignore", DeprecationWarning)
        file = Path(folder) / "model.onnx"
        torch.onnx.export(
            network,
            (planes,),
            file,
            opset_version=OPSET,
            dynamo=False,
            input_names=["planes"],
            output_names=["maps"],
            dynamic_axes={"planes": axes, "maps": axes},
        )
        model = onnx.load(file)
    onnx.helper.set_model_props(model, _facts(card))
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    with torch.inference_mode():
        expected = network(planes).numpy()
    session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
    found = session.run(None, {"planes": planes.numpy()})[0]
    if not np.abs(found - expected).max() <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise ModelError(
            f"model {card.name!r}: the exported network gives other maps, by up to {np.abs(found - expected).max():.3g} "
            f"where {TOLERANCE:g} is allowed. Nothing was written. Try another version of onnxruntime."
        )
    return content, planes.numpy(), expected


def _required(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        raise ModelError(
            f"exporting a model needs the package {package!r}, which is not installed. "
            "Install it: pip install 'killassay[export]'."
        ) from None


def _test_planes(roles: int) -> Tensor:
    """A frame of round cells with the first two channels, the same every time."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[: _TEST_PX[0], : _TEST_PX[1]]
    planes = np.zeros((1, 2 * roles, *_TEST_PX), dtype=np.float32)
    for slot, radius in ((0, 7.0), (1, 11.0)):
        for centre in draw.uniform((10, 10), (_TEST_PX[0] - 10, _TEST_PX[1] - 10), (8, 2)):
            away = np.hypot(y - centre[0], x - centre[1])
            planes[0, slot] = np.maximum(planes[0, slot], 1 / (1 + np.exp(away - radius)))
        planes[0, slot] += draw.normal(0, 0.03, _TEST_PX)
        planes[0, roles + slot] = 1
    return torch.from_numpy(planes)


def _facts(card: ModelCard) -> dict[str, str]:
    return {
        "name": card.name,
        "weights_sha256": card.sha256,
        "licence": card.licence,
        "training_data": card.training_data,
        "pixel_um": f"{card.pixel_um:g}",
        "channel_roles": ", ".join(card.channel_roles),
        "cell_roles": ", ".join(card.cell_roles),
    }


def _rdf(card: ModelCard, files: Mapping[str, bytes]) -> dict[str, Any]:
    """The description that bioimage.io asks for; `files` are those it speaks of."""
    plane_names = [*card.channel_roles, *(f"{role}_is_present" for role in card.channel_roles)]
    map_names = [f"{role}_{kind}" for role in card.cell_roles for kind in _MAPS]
    sha = {name: hashlib.sha256(part).hexdigest() for name, part in files.items()}
    return {
        "type": "model",
        "format_version": _RDF_VERSION,
        "name": f"killassay {card.name}",
        "description": "Immune effector cells and their targets, found at once in films of killing assays",
        "license": card.licence,
        "authors": [{"name": "The killassay developers"}],
        "cite": [
            {
                "text": "Ronneberger, Fischer, Brox: U-Net: convolutional networks for biomedical image segmentation",
                "doi": "10.1007/978-3-319-24574-4_28",
            }
        ],
        "tags": ["2d", "instance-segmentation", "fluorescence", "brightfield", "t-cells", "cancer", "unet"],
        "documentation": {"source": "README.md", "sha256": sha["README.md"]},
        "inputs": [
            {
                "id": "planes",
                "description": f"Images by role at {card.pixel_um:g} um per pixel, background 0 and bright cells about 1; then "
                "which of them there are",
                "axes": _axes(plane_names, of_input=True),
                "test_tensor": {"source": "test_input.npy", "sha256": sha["test_input.npy"]},
                "data": {"type": "float32", "range": [None, None]},
            }
        ],
        "outputs": [
            {
                "id": "maps",
                "description": "Per cell role: logits of foreground and centre heat, and the way to the cell's centre "
                f"(y, x) in units of {OFFSET_UNIT_PX:g} pixels",
                "axes": _axes(map_names, of_input=False),
                "test_tensor": {"source": "test_output.npy", "sha256": sha["test_output.npy"]},
                "data": {"type": "float32", "range": [None, None]},
            }
        ],
        "weights": {"onnx": {"source": "model.onnx", "sha256": sha["model.onnx"], "opset_version": OPSET}},
        "config": {"killassay": {**_facts(card), "scores": card.scores, "training": card.training}},
    }


def _axes(names: list[str], *, of_input: bool) -> list[dict[str, Any]]:
    # No scale here: 208 * 0.65 / 0.65 is not 208, and validators want it to be. The pixel size stands in `config`.
    axes: list[dict[str, Any]] = [{"type": "batch"}, {"type": "channel", "channel_names": names}]
    for side in ("y", "x"):
        if of_input:
            axes.append({"type": "space", "id": side, "size": {"min": 2 * HALO_PX + STRIDE, "step": STRIDE}})
        else:
            axes.append(
                {
                    "type": "space",
                    "id": side,
                    "size": {"tensor_id": "planes", "axis_id": side},
                    "halo": HALO_PX,
                }
            )
    return axes


def _readme(card: ModelCard) -> str:
    settings = "\n".join(f"- {role}: {asdict(SETTINGS[role])}" for role in SETTINGS)
    inputs = "\n".join(f"{number}. {role}" for number, role in enumerate(card.channel_roles))
    return f"""# killassay {card.name}

Finds effectors (immune cells) and targets (cancer cells) in one frame of a killing assay at once. Licence:
{card.licence}. Learned from: {card.training_data}.

## Input

`planes`, (B, {2 * len(card.channel_roles)}, Y, X), fp32, at {card.pixel_um:g} um per pixel, sides multiples of {STRIDE}. Planes in this order, each
scaled so that background is 0 and bright cells are about 1 (transmitted light: median 0, dark to bright 1):

{inputs}

then one constant plane per role, in the same order: 1 where there is such a channel, 0 where not.

## Output

`maps`, (B, {len(card.cell_roles) * MAPS_PER_ROLE}, Y, X): for {" and then ".join(card.cell_roles)}: logit of foreground, logit of centre heat, offset y, offset x to
the cell's centre in units of {OFFSET_UNIT_PX:g} pixels. The network sees {HALO_PX} pixels to every side.

## From maps to cells

0. killassay looks twice: at the frame and at the frame turned by 180 degrees, whose maps it turns back (offsets change their
   sign). The maps are the mean of both.
1. Mean of each map over 3 x 3 pixels; sigmoid of the two logits.
2. Seeds: pixels of foreground above `min_foreground` whose heat is at least `min_heat` and the highest within
   `seed_radius_um`.
3. Each foreground pixel hops once by its offset, and belongs to the nearest seed within `capture_um` of where it lands.
4. Two seeds with a common border are one cell, that of the warmer, where (mean jump of the landing places over the border /
   distance of the seeds) / (length of the border / square root of the smaller area) is below `most_jump`; distances are
   |dy| + |dx|.
5. Of each cell the largest connected piece (8 neighbours) is kept, if it has `min_area_um2`.

The two roles may overlap: an effector on top of a target covers it. A role without any channel that shows it has no
cells. Settings, lengths in um:

{settings}

`killassay run` does all of this, and tracks, contacts, deaths and kills after it.

## Validation

{_scores(card)}
"""


def _scores(card: ModelCard) -> str:
    """What the card says of the model's scores, set apart as text that keeps its lines."""
    if not card.scores:
        return "The card of this model holds no scores: judge it on images of your own before you believe it."
    return (
        "Average precision (AP) and F1 at intersection over union 0.5 and 0.75, as the model's card has them:\n\n"
        + ("\n".join(f"    {line}" for line in json.dumps(card.scores, indent=1).splitlines()))
    )


def _npy(array: NDArray[np.float32]) -> bytes:
    content = io.BytesIO()
    np.save(content, np.ascontiguousarray(array), allow_pickle=False)
    return content.getvalue()


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written ({error.strerror}). Choose another place.") from None
