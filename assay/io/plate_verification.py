"""Whether a plate that killassay wrote is as it was written: every chunk and all metadata against their sums."""

import json
import re
from pathlib import Path

from assay.errors import DamageError
from assay.io.ledger import difference, file_sha256
from assay.io.sums import SUMS, Sums, read_sums
from assay.io.verification import Progress, Verification

_PLACE = re.compile(r"([A-Z]+)/(\d+)/(\d+)/(?:labels/(\w+)/)?(\d+)(?:/c)?/(\d+)")
_FIELD = re.compile(r"([A-Z]+)/(\d+)/(\d+)/")


def verify_plate(path: Path, progress: Progress | None = None) -> Verification:
    """Compare every file that a list of sums names, and look for files that none names; nothing is changed.

    Raises:
        DamageError: There is no list of sums: killassay did not write the plate, or an earlier version did.
    """
    lists = sorted(path.rglob(SUMS))
    if not lists:
        raise DamageError(
            f"{path} has no list of sums ({SUMS}), so nothing vouches for it. Plates that `killassay import` makes have."
        )
    if progress is not None:
        progress.begin("arrays", len(lists))
    problems: dict[str, None] = {}
    touched: dict[str, None] = {}
    n_files = n_bytes = 0
    for one in lists:
        try:
            sums = read_sums(one.parent)
        except DamageError as error:
            problems[f"{place(one.relative_to(path).as_posix())}{error}"] = None
            continue
        problems |= dict.fromkeys(_problems(path, one.parent, sums))
        touched |= dict.fromkeys(sums.touched_groups())
        n_files += len(sums.outputs) + len(sums.groups)
        n_bytes += sum(output.bytes for output in sums.outputs.values())
        if progress is not None:
            progress.advance()
    bare = _arrays_without(path)
    problems |= dict.fromkeys(
        f"{place(name + '/')}{name}/{SUMS} is missing, so nothing vouches for its chunks" for name in bare
    )
    return Verification(
        problems=tuple(problems),
        unchecked=tuple(f"{name}: it was changed, but not in what killassay reads of it" for name in touched),
        n_files=n_files,
        n_bytes=n_bytes,
        n_logs=0,
        n_decisions=0,
    )


def place(name: str) -> str:
    """Well, field and run of frames of a file of a plate, as the beginning of a line."""
    found = _FIELD.search(name)
    if found is None:
        return ""
    chunk = _PLACE.search(name)
    return f"well {found[1]}{found[2]}, field {found[3]}" + (
        f", run of frames {int(chunk[6])}: " if chunk else ": "
    )


def _problems(root: Path, folder: Path, sums: Sums) -> list[str]:
    known = {output.sha256: name for name, output in sums.outputs.items()}
    found = []
    for name, output in sums.outputs.items():
        why = difference(sums.root / name, output)
        if why:
            found.append(f"{place(name)}{name} {why}{_whose(sums.root / name, name, known)}")
    found += [f"{place(name)}{name} does not say any more what was written" for name in sums.altered_groups()]
    named = {sums.root / name for name in sums.outputs} | {folder / SUMS}
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file not in named and not file.name.endswith(".partial"):
            name = file.relative_to(root).as_posix()
            found.append(f"{place(name)}{name} is in no list: it is left over, or was put there")
    return found


def _whose(file: Path, name: str, known: dict[str, str]) -> str:
    there = known.get(file_sha256(file)) if file.is_file() else None
    return f": {there} lies in its place" if there and there != name else ""


def _arrays_without(root: Path) -> list[str]:
    """Arrays of images that say they have a list of sums, without one."""
    found = []
    for metadata in sorted(one for name in ("zarr.json", ".zattrs") for one in root.rglob(name)):
        try:
            attributes = json.loads(metadata.read_bytes())
            says = attributes.get("attributes", attributes).get("killassay", {}).get("sums")
        except (OSError, ValueError, AttributeError):  # damaged metadata are said by the lists
            continue
        folders = [entry for entry in metadata.parent.iterdir() if entry.name.isdecimal()] if says else []
        found += [
            folder.relative_to(root).as_posix() for folder in sorted(folders) if not (folder / SUMS).is_file()
        ]
    return found
