import io

import numpy as np
import pytest
from PIL import Image

from assay.columns import table_of_rows
from assay.report.crops import OUTSIDE, compose, png
from assay.report.film_strips import choose_kills, draw_strip, film_strips, pick_frames

CHANNELS = {"effector": (0,), "target": (1,), "death": (2,)}


@pytest.fixture(scope="module")
def small(cases):
    case = cases.six_wells()
    case.tables |= cases.events(["B02", "B03"], np.random.default_rng(5), per_well=2)
    return case


@pytest.fixture(scope="module")
def strips(cases, small):
    film = cases.Film(small)
    return film_strips(
        small.tables, source_of=film.of, n_certain=2, n_uncertain=1, n_frames=5,
    )  # fmt: skip


def test_the_most_certain_kills_come_first_one_per_well_then_the_least_certain(small):
    chosen = choose_kills(small.tables, n_certain=2, n_uncertain=1)
    assert {death["well"] for death, _, _ in chosen[:2]} == {"B02", "B03"}
    assert [for_review for _, _, for_review in chosen] == [False, False, True]
    certainty = [death["probability"] * kill["share"] for death, kill, _ in chosen]
    assert certainty[2] <= min(certainty[:2])


def test_no_kill_is_shown_twice_and_a_plate_without_kills_has_no_strips(small):
    chosen = choose_kills(small.tables, n_certain=10, n_uncertain=10)
    keys = [(death["well"], death["death_id"]) for death, _, _ in chosen]
    assert len(keys) == len(set(keys)) == 4
    empty = {"deaths": table_of_rows("deaths", []), "kills": table_of_rows("kills", [])}
    assert choose_kills(empty, n_certain=4, n_uncertain=2) == []


def test_a_death_that_nobody_gets_most_of_is_shown_as_no_kill(small):
    deaths = dict(small.tables["deaths"])
    deaths["uncredited_share"] = np.where(deaths["well"] == "B02", 0.97, deaths["uncredited_share"])
    chosen = choose_kills(small.tables | {"deaths": deaths}, n_certain=10, n_uncertain=10)
    assert {death["well"] for death, _, _ in chosen} == {"B03"}


def test_the_strip_shows_contact_death_and_what_lies_around_them():
    frames = pick_frames(contact=20, death=40, n_frames=60, n_wanted=7)
    assert len(frames) == 7
    assert {15, 20, 39, 40, 45} <= set(
        frames
    )  # a quarter of the lag before and after, and the frame before death


@pytest.mark.parametrize(("contact", "death"), [(0, 0), (0, 3), (3, 3), (1, 2)])
def test_a_kill_at_the_edge_of_a_short_film_takes_the_frames_there_are(contact, death):
    frames = pick_frames(contact=contact, death=death, n_frames=4, n_wanted=7)
    assert frames == [0, 1, 2, 3]


def test_masked_frames_are_never_shown():
    frames = pick_frames(contact=2, death=6, n_frames=10, n_wanted=7, masked=frozenset({5, 7}))
    assert not {5, 7} & set(frames)
    assert 6 in frames


def test_a_strip_is_centred_on_its_target_and_outlines_it(cases, strips):
    for strip in strips:
        at_death = next(frame for frame in strip.frames if frame.note == "death")
        (outline,) = at_death.target_outline
        assert outline.mean(axis=0) == pytest.approx([0.5, 0.5], abs=0.03)
        assert at_death.minutes_from_death == 0
        assert at_death.effector_outline  # the effector that is credited touches it


def test_the_dye_rises_within_the_strip_and_is_dark_before(strips):
    for strip in strips:
        middle = [frame.death_dye[34:40, 34:40].mean() for frame in strip.frames]
        times = [frame.minutes_from_death for frame in strip.frames]
        before = [value for value, minutes in zip(middle, times, strict=True) if minutes < 0]
        after = [value for value, minutes in zip(middle, times, strict=True) if minutes > 0]
        assert max(before) < 40  # of 255: noise is not blown up to look like dye
        assert min(after) > 100


def test_effectors_are_yellow_targets_red_and_death_cyan():
    crop = np.zeros((3, 1, 3))
    crop[0, 0, 0] = crop[1, 0, 1] = crop[2, 0, 2] = 100.0
    colours = compose(crop, CHANNELS, np.array([[0.0, 100.0]] * 3))[0]
    yellow, red, cyan = colours.astype(int)
    assert yellow[0] > 200 and yellow[1] > 200 and yellow[2] < 60
    assert red[0] > 200 and red[1] < 60 and red[2] < 60
    assert cyan[0] < 60 and cyan[1] > 200 and cyan[2] > 200


def test_beyond_the_edge_of_the_image_a_strip_is_grey_and_not_empty_background(cases, small):
    film = cases.Film(small)
    strips = film_strips(
        small.tables,
        source_of=lambda field: film.of(field, top=30, left=30),
        n_certain=4,
        n_uncertain=0,
        n_frames=3,
    )
    first = next(strip for strip in strips if strip.target_track_id == 1)
    at_death = next(frame for frame in first.frames if frame.note == "death")
    assert set(at_death.composite[0].ravel()) == {OUTSIDE}
    assert set(at_death.death_dye[:, 0]) == {OUTSIDE}


def test_the_drawing_holds_one_picture_per_frame_and_row_and_a_scale_bar(strips):
    drawn = str(draw_strip(strips[0]))
    assert drawn.count("<image") == 2 * len(strips[0].frames)
    assert "10 µm" in drawn
    assert ">0 min</text>" in drawn


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_a_png_reads_back_as_it_was(shape):
    image = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(image)))), image)


def test_of_a_frame_too_large_to_be_held_only_the_part_around_the_target_is_read(cases, small, monkeypatch):
    """Parts of 128 x 128 px of 330 x 400; only the background, and with it what is black, comes from that part."""
    how = {"n_certain": 4, "n_uncertain": 0, "n_frames": 3}
    once = film_strips(small.tables, source_of=cases.Film(small).of, **how)
    monkeypatch.setattr("assay.labels.LARGEST_WHOLE_PX", 330 * 400 - 1)
    monkeypatch.setattr("assay.report.crops._AROUND_PX", 128)
    monkeypatch.setattr(cases.FieldFilm, "most_px", 0)
    parts = film_strips(small.tables, source_of=cases.Film(small).of, **how)
    assert cases.FieldFilm.most_px == 128 * 128
    assert len(parts) == len(once) == 4
    for part, whole in zip(parts, once, strict=True):
        for here, there in zip(part.frames, whole.frames, strict=True):
            assert here.frame == there.frame
            assert here.composite.shape == there.composite.shape
            for ours, theirs in (
                (here.target_outline, there.target_outline),
                (here.effector_outline, there.effector_outline),
            ):
                assert len(ours) == len(theirs)
                assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
            away = np.abs(here.composite.astype(int) - there.composite.astype(int))
            assert np.percentile(away, 99) <= 12
