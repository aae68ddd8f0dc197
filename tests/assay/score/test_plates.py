"""Two tiny wells, scored from disk: each kind of error moves the numbers it should, and no other.

B02 (sample): targets 1, 2, 3 as rows of four pixels, effectors 1 and 2 beside them. Target 1 dies in frame 6 by
effector 1, target 2 dies in frame 9 by itself, target 3 lives. B03 (target_only): of targets 1 to 4, target 4
dies in frame 5 by itself. Cytolysis of B02: d = 2/3, d0 = 1/4, so 100 x (5/12) / (3/4) = 55.6 %.
"""

import json
from copy import deepcopy

import numpy as np
import pytest

from assay.columns import table_of_rows
from assay.errors import ResultsError
from assay.io.ome_zarr import LabelPlate
from assay.io.tables import write_table
from assay.score import format_scores, score_results
from assay.stack import FieldId
from assay.units import Calibration

N_FRAMES, HEIGHT, WIDTH = 20, 12, 9
B02, B03 = FieldId("B02", 0), FieldId("B03", 0)
CALIBRATION = Calibration(pixel_um=(0.5, 0.5), frame_min=4.0)
CYTOLYSIS = 100 * (5 / 12) / (3 / 4)


def labels_of(rows, column):
    """Cell `id` is four pixels in row 2 x id."""
    film = np.zeros((N_FRAMES, HEIGHT, WIDTH), dtype=np.uint32)
    for track_id in rows:
        film[:, 2 * track_id, column : column + 4] = track_id
    return film


def true_scene():
    nobody = np.zeros((N_FRAMES, HEIGHT, WIDTH), dtype=np.uint32)
    return {
        "labels": {
            (B02, "target"): labels_of([1, 2, 3], 0),
            (B02, "effector"): labels_of([1, 2], 4),
            (B03, "target"): labels_of([1, 2, 3, 4], 0),
            (B03, "effector"): nobody,
        },
        "deaths": [death(B02, 1, 1, 6, 0.0), death(B02, 2, 2, 9, 1.0), death(B03, 1, 4, 5, 1.0)],
        "kills": [kill(1, 1, 1, 1.0)],
        "contacts": [contact(1, 1, 1, 2, 5), contact(2, 2, 3, 4, 7)],
        "wells": [well("B02", "sample", 1.0, CYTOLYSIS), well("B03", "target_only", 0.0, 0.0)],
        "fields": [status(B02), status(B03)],
    }


def place(field):
    return {"well": field.well, "field": field.field}


def death(field, death_id, track_id, frame, uncredited):
    return {
        **place(field),
        "death_id": death_id,
        "role": "target",
        "track_id": track_id,
        "frame": frame,
        "first_possible_frame": frame,
        "last_possible_frame": frame,
        "time_min": 4.0 * frame,
        "probability": 1.0,
        "evidence": "dye",
        "uncredited_share": uncredited,
    }


def kill(death_id, target, effector, share):
    return {
        **place(B02),
        "death_id": death_id,
        "target_track_id": target,
        "effector_track_id": effector,
        "contact_id": 1,
        "share": share,
        "lag_min": 16.0,
    }


def contact(contact_id, effector, target, first, last):
    return {
        **place(B02),
        "contact_id": contact_id,
        "effector_track_id": effector,
        "target_track_id": target,
        "first_frame": first,
        "last_frame": last,
        "duration_min": 4.0 * (last - first + 1),
        "min_gap_um": 0.0,
        "mean_interface_um": 2.0,
        "starts_censored": False,
        "ends_censored": False,
        "target_dead": False,
    }


def well(name, kind, kills, cytolysis):
    return {
        "well": name,
        "condition": None,
        "kind": kind,
        "status": "ok",
        "reason": None,
        "n_fields": 1,
        "n_targets": 3.0,
        "n_effectors": 2.0,
        "measured_et_ratio": 2 / 3,
        "contacts": 2.0,
        "deaths": 2.0,
        "kills": kills,
        "kills_low": kills - 0.5,
        "kills_high": kills + 0.5,
        "cytolysis_percent": cytolysis,
        "cytolysis_percent_low": cytolysis - 5,
        "cytolysis_percent_high": cytolysis + 5,
    }


def status(field, text="ok", reason=None):
    return {
        **place(field),
        "status": text,
        "reason": reason,
        "n_frames": N_FRAMES,
        "n_masked_frames": 0,
        "masked_frames": "",
        "focus": None,
        "drift_um": None,
        "saturated_percent": None,
        "brightness_change_percent": None,
        "lost_percent": None,
        "effector_step_um": None,
        "effector_spacing_um": None,
        "warning": None,
    }


