"""The pages of a TIFF file, and the pixels of one page: complete, or an error that says what is cut off.

Knows TIFF and tifffile. Knows nothing of channels, frames, wells or micrometres. tifffile itself takes a file
that was cut off for a shorter one and fills strips that are too short with zeros; here both are errors.
"""

import itertools
import logging
import stat
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from numpy.typing import NDArray

from assay.errors import ImageError
from assay.io.importers.tiff_limits import require_no_bomb, require_same_size

# what tifffile would print is said here, with the file's name
logging.getLogger("tifffile").addHandler(logging.NullHandler())

MAX_PLANE_PIXELS = 2**30
MAX_PAGES = 4_000_000
MAX_TEXT_BYTES = 64 << 20  # of one tag
PIXEL_TYPES = ("uint8", "uint16", "uint32", "int16", "float32")
LABEL_TYPES = (*PIXEL_TYPES, "bool", "int8", "int32", "int64", "uint64", "float64")

# what tifffile and its codecs let out of damaged files
_BROKEN = (
    tifffile.TiffFileError, ValueError, TypeError, ArithmeticError, LookupError, AttributeError, RuntimeError, OSError,
    MemoryError, struct.error, zlib.error,
)  # fmt: skip
# bytes of one value of a tag, by the type's number
_TAG_BYTES = dict(enumerate((0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4, 0, 0, 8, 8, 8)))
_TEXT_TAGS = (1, 2, 7)  # types of tags: bytes, text, anything
_REDUCED = 1  # bit of NewSubfileType: a smaller copy of another page


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaneSource:
    """Where the pixels of one plane lie in a TIFF file."""

    path: Path
    page: int  # number in the file's chain of pages
    sample: int | None = None  # which of the planes that share the page
    offset: int | None = None  # byte where the pixels lie, for planes without a page of their own


