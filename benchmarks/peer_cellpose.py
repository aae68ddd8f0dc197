"""Cellpose 3 measured in an environment of its own, for `benchmarks.peers`.

PEERS_PYTHON -m benchmarks.peer_cellpose SCENE.npz
"""

import contextlib
import sys
from importlib import import_module
from pathlib import Path

import numpy as np

from benchmarks.peer_protocol import serve, versions

STEPS, FLOW_THRESHOLD, MIN_PX = 200, 0.4, 15  # Cellpose's own defaults
FLOW_UNIT = 5.0  # the network gives flows in fifths


def main() -> None:
    """Network with random weights; masks from the ideal flows of the same frame."""
    with contextlib.redirect_stdout(sys.stderr):
        torch, models, dynamics, transforms = (
            import_module(name)
            for name in ("torch", "cellpose.models", "cellpose.dynamics", "cellpose.transforms")
        )
        torch.set_num_threads(1)
        torch.set_num_interop_threads(1)
        with np.load(Path(sys.argv[1])) as file:
            two = np.moveaxis(file["image"][:2], 0, -1)  # cells and nuclei are all it can be given
            labels = file["labels"]
        model = models.CellposeModel(gpu=False, pretrained_model=False)
        normal = transforms.normalize_img(two[None].astype(np.float32))
        flow = dynamics.labels_to_flows([labels.astype(np.int32)], device=torch.device("cpu"))[0]
        flows = (FLOW_UNIT * flow[2:4]).astype(np.float32)
        chance = np.where(flow[1] > 0, 6.0, -6.0).astype(np.float32)

    def masks(threshold: float) -> int:
        found = dynamics.compute_masks(
            flows, chance, niter=STEPS, flow_threshold=threshold, min_size=MIN_PX, device=torch.device("cpu")
        )
        return int(found.max())

    jobs = {
        "network": lambda: model._run_net(normal),
        "cells": lambda: masks(FLOW_THRESHOLD),
        "cells, without the check of flows": lambda: masks(0.0),
    }
    about = {
        "versions": versions("cellpose", "torch", "numpy"),
        "parameters": sum(weights.numel() for weights in model.net.parameters()),
        "settings": "CPnet of cyto3, tiles of 224 px, diameter 30 px (nothing rescaled), float32",
    }
    serve(jobs, about)


if __name__ == "__main__":
    main()
