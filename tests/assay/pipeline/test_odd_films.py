"""Plates that are not what one wishes: films of all lengths, frames that were never recorded, fields that fail."""

import json
from pathlib import Path

import numpy as np
import pytest

from assay.errors import ImageError
from assay.io.ome_zarr import PlateWriter
from assay.io.tables import read_table
from assay.protocol import parse_protocol
from assay.stack import FieldId
from assay.units import Calibration
from tests.assay.pipeline.test_run import digest, run
from tests.small_plates import CALIBRATION, CHANNELS, PROTOCOL, film, write_small_plate


def rows_of(out: Path, table: str) -> dict[str, dict[str, object]]:
    """Rows of a table by well."""
    columns = read_table(out / "tables", table)
    return {
        well: {name: column[n] for name, column in columns.items()} for n, well in enumerate(columns["well"])
    }


def write_fields(path: Path, films: dict[FieldId, np.ndarray]) -> Path:
    """A plate whose fields differ in shape, and may share a well."""
    with PlateWriter.create(
        path,
        fields=list(films),
        shapes={field: images.shape for field, images in films.items()},
        dtype=np.uint16,
        channel_names=tuple(CHANNELS),
        channel_roles=CHANNELS,
        calibration=CALIBRATION,
    ) as writer:
        for field, images in films.items():
            for first in writer.shard_starts(field):
                writer.write(field, first, images[first : first + writer.shard_frames(field)])
    return path


def test_films_of_all_lengths_stand_beside_each_other(tmp_path: Path):
    films = {
        "B02": film(20),
        "B03": film(1),
        "B04": film(2),
        "B05": film(4),
        "C02": film(20, effectors=False),
    }
    plate = write_small_plate(tmp_path / "small.zarr", films)
    outcome, _ = run(plate, tmp_path / "results")
    assert not outcome.failed
    wells = rows_of(tmp_path / "results", "wells")
    assert [wells[well]["status"] for well in films] == ["ok", "no_events", "no_events", "ok", "ok"]
    assert np.isnan(wells["B04"]["kills"])  # too short to see a death: unknown, not none
    assert wells["B05"]["kills"] == 0.0
    assert {well: row["n_targets"] for well, row in wells.items()} == dict.fromkeys(films, 4.0)


def test_a_short_film_in_a_well_takes_no_numbers_from_its_other_films(tmp_path: Path):
    films = {FieldId("B02", 0): film(20), FieldId("B02", 1): film(1)}
    plate = write_fields(tmp_path / "small.zarr", films)
    run(plate, tmp_path / "results")
    row = rows_of(tmp_path / "results", "wells")["B02"]
    assert row["status"] == "ok"
    assert row["kills"] > 0.5
    assert row["n_targets"] == 4.0  # those whose fate is known
    assert row["n_fields"] == 1
    assert "1 of 2 fields do not count: a film of 1 usable frame" in row["reason"]


def test_a_well_goes_on_without_its_field_that_failed(tmp_path: Path):
    films = {FieldId("B02", 0): film(20), FieldId("B02", 1): film(20, seed=5), FieldId("C02", 0): film(4)}
    plate = write_fields(tmp_path / "small.zarr", films)
    next(file for file in sorted((plate / "B/02/1/0/c").rglob("*")) if file.is_file()).unlink()
    outcome, _ = run(plate, tmp_path / "results")
    assert list(outcome.failed) == [FieldId("B02", 1)]
    row = rows_of(tmp_path / "results", "wells")["B02"]
    assert (row["status"], row["n_fields"], row["n_targets"]) == ("ok", 1, 4.0)
    assert "1 of 2 fields do not count: well B02, field 1, frame 0" in row["reason"]


