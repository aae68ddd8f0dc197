"""File names -> well, field, channel and frame, by a named-group pattern.

Knows names only, opens no file. A name that does not fit is listed, never half understood.
"""

import difflib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.errors import ImageError, VendorFileError
from assay.stack import well_name

GROUPS = ("well", "row", "column", "field", "channel", "frame", "day", "hour", "minute", "z")
PRESETS = {
    "incucyte": r"(?:.+?_)??(?:(?P<channel>Phase|Green|Red|Orange|NIR|Brightfield|BF)_)?(?P<well>[A-P]\d{1,2})_"
    r"(?P<field>\d+)_(?P<day>\d+)d(?P<hour>\d+)h(?P<minute>\d+)m\.tiff?",
    "plain": r"(?:.*?[_\-. ])??(?P<well>(?:[A-P]|A[A-F])\d{1,2})[_\-. ]+(?:field|site|pos|[fsp])?[_\-]?(?P<field>\d+)[_\-. ]+"
    r"(?:time|frame|t)?[_\-]?(?P<frame>\d+)[_\-. ]+(?P<channel>[^/]+?)(?:\.ome)?\.tiff?",
    "well": r"(?P<well>(?:[A-P]|A[A-F])\d{1,2})(?:[_\-. ]+(?:field|site|pos|[fsp])?[_\-]?(?P<field>\d+))?"
    r"(?:\.ome)?\.tiff?",
}
"""Name -> pattern. "well" is one file with all frames and channels per well or field."""
IMAGE_SUFFIXES = (".tif", ".tiff")
UNSUPPORTED = {".nd2": "nd2", ".lif": "liffile", ".czi": "pylibCZIrw"}

_SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFile:
    """A file and what its name says; None for what it does not say."""

    path: Path
    name: str  # below the source folder, "/" between folders
    well: str | None
    field: int | None = None
    channel: str | None = None
    index: int | None = None  # number of the time point as written
    minutes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFiles:
    """The files that take part, what the names were read with, and what was left out and why."""

    files: tuple[NamedFile, ...]
    pattern: str
    ignored: tuple[tuple[str, str], ...]  # (name, reason)


