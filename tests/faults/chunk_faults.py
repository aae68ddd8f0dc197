"""Pixels on the disk that are missing, cut, altered or too much; and what a hostile plate asks for."""

import shutil
from typing import Any

from tests.faults.bench import SUB, VICTIM, Bench, cut, edit, flip
from tests.faults.fault import CHECK, Fault, fails_alone, refused, survived

_FAIL = '[input]\nmissing_chunks = "fail"\n'
_04 = ("run", "{plate_04}", "--protocol", "{protocol}", "--out", "{out}")
_OURS = ("run", "{our_plate}", "--protocol", "{protocol}", "--out", "{out}")
_COPY = "restore the file from a copy, or leave the well out"
_MASK = '[input]\nmissing_chunks = "mask"\n'
_ARRAY = f"{SUB}/zarr.json"


def _strict(breaks: Any) -> Any:
    """Where the protocol asks that a lost plane fails its field."""

    def both(bench: Bench) -> None:
        bench.add_to_protocol(_FAIL)
        breaks(bench)

    return both


def _masked(bench: Bench) -> None:
    bench.chunk_04().unlink()
    bench.add_to_protocol(_MASK)


def _frame_is_masked(bench: Bench) -> None:
    assert "5" in str(bench.well(VICTIM, "fields")["invalid_planes"])
    cells = bench.table("cells")
    targets = (cells["well"] == VICTIM) & (cells["role"] == "target")
    assert set(cells["frame"][targets].tolist()) == set(range(12)) - {5}


def _a_frame_is_masked(bench: Bench) -> None:
    assert "GFP" in str(bench.well(VICTIM, "fields")["invalid_planes"])


def _other_arrays_chunk(bench: Bench) -> None:
    plate = bench.our_plate
    shutil.copy(plate / "B/02/0/0/c/0/1/0/0", plate / SUB / "c/0/1/0/0")


