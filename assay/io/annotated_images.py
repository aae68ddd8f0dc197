"""Folders of images with masks: what a person outlined, to improve a model with.

Knows names, files and what a mask can be. Nothing is guessed: which channel shows what, the pixel size and the
role of the cells are said by somebody or the folder is refused. A role that nobody outlined in an image is
unknown there, which is not the same as "no cells".
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from assay.errors import AssayError, CalibrationError, ImageError, ProtocolError, ShapeError
from assay.foreign_files import MAX_LIST_BYTES, bounded_text
from assay.io.importers.file_names import natural_key
from assay.io.importers.picture_files import PICTURE_SUFFIXES, Picture, read_picture
from assay.io.instance_masks import area_mask, instance_mask
from assay.labels import CELL_ROLES, CHANNEL_ROLES, CellRole, ChannelRole
from assay.protocol import Protocol
from assay.units import Calibration

Annotation = Literal["effector", "target", "area", "ignore"]
_ENDINGS: Mapping[str, Annotation | None] = {
    "effectors": "effector",
    "targets": "target",
    "area": "area",
    "ignore": "ignore",
    "cp_masks": None,  # None: of the role that the user says masks are of
    "labels": None,
    "label": None,
    "masks": None,
    "mask": None,
}
_IMAGES = "images"
_INDEX = "index.json"
_UNUSED = ("-", "none")
_ROLE_OF: Mapping[str, ChannelRole] = {role: role for role in CHANNEL_ROLES}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnotatedImage:
    """One image and the cells that somebody outlined in it."""

    name: str
    group: str  # images of one experiment share it; its own name where nobody says
    planes: NDArray[Any]  # (C, Y, X) raw
    channels: Mapping[ChannelRole, tuple[int, ...]]
    masks: Mapping[CellRole, NDArray[np.int32]]  # (Y, X) of the roles that were outlined
    known: NDArray[np.bool_] | None  # (Y, X) where the masks can be trusted; None: everywhere
    pixel_um: tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadingSettings:
    """What somebody says of a folder's images; None leaves it to the files."""

    channels: tuple[ChannelRole | None, ...] | None = None  # of the planes in order; None: not to be used
    protocol: Protocol | None = None  # gives roles by the channels' names
    mask_role: CellRole = "target"
    pixel_um: tuple[float, float] | None = None


@dataclass(slots=True)
class _Files:
    """The files of one image."""

    image: Path | None = None
    annotations: dict[Annotation, Path] = field(default_factory=dict)


def parse_channels(text: str) -> tuple[ChannelRole | None, ...]:
    """Read "nuclei,death,-": the role of each plane in order, `-` for one that is not to be used.

    Raises:
        ProtocolError: A role is unknown, or none is left.
    """
    words = [word.strip() for word in text.split(",")]
    unknown = next((word for word in words if word not in (*CHANNEL_ROLES, *_UNUSED)), None)
    if unknown is not None:
        raise ProtocolError(
            f"--channels {text}: {unknown!r} is no role. Expected, in the order of the planes, "
            f"{', '.join(CHANNEL_ROLES)}, or - for a plane that is not to be used."
        )
    roles = tuple(_ROLE_OF.get(word) for word in words)
    if not any(roles):
        raise ProtocolError(f"--channels {text}: every plane is left out. Name at least one role.")
    return roles


def annotated_names(folder: Path, *, mask_role: CellRole) -> tuple[list[str], list[str]]:
    """Names of the images that have masks, and of those that have none and are left out.

    Raises:
        ImageError: As `read_annotated_images`.
    """
    files = _paired(folder, mask_role)
    with_masks = [name for name, of_one in files.items() if of_one.annotations.keys() & set(CELL_ROLES)]
    return with_masks, [name for name in files if name not in with_masks]


def read_annotated_images(folder: Path, settings: ReadingSettings) -> Iterator[AnnotatedImage]:
    """Read the images of a folder that have masks, in the order of their names.

    Pairs are `name.tif` with `name_labels.tif` (or `_label`, `_masks`, `_mask`, `_cp_masks`, `_targets`,
    `_effectors`), or `images/name.tif` with the same name in a folder `labels`, `masks`, `targets` or
    `effectors`. `name_area.tif` says where the masks were corrected, `name_ignore.tif` where they are not to be
    believed. An `index.json` may say per name `channels`, `pixel_um` (or `um_per_px`) and `experiment`.

    Raises:
        ImageError: There are no pairs, a mask lacks its image, or a file is broken or not what it must be.
        ShapeError: Image and mask differ in size, or an image has another number of channels than said.
        ProtocolError: It is not said which channel shows what.
        CalibrationError: An image has no pixel size.
    """
    files = _paired(folder, settings.mask_role)
    index = _read_index(folder)
    for name, of_one in files.items():
        if of_one.annotations.keys() & set(CELL_ROLES):
            yield _read(name, of_one, index.get(name, {}), settings)