def tracks_and_cells(scene):
    died = {(row["well"], row["track_id"]): row["frame"] for row in scene["deaths"]}
    tracks, cells = [], []
    for (field, role), film in scene["labels"].items():
        for track_id in np.unique(film)[1:].tolist():
            frames = np.flatnonzero((film == track_id).any(axis=(1, 2))).tolist()
            ends = {"parent_track_id": None, "start": "movie_start", "end": "movie_end"}
            common = {**place(field), "role": role, "track_id": track_id}
            tracks.append({**common, "first_frame": frames[0], "last_frame": frames[-1], **ends})
            dies = died.get((field.well, track_id), N_FRAMES) if role == "target" else N_FRAMES
            measures = {"y_um": 1.0, "x_um": 1.0, "area_um2": 1.0, "eccentricity": 0.0, "covered": 0.0}
            measures |= {"label": track_id, "at_border": True, "score": 1.0}
            cells += [
                {**common, **measures, "frame": frame, "time_min": 4.0 * frame, "dead": frame >= dies}
                for frame in frames
            ]
    return tracks, cells


def write(folder, scene, *, truth=False):
    fields = sorted({field for field, _ in scene["labels"]})
    plate = LabelPlate.create(
        folder / "labels.zarr", fields=fields, shapes=(N_FRAMES, HEIGHT, WIDTH), calibration=CALIBRATION
    )
    for (field, role), film in scene["labels"].items():
        for start in plate.shard_starts(field):
            plate.write(field, role, start, film[start : start + plate.shard_frames(field)])
    plate.close()
    tracks, cells = tracks_and_cells(scene)
    tables = {"tracks": tracks} | {
        name: scene[name] for name in ("contacts", "deaths", "kills", "wells", "fields")
    }
    if truth:
        tables["cells"] = cells
        (folder / "scenario.json").write_text('{"wells": {"B02": "sample", "B03": "target_only"}}')
    (folder / "tables").mkdir()
    for name, rows in tables.items():
        write_table(folder / "tables", name, table_of_rows(name, rows))
    return folder


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return write(tmp_path_factory.mktemp("plate") / "PLATE-truth", true_scene(), truth=True)


@pytest.fixture
def score(truth, tmp_path):
    def of(scene, **settings):
        return score_results(write(tmp_path / "RESULTS", scene), truth, **settings)

    return of


ERRORS = ("bias", "error_frames", "error_min", "brier", "ece", "absolute_error", "relative_error")


def perfect(name):
    """What a perfect result scores under this name, where it does not count things."""
    return 0.0 if name.endswith(ERRORS) else 1.0


def is_count(name):
    return name.startswith("coverage_") or name.endswith(("_true", "_called", "_n_wells", "_n_missing"))


def moved(scores):
    """Scores that are not those of a perfect result; the counts are left out."""
    return {
        name: value
        for name, value in scores.as_dict().items()
        if not is_count(name) and (value is None or abs(value - perfect(name)) > 1e-9)
    }


def test_perfect_result_scores_one_everywhere(score):
    scores = score(true_scene())
    assert moved(scores) == {}
    flat = scores.as_dict()
    assert (flat["target_cells_true"], flat["effector_cells_called"]) == (7 * N_FRAMES, 2 * N_FRAMES)
    assert (flat["death_n_true"], flat["kill_n_true"], flat["contact_episodes_true"]) == (3, 1, 2)
    assert (flat["well_kills_n_wells"], flat["coverage_fields_true"]) == (1, 2)


def test_other_ids_change_nothing(score):
    scene = true_scene()
    for (_, role), film in scene["labels"].items():
        film[film > 0] += 40 if role == "target" else 70
    for rows in (scene["deaths"], scene["kills"], scene["contacts"]):
        for row in rows:
            for name, offset in (("track_id", 40), ("target_track_id", 40), ("effector_track_id", 70)):
                if name in row:
                    row[name] += offset
    assert moved(score(scene)) == {}


def test_missed_target_in_one_frame_moves_segmentation_and_links_only(score):
    scene = true_scene()
    scene["labels"][B03, "target"][7][scene["labels"][B03, "target"][7] == 2] = 0
    n, edges = 7 * N_FRAMES, 7 * (N_FRAMES - 1)
    # the missed node takes two true edges with it; the bridging edge is no true one
    assert moved(score(scene)) == {
        "target_ap50": pytest.approx((n - 1) / n),
        "target_ap75": pytest.approx((n - 1) / n),
        "target_f1_50": pytest.approx(2 * (n - 1) / (2 * n - 1)),
        "target_f1_75": pytest.approx(2 * (n - 1) / (2 * n - 1)),
        "target_edge_f1": pytest.approx(2 * (edges - 2) / (2 * edges - 1)),
        "target_det": pytest.approx(1 - 10 / (10 * n)),
        "target_seg": pytest.approx((n - 1) / n),
        "target_tra": pytest.approx(1 - (10 + 2 * 1.5 + 1) / (10 * n + 1.5 * edges)),
    }


