"""The main job with cells found by a threshold, in a process of its own; `benchmarks.flat_memory` calls it.

python -m benchmarks.flat_memory_job PLATE PROTOCOL RESULTS WARM_PLATE WARM_PROTOCOL --json F
"""

import argparse
import gc
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from assay.io.results import Results
from assay.labels import CHANNEL_ROLES, FrameLabels
from assay.pipeline.run import RunOptions, plan_run, run_plate
from assay.protocol import read_protocol
from benchmarks.main_job import Quiet
from benchmarks.measuring import own_peak_bytes, processor_s

BRIGHT = 0.5  # on the model's scale: half way from background to bright cells


class Threshold:
    """Whatever is bright in the channel of its role, piece by piece."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What the labels depend on."""
        return {"name": "threshold", "device": "cpu"}

    def segment(
        self, images: NDArray[np.float32], *, present: Sequence[bool], pixel_um: tuple[float, float]
    ) -> list[FrameLabels]:
        """Label both roles; sizes do not matter here."""
        found = []
        for image in images:
            effectors, n_effectors = ndimage.label(image[CHANNEL_ROLES.index("effector")] > BRIGHT)
            targets, n_targets = ndimage.label(image[CHANNEL_ROLES.index("target")] > BRIGHT)
            found.append(
                FrameLabels(
                    effectors=effectors.astype(np.int32),
                    targets=targets.astype(np.int32),
                    effector_scores=np.ones(n_effectors, dtype=np.float32),
                    target_scores=np.ones(n_targets, dtype=np.float32),
                )
            )
        return found


def make() -> Threshold:
    """The segmenter."""
    return Threshold()


def run_job(plate: Path, protocol_file: Path, out: Path) -> dict[str, float]:
    """Run the main job; seconds of each step, and what was found, as a sign of life."""
    options = RunOptions(workers=1)
    plan = plan_run(plate, out, protocol=read_protocol(protocol_file), options=options)
    plan = plan.with_segmenter(make().identity)
    run_plate(plan, make_segmenter=make, provenance={"model": {}}, options=options, progress=Quiet())
    ledger = Results.open(out).ledger
    steps = ("brightness", "pixels", "link", "labels", "events")
    return {step: sum(record.seconds for record in ledger.records(step)) for step in steps}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("plate", "protocol", "out", "warm", "warm_protocol"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    run_job(given.warm, given.warm_protocol, given.out.with_name(given.out.name + "-warm"))
    gc.collect()
    warm_peak, spent = own_peak_bytes(), processor_s()
    steps = run_job(given.plate, given.protocol, given.out)
    report = {
        "steps_s": steps,
        "warm_peak_bytes": warm_peak,
        "peak_bytes": own_peak_bytes(),
        "cpu_s": processor_s() - spent,
    }
    given.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