def _paired(folder: Path, mask_role: CellRole) -> dict[str, _Files]:
    _refuse_other_folders(folder)
    found: dict[str, _Files] = {}
    for path in sorted(_pictures(folder), key=lambda path: natural_key(path.as_posix())):
        name, kind = _name_and_kind(path, folder, mask_role)
        of_one = found.setdefault(name, _Files())
        other = of_one.image if kind is None else of_one.annotations.get(kind)
        if other is not None:
            what = "images" if kind is None else f"{kind} masks"
            raise ImageError(f"{folder}: {other.name} and {path.name} are two {what} of {name!r}. Keep one.")
        if kind is None:
            of_one.image = path
        else:
            of_one.annotations[kind] = path
    if not found:
        raise ImageError(f"{folder}: holds no images ({', '.join(PICTURE_SUFFIXES)}). {_EXPECTED}")
    for name, of_one in found.items():
        if of_one.image is None:
            mask = next(iter(of_one.annotations.values()))
            raise ImageError(
                f"{folder}: {mask.name} is a mask, but there is no image {name!r} to it. {_EXPECTED}"
            )
    if not any(of_one.annotations.keys() & set(CELL_ROLES) for of_one in found.values()):
        raise ImageError(f"{folder}: none of its {len(found)} images has a mask. {_EXPECTED}")
    return found


_EXPECTED = "Expected pairs such as a.tif with a_labels.tif, or a folder images/ beside a folder masks/ with the same names."


def _refuse_other_folders(folder: Path) -> None:
    if not folder.is_dir():
        raise ImageError(f"{folder}: there is no such folder. {_EXPECTED}")
    if (folder / "provenance.json").is_file() or (folder / "ledger").is_dir():
        raise ImageError(
            f"{folder}: is a RESULTS folder, expected a folder of images with masks. {_EXPECTED}"
        )
    if any((folder / name).is_file() for name in ("zarr.json", ".zgroup", ".zattrs")):
        raise ImageError(f"{folder}: is OME-Zarr data, expected a folder of TIFF or PNG. {_EXPECTED}")


def _pictures(folder: Path) -> Iterator[Path]:
    for place in (folder, *(folder / name for name in (_IMAGES, *_ENDINGS))):
        if place.is_dir():
            yield from (
                path
                for path in place.iterdir()
                if path.suffix.lower() in PICTURE_SUFFIXES
                and path.is_file()
                and not path.name.startswith(".")
            )


def _name_and_kind(path: Path, folder: Path, mask_role: CellRole) -> tuple[str, Annotation | None]:
    """What image a file belongs to, and which annotation it is; None for the image itself."""
    stem = path.stem.removesuffix(".ome")
    place = path.parent.name if path.parent != folder else None
    if place == _IMAGES:
        return stem, None
    ending = next((ending for ending in _ENDINGS if stem.endswith(f"_{ending}")), None)
    name = stem if ending is None else stem.removesuffix(f"_{ending}")
    says = ending if place is None else place
    return (name, None) if says is None else (name, _ENDINGS[says] or mask_role)


