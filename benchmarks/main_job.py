"""The product's main job in a process of its own, with what each step took, as JSON. `benchmarks.speed` calls it.

python -m benchmarks.main_job PLATE.zarr PROTOCOL.toml RESULTS --json F [--model standard]
                                  [--device cpu] [--workers 1]
"""

import argparse
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from assay.cli.model_commands import model_for
from assay.io.results import Results
from assay.pipeline.run import RunOptions, plan_run, run_plate
from assay.protocol import read_protocol
from benchmarks.measuring import own_peak_bytes, processor_s

STEPS = ("brightness", "pixels", "link", "labels", "events")


class Quiet:
    """Is told how far the run is, and keeps it to itself."""

    def begin(self, step: str, total: int, done: int = 0) -> None:
        """A step begins."""

    def advance(self) -> None:
        """One more unit is done."""

    def say(self, line: str) -> None:
        """Something worth knowing."""
        raise SystemExit(line)  # a field that fails would make the run look fast


@contextmanager
def network_clock() -> Iterator[dict[str, float]]:
    """Seconds inside the network's own forward passes, in this process, all modules together."""
    import torch
    from torch.nn.modules import module as hooks

    clock = {"seconds": 0.0, "passes": 0.0}
    entered: list[float] = []

    def now() -> float:
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter()

    def before(_module: Any, _inputs: Any) -> None:
        entered.append(now() if not entered else 0.0)

    def after(_module: Any, _inputs: Any, _outputs: Any) -> None:
        started = entered.pop()
        if not entered:
            clock["seconds"] += now() - started
            clock["passes"] += 1

    handles = [
        hooks.register_module_forward_pre_hook(before),
        hooks.register_module_forward_hook(after, always_call=True),
    ]
    try:
        yield clock
    finally:
        for handle in handles:
            handle.remove()


def run_job(
    plate: Path, protocol_file: Path, out: Path, *, model: str, device: str, workers: int
) -> dict[str, Any]:
    """Run the main job and read the time of each step from the ledger."""
    started = time.perf_counter()
    protocol = read_protocol(protocol_file)
    protocol = replace(protocol, model=replace(protocol.model, name=model))
    make_segmenter, identity = model_for(protocol.model, device)
    options = RunOptions(workers=workers)
    plan = plan_run(plate, out, protocol=protocol, options=options).with_segmenter(identity)
    loaded, spent = time.perf_counter(), processor_s()
    with network_clock() as network:
        run_plate(
            plan,
            make_segmenter=make_segmenter,
            provenance={"model": identity},
            options=options,
            progress=Quiet(),
        )
    wall = time.perf_counter() - loaded
    ledger = Results.open(out).ledger
    steps = {step: sum(record.seconds for record in ledger.records(step)) for step in STEPS}
    laps: dict[str, float] = {}
    for record in ledger.records("pixels"):
        for name, seconds in record.facts.items():
            laps[name] = laps.get(name, 0.0) + seconds
    return {
        "start_s": loaded - started,
        "wall_s": wall,
        "cpu_s": processor_s() - spent,
        "steps_s": steps,
        "pixels_s": laps,
        "forward_s": network["seconds"],
        "passes": network["passes"],
        "model": dict(identity),
        "peak_bytes": own_peak_bytes(),
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plate", type=Path)
    parser.add_argument("protocol", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--model", default="standard", help="name, or the path of a model's card")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--warm", type=Path, help="a small plate to run first, in the same process")
    given = parser.parse_args()
    how = {"model": given.model, "device": given.device, "workers": given.workers}
    if given.warm is not None:
        run_job(given.warm, given.protocol, given.out.with_name(given.out.name + "-warm"), **how)
    report = run_job(given.plate, given.protocol, given.out, **how)
    given.json.write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
