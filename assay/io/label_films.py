"""The label images of one role in one field, wherever they lie, and what is known of them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assay.errors import ImageError
from assay.io.label_roles import FOLDERS
from assay.io.lineages import Lineage
from assay.labels import CellRole
from assay.stack import FieldId

FilmShape = tuple[int, int, int]  # (T, Y, X)


class LabelFilm(Protocol):
    """Label images of one role in one field, read a few frames at a time; light to send to another process."""

    def read(self, frames: Sequence[int]) -> NDArray[Any]:
        """Values as they are stored: (len(frames), Y, X).

        Raises:
            ImageError: A frame is damaged or not there.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenLabels:
    """What a run takes in the place of the model's outlines, for one role of one field."""

    name: str  # of the label image or the word in the files' names
    identity: str  # changes with the files
    tracked: bool  # values are the same cell through time
    parents: Mapping[int, int] = field(default_factory=dict)  # daughter -> mother, where tracked
    film: LabelFilm | None = None  # None in a plan that is only reported on

    def as_record(self) -> dict[str, Any]:
        """For the provenance; enough to know what depends on it."""
        return {
            "name": self.name,
            "identity": self.identity,
            "tracked": self.tracked,
            "parents": [list(pair) for pair in sorted(self.parents.items())],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "GivenLabels":
        """Of the provenance."""
        parents = {int(child): int(mother) for child, mother in record["parents"]}
        return cls(
            name=record["name"],
            identity=record["identity"],
            tracked=bool(record["tracked"]),
            parents=parents,
        )


class JoinedFilm:
    """Label images in which several labels are one track, as after a gap in the Cell Tracking Challenge's format."""

    def __init__(self, film: LabelFilm, joined: Mapping[int, int], where: str) -> None:
        self._film, self._where = film, where
        self._labels = np.array(sorted(joined), dtype=np.int64)
        self._tracks = np.array([joined[label] for label in sorted(joined)], dtype=np.int64)

    def read(self, frames: Sequence[int]) -> NDArray[Any]:
        """Track ids: (len(frames), Y, X).

        Raises:
            ImageError: Two labels that are one track are both in a frame.
        """
        images = self._film.read(frames)
        return np.stack([self._joined(image, frame) for frame, image in zip(frames, images, strict=True)])

    def _joined(self, image: NDArray[Any], frame: int) -> NDArray[np.int64]:
        labels, spread = values_of(image)
        place = np.minimum(np.searchsorted(self._labels, labels), len(self._labels) - 1)
        tracks = np.where(self._labels[place] == labels, self._tracks[place], labels)
        ids, counts = np.unique(tracks, return_counts=True)
        if (counts > 1).any():
            raise ImageError(
                f"{self._where}, frame {frame}: two labels of track {ids[counts > 1][0]} are in one frame. The table of "
                "tracks beside the label images is of others."
            )
        return spread(tracks)


def values_of(
    image: NDArray[Any],
) -> tuple[NDArray[np.int64], Callable[[NDArray[np.int64]], NDArray[np.int64]]]:
    """The values of a label image in rising order, and what makes an image of others in their places.

    Sorts runs along the rows instead of pixels, of which there are many times more.
    """
    flat = image.ravel()
    starts = np.flatnonzero(np.concatenate([[flat.size > 0], flat[1:] != flat[:-1]]))
    values, inverse = np.unique(flat[starts].astype(np.int64), return_inverse=True)
    lengths = np.diff(np.append(starts, flat.size))

    def spread(others: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.repeat(others[inverse], lengths).reshape(image.shape)

    return values, spread


class LabelSource(Protocol):
    """Label images of a whole plate, opened; the forms differ in where they lie."""

    @property
    def path(self) -> Path:
        """Where they lie."""

    @property
    def read_as(self) -> str:
        """What they were taken for, for people."""

    @property
    def names(self) -> Mapping[CellRole, str]:
        """Which roles there are, and what they are called."""

    @property
    def fields(self) -> tuple[FieldId, ...]:
        """Fields there are labels of; a plate of one field may go by another name."""

    @property
    def tracked(self) -> bool:
        """Whether the labels themselves say that a value is the same cell through time."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a person should know."""

    def film(self, place: FieldId, role: CellRole, shape: FilmShape, missing: Collection[int]) -> LabelFilm:
        """The label images of one role in one field.

        Args:
            place: A field of the plate.
            role: "effector" or "target".
            shape: (T, Y, X) of its images.
            missing: Frames that hold no image and need no labels.

        Raises:
            ImageError: There are none, or they do not fit the images.
        """

    def identity(self, film: LabelFilm) -> str:
        """What the pixels are, for resume."""

    def lineage(self, place: FieldId, role: CellRole) -> Lineage:
        """Mothers, and labels that are one track, where the labels come with a table; empty otherwise."""


def named(place: FieldId, role: CellRole) -> str:
    """How messages begin."""
    return f"{place}, labels of {FOLDERS[role]}"


def require_shape(place: FieldId, role: CellRole, found: FilmShape, expected: FilmShape) -> None:
    """Refuse label images of another film.

    Raises:
        ImageError: Frames or size differ.
    """
    if found[1:] != expected[1:]:
        turned = " They are turned: x comes before y." if found[1:] == expected[:0:-1] else ""
        raise ImageError(
            f"{named(place, role)} are {found[1]} x {found[2]} pixels (y, x), the images {expected[1]} x {expected[2]}. "
            f"Expected labels at full size, of the same images.{turned}"
        )
    if found[0] != expected[0]:
        raise ImageError(
            f"{named(place, role)} have {found[0]} frames, the film has {expected[0]}. Expected one label image per frame."
        )
