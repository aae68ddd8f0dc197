"""One TIFF file -> its images: how many frames and channels, where each plane lies, calibration and names.

Reads OME-TIFF, ImageJ hyperstacks, tifffile's own stacks and plain TIFFs. What a file does not say stays None
and is asked for later; what it says and does not hold is an error here.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from assay.errors import ImageError, VendorFileError
from assay.foreign_files import MAX_SETTINGS_BYTES, bounded_text
from assay.io.importers.imagej_text import imagej_calibration, imagej_channel_names
from assay.io.importers.ome_xml import OmeImage, parse_ome_xml
from assay.io.importers.tiff_pages import PlaneSource, TiffPages, scan_pages

AXES = ("YX", "CYX", "TYX", "TCYX", "CTYX")


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffImage:
    """One image of a TIFF file: a film of one field, or one plane of it."""

    path: Path
    frames: int
    channels: int
    shape: tuple[int, int]  # (Y, X)
    dtype: np.dtype[Any]
    planes: tuple[PlaneSource, ...]  # frame by frame, within a frame channel by channel
    channel_names: tuple[str | None, ...]  # None: the file does not say
    pixel_um: tuple[float, float] | None = None
    frame_min: float | None = None
    frame_note: str = ""  # why there is no frame interval
    well: str | None = None  # from the Plate of the OME-XML
    field: int | None = None
    label: str = ""  # the image's own name, where a file holds several
    warnings: tuple[str, ...] = ()

    def plane(self, frame: int, channel: int) -> PlaneSource:
        """Where one plane lies."""
        return self.planes[frame * self.channels + channel]


def read_tiff_images(
    path: Path, *, axes: str | None, channels: Sequence[str] | None, labels: bool = False
) -> list[TiffImage]:
    """Read what the headers of one file say, no pixels.

    Args:
        path: A TIFF file.
        axes: What the pages are, e.g. "TCYX", where the file does not say, or says it wrongly.
        channels: Names given by hand; their number tells how many channels there are.
        labels: The values are labels, see `scan_pages`.

    Raises:
        ImageError: The file is no TIFF, in colour, or cut off: declared planes are not all there.
        VendorFileError: It is a z-stack, one of a set of files, or does not say what its pages are.
    """
    pages = scan_pages(path, labels=labels)
    if pages.is_ome and axes is None:
        return _ome_images(pages)
    if pages.is_ome:
        parsed = parse_ome_xml(pages.description, path.name)
        if len(parsed) > 1:
            raise VendorFileError(
                f"{path.name} holds {len(parsed)} images; --axes speaks of files with one. Leave it out."
            )
        declared = parsed[0].declared_planes
        _require_planes(pages, declared)
        image = _stack(pages, declared, _by_hand(path, declared, axes or "", channels))
        first = parsed[0]
        return [_with_sidecar(replace(image, pixel_um=first.pixel_um, frame_min=first.frame_min()[0]))]
    if pages.is_imagej:
        return [_with_sidecar(_imagej_image(pages, axes, channels))]
    return [_with_sidecar(_plain_image(pages, axes, channels))]


def _ome_images(pages: TiffPages) -> list[TiffImage]:
    parsed = parse_ome_xml(pages.description, pages.path.name)
    others = sorted({name for image in parsed for name in image.file_names} - {pages.path.name})
    if others and sum(image.declared_planes for image in parsed) > pages.planes_found:
        raise VendorFileError(
            f"{pages.path.name} is one of a set of OME-TIFF files (others: {', '.join(others[:3])}). Sets are not "
            "supported yet: save each position as one file, or export single planes and use --pattern."
        )
    _require_planes(pages, sum(image.declared_planes for image in parsed))
    images, first_page = [], 0
    for number, image in enumerate(parsed):
        images.append(_ome_image(pages, image, first_page, number if len(parsed) > 1 else None))
        first_page += image.declared_planes
    if len(images) > 1 and images[0].well is None:
        named = ", ".join(image.label for image in images[:6]) + (" ..." if len(images) > 6 else "")
        told = f"{pages.path.name} holds {len(images)} images ({named}); they became fields 0 to {len(images) - 1}."
        images[0] = replace(images[0], warnings=(*images[0].warnings, told))
    return images


def _ome_image(pages: TiffPages, image: OmeImage, first_page: int, number: int | None) -> TiffImage:
    where = pages.path.name if number is None else f"{pages.path.name}, image {image.name or number + 1}"
    frames, channels, depth = image.size("T"), image.size("C"), image.size("Z")
    if depth > 1:
        _refuse_z(where, depth, frames)
    if any(channel.get("SamplesPerPixel", "1") not in ("", "1") for channel in image.channels):
        raise ImageError(f"{where} is a colour picture, expected grey values, one plane a channel.")
    declared_shape = (image.pixels.get("SizeY"), image.pixels.get("SizeX"))
    if declared_shape != (str(pages.shape[0]), str(pages.shape[1])):
        raise ImageError(
            f"{where}: the OME-XML says planes of {declared_shape} pixels (y, x), the pages are {pages.shape}."
        )
    frame_min, frame_note = image.frame_min()
    return TiffImage(
        path=pages.path,
        frames=frames,
        channels=channels,
        shape=pages.shape,
        dtype=pages.dtype,
        planes=_ome_planes(pages, image, first_page, where),
        channel_names=image.channel_names,
        pixel_um=image.pixel_um,
        frame_min=frame_min,
        frame_note=frame_note,
        well=image.well,
        field=image.well_field if image.well is not None else number,
        label=(image.name or str(number + 1)) if number is not None else "",
        warnings=pages.warnings,
    )


def _ome_planes(pages: TiffPages, image: OmeImage, first_page: int, where: str) -> tuple[PlaneSource, ...]:
    try:
        lies = image.plane_pages(first_page)
    except ValueError as error:
        raise ImageError(f"{where}: TiffData of the OME-XML is not understood ({error}).") from error
    planes: list[PlaneSource] = []
    used: set[int] = set()
    for frame in range(image.size("T")):
        for channel in range(image.size("C")):
            page = lies.get((frame, channel, 0))
            if page is None or not 0 <= page < pages.planes_found or page in used:
                raise ImageError(
                    f"{where}: the OME-XML gives no page of its own to frame {frame}, channel {channel}. Expected "
                    f"{image.declared_planes} planes. Export the file again."
                )
            used.add(page)
            planes.append(_source(pages, page))
    return tuple(planes)


def _imagej_image(pages: TiffPages, axes: str | None, channels: Sequence[str] | None) -> TiffImage:
    said, name = pages.imagej, pages.path.name
    n_c, n_z, n_t = (_count(name, said, key, 1) for key in ("channels", "slices", "frames"))
    declared = _count(name, said, "images", n_c * n_z * n_t)
    _require_planes(pages, declared)
    if axes is not None:
        order = _by_hand(pages.path, declared, axes, channels)
    elif n_c * n_z * n_t != declared:
        _ask_axes(pages.path, declared)
    elif n_z > 1:
        _refuse_z(name, n_z, n_t)
    else:
        order = [(frame, channel) for frame in range(n_t) for channel in range(n_c)]
    image = _stack(pages, declared, order)
    pixel_um, frame_min = imagej_calibration(said, pages.resolution)
    names = imagej_channel_names(said, image.channels, image.frames)
    return replace(image, pixel_um=pixel_um, frame_min=frame_min, channel_names=names)


def _count(name: str, said: dict[str, Any], key: str, default: int) -> int:
    value = said.get(key, default)
    if not isinstance(value, int) or value < 1:
        raise ImageError(f"{name}: ImageJ's text says {key} = {value!r}, expected a number of 1 or more.")
    return value


def _plain_image(pages: TiffPages, axes: str | None, channels: Sequence[str] | None) -> TiffImage:
    shape, said = _shaped(pages.description)
    planes = 1
    for length in shape[:-2]:
        planes *= length
    # a stack of tifffile's own may have all its planes behind one page
    declared = planes if shape[-2:] == pages.shape else pages.planes_found + (pages.cut_off is not None)
    _require_planes(pages, declared)
    if axes is None and said is not None and declared > 1:
        lengths = dict(zip(said, shape, strict=True))
        if lengths.get("Z", 1) > 1:
            _refuse_z(pages.path.name, lengths["Z"], lengths.get("T", 1))
        kept = "".join(axis for axis in said if lengths[axis] > 1 or axis in "YX")
        if kept in ("CYX", "TYX"):
            axes = kept
        elif kept in ("TCYX", "CTYX"):
            return _stack(pages, declared, _pairs(kept, lengths["T"], lengths["C"]))
    if axes is None and declared > 1 and channels is not None and len(channels) == declared:
        axes = "CYX"  # as many names as planes: nothing else is possible
    if axes is None and declared > 1:
        if pages.samples > 1:
            raise ImageError(
                f"{pages.path.name} is marked as a colour picture of {pages.samples} planes. If they are channels, "
                "say so with --axes CYX and name them with --channels."
            )
        _ask_axes(pages.path, declared)
    return _stack(pages, declared, _by_hand(pages.path, declared, axes or "YX", channels))


def _shaped(description: str) -> tuple[tuple[int, ...], str | None]:
    """Shape and axes in the description tifffile writes; nothing where it is of another program."""
    if not description.startswith('{"shape"'):
        return (), None
    try:
        said = json.loads(description)
    except (ValueError, RecursionError):
        return (), None
    shape = said.get("shape")
    if not isinstance(shape, list) or len(shape) < 2 or not all(isinstance(n, int) and n > 0 for n in shape):
        return (), None
    axes = said.get("axes")
    fits = isinstance(axes, str) and len(axes) == len(shape) and len(set(axes)) == len(axes)
    return tuple(shape), axes.upper() if fits else None


def _by_hand(path: Path, planes: int, axes: str, channels: Sequence[str] | None) -> list[tuple[int, int]]:
    """(frame, channel) of each plane in the order of the pages, by the axes somebody gave."""
    if axes not in AXES:
        raise VendorFileError(f"--axes {axes} is not understood. Expected one of {', '.join(AXES)}.")
    if axes == "YX" and planes > 1:
        raise VendorFileError(
            f"{path.name} holds {planes} planes, --axes YX expects 1. Give CYX, TYX or TCYX."
        )
    if axes in ("YX", "TYX"):
        return _pairs("TCYX", planes, 1)
    if axes == "CYX":
        return _pairs("TCYX", 1, planes)
    if not channels:
        raise VendorFileError(
            f"{path.name}: --axes {axes} needs the channels' names too, e.g. --channels GFP,PI."
        )
    if planes % len(channels):
        raise VendorFileError(
            f"{path.name} holds {planes} planes, which {len(channels)} channels ({', '.join(channels)}) do not divide."
        )
    return _pairs(axes, planes // len(channels), len(channels))


def _pairs(axes: str, frames: int, channels: int) -> list[tuple[int, int]]:
    if axes == "CTYX":
        return [(frame, channel) for channel in range(channels) for frame in range(frames)]
    return [(frame, channel) for frame in range(frames) for channel in range(channels)]


def _stack(pages: TiffPages, declared: int, order: list[tuple[int, int]]) -> TiffImage:
    frames, channels = 1 + max(t for t, _ in order), 1 + max(c for _, c in order)
    number = {place: plane for plane, place in enumerate(order)}
    behind_one = len(pages.pages) == 1 and pages.samples == 1 and declared > 1
    planes = []
    for frame in range(frames):
        for channel in range(channels):
            plane = number[frame, channel]
            offset = pages.data_offset + plane * pages.plane_bytes if behind_one else None
            planes.append(_source(pages, 0 if behind_one else plane, offset))
    return TiffImage(
        path=pages.path,
        frames=frames,
        channels=channels,
        shape=pages.shape,
        dtype=pages.dtype,
        planes=tuple(planes),
        channel_names=(None,) * channels,
        warnings=pages.warnings,
    )


def _source(pages: TiffPages, plane: int, offset: int | None = None) -> PlaneSource:
    page, sample = divmod(plane, pages.samples)
    return PlaneSource(
        path=pages.path, page=pages.pages[page], sample=sample if pages.samples > 1 else None, offset=offset
    )


def _require_planes(pages: TiffPages, declared: int) -> None:
    """Refuse a file that holds fewer planes than it declares, before anything is made as long as it says."""
    found = pages.planes_found
    if declared < 1:
        raise ImageError(f"{pages.path.name} holds no full-size image, only smaller copies. Export it again.")
    if found == 1 and declared > 1 and not pages.compressed:  # all planes may lie behind one page
        found = max(0, (pages.size - pages.data_offset) // pages.plane_bytes)
    broken = pages.cut_off is not None
    if found >= declared and not broken:
        if pages.planes_found > max(declared, 1):
            raise ImageError(
                f"{pages.path.name}: {declared} planes declared, {pages.planes_found} found. "
                "The file was changed after it was written; export it again."
            )
        return
    reason = f"{pages.cut_off}; the file has {pages.size} bytes" if broken else "the rest is not in the file"
    at_least = "" if pages.is_ome or pages.is_imagej or _shaped(pages.description)[0] else "at least "
    raise ImageError(
        f"{pages.path.name} is cut off: expected {at_least}{declared} planes, found {min(found, declared)} complete "
        f"({reason}). Copy or export it again."
    )


def _refuse_z(where: str, depth: int, frames: int) -> NoReturn:
    hint = " If they are frames of a film, say so with --axes TYX or TCYX." if frames == 1 else ""
    raise VendorFileError(
        f"{where} is a z-stack of {depth} slices, expected one slice. Projection is not yet supported: project it "
        f"first, e.g. in Fiji, Image > Stacks > Z Project.{hint}"
    )


def _ask_axes(path: Path, planes: int) -> NoReturn:
    raise VendorFileError(
        f"{path.name} holds {planes} planes and does not say whether they are channels or frames. Give --axes CYX "
        "(channels), --axes TYX (frames of one channel) or --axes TCYX with --channels."
    )


def _with_sidecar(image: TiffImage) -> TiffImage:
    """Take pixel size and names from a Celldetective file of the same name, where the image has none."""
    beside = image.path.with_suffix(".json")
    if not beside.is_file():
        return image
    try:
        said = json.loads(bounded_text(beside, MAX_SETTINGS_BYTES))
    except (OSError, ValueError, RecursionError):
        return image
    if not isinstance(said, dict) or "spatial_calibration" not in said:
        return image
    names, size = said.get("channels"), said["spatial_calibration"]
    warnings = [
        f"{image.path.name}: pixel size and channel names as {beside.name} says, where the image is silent."
    ]
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        if len(names) != image.channels:
            raise ImageError(
                f"{beside.name} names {len(names)} channels, {image.path.name} has {image.channels}."
            )
        kept = tuple(own or name for own, name in zip(image.channel_names, names, strict=True))
        image = replace(image, channel_names=kept)
    if image.pixel_um is None and isinstance(size, int | float) and not isinstance(size, bool) and size > 0:
        image = replace(image, pixel_um=(float(size), float(size)))
    return replace(image, warnings=(*image.warnings, *warnings))
