"""Whatever holds tracked cells -> their films: RESULTS, PLATE-truth, challenge folders, GEFF graphs, CSV of positions."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assay.errors import ImageError
from assay.io.geff_films import find_geffs, place_of, read_geff
from assay.io.importers.ctc_folders import is_ctc_folder, read_ctc
from assay.io.importers.track_points import read_track_points
from assay.io.label_roles import FOLDERS, RoleWords
from assay.io.lineage_films import LineageFilm, films_of_results
from assay.io.lineages import CTC_NAMES
from assay.labels import CellRole
from assay.stack import FieldId, well_name

_ONLY = FieldId("A01", 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineages:
    """The films, what they were read as, and what was left out."""

    films: tuple[LineageFilm, ...]
    read_as: str
    left_out: tuple[str, ...] = ()


def open_lineages(path: Path, *, role: CellRole | None = None) -> Lineages:
    """Read the tables and graphs of all films; pixels are read when they are asked for.

    Args:
        path: RESULTS, PLATE-truth, a folder of the Cell Tracking Challenge or of several as `export` writes them, a GEFF
            graph or a folder of several, or a CSV of positions.
        role: Of the cells, where neither names nor metadata say so.

    Raises:
        ImageError: There is nothing to read, it is damaged, or does not say whose cells they are.
        ResultsError: RESULTS are not finished.
        TableError: A track stands twice.
    """
    if not path.exists():
        raise ImageError(f"{path} does not exist.")
    if path.suffix.lower() == ".csv":
        said = role or _role_in(path.name, path)
        film = read_track_points(path, role=said, place=_ONLY)
        return Lineages(films=(film,), read_as="table of positions")
    if (path / "tables").is_dir():
        films, left_out = films_of_results(path)
        return Lineages(films=tuple(films), read_as="RESULTS", left_out=tuple(left_out))
    graphs = find_geffs(path)
    if graphs:
        several = len(graphs) > 1
        return _distinct(path, "GEFF graphs", [_graph(graph, role, several=several) for graph in graphs])
    if is_ctc_folder(path):
        said = role or _role_in(path.name, path)
        return Lineages(films=(read_ctc(path, role=said, place=_ONLY),), read_as="Cell Tracking Challenge")
    folders = (
        sorted({table.parent for name in CTC_NAMES for table in path.rglob(name)}) if path.is_dir() else []
    )
    if folders:
        films = [_folder(path, folder, role, several=len(folders) > 1) for folder in folders]
        return _distinct(path, "Cell Tracking Challenge", films)
    films, left_out = films_of_results(path)  # says what was expected
    return Lineages(films=tuple(films), read_as="RESULTS", left_out=tuple(left_out))


def _graph(graph: Path, role: CellRole | None, *, several: bool) -> LineageFilm:
    if place_of(graph) is None and several:
        raise ImageError(
            f"{graph} does not say of which well, field and role it is, and there are several graphs. Give one at a time."
        )
    said = None if place_of(graph) else role or _role_in(graph.name, graph)
    return read_geff(graph, role=said, place=_ONLY)


def _folder(root: Path, folder: Path, role: CellRole | None, *, several: bool) -> LineageFilm:
    """A folder WELL/FIELD/ROLE below the root, as `export` writes it; or the only one."""
    parts = folder.relative_to(root).parts
    said = role or _role_in("/".join(parts), folder)
    if not several and (len(parts) < 3 or not parts[-2].isdigit()):
        return read_ctc(folder, role=said, place=_ONLY)
    try:
        place = FieldId(well_name(parts[-3]), int(parts[-2]))
    except (IndexError, ValueError) as error:
        raise ImageError(
            f"{folder}: its well and field are not told by its folders. Expected WELL/FIELD/ROLE below {root.name}, as B02/0/"
            "targets; or give one folder at a time."
        ) from error
    return read_ctc(folder, role=said, place=place)


def _role_in(name: str, path: Path) -> CellRole:
    found = RoleWords().find(name)
    if found is None:
        raise ImageError(
            f"{path} does not say whether its cells are effectors or targets. Give --role effector or --role target."
        )
    return found[0]


def _distinct(path: Path, read_as: str, films: Sequence[LineageFilm]) -> Lineages:
    seen = set()
    for film in films:
        if (film.place, film.role) in seen:
            raise ImageError(f"{path} holds two films of {film.place}, {FOLDERS[film.role]}. Expected one.")
        seen.add((film.place, film.role))
    return Lineages(films=tuple(films), read_as=read_as)
