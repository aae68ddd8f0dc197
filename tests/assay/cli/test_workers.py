"""How many processes a run starts: never more than there are cores, or GPUs, to give each its own."""

from types import SimpleNamespace
from typing import Any

import pytest

from assay.cli import run_commands
from assay.pipeline.planning import RunOptions
from assay.pipeline.run import choose_workers


class Told:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def plan_of(*, n_fields: int, frames: int, side_px: int, device: str = "cpu") -> Any:
    """A plan as far as it matters here; a run has 16 frames."""
    runs = [(first, first + 16) for first in range(0, frames, 16)]
    one = SimpleNamespace(
        shape=(frames, 3, side_px, side_px), runs=lambda: runs, segmenter={"device": device}
    )
    return SimpleNamespace(fields=[one] * n_fields)


@pytest.mark.parametrize(
    ("plan", "cores", "gpus", "workers"),
    [
        (plan_of(n_fields=4, frames=64, side_px=2048), 8, 0, 8),
        (plan_of(n_fields=1, frames=48, side_px=2048), 8, 0, 3),  # three runs of frames
        (plan_of(n_fields=4, frames=64, side_px=100), 8, 0, 1),  # too little to start processes for
        (plan_of(n_fields=4, frames=64, side_px=2048), 8, 1, 1),
        (plan_of(n_fields=4, frames=64, side_px=2048), 8, 4, 4),
    ],
)
def test_a_run_takes_one_worker_per_core_or_gpu_that_has_work(plan: Any, cores: int, gpus: int, workers: int):
    assert choose_workers(plan, cores=cores, gpus=gpus) == workers


@pytest.mark.parametrize(
    ("asked", "device", "started", "said"),
    [
        (2, "cpu", 2, []),
        (
            16,
            "cpu",
            4,
            ["4 of 16 workers are started: one per core, and this machine gives 4"],
        ),
        (4, "cuda", 2, ["2 of 4 workers are started: one per GPU, and this machine gives 2"]),
        (0, "cuda", 2, []),
    ],
)
def test_more_workers_than_cores_or_gpus_are_not_started(
    monkeypatch: pytest.MonkeyPatch, asked: int, device: str, started: int, said: list[str]
):
    monkeypatch.setattr("assay.execution.available_cores", lambda: 4)
    monkeypatch.setattr(run_commands, "gpus_of", lambda name: ("0", "1"))
    told = Told()
    plan = plan_of(n_fields=4, frames=64, side_px=2048, device=device)
    options = run_commands._with_workers(RunOptions(workers=asked), plan, None, device="auto", reporter=told)
    assert options.workers == started
    assert options.gpus == (("0", "1") if device == "cuda" else ())
    assert told.lines == said