def test_loose_effector_outline_moves_the_strict_scores_only(score):
    scene = true_scene()
    film = scene["labels"][B02, "effector"]
    film[:, 2, 4:6] = 0  # effector 1 loses 2 of its 4 pixels: IoU 1/2
    n = 2 * N_FRAMES
    # exactly half is still a match at 0.5, but CTC asks for more than half, so half of the nodes are lost to it
    assert moved(score(scene)) == {
        "effector_ap75": pytest.approx((n / 2) / (n + n / 2)),
        "effector_f1_75": pytest.approx(1 / 2),
        "effector_seg": pytest.approx(1 / 2),
        "effector_det": pytest.approx(1 - N_FRAMES * (10 + 1) / (10 * n)),  # each a miss and an extra
        "effector_tra": pytest.approx(1 - (N_FRAMES * (10 + 1) + 19 * 1.5) / (10 * n + 1.5 * 38)),
    }


def test_swapped_effectors_move_their_links_only(score):
    scene = true_scene()
    film = scene["labels"][B02, "effector"]
    one, two = film[15:] == 1, film[15:] == 2
    film[15:][one], film[15:][two] = 2, 1  # long after the contacts: each is still who it was then
    assert moved(score(scene)) == {
        "effector_edge_f1": pytest.approx(36 / 38),
        "effector_tra": pytest.approx(1 - (2 * 1.5 + 2) / (10 * 40 + 1.5 * 38)),
        "effector_complete_tracks": 0.0,
    }


def test_missed_contact_moves_contacts_only(score):
    scene = true_scene()
    del scene["contacts"][1]
    assert moved(score(scene)) == {
        "contact_pair_frame_recall": 1 / 2,
        "contact_episode_f1": pytest.approx(2 / 3),
        "contact_count_ratio": 1 / 2,
    }


def test_late_death_moves_its_timing_only(score):
    scene = true_scene()
    scene["deaths"][1]["frame"] += 2
    assert moved(score(scene)) == {
        "death_f1_within_1_frame": pytest.approx(2 * 2 / 6)
    }  # the median error is still 0


def test_all_deaths_late_move_the_median_error(score):
    scene = true_scene()
    for row, late in zip(scene["deaths"], (1, -3, 1), strict=True):
        row["frame"] += late
    assert moved(score(scene)) == {
        "death_f1_within_1_frame": pytest.approx(2 / 3),
        "death_f1_within_2_frames": pytest.approx(2 / 3),
        "death_median_error_frames": 1.0,
        "death_median_error_min": 4.0,
    }


def test_missed_death_moves_deaths_and_its_kill(score):
    scene = true_scene()
    del scene["deaths"][0], scene["kills"][0]
    four_fifths = pytest.approx(4 / 5)
    assert moved(score(scene)) == {
        "death_f1_within_1_frame": four_fifths,
        "death_f1_within_2_frames": four_fifths,
        "death_f1_within_window": four_fifths,
        "kill_f1": 0.0,
        "end_to_end_f1": 0.0,
        "kill_top_effector_right": None,  # nothing to ask: no kill was found
        "kill_true_killer_share": None,
        "kill_top_effector_brier": None,
        "kill_top_effector_ece": None,
    }


def test_wrong_killer_moves_the_killer_only(score):
    scene = true_scene()
    scene["kills"][0] |= {"effector_track_id": 2, "contact_id": 2}
    assert moved(score(scene)) == {
        "kill_top_effector_right": 0.0,
        "kill_true_killer_share": 0.0,
        "kill_top_effector_brier": 1.0,
        "kill_top_effector_ece": 1.0,
        "end_to_end_f1": 0.0,
    }


def test_unsure_credit_moves_calibration_only(score):
    scene = true_scene()
    scene["deaths"][0]["uncredited_share"] = 0.3
    scene["kills"][0]["share"] = 0.7
    assert moved(score(scene)) == {
        "kill_true_killer_share": pytest.approx(0.7),
        "kill_caused_brier": pytest.approx(0.09 / 3),  # three deaths found
        "kill_caused_ece": pytest.approx(0.3 / 3),
        "kill_top_effector_brier": pytest.approx(0.09),  # one of them names an effector
        "kill_top_effector_ece": pytest.approx(0.3),
    }


