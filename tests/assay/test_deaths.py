from dataclasses import replace

import numpy as np
import pytest

from assay.deaths import DOUBTFUL, Death, survey_deaths
from assay.labels import CellMeasures
from assay.tracks import Track, Tracks
from assay.units import Calibration
from benchmarks.death_traces import HARD, TraceField, make_field

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
    return list(
        survey(
            tracks, measures, frames=frames, masked=masked, dye=dye, others=others, lamp=lamp, least=least
        ).deaths
    )


def survey(tracks, measures, *, frames=FRAMES, masked=(), dye=("PI",), others=None, lamp=None, least=0.5):
    return survey_deaths(
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


def test_frames_without_the_dye_widen_the_interval_although_the_cell_is_seen():
    tracks, measures = measures_of(dying(resting(), 4, first=18, rise=1.0))
    lamp = np.full(FRAMES, LAMP)
    lamp[14:24] = np.nan  # the dye was not recorded; masks, places and the marker are all there
    (death,) = deaths_of(tracks, measures, lamp=lamp)
    assert death.track_id == 5
    assert death.first_possible_frame <= 14
    assert death.last_possible_frame == 24  # the first in which the dye is seen again
    assert death.probability > 0.9


def test_a_dye_that_is_only_seen_to_rise_in_frames_without_image_is_no_death():
    dye = resting()
    dye[4, 20:23] += 2000.0  # as a shutter or a lamp may make it, and gone thereafter
    tracks, measures = measures_of(dye)
    lamp = np.full(FRAMES, LAMP)
    lamp[20:23] = np.nan
    assert deaths_of(tracks, measures, lamp=lamp) == []
    lamp[20:] = np.nan  # whatever comes after the last sight of the dye is not known
    assert deaths_of(*measures_of(dying(resting(), 4, first=21, rise=1.0)), lamp=lamp) == []


def test_cells_that_burst_while_nobody_looks_may_have_burst_in_any_of_these_frames():
    tracks, measures = vanishing(40, range(0, 40, 5))
    spans = {(d.first_possible_frame <= 18, d.last_possible_frame) for d in deaths_of(tracks, measures)}
    assert spans == {(True, 18)}
    deaths = deaths_of(*without(tracks, measures, range(18, 21)), masked=range(18, 21))
    assert len(deaths) == 8
    # last seen in frame 17, missed in frame 21: the frames between hold no image
    assert {(d.first_possible_frame <= 18, d.last_possible_frame) for d in deaths} == {(True, 21)}


def test_cells_lost_over_a_long_run_without_images_have_not_vanished():
    unseen = range(18, 25)
    assert deaths_of(*without(*vanishing(40, range(0, 40, 5)), unseen), masked=unseen) == []


def without(tracks, measures, frames):
    """The same, nothing seen in these frames."""
    kept = ~np.isin(measures.frame, frames)
    names = ("frame", "label", "y_um", "x_um", "area_um2", "eccentricity", "covered", "at_border", "score")
    seen = replace(
        measures,
        **{name: getattr(measures, name)[kept] for name in names},
        means={name: values[kept] for name, values in measures.means.items()},
        own_means={name: values[kept] for name, values in measures.own_means.items()},
    )
    return replace(tracks, track_id=tracks.track_id[kept]), seen


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


def test_the_onset_is_timed_between_the_frames():
    (death,) = deaths_of(
        *measures_of(dying(resting(), 4, first=20))
    )  # the dye begins at 19.5 frames of 4 min
    assert 75.0 < death.onset_min <= 80.0


def in_the_middle(tracks):
    """Tracks whose ends within the film lie in the middle of the image."""
    kept = tuple(
        replace(
            track,
            start="movie_start" if track.first_frame == 0 else "appeared",
            end="movie_end" if track.last_frame == FRAMES - 1 else "lost",
        )
        for track in tracks.tracks
    )
    return replace(tracks, tracks=kept)


def vanishing(n, rows, *, after=18, turning_up=()):
    seen = np.ones((n, FRAMES), dtype=bool)
    seen[list(rows), after:] = False
    seen[list(turning_up), :after] = False
    tracks, measures = measures_of(resting(n=n), seen=seen)
    return in_the_middle(tracks), measures


def test_cells_that_vanish_where_none_turn_up_have_probably_burst_and_the_death_says_so():
    deaths = deaths_of(*vanishing(40, range(0, 40, 5)))
    assert [death.track_id for death in deaths] == [1, 6, 11, 16, 21, 26, 31, 36]
    for death in deaths:
        assert 0.5 < death.probability <= 0.9
        assert death.evidence[:2] == ("vanished", "no_dye")
        assert death.first_possible_frame <= 17 <= death.frame <= 18  # last seen in frame 17


def test_cells_that_vanish_as_bright_as_ever_died_more_surely_than_those_of_a_film_that_bleaches():
    # 40 of 80 cells vanish, none turns up: some 8 burst for every half that is lost (docs/events.md), odds of 16
    seen = np.ones((80, FRAMES), dtype=bool)
    seen[::2, 18:] = False
    steady = np.full(seen.shape, 500.0)
    bleaching = steady * np.linspace(1.0, 0.13, FRAMES)  # 0.64 when they were last seen, 0.96 at first
    for marker, least, most in ((steady, 0.92, 0.98), (bleaching, 0.89, 0.905)):
        tracks, measures = measures_of(resting(n=80), seen=seen, marker=marker)
        deaths = deaths_of(in_the_middle(tracks), measures)
        assert [death.track_id for death in deaths] == list(range(1, 80, 2))
        assert all(least < death.probability <= most for death in deaths)


def test_where_as_many_cells_turn_up_as_vanish_they_were_lost_and_nobody_died():
    tracks, measures = vanishing(40, range(0, 40, 5), turning_up=range(2, 40, 5))
    assert deaths_of(tracks, measures) == []


def test_a_single_cell_that_vanishes_is_no_sure_death():
    (death,) = deaths_of(*vanishing(40, [7]), least=0.1)
    assert 0.1 < death.probability < 0.7


def test_a_covered_cell_that_vanishes_was_lost_from_sight():
    dye = resting(n=40)
    seen, covered = np.ones(dye.shape, dtype=bool), np.zeros(dye.shape)
    seen[::5, 18:], covered[::5, 10:] = False, 0.9
    tracks, measures = measures_of(dye, seen=seen, covered=covered)
    assert deaths_of(in_the_middle(tracks), measures) == []


def broken(dye, row, *, ends, begins):
    """Tracks of cells one of which is lost for some frames and goes on as another track at its place."""
    tracks, measures = measures_of(dye)
    n = len(dye)
    cell, frame = measures.label - 1, measures.frame
    kept = ~((cell == row) & (frame > ends) & (frame < begins))
    ids = np.where((cell == row) & (frame >= begins), n + 1, cell + 1).astype(np.int64)[kept]
    pick = {name: getattr(measures, name)[kept] for name in measures.__dataclass_fields__ if name not in ("role", "means", "own_means")}  # fmt: skip
    means = {name: values[kept] for name, values in measures.means.items()}
    own = {name: values[kept] for name, values in measures.own_means.items()}
    measures = replace(measures, **pick, means=means, own_means=own)
    listed = [replace(t, last_frame=ends if t.track_id == row + 1 else t.last_frame) for t in tracks.tracks]
    listed.append(replace(listed[0], track_id=n + 1, first_frame=begins, last_frame=FRAMES - 1))
    return in_the_middle(replace(tracks, track_id=ids, tracks=tuple(listed))), measures


def test_a_death_while_the_cell_was_lost_is_its_first_tracks_and_the_second_is_dead_from_the_start():
    dye = dying(resting(n=24), 4, first=20, rise=1.0)
    for row in range(12, 24):  # others die in sight, by the dye alone
        dying(dye, row, first=row)
    found = survey(*broken(dye, 4, ends=17, begins=22))
    death = found.deaths[0]
    assert [each.track_id for each in found.deaths] == [5, *range(13, 25)]
    assert 17 < death.frame <= 22
    assert death.first_possible_frame <= 18
    assert death.last_possible_frame >= 22
    assert found.dead_from_start == {25}


def test_a_cell_that_vanishes_soon_after_the_dye_begins_to_enter_died():
    dye = dying(resting(n=40), 4, first=20, peak=60.0)
    seen = np.ones(dye.shape, dtype=bool)
    seen[4, 23:] = False
    tracks, measures = measures_of(dye, seen=seen)
    assert deaths_of(tracks, measures) == []  # three faint frames may be a blush
    deaths = deaths_of(in_the_middle(tracks), measures)
    assert [death.track_id for death in deaths] == [5]


@pytest.mark.parametrize(("confidence", "died"), [(1.0, True), (0.4, False)])
def test_a_step_of_the_dye_at_a_doubtful_link_is_a_track_that_went_over_to_a_dead_cell(confidence, died):
    dye = resting(n=20)
    dye[10:14] += 300.0  # dead all along
    dye[4, 20:] += 300.0
    tracks, measures = measures_of(dye)
    links = np.where((measures.label == 5) & (measures.frame == 20), confidence, 1.0)
    deaths = deaths_of(replace(tracks, link_confidence=links), measures)
    assert [death.track_id for death in deaths] == ([5] if died else [])


def test_the_noise_of_a_film_of_three_frames_is_measured():
    dye = resting(n=30, frames=3)
    tracks, measures = measures_of(dye)
    assert deaths_of(tracks, measures, frames=3) == []


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


def deaths_in(field: TraceField, least=0.5) -> list[Death]:
    found = survey_deaths(
        field.tracks, field.measures, death_channel=("PI",), marker_channels=("GFP",), background=field.background,
        n_frames=field.settings.n_frames, masked_frames=field.settings.masked, calibration=field.calibration,
        min_probability=least,
    )  # fmt: skip
    return list(found.deaths)


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


def test_a_death_too_doubtful_to_be_called_is_kept_apart_and_the_called_ones_stay_as_they_are():
    """A dye that rises by about the noise: the less probable it is, the less it may be called."""
    dye = dying(resting(seed=3), 4, first=20)
    for row, peak in ((2, 26.0), (7, 22.0)):
        dye = dying(dye, row, first=30, peak=peak)
    tracks, measures = measures_of(dye)
    every = survey(tracks, measures, least=DOUBTFUL)
    assert every.doubtful == ()
    least = 1.01 * sorted(death.probability for death in every.deaths)[-2]
    found = survey(tracks, measures, least=least)
    assert [death.track_id for death in found.deaths] == [5]
    assert found.deaths[0].probability == max(death.probability for death in every.deaths)
    left = {d.track_id: (d.frame, d.probability) for d in every.deaths if d.probability < least}
    assert left
    assert {d.track_id: (d.frame, d.probability) for d in found.doubtful} == left


@pytest.mark.parametrize("left", [0.6, 0.27, 0.13])
def test_cells_that_bleach_do_not_die(left):
    rng = np.random.default_rng(3)
    bright, pace = np.exp(0.3 * rng.standard_normal((60, 1))), np.exp(0.15 * rng.standard_normal((60, 1)))
    curve = left ** np.linspace(0, 1, FRAMES)
    marker = 500 * bright * curve**pace * np.exp(0.05 * rng.standard_normal((60, FRAMES)))
    assert deaths_of(*measures_of(resting(n=60), marker=marker)) == []
    dead = marker.copy()
    dead[7, 20:] *= 0.1
    (death,) = deaths_of(*measures_of(dying(resting(n=60), 7, first=20), marker=dead))
    assert (death.track_id, death.frame) == (8, 20)
