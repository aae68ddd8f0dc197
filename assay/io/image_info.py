"""What the metadata of an OME-Zarr image says, 0.4 or 0.5, and what it does not say.

Nothing is guessed: a scale of 1 without a unit is no pixel size.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assay.errors import CalibrationError, ImageError
from assay.io.guard import inner_path, read_json
from assay.io.metadata import BLOCK
from assay.labels import CHANNEL_ROLES
from assay.protocol import CalibrationSettings
from assay.units import Calibration

VERSIONS = ("0.4", "0.5")
_MICROMETRES = {
    "angstrom": 1e-4,
    "nanometer": 1e-3,
    "nm": 1e-3,
    "micrometer": 1.0,
    "micron": 1.0,
    "um": 1.0,
    "\u00b5m": 1.0,
    "\u03bcm": 1.0,
    "millimeter": 1e3,
    "mm": 1e3,
    "centimeter": 1e4,
    "meter": 1e6,
}
_PER_MINUTE = {  # how many of the unit make a minute
    "microsecond": 6e7,
    "millisecond": 6e4,
    "ms": 6e4,
    "second": 60.0,
    "s": 60.0,
    "minute": 1.0,
    "min": 1.0,
    "hour": 1 / 60,
    "h": 1 / 60,
    "day": 1 / 1440,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInfo:
    """An image's metadata; None is what it does not say."""

    array_path: str  # full size, inside the store
    axes: str
    channel_labels: tuple[str, ...]
    channel_roles: Mapping[str, str]  # only plates that killassay wrote have these
    pixel_um: tuple[float, float] | None
    frame_min: float | None
    missing_frames: frozenset[int]
    source_files: tuple[str, ...]
    channel_windows: tuple[tuple[float, float] | None, ...] = ()  # start and end to display

    def channel_names(self, n_channels: int, where: str) -> tuple[str, ...]:
        """One name per channel, no two alike: channels of one name are numbered, all of them, so that nobody guesses.

        Raises:
            ImageError: More channels are named than there are, so nobody knows which is which.
        """
        labels = self.channel_labels
        if len(labels) > n_channels:
            raise ImageError(
                f"{where}: its metadata name {len(labels)} channels ({', '.join(labels[:6])}), the image has {n_channels} "
                "channels. Export it again."
            )
        labels += tuple(f"channel_{index}" for index in range(len(labels), n_channels))
        return tuple(
            f"{label} ({index})" if labels.count(label) > 1 else label for index, label in enumerate(labels)
        )

    def calibration(self, where: str, n_frames: int, given: CalibrationSettings) -> Calibration:
        """Pixel size and frame interval; what is given by hand goes before what the image says.

        Raises:
            CalibrationError: One of them is neither given nor in the image.
        """
        pixel_um = given.pixel_um or self.pixel_um
        frame_min = given.frame_min if given.frame_min is not None else self.frame_min
        if pixel_um is None:
            raise CalibrationError(
                f"{where}: the image has no pixel size, so distances in um cannot be measured. "
                "Give it in the protocol file, e.g. [calibration] pixel_um = [0.65, 0.65]."
            )
        if frame_min is None and n_frames > 1:
            raise CalibrationError(
                f"{where}: the film has {n_frames} frames but no frame interval, so times in minutes cannot be "
                "measured. Give it in the protocol file, e.g. [calibration] frame_min = 4.0."
            )
        try:
            return Calibration(pixel_um=pixel_um, frame_min=frame_min if n_frames > 1 else None)
        except CalibrationError as error:
            raise CalibrationError(f"{where}: {error}") from error


def group_attributes(folder: Path, where: str) -> dict[str, Any]:
    """All attributes of a group, zarr v2 or v3.

    Raises:
        ImageError: There is no group.
    """
    if (folder / "zarr.json").is_file():
        attributes = read_json(folder / "zarr.json", where).get("attributes") or {}
    elif (folder / ".zattrs").is_file():
        attributes = read_json(folder / ".zattrs", where)
    else:
        raise ImageError(
            f"{where}: {folder.name} is no OME-Zarr group (it has neither zarr.json nor .zattrs)."
        )
    if not isinstance(attributes, dict):
        raise ImageError(f"{where}: the attributes of {folder.name} are damaged.")
    return attributes