@dataclass(frozen=True, slots=True, kw_only=True)
class TiffPages:
    """What the headers of one TIFF file say about its pages."""

    path: Path
    size: int  # bytes
    shape: tuple[int, int]  # (Y, X) of every page
    dtype: np.dtype[Any]
    pages: tuple[int, ...]  # numbers of the full-size pages
    samples: int  # planes that share one page
    description: str
    is_imagej: bool
    is_ome: bool
    imagej: dict[str, Any]
    resolution: tuple[float, float] | None  # pixels per unit (y, x), as the tags say
    data_offset: int
    compressed: bool
    cut_off: str | None  # how the file was found to end too early, None where it does not
    warnings: tuple[str, ...]

    @property
    def plane_bytes(self) -> int:
        """Bytes of one plane, uncompressed."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    @property
    def planes_found(self) -> int:
        """Planes that lie completely in the file."""
        return len(self.pages) * self.samples


def scan_pages(path: Path, *, labels: bool = False) -> TiffPages:
    """Read the headers of all pages of a TIFF file, no pixels.

    Args:
        path: A TIFF file.
        labels: The values are labels: of more types, and a palette only colours them.

    Raises:
        ImageError: The file is not a TIFF, is empty, holds colour or several sizes of image. Planes
            that are cut off are told in `cut_off`, for the caller knows how many planes there should be.
    """
    size, reachable, broken_chain = _walk_chain(path)
    try:
        with tifffile.TiffFile(path) as tiff:
            return _scan(path, size, tiff, reachable, broken_chain, labels=labels)
    except ImageError:
        raise
    except _BROKEN as error:
        raise ImageError(
            f"{path.name}: the TIFF headers cannot be read ({error}). Copy or export it again."
        ) from error


def _scan(
    path: Path,
    size: int,
    tiff: tifffile.TiffFile,
    reachable: int,
    broken_chain: str | None,
    *,
    labels: bool,
) -> TiffPages:
    first = tiff.pages[0]
    palette_is_display = labels or bool(tiff.is_imagej or tiff.is_ome)
    _check_page(path, first, palette_is_display, LABEL_TYPES if labels else PIXEL_TYPES)
    cut_off = broken_chain
    pages: list[int] = []
    spoken_for = 0
    for number in range(reachable):
        page = tiff.pages[number]
        if int(page.subfiletype) & _REDUCED:
            continue  # the smaller copies of a pyramid
        if (page.shape, page.dtype) != (first.shape, first.dtype):
            raise ImageError(
                f"{path.name}: page {number + 1} is {page.shape} {page.dtype}, page 1 is {first.shape} "
                f"{first.dtype}. Expected pages of one size and type; export the images apart."
            )
        fault = _page_fault(page, size)
        if fault is not None:
            cut_off = cut_off or f"page {number + 1} {fault}"
            break
        spoken_for += sum(page.databytecounts)
        require_no_bomb(path, page, spoken_for, size)
        pages.append(number)
    return TiffPages(
        path=path,
        size=size,
        shape=(int(first.imagelength), int(first.imagewidth)),
        dtype=np.dtype(first.dtype).newbyteorder("="),
        pages=tuple(pages),
        samples=int(first.samplesperpixel),
        description=str(first.description or ""),
        is_imagej=bool(tiff.is_imagej),
        is_ome=bool(tiff.is_ome),
        imagej=dict(tiff.imagej_metadata or {}) if tiff.is_imagej else {},
        resolution=_resolution(first),
        data_offset=int(first.dataoffsets[0]) if len(first.dataoffsets) else 0,
        compressed=int(first.compression) != 1,
        cut_off=cut_off,
        warnings=_page_warnings(path, first),
    )


def read_plane(source: PlaneSource, pages: TiffPages, tiff: tifffile.TiffFile) -> NDArray[Any]:
    """Read the pixels of one plane: (Y, X), every one of them from the file.

    Raises:
        ImageError: A piece of the plane is missing, cut off or cannot be decoded.
    """
    where = f"{source.path.name}, plane on page {source.page + 1}"
    try:
        if source.offset is not None:
            return _read_raw(source.offset, pages, tiff)
        return _read_page(source, pages, tiff)
    except _BROKEN as error:
        raise ImageError(
            f"{where}: the pixels cannot be read ({error}). Copy or export the file again."
        ) from error


def _read_raw(offset: int, pages: TiffPages, tiff: tifffile.TiffFile) -> NDArray[Any]:
    handle = tiff.filehandle
    handle.seek(offset)
    raw = handle.read(pages.plane_bytes)
    if len(raw) != pages.plane_bytes:
        raise ValueError(f"expected {pages.plane_bytes} bytes, found {len(raw)}")
    stored = pages.dtype.newbyteorder(tiff.byteorder)
    return np.frombuffer(raw, stored).reshape(pages.shape).astype(pages.dtype, copy=False)


def _read_page(source: PlaneSource, pages: TiffPages, tiff: tifffile.TiffFile) -> NDArray[Any]:
    page = tiff.pages[source.page]
    out = np.empty(pages.shape, pages.dtype)
    pieces = range(len(page.dataoffsets))
    if source.sample is not None:
        per_sample = len(page.dataoffsets) // pages.samples
        pieces = range(source.sample * per_sample, (source.sample + 1) * per_sample)
    options = (
        {"jpegtables": page.jpegtables, "jpegheader": page.jpegheader} if page.jpegtables is not None else {}
    )
    filled = 0
    for piece in pieces:
        tiff.filehandle.seek(page.dataoffsets[piece])
        raw = tiff.filehandle.read(page.databytecounts[piece])
        require_same_size(raw, page)
        data, (_, _, top, left, _), _ = page.decode(raw, piece, _fullsize=bool(page.is_tiled), **options)
        tall, wide = (
            (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, pages.shape[1])
        )
        want = (min(tall, pages.shape[0] - top), min(wide, pages.shape[1] - left))
        if data is None or data.shape[1] < want[0] or data.shape[2] < want[1]:
            raise ValueError(f"piece {piece + 1} of {len(page.dataoffsets)} is too short")
        out[top : top + want[0], left : left + want[1]] = data[0, : want[0], : want[1], 0]
        filled += want[0] * want[1]
    if filled != out.size:
        raise ValueError(f"{filled} of {out.size} pixels are in the file")
    return out


def _check_page(path: Path, page: Any, palette_is_display: bool, pixel_types: tuple[str, ...]) -> None:
    height, width = int(page.imagelength), int(page.imagewidth)
    if not 0 < height * width <= MAX_PLANE_PIXELS or int(page.imagedepth) != 1:
        raise ImageError(
            f"{path.name}: a plane of {height} x {width} pixels is declared, expected at most {MAX_PLANE_PIXELS} "
            "pixels. The file is damaged, or must be exported in tiles."
        )
    contiguous_colour = int(page.samplesperpixel) > 1 and int(page.planarconfig or 1) == 1
    palette = int(page.photometric) == 3 and not palette_is_display
    if contiguous_colour or palette or int(page.photometric) not in (0, 1, 2, 3):
        raise ImageError(
            f"{path.name} is a colour picture (RGB or palette), expected grey values, one plane a channel. "
            "Export the raw channels, not the coloured overlay."
        )
    if page.dtype is None or np.dtype(page.dtype).name not in pixel_types:
        raise ImageError(
            f"{path.name}: pixels are {page.dtype or 'of an unknown type'}, expected one of {', '.join(pixel_types)}."
        )


def _page_fault(page: Any, size: int) -> str | None:
    """Why the pixels of a page are not all in the file; None where they are."""
    offsets, counts = page.dataoffsets, page.databytecounts
    pieces = 1
    for whole in page.chunked:
        pieces *= int(whole)
    if len(offsets) < pieces or len(counts) < pieces:
        return f"has {min(len(offsets), len(counts))} of {pieces} strips or tiles"
    for offset, count in zip(offsets, counts, strict=False):
        if count <= 0 or offset <= 0:
            return "has a strip or tile that was never written"
        if offset + count > size:
            return f"needs bytes up to {offset + count}"
    if int(page.compression) == 1:
        needed = (
            int(page.imagelength) * int(page.imagewidth) * int(page.samplesperpixel) * page.dtype.itemsize
        )
        if sum(counts) < needed:
            return f"holds {sum(counts)} of {needed} bytes"
    return None


def _page_warnings(path: Path, page: Any) -> tuple[str, ...]:
    warnings = []
    if int(page.compression) in (6, 7, 34892, 33007):
        warnings.append(
            f"{path.name} is JPEG-compressed: intensities were altered before this program saw them."
        )
    if int(page.photometric) == 0:
        warnings.append(f"{path.name} is marked as 0 = white; the values are taken as they are.")
    return tuple(warnings)


def _resolution(page: Any) -> tuple[float, float] | None:
    tags = [page.tags.get(code) for code in (283, 282)]  # YResolution, XResolution
    if any(tag is None or len(tag.value) != 2 or 0 in tag.value for tag in tags):
        return None
    y, x = (tag.value[0] / tag.value[1] for tag in tags)
    return y, x


def require_whole_chain(path: Path) -> None:
    """Refuse what is no TIFF file, or one whose chain of pages breaks off, before another reader opens it.

    Raises:
        ImageError: It is.
    """
    _, _, broken = _walk_chain(path)
    if broken is not None:
        raise ImageError(f"{path.name} is cut off or damaged: {broken}. Copy or export it again.")


def _walk_chain(path: Path) -> tuple[int, int, str | None]:
    """Follow the chain of pages: (bytes in the file, pages reached, how the chain broke off or None)."""
    try:
        status = path.stat()
        size = status.st_size
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(f"{path.name} is not a TIFF image: it is no plain file. Take it away.")
        with path.open("rb") as file:
            head = file.read(16)
            order = {b"II": "<", b"MM": ">"}.get(head[:2])
            version = struct.unpack(order + "H", head[2:4])[0] if order and len(head) >= 8 else 0
            if version not in (42, 43) or (version == 43 and len(head) < 16):
                found = "is empty" if size == 0 else f"begins with {head[:8]!r}"
                raise ImageError(
                    f"{path.name} is not a TIFF image: it {found}. Export it again, or take it away."
                )
            return size, *_count_pages(file, size, str(order), version == 43, head)
    except OSError as error:
        raise ImageError(f"{path.name} cannot be opened ({error}).") from error


def _count_pages(file: BinaryIO, size: int, order: str, big: bool, head: bytes) -> tuple[int, str | None]:
    count_form, next_form, entry = ("Q", "Q", 20) if big else ("H", "I", 12)
    position = struct.unpack(order + next_form, head[8:16] if big else head[4:8])[0]
    seen: set[int] = set()
    headers = 0
    for number in itertools.count():
        if position == 0:
            return number, None
        if position in seen or number >= MAX_PAGES:
            return number, f"the chain of pages runs in a circle after page {number}"
        if position >= size:
            return number, f"the header of page {number + 1} lies beyond the end"
        seen.add(position)
        file.seek(position)
        raw = file.read(struct.calcsize(count_form))
        entries = struct.unpack(order + count_form, raw)[0] if len(raw) == struct.calcsize(count_form) else 0
        end = position + len(raw) + entries * entry + struct.calcsize(next_form)
        if entries == 0 or end > size:
            return number, f"the header of page {number + 1} lies beyond the end"
        headers += entries * entry
        if headers > size:
            return number, f"the header of page {number + 1} lies in those of others"
        tags = file.read(entries * entry)
        if _reach_of_tags(Path(file.name).name, tags, order, big) > size:
            return number, f"part of the header of page {number + 1} lies beyond the end"
        position = struct.unpack(order + next_form, file.read(struct.calcsize(next_form)))[0]
    raise AssertionError("unreachable")


def _reach_of_tags(name: str, tags: bytes, order: str, big: bool) -> int:
    """Byte up to which the values of a page's tags reach; 0 where all of them stand in the header."""
    reach = 0
    for _, kind, count, offset in struct.iter_unpack(order + ("HHQQ" if big else "HHII"), tags):
        length = _TAG_BYTES.get(kind, 0) * count
        if length > (8 if big else 4):
            reach = max(reach, offset + length)
        if kind in _TEXT_TAGS and length > MAX_TEXT_BYTES:
            raise ImageError(
                f"{name}: {length >> 20} MB of text stand in its header, at most {MAX_TEXT_BYTES >> 20} MB are read. Export it again."
            )
    return reach
