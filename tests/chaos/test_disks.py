"""A disk that is full, of bytes or of files: exit code 2, nothing half-done is believed, and with room the run goes on."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.assay.pipeline.test_run import digest
from tests.chaos.commands import Experiment, killassay, units_done

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs("mount", "umount")]


REASONS = {
    "size": ("the disk is full (", "free. Free some space"),
    "nr_inodes": ("the disk holds as many files as it can (its inodes are used up)",),
}


@contextmanager
def disk(place: Path, options: str) -> Iterator[Path]:
    """A disk in memory of a given size."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize(
    ("options", "workers"),
    [
        ("size=16k", "1"),
        ("size=64k", "1"),
        ("size=128k", "1"),
        ("size=256k", "1"),
        ("size=512k", "2"),
        ("size=768k", "1"),
        ("nr_inodes=30", "1"),
        ("nr_inodes=60", "1"),
        ("nr_inodes=120", "1"),
        ("nr_inodes=180", "2"),
    ],
)
def test_a_full_disk_is_said_and_the_run_goes_on_when_there_is_room(
    experiment: Experiment, tmp_path: Path, options: str, workers: str
):
    with disk(tmp_path / "disk", options) as place:
        out = place / "results"
        words = experiment.words(out, "--workers", workers)
        full = killassay("none", words)
        assert full.returncode == 2, (full.stdout, full.stderr)
        assert any(reason in full.stderr for reason in REASONS[options.partition("=")[0]]), full.stderr
        assert "Traceback" not in full.stderr
        kept = units_done(out)
        subprocess.run(["mount", "-o", "remount,size=64m,nr_inodes=20000", str(place)], check=True)
        roomy = killassay("none", words)
        assert roomy.returncode == 0, roomy.stderr
        assert kept == 0 or f"{kept} already done" in roomy.stderr
        assert digest(out) == experiment.undisturbed
