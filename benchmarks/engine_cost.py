"""What an engine costs per unit of work: units that do nothing, in this process and on Dask workers of this machine.

    python -m benchmarks.engine_cost [--units 10000] [--workers 2] [--json F]

Two figures per engine: of units that do nothing, and of units that write the commit record that every unit of a run
writes, safe on the disk. Workers are there before the clock starts. The aim is 5 ms per unit.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from assay.execution import Task, available_cores, open_engine
from assay.io.ledger import Ledger, key_of
from assay.stack import FieldId


def nothing(number: int) -> None:
    """A unit of no work."""


def commit_only(folder: Path, number: int) -> None:
    """A unit that only says that it is done."""
    Ledger(folder / "ledger", base=folder).commit("pixels", f"B02_0_{number:06d}", key_of(number=number))


def cost(workers: int, units: int, call: Callable[..., None], *arguments: Any) -> dict[str, float]:
    """Milliseconds per unit, by the clock and of this process alone."""

    def tasks(first: int, n: int) -> Iterator[Task]:
        for number in range(first, first + n):
            yield Task(
                unit=f"B02_0_{number:06d}",
                field=FieldId("B02", 0),
                call=call,
                arguments=(*arguments, number),
            )

    with open_engine(workers) as engine:
        for _ in engine.run(tasks(0, 8 * workers)):
            pass
        wall, processor = time.perf_counter(), time.process_time()
        done = sum(outcome.error is None for outcome in engine.run(tasks(1000, units)))
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    if done != units:
        raise SystemExit(f"{done} of {units} units were done")
    return {"ms_per_unit": 1000 * wall / units, "driver_cpu_ms_per_unit": 1000 * processor / units}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    given = parser.parse_args()
    figures: dict[str, Any] = {"units": given.units, "cores": available_cores(), "engines": {}}
    print(f"{'':<34}{'ms per unit':>13}{'of it here, CPU':>18}")
    for workers in (1, given.workers):
        name = "in this process" if workers == 1 else f"{workers} Dask workers"
        with tempfile.TemporaryDirectory() as folder:
            for what, call, arguments in (
                (name, nothing, ()),
                (f"{name}, with a commit", commit_only, (Path(folder),)),
            ):
                figures["engines"][what] = one = cost(workers, given.units, call, *arguments)
                print(
                    f"{what:<34}{one['ms_per_unit']:>13.2f}{one['driver_cpu_ms_per_unit']:>18.2f}", flush=True
                )
    figures["load"] = os.getloadavg()[0]
    print(f"{given.units} units, {figures['cores']} cores, load at the end {figures['load']:.1f}")
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
