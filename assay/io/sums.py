"""A list of sums in a folder of files that killassay wrote once and for all: name, sha256 and size of each.

Lies in the folder of each array of a plate, where no reader of OME-Zarr minds it, and names the metadata above
it too. A plate carries its own witness so, wherever it is copied.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from assay.errors import DamageError
from assay.io.durable import write_whole
from assay.io.ledger import Output, file_sha256

SUMS = "killassay.sums.json"
METADATA_FILES = ("zarr.json", ".zattrs", ".zarray", ".zgroup")
_DEEPEST_CHUNK = 6  # c/0/0/0/0 below the array


def sums_file(folder: Path) -> Path:
    """Where the list of a folder lies."""
    return folder / SUMS


class Sums:
    """What was written below a root, of one array."""

    def __init__(
        self, root: Path, outputs: Mapping[str, Output], groups: Mapping[str, tuple[str, str]]
    ) -> None:
        self.root, self.outputs, self.groups = root, dict(outputs), dict(groups)

    def altered_groups(self) -> list[str]:
        """Groups whose metadata no longer says what it said; what other programs add does not matter."""
        return [
            path for path, (said, _) in sorted(self.groups.items()) if _meaning_of(self.root / path) != said
        ]

    def touched_groups(self) -> list[str]:
        """Groups whose metadata still says what we read of it, but not in the same bytes."""
        altered = set(self.altered_groups())
        return [
            path
            for path, (_, sha256) in sorted(self.groups.items())
            if path not in altered and file_sha256(self.root / path) != sha256
        ]

    def get(self, file: Path) -> Output | None:
        """What was recorded of a file; None where it is not in the list."""
        try:
            return self.outputs.get(file.relative_to(self.root).as_posix())
        except ValueError:
            return None


def sums_above(file: Path) -> Sums | None:
    """The list that speaks of a file: beside it, or in the folder of the array whose chunk it is.

    Raises:
        DamageError: It is damaged.
    """
    for folder in list(file.parents)[:_DEEPEST_CHUNK]:
        if sums_file(folder).is_file():
            return read_sums(folder)
    return None


def sum_of(file: Path) -> Output:
    """What to record of a file that was just written; the path is filled in by `write_sums`."""
    return Output(path="", sha256=file_sha256(file), bytes=file.stat().st_size)


def meaning(data: bytes) -> str:
    """Hash of what we read of a group's metadata: scales, names and places, not what viewers set."""
    attributes = json.loads(data)
    attributes = attributes.get("attributes", attributes)
    ome = attributes.get("ome", attributes)
    channels = [channel.get("label") for channel in ome.get("omero", {}).get("channels", ())]
    said = [{name: ome.get(name) for name in ("multiscales", "plate", "well")}, channels]
    return _seal({"says": [*said, attributes.get("killassay")]})


def _meaning_of(file: Path) -> str:
    try:
        return meaning(file.read_bytes())
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return ""


def write_sums(
    folder: Path, root: Path, outputs: Mapping[Path, Output], groups: Mapping[Path, bytes]
) -> Path:
    """Write the list of a folder.

    Args:
        folder: Where it goes.
        root: Of the plate; paths are kept relative to it.
        outputs: File of pixels, or the array's own metadata -> what `sum_of` said.
        groups: Metadata file of the groups above -> what it holds.
    """
    files = {
        file.relative_to(root).as_posix(): [one.sha256, one.bytes] for file, one in sorted(outputs.items())
    }
    said = {
        file.relative_to(root).as_posix(): [meaning(data), hashlib.sha256(data).hexdigest()]
        for file, data in sorted(groups.items())
    }
    values = {"files": files, "groups": said, "folder": folder.relative_to(root).as_posix()}
    text = json.dumps({**values, "seal": _seal(values)}, sort_keys=True) + "\n"
    write_whole(sums_file(folder), text.encode())
    return sums_file(folder)


def read_sums(folder: Path) -> Sums:
    """Read the list of a folder.

    Raises:
        DamageError: It is damaged.
    """
    file = sums_file(folder)
    try:
        status = file.stat()
    except OSError as error:
        raise _damaged(file, error.strerror or "") from error
    return _read(folder, status.st_ino, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=256)
def _read(folder: Path, *signature: int) -> Sums:
    file = sums_file(folder)
    try:
        values: dict[str, Any] = json.loads(file.read_bytes())
        seal = values.pop("seal")
        root = folder
        for _ in Path(values["folder"]).parts:
            root = root.parent
        outputs = {
            path: Output(path=path, sha256=sha256, bytes=size)
            for path, (sha256, size) in values["files"].items()
        }
        groups = {path: (says, sha256) for path, (says, sha256) in values["groups"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(file, "it is torn") from error
    if seal != _seal(values):
        raise _damaged(file, "it was changed after it was written")
    if folder.relative_to(root).as_posix() != values["folder"]:
        raise _damaged(file, f"it is that of {values['folder']}")
    return Sums(root, outputs, groups)


def _damaged(file: Path, why: str) -> DamageError:
    return DamageError(
        f"{file} is damaged ({why}), so nothing vouches for the images beside it. Restore it from a copy, or make the "
        "plate again."
    )


def _seal(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
