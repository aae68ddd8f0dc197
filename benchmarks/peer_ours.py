"""Our segmenter measured the same way as the others, for `benchmarks.peers`.

    python -m benchmarks.peer_ours SCENE.npz MODEL PRECISION [WIDTHS]

With WIDTHS, such as 32,64,128,256, the network is one of those widths with random weights; the cells still come
from the maps of MODEL, so that there are as many as there are.
"""

import sys
from pathlib import Path

import numpy as np

from assay.labels import CELL_ROLES, CHANNEL_ROLES
from benchmarks.peer_protocol import serve, versions
from models.devices import one_thread, pick_device
from models.network import Architecture, SegmentationNet
from models.predictor import Predictor
from models.weights import load_model

PIXEL_UM = (0.65, 0.65)


def main() -> None:
    """Serve the network alone and the whole way from slots to labels."""
    scene, name, precision, *widths = sys.argv[1:]
    one_thread()
    with np.load(Path(scene)) as file:
        slots, present = file["slots"], file["present"].tolist()
    model = load_model(name, device="cpu", precision=precision)
    timed = _random(widths[0], precision) if widths else model

    def cells() -> int:
        [labels] = model.segment(slots[None], present=present, pixel_um=PIXEL_UM)
        return sum(int(labels.of(role)[0].max()) for role in CELL_ROLES)

    jobs = {
        "network": lambda: timed.maps(slots, present=present),
        "network of the model": lambda: model.maps(slots, present=present),
        "all of it": cells,
    }
    about = {
        "versions": versions("torch", "numpy"),
        "settings": f"{len(CHANNEL_ROLES)} slots, widths {widths[0] + ', random weights' if widths else 'of the model'}",
        "identity": dict(timed.identity),
    }
    serve(jobs, about)


def _random(widths: str, precision: str) -> Predictor:
    shape = Architecture(
        slots=len(CHANNEL_ROLES), cell_roles=len(CELL_ROLES), widths=tuple(map(int, widths.split(",")))
    )
    return Predictor(
        SegmentationNet(shape), name="random", sha256="", pixel_um=PIXEL_UM[0], device=pick_device("cpu"),
        precision=precision,
    )  # fmt: skip


if __name__ == "__main__":
    main()
