"""A machine that gives less memory than a unit asks for: that unit is set aside, the others are done."""

import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.assay.pipeline.test_run import digest
from tests.chaos.commands import Experiment, failures, killassay, started, units_done

pytestmark = [pytest.mark.root, pytest.mark.slow]

LIMIT = 1_400_000_000
_V1, _V2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")


@pytest.fixture
def limited() -> Iterator[Path]:
    """A control group with little memory, of whichever version this kernel has."""
    old = (_V1 / "memory.limit_in_bytes").is_file()
    if not old and "memory" not in (_V2 / "cgroup.controllers").read_text().split():
        pytest.skip("this kernel gives no control group of memory")
    group = (_V1 if old else _V2) / f"killassay-{uuid.uuid4().hex[:8]}"
    group.mkdir()
    if old:
        (group / "memory.limit_in_bytes").write_text(str(LIMIT))
        with suppress(OSError):  # swap is not counted everywhere
            (group / "memory.memsw.limit_in_bytes").write_text(str(LIMIT))
    else:
        (group / "memory.max").write_text(str(LIMIT))
    yield group
    for pid in (group / "cgroup.procs").read_text().split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), 9)
    with suppress(OSError):
        group.rmdir()


def test_a_unit_that_eats_all_memory_is_set_aside_and_the_rest_is_done(
    experiment: Experiment, tmp_path: Path, limited: Path
):
    out = tmp_path / "results"
    words = experiment.words(out, "--workers", "2")

    def join() -> None:
        (limited / "cgroup.procs").write_text(str(os.getpid()))

    with started("greedy", words, before=join) as process:
        said, wrong = process.communicate(timeout=600)
    assert process.returncode == 3, (said, wrong)
    assert "B03_0_000000: the worker died 3 times on it, most likely for lack of memory" in said
    assert set(failures(out)) == {("pixels", "B03_0_000000")}
    assert units_done(out) == 9
    roomy = killassay("none", words)
    assert roomy.returncode == 0, roomy.stderr
    assert digest(out) == experiment.undisturbed
