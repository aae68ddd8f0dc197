"""What a page of a TIFF file may claim, held against the bytes that the file has."""

import struct
from pathlib import Path
from typing import Any

from assay.errors import ImageError
from assay.io.chunk_sizes import ALWAYS_ALLOWED_BYTES, MAX_SWELLING

_COMPRESSIONS = {
    1,
    5,
    8,
    32773,
    32946,
    34925,
    50000,
}  # none, LZW, deflate, PackBits, LZMA, zstd: they end where told
_JPEGS = {6, 7, 33007, 34892}
_JPEG_2000S = {33003, 33004, 33005, 34712}
_SMALL_TILE_PIXELS = 1 << 24  # a tile may be larger than a small picture


def require_no_bomb(path: Path, page: Any, spoken_for: int, size: int) -> None:
    """Refuse pixels that lie nowhere: planes of the same bytes, tiles larger than the picture, a swelling file.

    Raises:
        ImageError: There are such.
    """
    pixels = int(page.imagelength) * int(page.imagewidth)
    decoded = pixels * int(page.samplesperpixel) * page.dtype.itemsize
    tile = int(page.tilelength) * int(page.tilewidth) if page.is_tiled else 0
    code = int(page.compression)
    if code not in _COMPRESSIONS | _JPEGS | _JPEG_2000S:
        raise ImageError(
            f"{path.name}: compression {page.compression!s:.40} is not read. Save it uncompressed, or with LZW, deflate or zstd."
        )
    if spoken_for > size:
        raise ImageError(f"{path.name}: its pages use the same bytes more than once. Export it again.")
    if tile > max(_SMALL_TILE_PIXELS, 4 * pixels):
        raise ImageError(
            f"{path.name}: tiles of {page.tilelength} x {page.tilewidth} pixels are declared, the picture has {page.imagelength} x "
            f"{page.imagewidth}. Export it again."
        )
    if decoded > ALWAYS_ALLOWED_BYTES and decoded > MAX_SWELLING * sum(page.databytecounts):
        raise ImageError(
            f"{path.name}: {decoded / 1e6:.0f} MB of pixels are declared in {sum(page.databytecounts)} bytes, which no "
            "picture is. Export it again."
        )


def require_same_size(raw: bytes, page: Any) -> None:
    """A JPEG has a size of its own, for which memory is asked whatever the page says.

    Raises:
        ValueError: It is another than that of the page.
    """
    tall, wide = (page.tilelength, page.tilewidth) if page.is_tiled else (page.rowsperstrip, page.imagewidth)
    code = int(page.compression)
    own = None
    if code in _JPEGS:
        own = _jpeg_size(raw)
    elif code in _JPEG_2000S:
        at = raw.find(b"\xff\x4f\xff\x51")
        own = struct.unpack(">II", raw[at + 8 : at + 16])[::-1] if 0 <= at <= len(raw) - 16 else None
    if own is not None and own[0] * own[1] > 4 * max(1, min(int(tall), int(page.imagelength)) + 64) * (
        int(wide) + 64
    ):
        raise ValueError(f"a picture of {own[0]} x {own[1]} pixels lies in it")


def _jpeg_size(raw: bytes) -> tuple[int, int] | None:
    """(y, x) of the first frame of a JPEG."""
    at = 2
    while at + 9 <= len(raw):
        if raw[at] != 0xFF:
            return None
        marker = raw[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            y, x = struct.unpack(">HH", raw[at + 5 : at + 9])
            return y, x
        at += 2 + int.from_bytes(raw[at + 2 : at + 4], "big")
    return None
