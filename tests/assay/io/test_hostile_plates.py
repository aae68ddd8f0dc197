"""Opening a plate from somewhere else runs nothing, leaves the folder nowhere and eats no memory."""

import json
from pathlib import Path

import pytest

from assay.errors import ImageError
from assay.io.ome_zarr import open_plate
from tests.assay.io.conftest import B02, chunk_files, noisy


def edit(file: Path, change) -> None:
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))


def read(path):
    return open_plate(path).stack(B02).read([0])


def of_a_stranger(plate: Path) -> Path:
    """Without the list by which a plate of ours vouches for itself."""
    for sums in plate.rglob("killassay.sums.json"):
        sums.unlink()
    return plate


@pytest.fixture
def plate_04(write_plate):
    return of_a_stranger(write_plate({B02: noisy((2, 2, 20, 30))}, ngff="0.4"))


@pytest.fixture
def plate_05(write_plate):
    return of_a_stranger(write_plate({B02: noisy((2, 2, 20, 30))}))


@pytest.mark.parametrize("dtype", ["|O", "|V8", "<U8", "<M8[s]", [["a", "<u2"]], None])
def test_pixels_that_are_objects_are_refused(plate_04, dtype):
    edit(plate_04 / "B/02/0/0/.zarray", lambda values: values.update(dtype=dtype))
    with pytest.raises(ImageError, match=r"well B02, field 0, B/02/0/0: pixels of type .* are not read"):
        read(plate_04)


@pytest.mark.parametrize("codec", ["pickle", "vlen-utf8", "json2", "msgpack2"])
@pytest.mark.parametrize("place", ["filters", "compressor"])
def test_codec_that_may_run_code_is_refused(plate_04, codec, place):
    edit(
        plate_04 / "B/02/0/0/.zarray",
        lambda values: values.update({place: [{"id": codec}] if place == "filters" else {"id": codec}}),
    )
    with pytest.raises(ImageError, match=f"the codec '{codec}' is not read, because it may run code"):
        read(plate_04)


@pytest.mark.parametrize("depth", ["outside", "in the shard", "in its index"])
def test_codec_that_may_run_code_is_refused_in_shards_too(plate_05, depth):
    evil = {"name": "numcodecs.pickle", "configuration": {}}

    def change(values):
        inner = values["codecs"][0]["configuration"]
        {"outside": values["codecs"], "in the shard": inner["codecs"], "in its index": inner["index_codecs"]}[
            depth
        ].append(evil)

    edit(plate_05 / "B/02/0/0/zarr.json", change)
    with pytest.raises(ImageError, match=r"the codec 'numcodecs\.pickle' is not read"):
        read(plate_05)


@pytest.mark.parametrize("path", ["../x", "B/../../x", "/etc", "B//02", "B/./02", "C:\\x", "..\\x", "", 7])
def test_well_path_out_of_the_plate_is_refused(plate_05, path):
    edit(plate_05 / "zarr.json", lambda v: v["attributes"]["ome"]["plate"]["wells"][0].update(path=path))
    with pytest.raises(ImageError, match="is not a plain path inside the plate"):
        open_plate(plate_05)


@pytest.mark.parametrize("path", ["../0", "/etc"])
def test_field_and_array_paths_out_of_the_plate_are_refused(plate_05, path):
    edit(
        plate_05 / "B/02/0/zarr.json",
        lambda v: v["attributes"]["ome"]["multiscales"][0]["datasets"][0].update(path=path),
    )
    with pytest.raises(
        ImageError, match=r"well B02, field 0: the path .* is not a plain path inside the plate"
    ):
        read(plate_05)
    edit(plate_05 / "B/02/zarr.json", lambda v: v["attributes"]["ome"]["well"]["images"][0].update(path=path))
    with pytest.raises(ImageError, match=r"well B02: the path .* is not a plain path inside the plate"):
        open_plate(plate_05)


def test_link_out_of_the_plate_is_not_followed(plate_05, tmp_path):
    chunk = chunk_files(plate_05 / "B/02/0/0")[0]
    outside = tmp_path / "outside"
    outside.write_bytes(chunk.read_bytes())
    chunk.unlink()
    chunk.symlink_to(outside)
    with pytest.raises(ImageError, match="is a link that leads out of the plate"):
        read(plate_05)


def test_linked_well_out_of_the_plate_is_not_followed(plate_05, tmp_path):
    (plate_05 / "B/02").rename(tmp_path / "elsewhere")
    (plate_05 / "B/02").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ImageError, match="is a link that leads out of the plate"):
        open_plate(plate_05)


def test_link_inside_the_plate_is_followed(plate_05):
    first, second = chunk_files(plate_05 / "B/02/0/0")[:2]
    second.unlink()
    second.symlink_to(first)
    images = read(plate_05)
    assert (images[0, 0] == images[0, 1]).all()


def test_chunk_of_terabytes_is_refused_before_memory_is_asked_for(plate_04):
    edit(
        plate_04 / "B/02/0/0/.zarray",
        lambda v: v.update(chunks=[1, 1, 1 << 20, 1 << 20], shape=[2, 2, 1 << 20, 1 << 20]),
    )
    with pytest.raises(ImageError, match=r"one chunk holds 2199\.0 GB, more than the 2 GB"):
        read(plate_04)


def test_chunk_that_swells_on_decoding_is_refused_by_its_header(plate_04):
    chunk = chunk_files(plate_04 / "B/02/0/0")[0]
    data = bytearray(chunk.read_bytes())
    data[4:8] = (1 << 30).to_bytes(4, "little")
    chunk.write_bytes(data)
    with pytest.raises(
        ImageError, match=r"well B02, field 0, frame 0, channel CTDR: the chunk .* is damaged"
    ):
        read(plate_04)


@pytest.mark.parametrize("text", ["{", "[1]", "[" * 100_000, ""])
def test_broken_metadata_is_named(plate_05, text):
    (plate_05 / "B/02/0/0/zarr.json").write_text(text)
    with pytest.raises(ImageError, match=r"well B02, field 0, B/02/0/0: zarr\.json is damaged"):
        read(plate_05)


def test_metadata_of_megabytes_is_refused(plate_05):
    (plate_05 / "zarr.json").write_text(" " * (17 << 20))
    with pytest.raises(ImageError, match=r"zarr\.json is larger than 16 MB"):
        open_plate(plate_05)


def test_z_stack_is_refused_with_the_way_out(plate_04):
    def to_z(values):
        multiscales = values["multiscales"][0]
        multiscales["axes"][1] = {"name": "z", "type": "space"}

    edit(plate_04 / "B/02/0/.zattrs", to_z)
    with pytest.raises(
        ImageError, match=r"is a z-stack of 2 planes, which is not supported yet\. Project it"
    ):
        read(plate_04)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ome: ome.update(version="0.6"), r"OME-Zarr version 0\.6 is not read"),
        (lambda ome: ome.pop("multiscales"), "multiscales metadata is damaged or incomplete"),
        (lambda ome: ome["multiscales"].clear(), "multiscales metadata is damaged or incomplete"),
        (lambda ome: ome["multiscales"][0]["axes"].pop(), "multiscales metadata is damaged or incomplete"),
        (lambda ome: ome["multiscales"][0]["axes"][0].update(name="q"), "axes q, c, y, x are not read"),
    ],
)
def test_image_metadata_that_makes_no_sense_is_named(plate_05, change, message):
    edit(plate_05 / "B/02/0/zarr.json", lambda values: change(values["attributes"]["ome"]))
    with pytest.raises(ImageError, match=rf"well B02, field 0: .*{message}"):
        read(plate_05)
