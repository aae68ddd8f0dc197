from dataclasses import replace

import numpy as np
import pytest

from assay.deaths import Death, find_deaths, survey_deaths
from assay.labels import CellMeasures
from assay.tracks import Track, Tracks
from assay.units import Calibration
from benchmarks.death_traces import HARD, STANDARD, TraceField, make_field

FOUR_MIN = Calibration(pixel_um=(0.65, 0.65), frame_min=4.0)
LAMP = 200.0
FRAMES = 40
NOISE = 5.0


def measures_of(
    dye, *, area=None, marker=None, y_um=None, seen=None, covered=None, own_dye=None, role="target"
):
    """Tables of cells whose dye is given above the lamp, (cells, frames); the rest is at rest."""
    n = len(dye)
    rng = np.random.default_rng(1)
    area = np.full(dye.shape, 300.0) * np.exp(0.05 * rng.standard_normal(dye.shape)) if area is None else area
    marker = 500 * np.exp(0.05 * rng.standard_normal(dye.shape)) if marker is None else marker
    seen = np.ones(dye.shape, dtype=bool) if seen is None else seen
    frame, cell = np.nonzero(seen.T)
    here = (cell, frame)
    zeros = np.zeros(len(frame))
    y = np.broadcast_to(np.arange(n)[:, None] * 100.0 if y_um is None else y_um, dye.shape)
    own = dye if own_dye is None else own_dye
    measures = CellMeasures(
        role=role, frame=frame.astype(np.int32), label=(cell + 1).astype(np.int32),
        y_um=y[here], x_um=zeros + 50.0, area_um2=area[here], eccentricity=zeros + 0.5,
        covered=zeros if covered is None else covered[here], at_border=zeros > 0, score=zeros + 1,
        means={"PI": dye[here] + LAMP, "GFP": marker[here] + 100},
        own_means={"PI": own[here] + LAMP, "GFP": marker[here] + 100},
    )  # fmt: skip
    tracks = tuple(
        Track(
            track_id=row + 1, first_frame=int(np.flatnonzero(seen[row])[0]),
            last_frame=int(np.flatnonzero(seen[row])[-1]), parent_track_id=None, start="movie_start", end="movie_end",
        )
        for row in range(n)
    )  # fmt: skip
    return Tracks(role=role, track_id=(cell + 1).astype(np.int64), tracks=tracks), measures


def deaths_of(tracks, measures, *, frames=FRAMES, masked=(), dye=("PI",), others=None, lamp=None, least=0.5):
    return find_deaths(
        tracks, measures, death_channel=dye, marker_channels=("GFP",),
        background={"PI": np.full(frames, LAMP) if lamp is None else lamp, "GFP": np.full(frames, 100.0)},
        n_frames=frames, masked_frames=masked, calibration=FOUR_MIN, min_probability=least, others=others,
    )  # fmt: skip


def resting(n=12, frames=FRAMES, seed=0):
    return NOISE * np.random.default_rng(seed).standard_normal((n, frames))


def dying(dye, row, *, first, peak=300.0, rise=3.0):
    """Let the dye of one cell enter half a frame before frame `first`."""
    age = np.clip(np.arange(dye.shape[1]) - (first - 0.5), 0, None)
    dye[row] += peak * -np.expm1(-age / rise)
    return dye


def test_a_lasting_rise_of_the_dye_is_a_death_at_the_first_frame_after_the_dye_begins_to_enter():
    (death,) = deaths_of(*measures_of(dying(resting(), 4, first=20)))
    assert (death.track_id, death.frame, death.role, death.death_id) == (5, 20, "target", 1)
    assert death.first_possible_frame <= 20 <= death.last_possible_frame
    assert death.last_possible_frame - death.first_possible_frame <= 2
    assert death.probability > 0.95
    assert "dye" in death.evidence


def test_cells_at_rest_do_not_die():
    assert deaths_of(*measures_of(resting(n=60))) == []


def test_a_rise_that_goes_back_is_no_death():
    blush, spike = resting(), resting()
    blush[3, 15:23] += 150 * np.exp(-np.arange(8) / 3)
    spike[3, 15] += 2000
    assert deaths_of(*measures_of(blush)) == []
    assert deaths_of(*measures_of(spike)) == []


def test_a_cell_dead_when_first_seen_is_no_death_of_the_film():
    dye = resting()
    dye[2] += 300
    tracks, measures = measures_of(dye)
    survey = survey_deaths(
        tracks, measures, death_channel=("PI",), marker_channels=(), n_frames=FRAMES, masked_frames=(),
        background={"PI": np.full(FRAMES, LAMP)}, calibration=FOUR_MIN, min_probability=0.5,
    )  # fmt: skip
    assert survey.deaths == ()
    assert survey.dead_from_start == {3}


def test_the_end_of_a_track_is_not_its_death():
    seen = np.ones((12, FRAMES), dtype=bool)
    seen[5, 18:] = False
    assert deaths_of(*measures_of(resting(), seen=seen)) == []


def test_a_dead_effector_on_a_live_target_is_not_the_targets_death():
    seen_through = dying(resting(), 4, first=20)  # what the whole mask would say
    covered = np.zeros(seen_through.shape)
    covered[4, 18:] = 0.5
    tracks, measures = measures_of(seen_through, own_dye=resting(), covered=covered)
    assert deaths_of(tracks, measures) == []