def ome_of(attributes: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The OME part of a group's attributes.

    Raises:
        ImageError: An OME-Zarr version that is not read.
    """
    ome = attributes.get("ome", attributes)
    if not isinstance(ome, Mapping):
        raise ImageError(f"{where}: the OME metadata is damaged.")
    version = ome.get("version")
    if version is not None and version not in VERSIONS:
        raise ImageError(
            f"{where}: OME-Zarr version {version!s:.60} is not read. Expected {' or '.join(VERSIONS)}."
        )
    return ome


def image_info(root: Path, group: str, where: str) -> ImageInfo:
    """Read an image's metadata.

    Raises:
        ImageError: It is missing, damaged, or asks for what is not supported.
    """
    folder = inner_path(root, group, where) if group else root
    attributes = group_attributes(folder, where)
    ome = ome_of(attributes, where)
    try:
        multiscales = ome["multiscales"][0]
        axes = [axis if isinstance(axis, Mapping) else {"name": axis} for axis in multiscales["axes"]]
        level = multiscales["datasets"][0]
        names = [str(axis["name"]).lower() for axis in axes]
        scale = _scale(len(axes), level, multiscales)
        inner_path(folder, level["path"], where)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError(
            f"{where}: the image's multiscales metadata is damaged or incomplete ({error!r:.200})."
        ) from error
    version = multiscales.get("version")
    if version is not None and version not in VERSIONS:
        raise ImageError(
            f"{where}: OME-Zarr version {version!s:.60} is not read. Expected {' or '.join(VERSIONS)}."
        )
    if set(names) - set("tczyx") or len(set(names)) != len(names) or not {"y", "x"} <= set(names):
        raise ImageError(
            f"{where}: axes {', '.join(names):.100} are not read. Expected some of t, c, z, y and x."
        )
    units = {name: _text(axis.get("unit")) for name, axis in zip(names, axes, strict=True)}
    scales = dict(zip(names, scale, strict=True))
    record = attributes.get(BLOCK)
    record = record if isinstance(record, Mapping) else {}
    ours = _ours(record, where)
    return ImageInfo(
        array_path=f"{group}/{level['path']}".lstrip("/"),
        axes="".join(names),
        channel_labels=_labels(ome),
        channel_roles=ours[0],
        pixel_um=_pixel_um(scales, units, where),
        frame_min=_frame_min(scales, units, where),
        missing_frames=ours[1],
        source_files=ours[2],
        channel_windows=_windows(ome),
    )


def _ours(record: Mapping[str, Any], where: str) -> tuple[dict[str, str], frozenset[int], tuple[str, ...]]:
    """Channel roles, missing frames and source files of our own block, which anybody can have written."""
    try:
        roles = dict(record.get("channel_roles") or {})
        missing = frozenset(int(frame) for frame in record.get("missing_frames") or ())
        sources = tuple(str(name) for name in record.get("source_files") or ())
        return {str(name): role for name, role in roles.items() if role in CHANNEL_ROLES}, missing, sources
    except (TypeError, ValueError, OverflowError) as error:
        raise ImageError(
            f"{where}: killassay's own block of the metadata is damaged ({error!r:.200})."
        ) from error


def _text(value: Any) -> str | None:
    return value if value is None else f"{value!s:.80}"


def _scale(n_axes: int, level: Mapping[str, Any], multiscales: Mapping[str, Any]) -> list[float]:
    """Scale of the level times that of the whole multiscales."""
    scale = [1.0] * n_axes
    for holder in (level, multiscales):
        for transformation in holder.get("coordinateTransformations") or ():
            if transformation.get("type") == "scale":
                factors = [float(factor) for factor in transformation["scale"]]
                scale = [a * b for a, b in zip(scale, factors, strict=True)]
    return scale


def _labels(ome: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        str(channel.get("label") or f"channel_{index}") for index, channel in enumerate(_channels(ome))
    )


def _windows(ome: Mapping[str, Any]) -> tuple[tuple[float, float] | None, ...]:
    """What to display of each channel; None where nobody says or it is no range of numbers."""
    found: list[tuple[float, float] | None] = []
    for channel in _channels(ome):
        window = channel.get("window")
        ends = [window.get(end) for end in ("start", "end")] if isinstance(window, Mapping) else []
        numbers = [float(end) for end in ends if isinstance(end, int | float) and math.isfinite(end)]
        found.append((numbers[0], numbers[1]) if len(numbers) == 2 and numbers[0] < numbers[1] else None)
    return tuple(found)


def _channels(ome: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    omero = ome.get("omero")
    channels: Sequence[Any] = omero.get("channels") or () if isinstance(omero, Mapping) else ()
    return [channel if isinstance(channel, Mapping) else {} for channel in channels]


def _pixel_um(
    scales: Mapping[str, float], units: Mapping[str, Any], where: str
) -> tuple[float, float] | None:
    if all(units[axis] is None and scales[axis] == 1.0 for axis in "yx"):
        return None
    sizes = []
    for axis in "yx":
        factor = _MICROMETRES.get(units[axis] or "micrometer")
        if factor is None:
            raise ImageError(
                f"{where}: the unit {units[axis]!r} of axis {axis} is not known. Expected micrometer or another "
                "unit of length."
            )
        sizes.append(scales[axis] * factor)
    return sizes[0], sizes[1]


def _frame_min(scales: Mapping[str, float], units: Mapping[str, Any], where: str) -> float | None:
    """None without a unit: seconds and minutes are both common."""
    if "t" not in scales or units["t"] is None:
        return None
    per_minute = _PER_MINUTE.get(units["t"])
    if per_minute is None:
        raise ImageError(
            f"{where}: the unit {units['t']!r} of axis t is not known. Expected second or minute."
        )
    return scales["t"] / per_minute
