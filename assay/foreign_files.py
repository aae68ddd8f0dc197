"""Small files that somebody else wrote: read up to a size, and never a pipe or device that does not end."""

import csv
import errno
import os
import stat
from pathlib import Path

MAX_SETTINGS_BYTES = 1 << 20  # a protocol, a model's card
MAX_LIST_BYTES = 64 << 20  # a list of wells, a sidecar
MAX_TABLE_BYTES = 512 << 20  # a table of tracks


def bounded_bytes(path: Path, most: int, *, streams: bool = False) -> bytes:
    """What a file holds, if it is not larger than such a file can be.

    Args:
        path: The file.
        most: Bytes; one more is refused before it is read.
        streams: Pipes are read too, as far as that; for files that the user names on the command line.

    Raises:
        OSError: It cannot be read, is too large or no plain file; `strerror` says so.
    """
    with open(path, "rb", opener=None if streams else _opened_at_once) as stream:
        status = os.fstat(stream.fileno())
        if not streams and not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", str(path))
        data = stream.read(most + 1) if status.st_size <= most else b""
        if len(data) > most or status.st_size > most:
            raise OSError(errno.EFBIG, f"it is larger than {_size(most)}, which no such file is", str(path))
        return data


def bounded_text(path: Path, most: int, *, streams: bool = False) -> str:
    """The same as text in UTF-8, with or without a byte-order mark.

    Raises:
        OSError: As for `bounded_bytes`.
        UnicodeDecodeError: It is other text.
    """
    return bounded_bytes(path, most, streams=streams).decode("utf-8-sig")


def csv_lines(path: Path, most: int = MAX_TABLE_BYTES) -> list[str]:
    """The lines of a CSV, to be given to `csv`; as the file is bounded, its fields need not be.

    Raises:
        OSError: As for `bounded_bytes`.
        UnicodeDecodeError: It is not UTF-8.
    """
    csv.field_size_limit(MAX_TABLE_BYTES)
    return bounded_text(path, most).splitlines()


def _opened_at_once(path: str, flags: int) -> int:
    """Opening a pipe that nobody writes to would wait for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _size(size: int) -> str:
    return f"{size >> 20} MB"