def test_the_glow_of_a_dying_neighbour_is_not_the_cells_death():
    rng = np.random.default_rng(3)
    dye = resting(n=60)
    for row in range(0, 60, 2):
        dying(dye, row, first=int(rng.integers(8, 35)), peak=600)
    dye[1::2] += 0.15 * dye[0::2]
    y = np.repeat(np.arange(30) * 200.0, 2) + np.tile([0.0, 18.0], 30)
    deaths = deaths_of(*measures_of(dye, y_um=y[:, None]))
    assert {death.track_id for death in deaths} == set(range(1, 61, 2))


def test_a_brightness_jump_of_the_whole_field_kills_nobody():
    dye = resting()
    dye[:, 20:] += 80
    assert deaths_of(*measures_of(dye)) == []


def test_masked_frames_carry_no_evidence_and_widen_the_interval():
    dye = dying(resting(), 4, first=18, rise=1.0)
    dye[:, 15:21] = 5000.0
    tracks, measures = measures_of(dye)
    (death,) = deaths_of(tracks, measures, masked=range(15, 21))
    assert death.track_id == 5
    assert death.first_possible_frame <= 16
    assert death.last_possible_frame >= 20
    assert 15 <= death.frame <= 21


def test_unseen_frames_widen_the_interval_like_masked_ones():
    seen = np.ones((12, FRAMES), dtype=bool)
    seen[4, 14:24] = False
    (death,) = deaths_of(*measures_of(dying(resting(), 4, first=18, rise=1.0), seen=seen))
    assert death.first_possible_frame <= 16
    assert death.last_possible_frame >= 22


def test_without_a_death_dye_a_lasting_loss_of_marker_and_size_is_a_less_certain_death():
    dye = resting(n=20)
    rng = np.random.default_rng(5)
    area = 300 * np.exp(0.05 * rng.standard_normal(dye.shape))
    marker = 500 * np.exp(0.05 * rng.standard_normal(dye.shape))
    area[7, 20:] *= 0.55
    marker[7, 20:] *= 0.3
    (death,) = deaths_of(*measures_of(dye, area=area, marker=marker), dye=())
    assert death.track_id == 8
    assert abs(death.frame - 20) <= 1
    assert 0.5 <= death.probability <= 0.9
    assert {"marker_loss", "shrink"} <= set(death.evidence)


def test_without_a_death_dye_a_mitosis_is_no_death():
    dye = resting(n=20)
    area = 300 * np.exp(0.05 * np.random.default_rng(5).standard_normal(dye.shape))
    area[7, 15:30] *= 0.6
    assert deaths_of(*measures_of(dye, area=area), dye=()) == []


def test_a_cell_that_divides_later_did_not_die():
    dye = resting(n=20)
    area = 300 * np.exp(0.05 * np.random.default_rng(5).standard_normal(dye.shape))
    area[7, 25:] *= 0.6
    tracks, measures = measures_of(dye, area=area)
    kept = tuple(replace(t, end="divided") if t.track_id == 8 else t for t in tracks.tracks)
    assert deaths_of(replace(tracks, tracks=kept), measures, dye=()) == []


@pytest.mark.parametrize("frames", [1, 2])
def test_a_film_of_one_or_two_frames_has_no_deaths(frames):
    assert deaths_of(*measures_of(dying(resting(frames=frames), 2, first=1)), frames=frames) == []


def test_a_field_without_cells_has_no_deaths():
    none = np.zeros((0, FRAMES))
    assert deaths_of(*measures_of(none)) == []


def test_a_single_cell_may_die():
    (death,) = deaths_of(*measures_of(dying(resting(n=1), 0, first=20)))
    assert abs(death.frame - 20) <= 1


def test_effectors_die_by_the_same_rules():
    (death,) = deaths_of(*measures_of(dying(resting(), 4, first=20), role="effector"))
    assert death.role == "effector"


def test_the_measures_are_left_as_they_were():
    tracks, measures = measures_of(dying(resting(), 4, first=20))
    before = {name: values.copy() for name, values in measures.own_means.items()}
    deaths_of(tracks, measures)
    for name, values in before.items():
        np.testing.assert_array_equal(measures.own_means[name], values)


def test_deaths_do_not_depend_on_how_many_cells_are_weighed_together(monkeypatch):
    field = make_field(3, replace(STANDARD, n_cells=60))
    whole = deaths_in(field)
    monkeypatch.setattr("assay.death_cues._BATCH", 7)
    assert deaths_in(field) == whole


def deaths_in(field: TraceField, least=0.5) -> list[Death]:
    return find_deaths(
        field.tracks, field.measures, death_channel=("PI",), marker_channels=("GFP",), background=field.background,
        n_frames=field.settings.n_frames, masked_frames=field.settings.masked, calibration=field.calibration,
        min_probability=least,
    )  # fmt: skip


def test_deaths_of_made_fields_are_found_in_time_and_nothing_else_is():
    true = called = right = covered = 0
    errors = []
    for seed in (100, 101):
        field = make_field(seed)
        deaths = deaths_in(field)
        true, called = true + len(field.onsets), called + len(deaths)
        for death in deaths:
            if death.track_id in field.onsets:
                frame = int(np.ceil(field.onsets[death.track_id]))
                errors.append(death.frame - frame)
                covered += death.first_possible_frame <= frame <= death.last_possible_frame
        right = sum(abs(error) <= 2 for error in errors)
    assert 2 * right / (true + called) >= 0.93
    assert abs(np.mean(errors)) <= 0.5
    assert covered / len(errors) >= 0.85


def test_hard_fields_give_few_false_deaths():
    field = make_field(100, HARD)
    deaths = deaths_in(field)
    false = [death for death in deaths if death.track_id not in field.onsets]
    assert len(false) <= 0.1 * len(deaths)
