"""Label images that GEFF graphs speak of, in the place of the model's outlines; the graphs say what is one track."""

import hashlib
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path

from assay.errors import ImageError
from assay.io.geff_films import GeffFilm, place_of, read_geff
from assay.io.label_films import FilmShape, LabelFilm, named, require_shape
from assay.io.label_roles import FOLDERS, OPTIONS, RoleWords
from assay.io.lineage_films import LineageFilm
from assay.io.lineages import Lineage
from assay.io.plate_reader import files_below
from assay.labels import CellRole
from assay.stack import FieldId

_ONLY = FieldId("A01", 0)


class GeffLabels:
    """Graphs of a plate: one per field and role; a graph that does not say its field is that of a plate of one."""

    read_as = "GEFF graphs"
    tracked = True
    warnings: tuple[str, ...] = ()

    def __init__(self, path: Path, graphs: list[Path], words: RoleWords, fields: Collection[FieldId]) -> None:
        self.path = path
        self._only = next(iter(fields)) if len(fields) == 1 else None
        self._graphs: dict[tuple[FieldId, CellRole], Path] = {}
        for graph in graphs:
            self._add(graph, words)
        self.names: Mapping[CellRole, str] = {
            role: FOLDERS[role] for role in FOLDERS if any(key[1] == role for key in self._graphs)
        }
        if not self._graphs:
            raise ImageError(
                f"{path}: no graph says whether its cells are effectors or targets, e.g. {graphs[0].name}. Say it with "
                f"{OPTIONS['effector']} '*' or {OPTIONS['target']} '*'."
            )

    def _add(self, graph: Path, words: RoleWords) -> None:
        said = place_of(graph)
        if said is not None and said[1] not in words.asked:
            return
        if said is None:
            found = words.find(str(graph.relative_to(self.path.parent)))
            if found is None:
                return
            said = _ONLY, found[0]
        if said in self._graphs:
            raise ImageError(
                f"{self._graphs[said]} and {graph} are both {named(*said)}. Expected one graph each; give one at a time."
            )
        self._graphs[said] = graph

    @property
    def fields(self) -> tuple[FieldId, ...]:
        """Fields there are graphs of."""
        return tuple(sorted({place for place, _ in self._graphs}))

    def film(self, place: FieldId, role: CellRole, shape: FilmShape, missing: Collection[int]) -> LabelFilm:
        """The label images of one role in one field."""
        where = named(place, role)
        film = self._lineage(place, role)
        if film.film is None:
            raise ImageError(
                f"{where}: the graph names no label images, only positions. Expected `related_objects` of type labels: cells are "
                "measured inside their outlines."
            )
        require_shape(place, role, film.shape, shape)
        return film.film

    def identity(self, film: LabelFilm) -> str:
        """Name, size and time of change of every file of the graph and the label images."""
        assert isinstance(film, GeffFilm)
        digest = hashlib.sha256()
        for folder in (film.graph, film.folder):
            for name, size, changed in sorted(files_below(folder)):
                digest.update(f"{name}\t{size}\t{changed}\n".encode())
        return digest.hexdigest()

    def lineage(self, place: FieldId, role: CellRole) -> Lineage:
        """Mothers, from the graph."""
        return Lineage(parents=self._lineage(place, role).parents, ours=True)

    def _lineage(self, place: FieldId, role: CellRole) -> LineageFilm:
        graph = self._graphs.get((place, role))
        if graph is None and place == self._only and len(self.fields) == 1:
            graph = self._graphs.get((self.fields[0], role))
        if graph is None:
            raise ImageError(
                f"{named(place, role)}: no such graph in {self.path.name}, other fields have one. In fields without such cells "
                "give a graph without nodes."
            )
        return _read(graph, role, place)


@lru_cache(maxsize=8)
def _read(graph: Path, role: CellRole, place: FieldId) -> LineageFilm:
    return read_geff(graph, role=role, place=place)
