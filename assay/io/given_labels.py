"""Label images of another program, opened: OME-Zarr with `labels/`, GEFF graphs with their label images, or TIFF files.

source = open_labels(request, channels={"target": ("GFP",)}, fields=plate.fields)
given = labels_of(source, request, place, shape=(T, Y, X), missing=frozenset())
given["target"].film.read([0, 1])                             # (2, Y, X)
"""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assay.errors import ImageError
from assay.io.geff_films import find_geffs
from assay.io.importers.label_files import TiffLabels, open_tiff_labels
from assay.io.label_films import FilmShape, GivenLabels, JoinedFilm, LabelSource, named
from assay.io.label_geff import GeffLabels
from assay.io.label_roles import FOLDERS, OPTIONS, RoleWords
from assay.io.label_zarr import open_zarr_labels
from assay.io.lineages import Lineage
from assay.labels import CellRole
from assay.stack import FieldId

_ZARR_FILES = ("zarr.json", ".zgroup", ".zattrs")
_SHOWN = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRequest:
    """What somebody asked for."""

    path: Path
    names: Mapping[CellRole, str] = field(default_factory=dict)  # given by hand; empty: found by name
    pattern: str | None = None
    tracked: bool | None = None  # None: tracked only where the labels themselves say so


def open_labels(
    request: LabelRequest, *, channels: Mapping[CellRole, Sequence[str]], fields: Collection[FieldId]
) -> LabelSource:
    """Open the label images; no pixel is read.

    Args:
        request: Where they are and what they are called.
        channels: Names of each role's channels, which may stand in the names of files.
        fields: The fields of the plate.

    Raises:
        ImageError: There are none, or none of this plate.
    """
    path = request.path
    words = RoleWords(given=dict(request.names), channels=channels)
    if len(set(request.names.values())) < len(request.names):
        raise ImageError(
            f"{' and '.join(OPTIONS.values())} both say {next(iter(request.names.values()))!r}. Expected two label images."
        )
    if not path.exists():
        raise ImageError(f"--labels {path} does not exist.")
    graphs = find_geffs(path)
    if graphs:
        source: LabelSource = GeffLabels(path, graphs, words, fields)
        if len(fields) > 1 or source.fields != (FieldId("A01", 0),):
            _require_same_plate(source, fields)
        return source
    if any((path / name).is_file() for name in _ZARR_FILES):
        if request.pattern:
            raise ImageError(
                f"--labels-pattern is for names of TIFF files; {path} is OME-Zarr. Leave it out."
            )
        source = open_zarr_labels(path, words)
        if source.read_as == "OME-Zarr plate" or len(fields) == 1:
            _require_same_plate(source, fields)
            return source
        raise ImageError(
            f"{path} is one OME-Zarr image, the plate has {len(fields)} fields. Expected a plate with labels."
        )
    labels: TiffLabels = open_tiff_labels(path, words, pattern=request.pattern).for_plate(fields)
    if len(fields) > 1 or labels.fields != (FieldId("A01", 0),):
        _require_same_plate(labels, fields)
    return labels


def labels_of(
    source: LabelSource,
    request: LabelRequest,
    place: FieldId,
    *,
    shape: FilmShape,
    missing: Collection[int],
) -> dict[CellRole, GivenLabels]:
    """What a run takes from the labels in one field; no pixel is read.

    Raises:
        ImageError: The field has no labels, or they do not fit its images.
    """
    tracked = source.tracked if request.tracked is None else request.tracked
    given: dict[CellRole, GivenLabels] = {}
    for role, name in source.names.items():
        film = source.film(place, role, shape, missing)
        identity = source.identity(film)
        lineage = source.lineage(place, role) if tracked else Lineage()
        if lineage.joined:
            film = JoinedFilm(film, lineage.joined, named(place, role))
            identity = hashlib.sha256(f"{identity}{sorted(lineage.joined.items())}".encode()).hexdigest()
        given[role] = GivenLabels(
            name=name, identity=identity, tracked=tracked, parents=lineage.parents, film=film
        )
    return given


def require_plate_of(path: Path, plate_identity: str) -> None:
    """Refuse the label images in RESULTS of another plate.

    Raises:
        ImageError: The RESULTS folder they lie in says so.
    """
    mark = path.resolve().parent / "results.json"
    if path.name != "labels.zarr" or not mark.is_file():
        return
    try:
        plate = json.loads(mark.read_bytes())["plate"]
        name, identity = str(plate["name"]), plate["identity"]
    except (OSError, ValueError, LookupError, TypeError):
        return  # then nobody says whose they are
    if identity != plate_identity:
        raise ImageError(
            f"{path} are label images of another plate ({name!r}), as {mark.name} beside them says. Expected those of the "
            "plate that is run."
        )


def _require_same_plate(source: LabelSource, fields: Collection[FieldId]) -> None:
    """Not one field in common: labels of another plate."""
    wells = {place.well for place in fields}
    if not any(place.well in wells for place in source.fields) and source.read_as != "OME-Zarr image":
        shown = ", ".join(sorted({place.well for place in source.fields})[:_SHOWN])
        raise ImageError(
            f"{source.path} holds labels of wells {shown}, none of which is on the plate, which has "
            f"{', '.join(sorted(wells)[:_SHOWN])}. These are labels of another plate, or their names are read wrongly "
            "(then give --labels-pattern)."
        )


def strangers(source: LabelSource, fields: Collection[FieldId]) -> list[str]:
    """Fields there are labels of, but which the plate has not."""
    wells = {place.well for place in fields}
    extra = sorted({place.well for place in source.fields} - wells)
    if not extra or not wells & {place.well for place in source.fields}:
        return []
    return [
        f"labels of wells that are not on the plate were left out: {', '.join(extra[:_SHOWN])}"
        + (f" and {len(extra) - _SHOWN} more" if len(extra) > _SHOWN else "")
    ]


__all__ = [
    "FOLDERS",
    "GivenLabels",
    "LabelRequest",
    "LabelSource",
    "labels_of",
    "named",
    "open_labels",
    "require_plate_of",
    "strangers",
]