def _read_index(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / _INDEX
    if not path.is_file():
        return {}
    try:
        said = json.loads(bounded_text(path, MAX_LIST_BYTES))
        return {str(entry["name"]): dict(entry) for entry in said}
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        raise ImageError(
            f'{path}: expected a list of entries such as {{"name": "a", "channels": ["Hoechst"], "pixel_um": 0.65}}. '
            "Mend it, or take it away."
        ) from None


def _read(name: str, files: _Files, said: Mapping[str, Any], settings: ReadingSettings) -> AnnotatedImage:
    assert files.image is not None
    picture = read_picture(files.image)
    planes = picture.planes
    _check_pixels(files.image, planes)
    masks: dict[CellRole, NDArray[np.int32]] = {}
    known: NDArray[np.bool_] | None = None
    for kind, path in files.annotations.items():
        drawn = read_picture(path).planes
        if drawn.shape != (1, *planes.shape[1:]):
            raise ShapeError(
                f"{path.name} has {_size(drawn)}, expected one plane of {planes.shape[1]} x {planes.shape[2]} pixels as "
                f"{files.image.name}. Is it the mask of another image?"
            )
        if kind in CELL_ROLES:
            masks[kind] = instance_mask(drawn[0], where=path.name)
        else:
            inside = area_mask(drawn[0], where=path.name)
            inside = inside if kind == "area" else ~inside
            known = inside if known is None else known & inside
    return AnnotatedImage(
        name=name,
        group=str(said.get("experiment") or name),
        planes=planes,
        channels=_channels(files.image, picture, said, settings),
        masks=masks,
        known=known,
        pixel_um=_pixel_um(files.image.name, picture, said, settings),
    )


def _size(planes: NDArray[Any]) -> str:
    count, height, width = planes.shape
    return f"{count} plane{'s' if count > 1 else ''} of {height} x {width} pixels"


def _check_pixels(path: Path, planes: NDArray[Any]) -> None:
    if planes.dtype.kind not in "buif":
        raise ImageError(f"{path.name}: pixels are {planes.dtype}, expected numbers.")
    lost = 0 if planes.dtype.kind != "f" else int((~np.isfinite(planes)).sum())
    if lost:
        raise ImageError(
            f"{path.name}: {lost} pixels are no numbers (NaN or infinite), expected finite ones. Mend the image, or take it "
            "out of the folder."
        )


def _channels(
    path: Path, picture: Picture, said: Mapping[str, Any], settings: ReadingSettings
) -> dict[ChannelRole, tuple[int, ...]]:
    n = len(picture.planes)
    if settings.channels is not None:
        if len(settings.channels) != n:
            colour = " It is a colour picture: export the raw channels." if picture.coloured else ""
            raise ShapeError(
                f"{path.name} has {n} channel{'s' if n > 1 else ''}, --channels names {len(settings.channels)}.{colour} "
                "Images with other channels are described one by one in index.json, with --protocol."
            )
        roles: dict[ChannelRole, tuple[int, ...]] = {}
        for plane, role in enumerate(settings.channels):
            if role is not None:
                roles[role] = (*roles.get(role, ()), plane)
        return roles
    names = _names(path, picture, said)
    if settings.protocol is None:
        there = ", ".join(map(repr, names)) if names else f"{n} without names"
        raise ProtocolError(
            f"{path.name}: it is not said what its channels show (there: {there}). Give --channels with the roles in order, "
            "e.g. --channels nuclei,death,brightfield, or --protocol with their names."
        )
    if not names:
        raise ProtocolError(
            f"{path.name}: its {n} channels have no names that a protocol could speak of. Give --channels instead, or name "
            "them in index.json."
        )
    by_name = {
        role: tuple(names.index(name) for name in wanted if name in names)
        for role, wanted in settings.protocol.channels.items()
    }
    kept = {role: places for role, places in by_name.items() if places}
    if not kept:
        raise ProtocolError(
            f"{path.name}: none of the protocol's channels is among its own, {', '.join(map(repr, names))}."
        )
    return kept


def _names(path: Path, picture: Picture, said: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the channels from index.json, else from the file; empty where nobody says."""
    listed = said.get("channels")
    if listed is None:
        named = tuple(name for name in picture.channel_names if name)
        return named if len(named) == len(picture.planes) else ()
    if not isinstance(listed, Sequence) or isinstance(listed, str) or len(listed) != len(picture.planes):
        raise ShapeError(
            f"{path.name} has {len(picture.planes)} channels, {_INDEX} says channels = {listed!r}. Expected one name each."
        )
    return tuple(map(str, listed))


def _pixel_um(
    file: str, picture: Picture, said: Mapping[str, Any], settings: ReadingSettings
) -> tuple[float, float]:
    of_protocol = settings.protocol.calibration.pixel_um if settings.protocol else None
    given = (
        settings.pixel_um or of_protocol or said.get("pixel_um") or said.get("um_per_px") or picture.pixel_um
    )
    if given is None:
        raise CalibrationError(
            f"{file}: no pixel size is known, and cells cannot be brought to the model's scale without it. Give the true "
            "one, e.g. --pixel-um 0.65."
        )
    try:
        y, x = given if isinstance(given, Sequence) else (given, given)
        return Calibration(pixel_um=(float(y), float(x))).pixel_um
    except (AssayError, TypeError, ValueError) as error:
        raise CalibrationError(f"{file}: {error}") from None
