"""A run after a run with another protocol: the numbers of the second alone, and only what depends on the change done again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from assay.protocol import Protocol, parse_protocol
from tests.assay.pipeline.test_run import digest, run
from tests.small_plates import PROTOCOL, film, write_small_plate

# What each setting may be, and the steps that depend on it; those on pixels need `redo`, and are tested with one each.
SETTINGS: dict[str, tuple[tuple[Any, ...], tuple[str, ...]]] = {
    "contact.enter_um": ((1.0, 1.5, 2.0), ("pairs", "events")),
    "contact.leave_um": ((3.0, 4.0, 6.0), ("pairs", "events")),
    "contact.bridge_frames": ((1, 2, 3), ("events",)),
    "contact.min_frames": ((1, 2, 4), ("events",)),
    "death.min_probability": ((0.3, 0.5, 0.9), ("events",)),
    "tracking.max_gap_frames": ((1, 2, 3), ("link", "labels", "events")),
    "tracking.target_max_um_per_min": ((1.0, 2.0, 4.0), ("link", "labels", "events")),
    "kill.max_lag_min": ((60.0, 120.0, 360.0), ()),
}
STEPS = ("brightness", "pixels", "pairs", "link", "labels", "events")


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_plate(
        tmp_path_factory.mktemp("plate") / "small.zarr", {"B02": film(14)[:, :, :48, :64]}
    )


def drawn(rng: np.random.Generator) -> dict[str, Any]:
    """Every setting drawn, most as they are by default."""
    chosen = {}
    for name, (values, _) in SETTINGS.items():
        if rng.random() < 0.4:
            chosen[name] = values[int(rng.integers(len(values)))]
    return chosen


def protocol_of(chosen: dict[str, Any]) -> Protocol:
    protocol = parse_protocol(PROTOCOL)
    for name, value in chosen.items():
        section, _, setting = name.partition(".")
        protocol = replace(protocol, **{section: replace(getattr(protocol, section), **{setting: value})})
    return protocol


def commits(out: Path) -> dict[str, float]:
    """Step -> when its newest record was written."""
    return {
        step: max(file.stat().st_mtime_ns for file in (out / "ledger" / step).glob("*.json"))
        for step in STEPS
    }


def pairs_agree(plate: Path, folder: Path, seeds: range) -> None:
    out = folder / "again"
    fresh: dict[str, dict[str, str]] = {}
    before: Protocol | None = None
    done: dict[str, float] = {}
    for seed in seeds:
        protocol = protocol_of(drawn(np.random.Generator(np.random.PCG64(seed))))
        run(plate, out, protocol=protocol)
        now = commits(out)
        if before is not None:
            assert {step for step in STEPS if now[step] != done[step]} == changed_steps(before, protocol)
        text = protocol.to_toml()
        if text not in fresh:
            run(plate, folder / f"fresh_{seed}", protocol=protocol)
            fresh[text] = digest(folder / f"fresh_{seed}")
        assert digest(out) == fresh[text], f"seed {seed}"
        before, done = protocol, now


def changed_steps(before: Protocol, after: Protocol) -> set[str]:
    """Steps that depend on a setting in which two protocols differ, by the table above."""
    found: set[str] = set()
    for name, (_, steps) in SETTINGS.items():
        section, _, setting = name.partition(".")
        if getattr(getattr(before, section), setting) != getattr(getattr(after, section), setting):
            found.update(steps)
    return found


def test_a_run_after_runs_with_other_protocols_is_as_a_fresh_one_and_redoes_what_depends_on_the_change(
    plate: Path, tmp_path: Path
):
    pairs_agree(plate, tmp_path, range(4))