def test_a_plate_of_which_every_field_fails_is_reported_as_failed(tmp_path: Path):
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(20), "C02": film(20)})
    for well in ("B", "C"):
        next(file for file in sorted((plate / well / "02/0/0/c").rglob("*")) if file.is_file()).unlink()
    outcome, _ = run(plate, tmp_path / "results")
    assert len(outcome.failed) == 2
    wells = rows_of(tmp_path / "results", "wells")
    assert [row["status"] for row in wells.values()] == ["failed", "failed"]
    assert all(np.isnan(row["kills"]) for row in wells.values())
    assert outcome.report is not None
    assert outcome.report.is_file()


def test_a_field_of_black_frames_is_excluded_and_not_zero(tmp_path: Path):
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(20), "C02": np.zeros_like(film(20))})
    outcome, _ = run(plate, tmp_path / "results")
    assert not outcome.failed
    row = rows_of(tmp_path / "results", "wells")["C02"]
    assert row["status"] == "excluded"
    assert np.isnan(row["kills"])
    assert "no frame holds a usable image (frame 0: CTDR is black" in row["reason"]
    said = json.loads((tmp_path / "results" / "provenance.json").read_text())["fields"]
    assert said["well B02, field 0"]["status"] == "ok"
    assert said["well C02, field 0"]["status"] == "excluded"


def test_a_channel_that_no_role_uses_may_be_black(tmp_path: Path):
    images = film(20)
    images[:, 2] = 0
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": images})
    protocol = parse_protocol(PROTOCOL.replace('death = "PI"\n', ""))
    run(plate, tmp_path / "results", protocol=protocol)
    fields = read_table(tmp_path / "results" / "tables", "fields")
    assert fields["status"].tolist() == ["ok"]
    assert fields["masked_frames"].tolist() == [""]


def test_a_death_dye_clipped_to_nothing_until_cells_die_hides_no_death(tmp_path: Path):
    images = film(36)
    images[:, 2] = np.clip(images[:, 2].astype(np.int64) - 235, 0, None)  # black up to the death in frame 12
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": images})
    run(plate, tmp_path / "results")
    assert read_table(tmp_path / "results" / "tables", "fields")["masked_frames"].tolist() == [""]
    deaths = read_table(tmp_path / "results" / "tables", "deaths")
    frames = deaths["frame"][deaths["role"] == "target"]
    assert len(frames) == 1
    assert abs(frames[0] - 12) <= 1


def test_a_death_dye_whose_lamp_failed_is_not_read_and_cells_are_followed_all_the_same(tmp_path: Path):
    images = film(20)
    images[5:8, 2] = 0  # the sensor's own level is 200
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": images})
    run(plate, tmp_path / "results")
    fields = read_table(tmp_path / "results" / "tables", "fields")
    assert fields["masked_frames"].tolist() == [""]
    assert fields["n_invalid_planes"].tolist() == [3]
    assert fields["invalid_planes"].tolist() == ["PI: black or flat 5-7"]
    planes = read_table(tmp_path / "results" / "tables", "invalid_planes")
    assert planes["frame"].tolist() == [5, 6, 7]
    assert planes["channel"].tolist() == ["PI"] * 3
    assert planes["fault"].tolist() == ["flat"] * 3
    assert planes["reason"].tolist() == ["PI is black: nothing was recorded"] * 3
    cells = read_table(tmp_path / "results" / "tables", "cells")
    dark = np.isin(cells["frame"], (5, 6, 7))
    assert np.isnan(cells["mean_PI"][dark]).all()  # unknown, and not 0
    assert np.isfinite(cells["mean_PI"][~dark]).all()
    assert (cells["role"][dark] == "target").sum() == 3 * 4  # they are seen by their own dye


@pytest.mark.parametrize(
    "missing",
    [range(4), range(16, 32), [0, *range(16, 20)], range(30, 34)],
    ids=["at the beginning", "a whole shard", "both", "at the end"],
)
def test_runs_of_frames_that_were_never_recorded_end_no_track(tmp_path: Path, missing: range):
    images = film(34, effectors=False)
    images[list(missing)] = 0
    plate = write_small_plate(
        tmp_path / "small.zarr", {"C02": images}, missing_frames={FieldId("C02", 0): list(missing)}
    )
    outcome, _ = run(plate, tmp_path / "results")
    assert not outcome.failed
    tracks = read_table(tmp_path / "results" / "tables", "tracks")
    assert tracks["start"].tolist() == ["movie_start"] * 4
    assert tracks["end"].tolist() == ["movie_end"] * 4
    assert read_table(tmp_path / "results" / "tables", "fields")["n_masked_frames"].tolist() == [len(missing)]


