"""Whatever frames are missing, dark, frozen or torn: the same death, the same killer, and none beside."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from assay.columns import Table, take
from assay.io.ome_zarr import PlateWriter
from assay.io.tables import read_table
from assay.pipeline.run import RunOptions
from assay.protocol import parse_protocol
from assay.stack import FieldId
from tests.assay.pipeline.test_run import digest, run
from tests.small_plates import CALIBRATION, CHANNELS, PROTOCOL, film, write_small_plate

N_FRAMES = 36
ONSET = 12  # of the only death, under an effector
EFFECTOR, TARGET, DYE = 0, 1, 2
LEVEL, NOISE = 200, 6  # of the camera, as `film` makes it

Film = NDArray[np.uint16]
Fault = Callable[[Film], dict[str, str]]
"""Spoils a film in place; says which planes must be named, and with which fault."""


def blank(frames: range, channels: list[int], value: int) -> Fault:
    def spoil(images: Film) -> dict[str, str]:
        images[np.ix_(list(frames), channels)] = value
        where = f"black or flat {frames[0]}-{frames[-1]}"
        return {("CTDR", "GFP", "PI")[channel]: where for channel in channels}

    return spoil


def shutter_closed(frames: range, channel: int) -> Fault:
    def spoil(images: Film) -> dict[str, str]:
        rng = np.random.default_rng(7)
        images[list(frames), channel] = rng.normal(LEVEL, NOISE, images[list(frames), channel].shape)
        return {("CTDR", "GFP", "PI")[channel]: f"dark {frames[0]}-{frames[-1]}"}

    return spoil


def frozen(frames: range, channels: list[int]) -> Fault:
    def spoil(images: Film) -> dict[str, str]:
        for frame in frames:
            images[frame, channels] = images[frames[0] - 1, channels]
        where = f"{frames[0]}-{frames[-1]}" if len(frames) > 1 else f"{frames[0]}"
        return {("CTDR", "GFP", "PI")[channel]: f"frozen {where}" for channel in channels}

    return spoil


def lamp_flash(images: Film) -> dict[str, str]:
    rng = np.random.default_rng(8)
    light = 10.0 * (images[20] - float(LEVEL)) + LEVEL + 500
    images[20] = np.clip(light + rng.normal(0, 20, light.shape), 0, 65535)
    return {"CTDR": "flash of light 20", "GFP": "flash of light 20", "PI": "flash of light 20"}


def out_of_focus(images: Film) -> dict[str, str]:
    for frame in (13, 14):
        for channel in range(3):
            rng = np.random.default_rng(frame)
            blurred = gaussian_filter(images[frame, channel].astype(float), 7)
            images[frame, channel] = blurred + rng.normal(0, NOISE, blurred.shape)
    return dict.fromkeys(("CTDR", "GFP", "PI"), "out of focus 13-14")


def partly_blank(images: Film) -> dict[str, str]:
    images[15, TARGET, :32, 32:64] = 0
    return {"GFP": "partly blank 15"}


def swapped_order(images: Film) -> dict[str, str]:
    for frame in (20, 25):
        images[[frame, frame + 1]] = images[[frame + 1, frame]]
    return {}


def lasting_lamp_jump(images: Film) -> dict[str, str]:
    images[18:, EFFECTOR] = 2 * (images[18:, EFFECTOR] - float(LEVEL)) + LEVEL
    return {}


def stage_jump(images: Film) -> dict[str, str]:
    images[18:] = np.roll(images[18:], (9, 11), axis=(2, 3))
    return {}


FAULTS: dict[str, Fault | None] = {
    "B02": None,
    "B03": blank(range(11, 14), [DYE], 0),
    "B04": blank(range(11, 14), [DYE], 65535),
    "B05": blank(range(11, 14), [EFFECTOR, TARGET, DYE], 0),
    "B06": blank(range(20, 23), [EFFECTOR, TARGET, DYE], 255),
    "B07": blank(range(13, 15), [EFFECTOR], 0),
    "B08": blank(range(20, 22), [TARGET], 0),
    "B09": shutter_closed(range(18, 21), DYE),
    "B10": shutter_closed(range(6, 9), EFFECTOR),
    "B11": frozen(range(12, 15), [EFFECTOR, TARGET, DYE]),
    "B12": frozen(range(20, 21), [DYE]),
    "C02": lamp_flash,
    "C03": out_of_focus,
    "C04": partly_blank,
    "C05": swapped_order,
    "C06": lasting_lamp_jump,
    "C07": stage_jump,
}
MOST_FRAMES = {
    "B03": 5,
    "B04": 5,
    "B05": 5,
    "B11": 5,
}  # of the interval, where the onset itself lies in the fault


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Table], dict[str, dict[str, str]]]:
    """Tables of one plate: the same film in every well, whole and with each fault; and what must be named."""
    films, expected = {}, {}
    for well, fault in FAULTS.items():
        films[well] = film(N_FRAMES)
        expected[well] = fault(films[well]) if fault else {}
    folder = tmp_path_factory.mktemp("spoilt")
    plate = write_small_plate(folder / "small.zarr", films)
    protocol = parse_protocol(PROTOCOL.split("[[condition]]")[0])
    outcome, _ = run(plate, folder / "results", protocol=protocol)
    assert not outcome.failed
    names = ("cells", "contacts", "deaths", "kills", "fields", "wells", "invalid_planes")
    return {name: read_table(folder / "results" / "tables", name) for name in names}, expected


def of_well(table: Table, well: str) -> Table:
    return take(table, table["well"] == well)


@pytest.mark.parametrize("well", FAULTS)
def test_the_one_death_is_found_whatever_happens_to_the_film_and_no_other(spoilt, well):
    tables, _ = spoilt
    deaths, clean = (of_well(tables["deaths"], name) for name in (well, "B02"))
    mine = deaths["role"] == "target"
    assert mine.sum() == 1
    assert len(mine) == len(clean["role"])  # effectors' deaths: as many, so none
    first, last = deaths["first_possible_frame"][mine][0], deaths["last_possible_frame"][mine][0]
    assert first <= ONSET <= last
    span = clean["last_possible_frame"][0] - clean["first_possible_frame"][0]
    assert last - first <= max(MOST_FRAMES.get(well, 0), span + 1)
    assert deaths["probability"][mine][0] > 0.9


@pytest.mark.parametrize("well", FAULTS)
def test_the_killer_is_the_same_whatever_happens_to_the_film(spoilt, well):
    tables, _ = spoilt
    kills, whole = (of_well(tables["wells"], name)["kills"][0] for name in (well, "B02"))
    assert whole > 0.8
    assert abs(kills - whole) < 0.1
    credited = of_well(tables["kills"], well)
    assert credited["share"].max() > 0.8
    assert (credited["share"] > 0.05).sum() == 1


@pytest.mark.parametrize("well", FAULTS)
def test_every_plane_without_a_usable_image_is_named_once_with_what_is_wrong(spoilt, well):
    tables, expected = spoilt
    words = ". ".join(f"{name}: {wrong}" for name, wrong in expected[well].items())
    fields = of_well(tables["fields"], well)
    assert fields["invalid_planes"][0] == words
    planes = of_well(tables["invalid_planes"], well)
    assert fields["n_invalid_planes"][0] == len(planes["frame"])
    assert len({*zip(planes["frame"].tolist(), planes["channel"], strict=True)}) == len(planes["frame"])


def test_a_role_is_left_out_of_the_frames_that_do_not_show_it_and_the_other_is_followed(spoilt):
    tables, _ = spoilt
    cells = of_well(tables["cells"], "B07")  # effectors' dye black in frames 13 and 14
    dark = np.isin(cells["frame"], (13, 14))
    assert set(cells["role"][dark]) == {"target"}
    assert dark.sum() == 2 * 4
    contacts = of_well(tables["contacts"], "B07")
    longest = np.argmax(contacts["duration_min"])
    assert contacts["unseen_frames"][longest] == 2
    whole = of_well(tables["contacts"], "B02")
    assert contacts["duration_min"].max() == whole["duration_min"].max()


def test_planes_that_are_gone_from_the_disk_are_masked_and_named_until_a_fifth_is_gone(tmp_path: Path):
    fields = [FieldId("B02", 0), FieldId("B03", 0), FieldId("B04", 0)]
    plate = tmp_path / "small.zarr"
    with PlateWriter.create(
        plate,
        fields=fields,
        shapes=dict.fromkeys(fields, film(N_FRAMES).shape),
        dtype=np.uint16,
        channel_names=tuple(CHANNELS),
        channel_roles=CHANNELS,
        calibration=CALIBRATION,
        ngff="0.4",
    ) as writer:
        for field in fields:
            for first in writer.shard_starts(field):
                writer.write(field, first, film(N_FRAMES)[first : first + writer.shard_frames(field)])
    (plate / "B/03/0/0/12/2/0/0").unlink()  # the dye at the onset
    (plate / "B/03/0/0/20/0/0/0").write_bytes(b"torn")
    for frame in range(0, N_FRAMES, 4):  # nine of 36: a quarter
        (plate / f"B/04/0/0/{frame}/1/0/0").unlink()
    protocol = parse_protocol(PROTOCOL.split("[[condition]]")[0])
    outcome, _ = run(plate, tmp_path / "results", protocol=protocol)
    [(lost, why)] = outcome.failed.items()
    assert lost == FieldId("B04", 0)
    assert "frame 0, channel GFP: the chunk B/04/0/0/0/1/0/0 was never written or was deleted" in why
    assert why.endswith("9 of 36 frames lack GFP, more than 20 %: the field does not count.")
    tables = {
        name: read_table(tmp_path / "results" / "tables", name) for name in ("deaths", "fields", "wells")
    }
    assert tables["fields"]["status"].tolist() == ["ok", "ok", "failed"]
    assert tables["fields"]["invalid_planes"].tolist() == [
        "",
        "CTDR: lost on the disk 20. PI: lost on the disk 12",
        "",
    ]
    torn = of_well(tables["deaths"], "B03")
    assert (torn["role"] == "target").tolist() == [True]
    assert torn["first_possible_frame"][0] <= ONSET <= torn["last_possible_frame"][0] <= ONSET + 2
    kills = dict(zip(tables["wells"]["well"], tables["wells"]["kills"], strict=True))
    assert abs(kills["B03"] - kills["B02"]) < 0.1
    assert np.isnan(kills["B04"])


def test_lost_planes_give_the_same_bytes_however_frames_are_cut_into_batches(tmp_path: Path):
    images = film(20)
    blank(range(5, 7), [EFFECTOR], 0)(images)
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": images})
    for name, size in (("one", 1), ("seven", 7)):
        run(plate, tmp_path / name, options=RunOptions(batch_frames=size))
    assert digest(tmp_path / "one") == digest(tmp_path / "seven")
