"""A list of files and wells (CSV) made by hand: which file is which well, and how that well was treated."""

import csv
import difflib
from collections.abc import Sequence
from pathlib import Path

from assay.errors import ImageError, VendorFileError
from assay.foreign_files import MAX_LIST_BYTES, csv_lines
from assay.io.importers.file_names import NamedFile, NamedFiles, examples
from assay.protocol import KINDS, Condition
from assay.stack import well_name

_KNOWN = ("file", "well", "field", "condition", "kind", "seeded_et_ratio")


def read_wells_list(
    path: Path, images: Sequence[tuple[str, Path]]
) -> tuple[NamedFiles, tuple[Condition, ...]]:
    """Read a wells list: columns file and well, and where wanted field, condition, kind, seeded_et_ratio, donor ...

    Takes what spreadsheets write: a byte-order mark, semicolons or tabs, decimal commas, empty rows.

    Returns:
        The listed files, in the list's order, and the conditions of their wells.

    Raises:
        VendorFileError: A column is missing, a file is not there or listed twice, a well is not understood, or
            two rows contradict each other.
    """
    rows = _rows(path)
    by_name = dict(images)
    by_base: dict[str, list[str]] = {}
    for name in by_name:
        by_base.setdefault(name.rpartition("/")[2], []).append(name)
    files: list[NamedFile] = []
    taken: dict[str, int] = {}
    for number, row in rows:
        where = f"{path.name}, line {number}"
        name = _find(where, row["file"].replace("\\", "/"), by_name, by_base)
        if name in taken:
            raise VendorFileError(
                f"{where}: {name} stands in line {taken[name]} already. Keep one of the two lines."
            )
        taken[name] = number
        field = row.get("field", "")
        if field and not field.isdigit():
            raise VendorFileError(f"{where}: field {field!r}, expected a whole number from 0.")
        files.append(
            NamedFile(
                path=by_name[name],
                name=name,
                well=_well(where, row["well"]),
                field=int(field) if field else None,
            )
        )
    ignored = tuple((name, f"not in {path.name}") for name in by_name if name not in taken)
    return NamedFiles(files=tuple(files), pattern=path.name, ignored=ignored), _conditions(path, rows)


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        lines = csv_lines(path, MAX_LIST_BYTES)
    except (OSError, UnicodeDecodeError) as error:
        raise VendorFileError(
            f"the wells list {path} cannot be read ({error}). Save it as CSV in UTF-8."
        ) from error
    header = lines[0] if lines else ""
    delimiter = max(",;\t", key=header.count)
    names = [name.strip().lower() for name in next(csv.reader([header], delimiter=delimiter), [])]
    for needed in ("file", "well"):
        if needed not in names:
            raise VendorFileError(
                f"{path.name} has no column {needed!r}; its columns are {', '.join(names) or 'none'}. Expected a first "
                "line such as file,well,field,condition,kind."
            )
    if len(set(names)) < len(names):
        raise VendorFileError(f"{path.name} has two columns of one name: {', '.join(names)}.")
    rows = []
    for number, cells in enumerate(csv.reader(lines[1:], delimiter=delimiter), start=2):
        values = [cell.strip() for cell in cells]
        if not any(values):
            continue
        if len(values) != len(names):
            raise VendorFileError(f"{path.name}, line {number}: {len(values)} values, expected {len(names)}.")
        rows.append((number, dict(zip(names, values, strict=True))))
    if not rows:
        raise VendorFileError(f"{path.name} lists no file.")
    return rows


def _find(where: str, file: str, by_name: dict[str, Path], by_base: dict[str, list[str]]) -> str:
    if file in by_name:
        return file
    fitting = by_base.get(file, [])
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise VendorFileError(
            f"{where}: {file} lies in several folders ({examples(fitting)}). Write the folder too."
        )
    close = difflib.get_close_matches(file, list(by_name), n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise VendorFileError(f"{where}: there is no file {file!r} in the source folder.{hint}")


def _well(where: str, text: str) -> str:
    try:
        return well_name(text)
    except ImageError as error:
        raise VendorFileError(f"{where}: {error}") from error


def _conditions(path: Path, rows: Sequence[tuple[int, dict[str, str]]]) -> tuple[Condition, ...]:
    wells: dict[str, list[str]] = {}
    settings: dict[str, tuple[int, dict[str, str]]] = {}
    owner: dict[str, str] = {}
    for number, row in rows:
        name, where = row.get("condition", ""), f"{path.name}, line {number}"
        if not name:
            continue
        well = _well(where, row["well"])
        if owner.setdefault(well, name) != name:
            raise VendorFileError(f"{where}: well {well} is of condition {owner[well]!r} and of {name!r}.")
        if well not in wells.setdefault(name, []):
            wells[name].append(well)
        said = {
            key: value
            for key, value in row.items()
            if key not in ("file", "well", "field", "condition") and value
        }
        first, known = settings.setdefault(name, (number, said))
        if known != said:
            raise VendorFileError(
                f"{path.name}: lines {first} and {number} give condition {name!r} different values "
                f"({_difference(known, said)}). Give them names of their own."
            )
    return tuple(_condition(path, name, tuple(wells[name]), settings[name][1]) for name in wells)


def _difference(one: dict[str, str], other: dict[str, str]) -> str:
    key = next(key for key in {**one, **other} if one.get(key) != other.get(key))
    return f"{key} = {one.get(key, 'nothing')!r} and {other.get(key, 'nothing')!r}"


def _condition(path: Path, name: str, wells: tuple[str, ...], said: dict[str, str]) -> Condition:
    kind = said.get("kind", "sample")
    if kind not in KINDS:
        raise VendorFileError(
            f"{path.name}: kind {kind!r} of condition {name!r}, expected one of {', '.join(KINDS)}."
        )
    ratio = None
    if "seeded_et_ratio" in said:
        try:
            ratio = float(said["seeded_et_ratio"].replace(",", "."))
        except ValueError as error:
            raise VendorFileError(
                f"{path.name}: seeded_et_ratio {said['seeded_et_ratio']!r} of condition {name!r}, expected a number."
            ) from error
    extra = {key: value for key, value in said.items() if key not in _KNOWN}
    return Condition(name=name, wells=wells, kind=kind, seeded_et_ratio=ratio, extra=extra)