def test_a_field_of_which_nothing_was_recorded_fails_alone(tmp_path: Path):
    lost = FieldId("C02", 0)
    plate = write_small_plate(
        tmp_path / "small.zarr", {"B02": film(6), "C02": film(6)}, missing_frames={lost: list(range(6))}
    )
    outcome, _ = run(plate, tmp_path / "results")
    assert outcome.failed == {
        lost: "well C02, field 0: none of its 6 frames was ever recorded. Film it, or leave it out."
    }
    alone = write_small_plate(
        tmp_path / "alone.zarr", {"C02": film(6)}, missing_frames={lost: list(range(6))}
    )
    with pytest.raises(ImageError, match="none of its 6 frames was ever recorded"):
        run(alone, tmp_path / "other")


def test_a_film_in_which_no_cell_is_ever_seen_has_tables_without_rows(tmp_path: Path):
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(6, effectors=False, targets=False)})
    outcome, _ = run(plate, tmp_path / "results")
    assert not outcome.failed
    for table in ("cells", "tracks", "contacts", "deaths", "kills"):
        assert len(read_table(tmp_path / "results" / "tables", table)["well"]) == 0


def test_fields_may_differ_in_size_and_in_the_order_of_their_channels(tmp_path: Path):
    small = film(20)[:, :, :64, :90]
    plate = write_fields(
        tmp_path / "small.zarr", {FieldId("B02", 0): film(20), FieldId("B03", 0): small[:, ::-1]}
    )
    metadata = plate / "B/03/0/zarr.json"
    values = json.loads(metadata.read_text())
    values["attributes"]["ome"]["omero"]["channels"].reverse()
    metadata.write_text(json.dumps(values))
    for sums in (plate / "B/03/0").rglob("killassay.sums.json"):  # changed on purpose
        sums.unlink()
    outcome, _ = run(plate, tmp_path / "results")
    assert not outcome.failed
    deaths = read_table(tmp_path / "results" / "tables", "deaths")
    assert deaths["well"][deaths["role"] == "target"].tolist() == ["B02", "B03"]
    cells = read_table(tmp_path / "results" / "tables", "cells")
    for well in ("B02", "B03"):
        first = (cells["well"] == well) & (cells["frame"] == 0) & (cells["role"] == "target")
        assert np.all(cells["mean_GFP"][first] > 2 * cells["mean_PI"][first])


def test_a_single_frame_has_the_same_labels_with_and_without_a_frame_interval(tmp_path: Path):
    for name, calibration in (("with", CALIBRATION), ("without", Calibration(pixel_um=(1.0, 1.0)))):
        plate = write_small_plate(tmp_path / f"{name}.zarr", {"B02": film(1)}, calibration=calibration)
        run(plate, tmp_path / name)
    assert digest(tmp_path / "with").keys() == digest(tmp_path / "without").keys()
    counts = [len(read_table(tmp_path / name / "tables", "cells")["well"]) for name in ("with", "without")]
    assert counts[0] == counts[1] == 6


def test_a_well_that_was_mended_is_run_by_the_process_that_saw_it_broken(tmp_path: Path):
    plate = write_small_plate(tmp_path / "small.zarr", {"B02": film(2), "B03": film(2)})
    (plate / "B/03/zarr.json").rename(tmp_path / "away")
    assert list(run(plate, tmp_path / "one")[0].failed) == [FieldId("B03", 0)]
    (tmp_path / "away").rename(plate / "B/03/zarr.json")
    assert not run(plate, tmp_path / "two")[0].failed
