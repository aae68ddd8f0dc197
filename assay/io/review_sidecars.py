"""Sidecars: folders in the user's own data folder for reviews of RESULTS that may not be written.

A sidecar is called by the plate and the place of its RESULTS. Where RESULTS were moved it is found by what its logs say
they were written for.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from assay.errors import ResultsError
from assay.io.results import Results
from assay.io.review_parsing import SUFFIX
from assay.io.witness import MARK
from assay.review.chain import MAX_LINE_BYTES

PLACE = "place.txt"
"""In a sidecar: where its RESULTS lay, so that a copy of RESULTS elsewhere does not take it for its own."""


def sidecar_folder(results: Results) -> Path:
    """The folder in the user's data folder for reviews of RESULTS that may not be written."""
    place = f"{results.plate_identity}\n{results.path.resolve().as_posix()}"
    return user_data_folder() / "review" / hashlib.sha256(place.encode()).hexdigest()[:24]


def user_data_folder() -> Path:
    """Where this machine keeps what belongs to the user and to killassay."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Application Support")
    else:
        base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "killassay"


def sidecars_left_behind(plate: str, own: Path, tables_now: Callable[[], Mapping[str, str]]) -> list[Path]:
    """Sidecars of the same plate and tables whose RESULTS are no more where they were: moved, these are they.

    Args:
        plate: Identity of the plate.
        own: The sidecar of where RESULTS are now, which is not given back.
        tables_now: Gives the sums of the tables, asked for only where there is a sidecar of the plate.
    """
    root = own.parent
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir()) if root.is_dir() else []
    left = [folder for folder in folders if folder != own and not _is_in_place(folder)]
    headers = {folder: [_header(path) for path in sorted(folder.glob(f"*{SUFFIX}"))] for folder in left}
    left = [f for f in left if any(one.get("plate") == plate for one in headers[f])]
    if not left:
        return []
    try:
        now = tables_now()
    except ResultsError:
        return []
    return [folder for folder in left if any(one.get("tables") == now for one in headers[folder])]


def _is_in_place(sidecar: Path) -> bool:
    """Whether the RESULTS that a sidecar belongs to are still where they were; not known of earlier versions'."""
    try:
        return (Path((sidecar / PLACE).read_text(encoding="utf-8")) / MARK).is_file()
    except (OSError, ValueError):
        return False


def _header(log: Path) -> Mapping[str, Any]:
    """The first line of a log as it is, unchecked; empty where it is none."""
    try:
        with log.open("rb") as lines:
            found = json.loads(lines.readline(MAX_LINE_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
