"""How large a chunk becomes when it is decoded, found from its compressed bytes alone.

32 kB of zstd can be a gigabyte of zeros. So the sizes that the compressed bytes tell are held against the size that a
chunk of the array has, before any decoder is asked; where a format does not tell, its output is counted and thrown away.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from assay.errors import LostPixelsError

MAX_SWELLING = 1000
"""A chunk may become so many times larger than its file; pictures and labels do not come near."""
ALWAYS_ALLOWED_BYTES = 128 << 20  # decoded; an empty frame of this size swells as much as it likes
_CRC_BYTES = 4
_SLACK_BYTES = 1 << 20  # by which incompressible data may grow in a file
_PIECE_BYTES = 1 << 16
_ZSTD_MAGIC = 0xFD2FB528
_ZSTD_SKIPPABLE = range(0x184D2A50, 0x184D2A60)
_ZSTD_BLOCK_BYTES = 128 << 10
_ABSENT = np.iinfo(np.uint64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkCoding:
    """How the chunks of an array are encoded, as its checked metadata says."""

    compressor: str | None  # blosc, zstd, gzip, zlib, lz4
    decoded_bytes: int  # what the compressor gives back: the pixels of one chunk, with checksums before it
    checksums: int = 0  # after the compressor, 4 bytes each
    chunks_per_file: int = 1
    index: str = ""  # "" without shards, else "start" or "end" of the file
    index_bytes: int = 0


def require_decoded_size(file: Path, coding: ChunkCoding, name: str, where: str) -> None:
    """Refuse a chunk file that would decode to more than its array's chunks hold.

    Args:
        file: The chunk, or the shard; it must be there.
        coding: From the array's metadata.
        name: What the file is called in messages.
        where: Well, field, frame.

    Raises:
        LostPixelsError: It would, or its own header says that it is cut off.
    """
    size = file.stat().st_size
    most = coding.chunks_per_file * (2 * coding.decoded_bytes + _SLACK_BYTES) + coding.index_bytes
    if size > most:
        raise LostPixelsError(
            f"{where}: the chunk {name} is damaged (it has {_size(size)}, the pixels in it are "
            f"{_size(coding.chunks_per_file * coding.decoded_bytes)}). Restore it from a copy, or exclude the field."
        )
    with file.open("rb") as stream:
        pieces = _pieces_of_shard(stream, size, coding, name, where) if coding.index else [(0, size)]
        for offset, length in pieces:
            stream.seek(offset)
            _require_piece(stream.read(length), coding, name, where)


def _require_piece(data: bytes, coding: ChunkCoding, name: str, where: str) -> None:
    body = memoryview(data)[: len(data) - _CRC_BYTES * coding.checksums]
    if coding.compressor == "blosc":
        _require_whole_blosc(body, len(data), coding, name, where)
    found = decoded_size(coding.compressor, body, most=coding.decoded_bytes)
    swells = len(data) * MAX_SWELLING < coding.decoded_bytes > ALWAYS_ALLOWED_BYTES
    if found > coding.decoded_bytes or (swells and found > ALWAYS_ALLOWED_BYTES):
        more = "more than " if found > coding.decoded_bytes else ""
        raise LostPixelsError(
            f"{where}: the chunk {name} is {_size(len(data))} and would decode to {more}"
            f"{_size(min(found, coding.decoded_bytes))}, which no picture does; it is damaged or made to fill the "
            "memory. Restore it from a copy, write the plate with smaller chunks, or exclude the field."
        )


def decoded_size(compressor: str | None, data: memoryview, *, most: int) -> int:
    """Bytes that come out of a compressor; counting ends soon above `most`. 0 where the data is damaged."""
    if compressor is None:
        return len(data)
    return _SIZES[compressor](data, most)


def _require_whole_blosc(body: memoryview, size: int, coding: ChunkCoding, name: str, where: str) -> None:
    """Blosc reads on behind a buffer that was cut off, and gives whatever lies in memory."""
    encoded = int.from_bytes(body[12:16], "little")
    decoded = int.from_bytes(body[4:8], "little")
    if len(body) < 16 or encoded != len(body) or decoded != coding.decoded_bytes:
        raise LostPixelsError(
            f"{where}: the chunk {name} is damaged (it has {size} bytes and should have "
            f"{encoded + _CRC_BYTES * coding.checksums}). Restore it from a copy, or exclude the field."
        )


def _pieces_of_shard(
    stream: BinaryIO, size: int, coding: ChunkCoding, name: str, where: str
) -> list[tuple[int, int]]:
    """Where the chunks of a shard lie, by the index at its end or start; they must lie in the file, side by side."""
    table = shard_index(stream, size, coding)
    if table is None:
        raise LostPixelsError(
            f"{where}: the chunk {name} is damaged (it is a shard without a readable index of its chunks). Restore it from "
            "a copy, or exclude the field."
        )
    kept = table[table[:, 0] != _ABSENT]
    inside = (kept <= size).all(axis=1) & (kept.sum(axis=1) <= size)
    if not inside.all() or int(kept[:, 1].sum()) > size:
        raise LostPixelsError(
            f"{where}: the chunk {name} is damaged (its index speaks of chunks beyond its {size} bytes, or of the same bytes "
            "twice). Restore it from a copy, or exclude the field."
        )
    return [(offset, length) for offset, length in kept.tolist()]


def shard_index(stream: BinaryIO, size: int, coding: ChunkCoding) -> NDArray[np.uint64] | None:
    """(chunks, 2) offsets and lengths; both are the largest number where a chunk is absent. None: it is not there."""
    if size < coding.index_bytes:
        return None
    stream.seek(0 if coding.index == "start" else size - coding.index_bytes)
    raw = stream.read(coding.index_bytes)
    length = 16 * coding.chunks_per_file
    return np.frombuffer(raw[:length], "<u8").reshape(-1, 2) if len(raw) >= length else None


def _of_blosc(data: memoryview, most: int) -> int:
    return int.from_bytes(data[4:8], "little") if len(data) >= 16 else 0


def _of_lz4(data: memoryview, most: int) -> int:
    """The size stands before the data, as numcodecs writes it."""
    return int.from_bytes(data[:4], "little") if len(data) >= 4 else 0


def _of_zstd(data: memoryview, most: int) -> int:
    bound, told = _zstd_bound(data)
    return bound if told or bound <= most else _counted_zstd(data, most)


def _zstd_bound(data: memoryview) -> tuple[int, bool]:
    """(bytes that all frames together give at most, whether all of them tell)."""
    at, total, told = 0, 0, True
    while at + 4 <= len(data):
        magic = int.from_bytes(data[at : at + 4], "little")
        if magic in _ZSTD_SKIPPABLE:
            at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
            continue
        if magic != _ZSTD_MAGIC or at + 6 > len(data):
            break  # no frame: the decoder says so
        header = data[at + 4]
        single = header >> 5 & 1
        field = (0, 2, 4, 8)[header >> 6] or single
        at += 5 + (1 - single) + (0, 1, 2, 4)[header & 3]
        content = int.from_bytes(data[at : at + field], "little") + (256 if field == 2 else 0)
        at, blocks = _zstd_blocks(data, at + field)
        at += 4 * (header >> 2 & 1)
        total += content if field else blocks
        told = told and bool(field)
    return total, told


def _zstd_blocks(data: memoryview, at: int) -> tuple[int, int]:
    """(where the blocks of a frame end, bytes that they give at most)."""
    bound = 0
    while at + 3 <= len(data):
        header = int.from_bytes(data[at : at + 3], "little")
        kind, size = header >> 1 & 3, header >> 3
        bound += size if kind in (0, 1) else _ZSTD_BLOCK_BYTES  # raw; one byte repeated; compressed
        at += 3 + (1 if kind == 1 else size)
        if header & 1:
            break
    return at, bound


def _counted_zstd(data: memoryview, most: int) -> int:
    import pyarrow as pa

    total = 0
    try:
        with pa.CompressedInputStream(pa.BufferReader(pa.py_buffer(data)), "zstd") as stream:
            while total <= most and (piece := stream.read(_PIECE_BYTES)):
                total += len(piece)
    except (pa.ArrowException, OSError):
        return total
    return total


def _counted_deflate(data: memoryview, most: int) -> int:
    """Of gzip or zlib; gzip may have several members one after another."""
    total, at = 0, 0
    decoder = zlib.decompressobj(wbits=47)
    pending = b""
    try:
        while total <= most and (pending or at < len(data)):
            if not pending:
                pending, at = bytes(data[at : at + _PIECE_BYTES]), at + _PIECE_BYTES
            total += len(decoder.decompress(pending, 1 << 20))
            pending = decoder.unconsumed_tail
            if decoder.eof:
                pending, decoder = decoder.unused_data, zlib.decompressobj(wbits=47)
    except zlib.error:
        return total  # the decoder of the array says so too
    return total


def _size(size: float) -> str:
    return (
        f"{size:.0f} bytes"
        if size < 1e4
        else f"{size / 1e3:.0f} kB"
        if size < 1e6
        else f"{size / 1e6:.0f} MB"
    )


_SIZES: dict[str, Callable[[memoryview, int], int]] = {
    "blosc": _of_blosc,
    "lz4": _of_lz4,
    "zstd": _of_zstd,
    "gzip": _counted_deflate,
    "zlib": _counted_deflate,
}


def index_bytes(chunks_per_file: int, checksums: int) -> int:
    """Length of a shard's index: offset and length of each chunk, and checksums behind."""
    return 16 * chunks_per_file + _CRC_BYTES * checksums


def chunks_in(shard: tuple[int, ...], chunk: tuple[int, ...]) -> int:
    """How many chunks a shard holds."""
    return math.prod(math.ceil(whole / part) for whole, part in zip(shard, chunk, strict=True))