def test_wrong_well_numbers_move_wells_only(score):
    scene = true_scene()
    scene["wells"][0] = well("B02", "sample", 0.25, CYTOLYSIS - 10)
    assert moved(score(scene)) == {
        "well_kills_bias": -0.75,
        "well_kills_absolute_error": 0.75,
        "well_kills_relative_error": 0.75,  # 0.25 for 1
        "well_kills_interval_coverage": 0.0,
        "well_cytolysis_percent_bias": pytest.approx(-10),
        "well_cytolysis_percent_absolute_error": pytest.approx(10),
        "well_cytolysis_percent_interval_coverage": 0.0,
    }


def failed_field():
    scene = true_scene()
    scene["fields"][1] = status(B03, "failed", "chunk 0.0.0 is damaged")
    scene["deaths"] = scene["deaths"][:2]
    return scene


def test_failed_field_counts_as_missed_and_is_named(score):
    scores = score(failed_field())
    flat = scores.as_dict()
    assert flat["target_ap50"] == 3 / 7
    assert flat["target_complete_tracks"] == 3 / 7
    assert flat["death_f1_within_2_frames"] == pytest.approx(4 / 5)
    assert flat["coverage_fields_missing"] == 1
    assert scores.coverage.missing == ("well B03, field 0: failed (chunk 0.0.0 is damaged)",)
    assert "1 of 2 fields are in RESULTS, the others count as missed." in format_scores(scores)


def test_failed_field_can_be_left_out_but_is_still_named(score):
    scores = score(failed_field(), missing_fields="leave_out")
    flat = scores.as_dict()
    assert (flat["target_ap50"], flat["target_cells_true"]) == (1.0, 3 * N_FRAMES)
    assert flat["death_f1_within_2_frames"] == 1.0
    assert flat["well_cytolysis_percent_n_wells"] == 0  # its control well is gone on both sides
    assert "not in RESULTS: well B03, field 0: failed" in format_scores(scores)


def test_field_that_was_not_run_counts_as_missed(score):
    scene = failed_field()
    del scene["fields"][1]
    scene["labels"] = {key: film for key, film in scene["labels"].items() if key[0] == B02}
    scores = score(scene)
    assert scores.coverage.missing == ("well B03, field 0: not run",)
    assert scores.as_dict()["target_ap50"] == 3 / 7


def test_results_without_any_field_cannot_be_scored_by_leaving_out(score):
    scene = true_scene()
    scene["fields"] = [status(B02, "failed"), status(B03, "failed")]
    with pytest.raises(ResultsError, match="none of the 2 fields of the truth has results"):
        score(scene, missing_fields="leave_out")


def test_results_of_another_plate_are_refused(score):
    scene = true_scene()
    film = scene["labels"][B03, "target"]
    scene["labels"] |= {(FieldId("C05", 1), role): film for role in ("effector", "target")}
    with pytest.raises(
        ResultsError, match=r"well C05, field 1, which .* has not: it is the truth of another plate"
    ):
        score(scene)


def test_folder_that_is_no_truth_is_refused(truth, tmp_path):
    (tmp_path / "PLATE.zarr").mkdir()
    with pytest.raises(ResultsError, match=r"PLATE.zarr has no labels.zarr, so it is no truth folder"):
        score_results(truth, tmp_path / "PLATE.zarr")


def test_truth_without_its_scenario_is_refused(tmp_path):
    bare = write(tmp_path / "PLATE-truth", true_scene(), truth=True)
    (bare / "scenario.json").unlink()
    with pytest.raises(ResultsError, match=r"scenario.json cannot be read \(FileNotFoundError"):
        score_results(write(tmp_path / "RESULTS", true_scene()), bare)


def test_masked_frames_are_counted_aloud(score):
    scene = true_scene()
    scene["fields"][0] |= {"n_masked_frames": 2, "masked_frames": "3-4"}
    for role in ("target", "effector"):
        scene["labels"][B02, role][3:5] = 0
    scores = score(scene)
    assert scores.as_dict()["effector_ap50"] == (N_FRAMES - 2) / N_FRAMES
    assert "2 frames are masked, their cells count as missed" in format_scores(scores)


def test_scores_are_plain_json_with_null_where_nothing_is_asked(score):
    scene = deepcopy(true_scene())
    del scene["deaths"][0], scene["kills"][0]
    flat = score(scene).as_dict()
    assert json.loads(json.dumps(flat, allow_nan=False)) == flat
    assert flat["kill_top_effector_right"] is None


def test_page_names_every_group_and_every_role(score):
    page = format_scores(score(true_scene()))
    for title in (
        "segmentation, effectors",
        "segmentation, targets",
        "tracking, targets",
        "contacts",
        "kills",
        "wells",
    ):
        assert f"\n{title}\n" in page
    assert "deaths: true | called" in page
    assert "nan" not in page