def natural_key(text: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key by which "t2" comes before "t10"."""
    pieces = re.split(r"(\d+)", text)
    return tuple(
        (0, int(piece), "") if piece.isdigit() else (1, 0, piece.lower()) for piece in pieces if piece
    )


def find_images(source: Path) -> tuple[list[tuple[str, Path]], list[tuple[str, str]]]:
    """List the TIFF files of a folder and below, in natural order, and what else lies there.

    Raises:
        VendorFileError: There is no TIFF; the message says what there is instead.
    """
    images: list[tuple[str, Path]] = []
    ignored: list[tuple[str, str]] = []
    for folder, folders, names in os.walk(source):
        for inner in sorted(folders):
            if inner.startswith(".") or inner.endswith(".zarr"):
                ignored.append(
                    ((Path(folder) / inner).relative_to(source).as_posix() + "/", "not looked into")
                )
        folders[:] = sorted(
            inner for inner in folders if not inner.startswith(".") and not inner.endswith(".zarr")
        )
        for name in names:
            path = Path(folder) / name
            below = os.fsencode(path.relative_to(source).as_posix()).decode("utf-8", "replace")
            if name.startswith(".") or path.suffix.lower() not in IMAGE_SUFFIXES:
                ignored.append((below, "not a TIFF image"))
            else:
                images.append((below, path))
    images.sort(key=lambda entry: (natural_key(entry[0]), entry[0]))
    ignored.sort(key=lambda entry: natural_key(entry[0]))
    if not images:
        vendor = next((name for name, _ in ignored if Path(name).suffix.lower() in UNSUPPORTED), None)
        if vendor is not None:
            refuse_vendor(Path(vendor))
        there = f", only {examples([name for name, _ in ignored])}" if ignored else ": it is empty"
        raise VendorFileError(
            f"{source.name} holds no TIFF images{there}. Give the folder with the .tif files."
        )
    return images, ignored


def refuse_vendor(path: Path) -> None:
    """Say what to do with a vendor file that this version cannot read."""
    library = UNSUPPORTED.get(path.suffix.lower())
    if library is not None:
        raise VendorFileError(
            f"{path.name}: {path.suffix.lower()} files are not supported yet in this version (they will need the "
            f"extra: pip install 'killassay[import]', for {library}). Save it as OME-TIFF, e.g. with Fiji's "
            "Bio-Formats, and import that."
        )


def name_files(images: Sequence[tuple[str, Path]], *, pattern: str | None) -> NamedFiles:
    """Read every name with the pattern, a preset's name, or the preset that fits the most files.

    Raises:
        VendorFileError: The pattern is wrong, or fits no file.
    """
    if pattern is None:
        fits = {
            preset: sum(_match(PRESETS[preset], name) is not None for name, _ in images) for preset in PRESETS
        }
        preset = max(fits, key=lambda key: fits[key])
        if 2 * fits[preset] <= len(images):  # a few that fit by chance name no plate
            raise VendorFileError(
                f"{fits[preset] or 'none'} of {len(images)} file names fit a known pattern; names are e.g. {examples([name for name, _ in images])}. Give "
                "--pattern with named groups, e.g. --pattern "
                r"'(?P<well>[A-P]\d+)_(?P<field>\d+)_t(?P<frame>\d+)_(?P<channel>\w+)\.tif'"
                ", or a list of the files with --wells."
            )
        pattern = preset
    text = PRESETS.get(pattern, pattern)
    _check_pattern(text)
    files, ignored = [], []
    for name, path in images:
        match = _match(text, name)
        if match is None:
            ignored.append((name, "the name does not fit the pattern"))
        else:
            files.append(_named(name, path, match))
    if not files:
        raise VendorFileError(
            f"no file name fits the pattern {text}; names are e.g. {examples([name for name, _ in images])}."
        )
    return NamedFiles(files=tuple(files), pattern=pattern, ignored=tuple(ignored))


def examples(names: Sequence[str]) -> str:
    """The first few names, and how many more."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _match(pattern: str, name: str) -> re.Match[str] | None:
    """A pattern with "/" speaks of the path below the source folder, any other of the file name alone."""
    folders = "/" in re.sub(r"\[[^\]]*\]", "", pattern)
    return re.fullmatch(pattern, name if folders else name.rpartition("/")[2], re.IGNORECASE)


def _check_pattern(pattern: str) -> None:
    try:
        groups = set(re.compile(pattern).groupindex)
    except re.error as error:
        raise VendorFileError(
            f"the pattern {pattern} is not a regular expression: {error}. Give another."
        ) from error
    for group in sorted(groups - set(GROUPS)):
        close = difflib.get_close_matches(group, GROUPS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise VendorFileError(
            f"the pattern has an unknown group {group!r}. Known are {', '.join(GROUPS)}; write (?:...) for parts "
            f"that mean nothing.{hint}"
        )
    if "well" not in groups and not {"row", "column"} <= groups:
        raise VendorFileError(
            f"the pattern {pattern} has no group for the well: name one (?P<well>...), or row and column."
        )
    if "frame" in groups and groups & {"day", "hour", "minute"}:
        raise VendorFileError(
            "the pattern has both frame and day, hour or minute. Keep the one that counts time."
        )


def _named(name: str, path: Path, match: re.Match[str]) -> NamedFile:
    parts = match.groupdict()
    if parts.get("z") is not None and _number(name, "z", parts["z"]) > 1:
        raise VendorFileError(
            f"{name} is slice z = {parts['z']} of a z-stack. Projection is not yet supported: project the stacks "
            "first, or give a pattern that fits one slice only."
        )
    well = parts.get("well")
    if well is None:
        row = str(parts["row"])
        well = f"{_row_letters(name, int(row)) if row.isdigit() else row}{parts['column']}"
    try:
        well = well_name(well)
    except ImageError as error:
        raise VendorFileError(f"{name}: {error}") from error
    clock = {unit: parts[unit] for unit in ("day", "hour", "minute") if parts.get(unit) is not None}
    minutes = sum(
        _number(name, unit, text) * {"day": 1440, "hour": 60, "minute": 1}[unit]
        for unit, text in clock.items()
    )
    return NamedFile(
        path=path,
        name=name,
        well=well,
        field=None if parts.get("field") is None else _number(name, "field", parts["field"]),
        channel=parts.get("channel"),
        index=None if parts.get("frame") is None else _number(name, "frame", parts["frame"]),
        minutes=minutes if clock else None,
    )


def _row_letters(name: str, row: int) -> str:
    if not 1 <= row <= 26 * 27:
        raise VendorFileError(f"{name}: row {row} is not understood, expected 1 for A, 2 for B and so on.")
    return chr(64 + row) if row <= 26 else chr(64 + (row - 1) // 26) + chr(65 + (row - 1) % 26)


def _number(name: str, group: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise VendorFileError(f"{name}: the pattern's {group} is {text!r}, expected a whole number.")
    return int(text)