def _other_pixel_size(bench: Bench) -> None:
    def change(values: Any) -> None:
        scales = values["attributes"]["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
        scales[0]["scale"][2:] = [0.5, 0.5]

    edit(bench.our_plate / "B/03/0/zarr.json", change)


def _linked_out(bench: Bench) -> None:
    shard = bench.pixels()[1]
    shard.rename(bench.root / "elsewhere")
    shard.symlink_to(bench.root / "elsewhere")


def _v3(**changes: Any) -> Any:
    return lambda bench: edit(bench.plate / _ARRAY, lambda values: values.update(changes))


def _v2(**changes: Any) -> Any:
    return lambda bench: edit(bench.plate_04 / SUB / ".zarray", lambda values: values.update(changes))


def _chunk_shape(*shape: int) -> Any:
    def change(bench: Bench) -> None:
        def both(values: Any) -> None:
            values["shape"] = list(shape)
            values["chunk_grid"]["configuration"]["chunk_shape"] = list(shape)

        edit(bench.plate / _ARRAY, both)

    return change


def _path_out(bench: Bench) -> None:
    edit(
        bench.plate / "zarr.json",
        lambda v: v["attributes"]["ome"]["plate"]["wells"][1].update(path="../plate_04.zarr"),
    )


def _swelling(bench: Bench) -> None:
    """A blosc chunk whose header claims a gigabyte."""
    content = bytearray(bench.chunk_04().read_bytes())
    content[4:8] = (1 << 30).to_bytes(4, "little")
    bench.chunk_04().write_bytes(content)


FAULTS: list[Fault] = [
    fails_alone(
        "chunk-deleted",
        48,
        "One plane's file was deleted",
        _strict(lambda b: b.chunk_04().unlink()),
        r"well B03, field 0, frame 5, channel GFP: the chunk B/03/0/0/5/1/0/0 was never written or was deleted.*Restore",
        _COPY,
        words=_04,
    ),
    survived(
        "chunk-deleted-and-masked",
        48,
        'One plane\'s file was deleted, and the protocol says missing_chunks = "mask"',
        _masked,
        words=_04,
        holds=_frame_is_masked,
        todo="nothing: the frame is masked, not zero",
    ),
    fails_alone(
        "chunk-empty",
        49,
        "One plane's file is empty",
        _strict(lambda b: b.chunk_04().write_bytes(b"")),
        r"well B03, field 0, frame 5, channel GFP: the chunk B/03/0/0/5/1/0/0 is damaged",
        _COPY,
        words=_04,
    ),
    fails_alone(
        "chunk-cut",
        50,
        "One plane's file is cut off",
        _strict(lambda b: cut(b.chunk_04())),
        r"well B03, field 0, frame 5, channel GFP: the chunk B/03/0/0/5/1/0/0 is damaged",
        _COPY,
        words=_04,
    ),
    fails_alone(
        "chunk-of-noise",
        51,
        "One plane's file holds noise",
        _strict(lambda b: b.chunk_04().write_bytes(bytes(range(256)) * 20)),
        r"well B03, field 0, frame 5, channel GFP: .*damaged",
        _COPY,
        words=_04,
    ),
    fails_alone(
        "chunk-is-a-folder",
        49,
        "A folder lies in the place of a plane's file",
        _strict(lambda b: (b.chunk_04().unlink(), b.chunk_04().mkdir())),
        r"well B03, field 0, frame 5, channel GFP",
        _COPY,
        words=_04,
    ),
    fails_alone(
        "shard-deleted",
        48,
        "A film's file (shard) was deleted",
        lambda b: b.pixels()[1].unlink(),
        r"well B03, field 0, frames? 0.*channel GFP: the chunk B/03/0/0/c/0/1/0/0 was never written",
        _COPY,
    ),
    fails_alone(
        "shard-empty",
        49,
        "A film's file (shard) is empty",
        lambda b: b.pixels()[1].write_bytes(b""),
        r"well B03, field 0.*B/03/0/0/c/0/1/0/0 is damaged",
        _COPY,
    ),
    fails_alone(
        "shard-cut",
        50,
        "A film's file (shard) is cut off",
        lambda b: cut(b.pixels()[1]),
        r"well B03, field 0.*B/03/0/0/c/0/1/0/0 is damaged",
        _COPY,
    ),
    fails_alone(
        "shard-cut-by-a-byte",
        50,
        "A film's file (shard) lacks its last byte",
        lambda b: b.pixels()[1].write_bytes(b.pixels()[1].read_bytes()[:-1]),
        r"well B03, field 0.*B/03/0/0/c/0/1/0/0 is damaged",
        _COPY,
    ),
    fails_alone(
        "bit-flipped",
        51,
        "One bit of a film was flipped",
        _strict(lambda b: flip(b.pixels()[1], 0.4)),
        r"well B03, field 0, frames? \d+.*channel GFP: the chunk B/03/0/0/c/0/1/0/0 is damaged",
        _COPY,
    ),
    survived(
        "bit-flipped-and-masked",
        51,
        "One bit of a film was flipped, and the protocol leaves lost planes to be masked",
        lambda b: flip(b.pixels()[1], 0.4),
        says="B03",
        holds=_a_frame_is_masked,
        todo="nothing: the frame is masked, not zero",
    ),
    fails_alone(
        "bit-flipped-in-the-index",
        51,
        "One bit of a shard's index was flipped",
        lambda b: flip(b.pixels()[1], 0.999),
        r"well B03, field 0.*B/03/0/0/c/0/1/0/0 is damaged",
        _COPY,
    ),
    fails_alone(
        "film-swapped-between-wells",
        52,
        "A channel of another well was copied over this one's, in a plate that killassay wrote",
        _other_arrays_chunk,
        r"well B03, field 0.*B/03/0/0/c/0/1/0/0",
        _COPY,
        words=_OURS,
    ),
    fails_alone(
        "metadata-edited",
        85,
        "Somebody changed the pixel size in a plate that killassay wrote",
        _other_pixel_size,
        r"well B03, field 0: B/03/0/zarr\.json does not say any more what killassay wrote",
        "restore the file, or give the pixel size in the protocol",
        words=_OURS,
        anew=True,
    ),
    survived(
        "partial-file-left",
        55,
        "A writer that died left a .partial file",
        lambda b: (b.plate / SUB / "c/0/1/0/0.1a2b.partial").write_bytes(b"half"),
        is_clean=True,
    ),
    fails_alone(
        "pixels-as-objects",
        96,
        "Pixels of type object (they could run code)",
        _v2(dtype="|O"),
        r"well B03, field 0.*pixels of type '\|O' are not read",
        "do not use this plate",
        words=_04,
        anew=True,
    ),
    fails_alone(
        "codec-pickle",
        96,
        "A compressor that runs code (pickle)",
        _v2(filters=[{"id": "pickle"}]),
        r"well B03, field 0.*the codec 'pickle' is not read, because it may run code",
        "do not use this plate",
        words=_04,
        anew=True,
    ),
    fails_alone(
        "codec-unknown",
        96,
        "A compressor nobody knows",
        _v3(codecs=[{"name": "bytes"}, {"name": "rot13"}]),
        r"well B03, field 0.*the codec 'rot13' is not read.*Known are",
        "write the plate with a known codec",
        anew=True,
    ),
    fails_alone(
        "pixels-complex",
        21,
        "Pixels that are complex numbers",
        _v3(data_type="complex64"),
        r"well B03, field 0.*pixels of type 'complex64' are not read",
        "write whole numbers or floats",
        anew=True,
    ),
    fails_alone(
        "chunk-swells",
        97,
        "A chunk whose header claims a gigabyte",
        _strict(_swelling),
        r"well B03, field 0, frame 5, channel GFP: .*damaged",
        _COPY,
        words=_04,
    ),
    fails_alone(
        "frames-of-a-petabyte",
        99,
        "Frames of 10^15 x 10^15 pixels",
        _v3(shape=[12, 3, 10**15, 10**15]),
        r"well B03, field 0.*(too large|are not sizes of an image)",
        "cut the field into smaller ones",
        anew=True,
    ),
    fails_alone(
        "chunk-of-terabytes",
        99,
        "One chunk of terabytes",
        _chunk_shape(12, 3, 1 << 20, 1 << 20),
        r"well B03, field 0.*(one chunk holds .* GB|not made of whole chunks)",
        "write the plate again with smaller chunks",
        anew=True,
    ),
    fails_alone(
        "a-thousand-million-frames",
        99,
        "A film that claims 10^9 frames",
        _v3(shape=[10**9, 3, 72, 96]),
        r"well B03, field 0",
        "export the well again",
        anew=True,
    ),
    refused(
        "path-out-of-the-plate",
        95,
        "The plate's metadata lead out of it (../)",
        _path_out,
        r"plate\.zarr: the path '\.\./plate_04\.zarr' in the metadata is not a plain path inside",
        "do not use this plate",
    ),
    fails_alone(
        "link-out-of-the-plate",
        94,
        "A link in the plate leads out of it",
        _linked_out,
        r"well B03, field 0: .* is a link that leads out of the plate",
        "copy the file in its place",
        mends=False,
    ),
    refused(
        "check-finds-a-lost-plane",
        48,
        "`check` on a plate that lost the first plane",
        lambda b: b.chunk_04(0).unlink(),
        r"well B03, field 0, frame 0, channel GFP: .*never written or was deleted",
        _COPY,
        words=("check", "{plate_04}", "--protocol", "{protocol}"),
    ),
    refused(
        "check-finds-a-flipped-bit",
        51,
        "`check` on a plate with a flipped bit in its first frame",
        lambda b: flip(b.pixels()[1], 0.01),
        r"well B03, field 0.*damaged",
        _COPY,
        words=CHECK,
    ),
]
