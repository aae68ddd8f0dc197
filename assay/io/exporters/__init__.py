"""What other programs read: folders of the Cell Tracking Challenge and GEFF graphs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from assay.errors import ImageError
from assay.io.exporters.ctc_folder import write_ctc
from assay.io.exporters.geff_store import write_geff
from assay.io.label_roles import FOLDERS
from assay.io.lineage_films import LineageFilm
from assay.labels import is_large
from assay.stack import FieldId


class Progress(Protocol):
    """Who is told how far it is."""

    def begin(self, step: str, total: int, done: int = 0) -> None:
        """It begins."""

    def advance(self) -> None:
        """One more frame is done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """Folders that were made, and what a person should know."""

    paths: tuple[Path, ...]
    words: tuple[str, ...]


def outputs_of(films: Sequence[LineageFilm], to: Path, form: str) -> list[Path]:
    """The folders that an export makes: WELL/FIELD/ROLE for ctc, WELL_FIELD.zarr for geff."""
    if form == "ctc":
        return [_ctc_folder(film, to) for film in films]
    return [_geff_store(place, to) for place in _places(films)]


def export_tracks(films: Sequence[LineageFilm], to: Path, form: str, *, progress: Progress) -> Written:
    """Write all films.

    Args:
        films: Of a plate.
        to: Folder that exists.
        form: "ctc" or "geff".
        progress: Told of each frame.

    Raises:
        ImageError: An image is damaged or too large, or a film has no outlines and the format needs them.
        ResultsError: Label images and tables are of two runs.
        StorageError: The disk refuses.
    """
    for film in films:
        if film.film is not None and is_large(film.shape):
            raise ImageError(
                f"{film.name}: frames of {film.shape[1]} x {film.shape[2]} pixels are too large for {form}, whose masks are "
                "held as a whole. Export tables; labels.zarr is an OME-Zarr plate that other programs read in parts."
            )
    progress.begin("export", sum(film.shape[0] for film in films if film.film is not None))
    words: list[str] = []
    if form == "ctc":
        for film in films:
            words += write_ctc(film, _ctc_folder(film, to), advance=progress.advance)
        return Written(paths=tuple(outputs_of(films, to, form)), words=tuple(words))
    paths = []
    for place in _places(films):
        mine = [film for film in films if film.place == place]
        write_geff(mine, _geff_store(place, to), advance=progress.advance)
        paths += [_geff_store(place, to) / f"{FOLDERS[film.role]}.geff" for film in mine]
    return Written(paths=tuple(paths), words=())


def _places(films: Sequence[LineageFilm]) -> list[FieldId]:
    return sorted({film.place for film in films})


def _ctc_folder(film: LineageFilm, to: Path) -> Path:
    return to / film.place.well / str(film.place.field) / FOLDERS[film.role]


def _geff_store(place: FieldId, to: Path) -> Path:
    return to / f"{place.well}_{place.field}.zarr"
