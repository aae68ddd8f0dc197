"""The label images of one role in one field, wherever they lie, and what is known of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from assay.errors import ImageError
from assay.io.label_roles import FOLDERS
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

    def parents(self, place: FieldId, role: CellRole) -> Mapping[int, int]:
        """Daughter -> mother, where the labels come with a table of them; empty otherwise."""


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
