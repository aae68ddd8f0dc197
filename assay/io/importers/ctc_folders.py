"""A folder of the Cell Tracking Challenge -> a film of tracked cells."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from assay.columns import Table
from assay.errors import ImageError, VendorFileError
from assay.io.importers.tiff_images import read_tiff_images
from assay.io.importers.tiff_pages import read_plane, scan_pages
from assay.io.label_checks import whole_labels
from assay.io.label_films import FilmShape, JoinedFilm, LabelFilm
from assay.io.lineage_films import LineageFilm, spans_of
from assay.io.lineages import CTC_NAMES, Lineage, ctc_lineage, ctc_table_beside
from assay.labels import CellRole
from assay.stack import FieldId

_MASK = re.compile(r"(?:mask|man_track|man_seg)_?(\d+)\.tiff?", re.IGNORECASE)


class CtcFilm:
    """The masks of a folder, one file per frame."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = tuple(files)

    def read(self, frames: Sequence[int]) -> NDArray[Any]:
        """Values as they are stored: (len(frames), Y, X).

        Raises:
            ImageError: A file is damaged, or of another size than the first.
        """
        images = [self._image(frame) for frame in frames]
        wrong = next((n for n, image in enumerate(images) if image.shape != images[0].shape), None)
        if wrong is not None:
            raise ImageError(
                f"{self._files[frames[wrong]]} has {images[wrong].shape} pixels (y, x), others have {images[0].shape}. Expected "
                "one film."
            )
        return np.stack(images)

    def _image(self, frame: int) -> NDArray[np.int32]:
        file = self._files[frame]
        try:
            found = read_tiff_images(file, axes="TYX", channels=None, labels=True)[0]
            if found.frames == 1:
                with tifffile.TiffFile(file) as tiff:
                    image = read_plane(found.plane(0, 0), scan_pages(file, labels=True), tiff)
        except (ImageError, VendorFileError, OSError, tifffile.TiffFileError) as error:
            raise ImageError(f"{file} cannot be read ({error}). Expected a TIFF file of labels.") from error
        if found.frames != 1:
            raise ImageError(
                f"{file} holds {found.frames} planes. Expected one plane (y, x); stacks of z are not read."
            )
        return whole_labels(image, str(file))


def is_ctc_folder(folder: Path) -> bool:
    """Whether it holds a table or masks of the challenge."""
    return folder.is_dir() and (
        ctc_table_beside(folder) is not None or any(_MASK.fullmatch(file.name) for file in folder.iterdir())
    )


def read_ctc(folder: Path, *, role: CellRole, place: FieldId) -> LineageFilm:
    """Read masks and table; without a table every value is a track without a mother.

    Positions are in pixels, as the format knows no calibration.

    Raises:
        ImageError: A frame is missing, an image is damaged, or the table does not belong to the masks.
    """
    numbered: dict[int, Path] = {}
    for file in sorted(folder.iterdir()):
        match = _MASK.fullmatch(file.name)
        if match and int(match[1]) in numbered:
            raise ImageError(
                f"{folder}: frame {int(match[1])} stands in {numbered[int(match[1])].name} and {file.name}."
            )
        if match:
            numbered[int(match[1])] = file
    absent = sorted(set(range(len(numbered))) - set(numbered))
    if not numbered or absent:
        raise ImageError(
            f"{folder}: no file for frame {absent[0] if absent else 0}. Expected mask000.tif, mask001.tif, ... (or "
            "man_track000.tif), one per frame."
        )
    path = ctc_table_beside(folder)
    lineage = ctc_lineage(path) if path else Lineage()
    film: LabelFilm = CtcFilm([numbered[frame] for frame in range(len(numbered))])
    height, width = film.read([0]).shape[1:]
    cells = _cells(film, (len(numbered), height, width), lineage, folder)
    if lineage.joined:
        film = JoinedFilm(film, lineage.joined, str(folder))
    return LineageFilm(
        place=place,
        role=role,
        shape=(len(numbered), height, width),
        cells=cells,
        parents=lineage.parents,
        film=film,
    ).checked()


def _cells(film: LabelFilm, shape: FilmShape, lineage: Lineage, folder: Path) -> Table:
    rows: list[NDArray[np.float64]] = []
    for frame in range(shape[0]):
        image = film.read([frame])[0]
        pixel_y, pixel_x = np.nonzero(image)
        labels, place, area = np.unique(image[pixel_y, pixel_x], return_inverse=True, return_counts=True)
        centre = [
            np.bincount(place, weights=pixel, minlength=len(labels)) / area for pixel in (pixel_y, pixel_x)
        ]
        rows.append(np.stack([np.full(len(labels), frame), labels, *centre, area], axis=1).astype(float))
    frame, label, y, x, area = np.concatenate(rows).T
    if lineage.rows:
        _require_spans(frame.astype(int), label.astype(int), lineage, folder)
    track = _joined(label.astype(np.int64), lineage.joined)
    cells = {
        "frame": frame.astype(np.int64),
        "track_id": track,
        "y_px": y,
        "x_px": x,
        "area_px": area.astype(np.int64),
    }
    order = np.lexsort((cells["track_id"], cells["frame"]))
    return {name: column[order] for name, column in cells.items()}


def _joined(labels: NDArray[np.int64], joined: Mapping[int, int]) -> NDArray[np.int64]:
    known, place = np.unique(labels, return_inverse=True)
    tracks = np.array([joined.get(label, label) for label in known.tolist()], dtype=np.int64)
    return tracks[place]


def _require_spans(frames: NDArray[Any], labels: NDArray[Any], lineage: Lineage, folder: Path) -> None:
    """Masks and table speak of the same labels, from the same frame to the same frame."""
    seen = {
        label: span
        for label, *span in zip(*(column.tolist() for column in spans_of(frames, labels)), strict=True)
    }
    for label, first, last, _ in lineage.rows:
        found = seen.pop(label, None)
        if found is None or found != [first, last]:
            there = f"from frame {found[0]} to {found[1]}" if found else "nowhere"
            raise ImageError(
                f"{folder}: the table ({' or '.join(CTC_NAMES)}) has label {label} from frame {first} to {last}, the masks have "
                f"it {there}. They do not belong together."
            )
    if seen:
        raise ImageError(
            f"{folder}: label {min(seen)} is in the masks and not in the table. They do not belong together."
        )
