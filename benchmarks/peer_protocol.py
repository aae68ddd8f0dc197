"""How `benchmarks.peers` talks to a process that measures one program: a line in, a line of JSON out.

Runs in the other programs' own environment, so it needs nothing but numpy there.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

Job = Callable[[], Any]


def serve(jobs: Mapping[str, Job], about: Mapping[str, Any]) -> None:
    """Say what is here, then run the jobs asked for, one line each, until the lines end.

    A job's answer is put into the reply where it is a number or a text.
    """
    _say({"jobs": list(jobs), **about})
    for line in sys.stdin:
        _say(measured(jobs[line.strip()]))


def measured(job: Job) -> dict[str, Any]:
    """Processor seconds of all threads of this process, and seconds by the clock."""
    clock, processor = time.perf_counter(), time.process_time()
    answer = job()
    spent = {"cpu_s": time.process_time() - processor, "wall_s": time.perf_counter() - clock}
    return {**spent, "answer": answer} if isinstance(answer, int | float | str) else spent


def versions(*packages: str) -> dict[str, str]:
    """Versions of those packages that are installed here."""
    found = {}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _say(reply: Mapping[str, Any]) -> None:
    sys.__stdout__.write(json.dumps(reply) + "\n")  # type: ignore[union-attr]
    sys.__stdout__.flush()  # type: ignore[union-attr]
