"""One picture in a file of its own: its planes, and what the file says of pixel size and channel names.

For images and masks that people made with other programs, so any number type is taken; whether the numbers
make sense is asked by whoever knows what the picture shows. A film or a z-stack is no picture.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

from assay.errors import ImageError
from assay.foreign_files import bounded_bytes
from assay.io.chunk_sizes import ALWAYS_ALLOWED_BYTES, MAX_SWELLING
from assay.io.importers.imagej_text import imagej_calibration, imagej_channel_names
from assay.io.importers.ome_xml import parse_ome_xml
from assay.io.importers.tiff_pages import require_whole_chain, scan_pages

PICTURE_SUFFIXES = (".tif", ".tiff", ".png")
MAX_CHANNELS = 16
MAX_PICTURE_BYTES = 2 << 30
_COLOURED = (2, 3)  # photometric: RGB, palette
# what the codecs let out of damaged files
_BROKEN = (
    tifffile.TiffFileError, imagecodecs.PngError, ValueError, TypeError, ArithmeticError, LookupError,
    AttributeError, RuntimeError, MemoryError, OSError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A picture of one moment."""

    planes: NDArray[Any]  # (C, Y, X)
    channel_names: tuple[str | None, ...]  # None: the file does not say
    pixel_um: tuple[float, float] | None
    coloured: bool  # the file says that its planes are red, green and blue


def read_picture(path: Path) -> Picture:
    """Read a TIFF or PNG of one moment.

    Of three axes the one that the file calls channels, else the short one, counts channels.

    Raises:
        ImageError: It is no TIFF or PNG, cut off, broken, or holds more than one moment or depth.
    """
    try:
        if path.suffix.lower() == ".png":
            array = _png(path)
            planes = _channels_first(path, array, "YXS"[: array.ndim])
            return Picture(
                planes=planes, channel_names=(None,) * len(planes), pixel_um=None, coloured=array.ndim > 2
            )
        _require_chain(path)
        with tifffile.TiffFile(path) as tiff:
            return _of_tiff(path, tiff)
    except ImageError:
        raise
    except _BROKEN as error:
        raise ImageError(
            f"{path.name}: cannot be read as an image ({error}). Copy or export it again, as TIFF or PNG."
        ) from None


def _require_chain(path: Path) -> None:
    try:
        require_whole_chain(path)
    except ImageError as error:
        raise ImageError(f"{path.name}: cannot be read as an image ({error})") from None


def _png(path: Path) -> NDArray[Any]:
    """The size stands in the first bytes; what it says is asked of memory, so it is looked at first."""
    data = bounded_bytes(path, MAX_PICTURE_BYTES)
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    _require_size(path, height * width * 8, len(data))  # at most 4 values of 16 bits
    return np.asarray(imagecodecs.png_decode(data))


def _require_size(path: Path, decoded: int, size: int) -> None:
    if decoded > MAX_PICTURE_BYTES or (decoded > ALWAYS_ALLOWED_BYTES and decoded > MAX_SWELLING * size):
        raise ImageError(
            f"{path.name}: {decoded / 1e6:.0f} MB of pixels are declared in {size} bytes, which no picture is. Export it again."
        )


def _require_honest(path: Path, tiff: tifffile.TiffFile, size: int) -> None:
    """What the texts of a TIFF file claim is held against its pages, before anything as long as a claim is made."""
    planes = sum(int(page.samplesperpixel) for page in tiff.pages)
    if tiff.is_ome:
        said = parse_ome_xml(str(tiff.ome_metadata), path.name)
        declared = sum(image.declared_planes for image in said)
        others = {name for image in said for name in image.file_names} - {path.name}
        if others or declared > planes:
            raise ImageError(
                f"{path.name} speaks of {declared} planes or of other files, {planes} planes are in it. Save it as one file."
            )
    first = tiff.pages[0]
    claims = [int(first.imagelength) * int(first.imagewidth) * int(first.samplesperpixel)]
    if first.is_tiled:
        claims.append(int(first.tilelength) * int(first.tilewidth) * int(first.samplesperpixel))
    if first.dtype is not None:
        _require_size(path, max(claims) * int(first.dtype.itemsize), size)


def _of_tiff(path: Path, tiff: tifffile.TiffFile) -> Picture:
    size = path.stat().st_size
    _require_honest(path, tiff, size)
    series = tiff.series[0]
    _require_size(path, int(series.nbytes), size)
    if len(tiff.series) > 1:
        raise ImageError(
            f"{path.name} holds {len(tiff.series)} images, expected one a file. Save them apart."
        )
    for page in series.pages:
        if page is None or any(
            count <= 0 or offset + count > size
            for offset, count in zip(page.dataoffsets, page.databytecounts, strict=True)
        ):
            raise ImageError(f"{path.name} is cut off: some of its pixels are not there. Copy it again.")
    page = tiff.pages[0]
    coloured = int(page.photometric) == _COLOURED[1] or (
        int(page.photometric) == _COLOURED[0] and int(page.planarconfig or 1) == 1
    )
    planes = _channels_first(path, series.asarray(), series.axes)
    names: tuple[str | None, ...] = (None,) * len(planes)
    pixel_um = None
    if tiff.is_ome:
        said = parse_ome_xml(str(tiff.ome_metadata), path.name)[0]
        pixel_um, found = said.pixel_um, said.channel_names
        names = found if len(found) == len(planes) else names
    elif tiff.is_imagej:
        text: Mapping[str, Any] = dict(tiff.imagej_metadata or {})
        pixel_um, _ = imagej_calibration(text, scan_pages(path).resolution)
        names = imagej_channel_names(text, len(planes), 1)
    return Picture(planes=planes, channel_names=names, pixel_um=pixel_um, coloured=coloured)


def _channels_first(path: Path, array: NDArray[Any], axes: str) -> NDArray[Any]:
    """(C, Y, X) of what the file holds; axes of length 1 are left out."""
    kept = [axis for axis, length in zip(axes, array.shape, strict=True) if length > 1 or axis in "YX"]
    shape = tuple(
        length for axis, length in zip(axes, array.shape, strict=True) if length > 1 or axis in "YX"
    )
    array = array.reshape(shape)
    if array.ndim == 2:
        return array[None]
    if array.ndim != 3 or set(kept) & set("TZ"):
        raise ImageError(
            f"{path.name} has the axes {axes} of lengths {array.shape}, expected one moment: (Y, X), (C, Y, X) or "
            "(Y, X, C). Save one frame and one slice a file."
        )
    by_name = next((place for place, axis in enumerate(kept) if axis in "CS"), None)
    short = [place for place in (0, 2) if shape[place] <= MAX_CHANNELS and shape[place] < shape[1]]
    place = by_name if by_name is not None else (short[0] if len(short) == 1 else None)
    if place is None:
        raise ImageError(
            f"{path.name} has shape {shape}: which axis counts the channels cannot be told. Expected (Y, X), or the "
            f"channels, at most {MAX_CHANNELS}, first or last."
        )
    return np.moveaxis(array, place, 0)
