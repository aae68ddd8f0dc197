"""The power goes in the middle of a run: what was committed is on the disk, and the run goes on to the same bytes.

An ext4 in a file is shut down without writing out what it still holds (FS_IOC_SHUTDOWN), as a power cut does, and
mounted again.
"""

import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
import zarr

from assay.errors import AssayError
from assay.io.results import Results
from tests.assay.pipeline.test_run import digest, run
from tests.chaos.kill_points import committed, killed_run
from tests.chaos.test_kill_points import points
from tests.small_plates import film, write_small_plate

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.needs("mkfs.ext4", "mount", "umount")]

N_POINTS = 10
N_CHUNKS = 64
_SHUTDOWN, _WITHOUT_WRITING = 0x8004587D, struct.pack("I", 2)


@contextmanager
def disk(place: Path) -> Iterator[Path]:
    """An ext4 of its own; what is below it survives `cut_power` only as far as it was written out."""
    image = place.with_suffix(".ext4")
    with image.open("wb") as file:
        file.truncate(96 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    place.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)
        image.unlink()


def cut_power(place: Path) -> None:
    """From here on nothing more gets onto the disk."""
    handle = os.open(place, os.O_RDONLY)
    with suppress(OSError):
        fcntl.ioctl(handle, _SHUTDOWN, _WITHOUT_WRITING)
    os.close(handle)


def mount_again(place: Path) -> None:
    """Power is back."""
    subprocess.run(["umount", str(place)], check=True)
    subprocess.run(["mount", "-o", "loop", str(place.with_suffix(".ext4")), str(place)], check=True)


def test_no_committed_unit_is_lost_when_the_power_goes(tmp_path: Path):
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(18), "C02": film(18, effectors=False)})
    whole = killed_run(plate, tmp_path / "whole", tmp_path / "note", change=0)
    expected = digest(tmp_path / "whole")
    n_committed = lost = same = 0
    for n, change in enumerate(points(whole.changes, N_POINTS)):
        with disk(tmp_path / f"disk_{n}") as place:
            out, note = place / "results", tmp_path / f"note_{n}"
            with suppress(AssertionError, OSError, AssayError):  # RESULTS cannot be read before power is back
                killed_run(plate, out, note, change=change, last_deed=lambda place=place: cut_power(place))
            mount_again(place)
            ledger = Results.open(out).ledger if (out / "results.json").is_file() else None
            for step, unit in committed(note):
                n_committed += 1
                record = None if ledger is None else ledger.record(step, unit)
                lost += record is None or bool(ledger is not None and ledger.damaged_outputs(record))
            run(plate, out)
            same += digest(out) == expected
    print(f"{n_committed} committed units, {lost} lost; {same} of {N_POINTS} the same bytes")  # noqa: T201
    assert n_committed > 50
    assert lost == 0
    assert same == N_POINTS


def test_zarr_alone_loses_what_a_marker_said_was_written(tmp_path: Path):
    """The baseline: the same cut, zarr's own writing, and a marker that was waited for."""
    values = np.arange(N_CHUNKS * 4096, dtype=np.uint16).reshape(N_CHUNKS, 64, 64)
    with disk(tmp_path / "disk") as place:
        array = zarr.create_array(
            str(place / "a.zarr"), shape=values.shape, chunks=(1, 64, 64), dtype="uint16"
        )
        array[...] = values
        marker = os.open(place / "DONE", os.O_WRONLY | os.O_CREAT)
        os.write(marker, b"done")
        os.fsync(marker)
        os.close(marker)
        cut_power(place)
        mount_again(place)
        assert (place / "DONE").read_bytes() == b"done"
        chunks = [place / "a.zarr" / "c" / str(n) / "0" / "0" for n in range(N_CHUNKS)]
        lost = sum(not chunk.is_file() or chunk.stat().st_size == 0 for chunk in chunks)
    print(f"zarr alone: {lost} of {N_CHUNKS} chunks lost")  # noqa: T201
    assert lost == N_CHUNKS
