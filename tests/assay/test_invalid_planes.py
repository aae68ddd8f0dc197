import numpy as np
import pytest

from assay.invalid_planes import InvalidPlane, dark_for_good, find_invalid_planes, planes_in_words
from assay.unseen import hidden_roles, what_is_unseen
from tests.assay.test_quality import film, frame_of

NAMES = ("GFP", "PI")
DYES = {"effector": (0,), "target": (1,), "death": (2,)}


def dye_frame(number, *, dead):
    """(2, Y, X): steady cells, and a death dye that `dead` cells have taken up."""
    dye = frame_of(number + 100, n=dead, cells=dead > 0, gain=0.5)[0]
    return np.stack([frame_of(number)[0], dye])


def dying(n_frames=14):
    """One more cell dies every other frame."""
    return [dye_frame(n, dead=1 + n // 2) for n in range(n_frames)]


def closed(number):
    return np.random.default_rng(number).normal(110, 6, (160, 160)).astype(np.uint16)


def found(frames, **more):
    planes = find_invalid_planes(film(frames), channel_names=NAMES, steady_channels=(0,), **more)
    return [(plane.frame, NAMES[plane.channel], plane.fault) for plane in planes]


def test_a_film_of_more_and_more_dead_cells_is_whole():
    assert found(dying()) == []


def test_a_death_dye_that_is_gone_and_back_was_not_lit():
    frames = dying()
    frames[7][1], frames[8][1] = closed(7), closed(8)
    assert found(frames) == [(7, "PI", "dark"), (8, "PI", "dark")]


def test_a_death_dye_that_stays_away_may_have_lost_its_dead_cells():
    frames = dying()
    assert dark_for_good(film(frames), 1) is None
    for number in range(9, 14):
        frames[number][1] = closed(number)
    assert found(frames) == []
    assert dark_for_good(film(frames), 1) == 9  # a person is told: deaths after it cannot be seen
    assert dark_for_good(film(frames), 1, masked=range(9, 14)) is None


def test_the_first_frame_with_dye_and_the_last_without_are_no_fault():
    frames = [dye_frame(n, dead=0 if n < 6 else 2) for n in range(12)]
    assert found(frames) == []


def test_an_image_that_comes_twice_to_the_last_pixel_was_taken_once():
    frames = dying()
    frames[5][0] = frames[4][0]
    frames[9][1] = frames[2][1]
    assert found(frames) == [(5, "GFP", "frozen"), (9, "PI", "frozen")]


def test_drawn_images_without_noise_may_repeat():
    frames = [np.full((2, 160, 160), 100, np.uint16) for _ in range(5)]
    for frame in frames:
        frame[:, 40:60, 40:60] = 900
    assert found(frames) == []


def test_a_flash_of_the_lamp_lights_the_whole_image_and_a_bright_cell_does_not():
    frames = dying()
    light = 10.0 * (frames[6][1] - 110.0) + 400
    frames[6][1] = np.clip(light + np.random.default_rng(1).normal(0, 30, light.shape), 0, 65535)
    assert found(frames) == [(6, "PI", "flash")]
    frames = dying()
    frames[6][1, 20:60, 20:60] += 5000  # swims by in one frame
    assert found(frames) == []


def test_a_part_without_pixels_is_found_although_the_rest_is_there():
    frames = dying()
    frames[3][0, 64:96, 32:128] = 0
    assert found(frames) == [(3, "GFP", "partly_blank")]


def test_a_death_dye_may_lie_flat_at_rest_and_nowhere_else():
    frames = dying()
    for frame in frames:  # clipped, as programs do it that take the background off
        frame[1] = np.where(frame[1] > 200, frame[1], 0)
    frames[0][1] = 0
    assert found(frames) == []
    frames[4][1] = 65535
    assert (4, "PI") in {plane[:2] for plane in found(frames)}


def test_what_is_lost_on_the_disk_is_named_before_what_it_looks_like():
    frames = dying()
    frames[4][1] = 0
    lost = {(4, 1): "well B02, field 0, frame 4, channel PI: the chunk is damaged."}
    (plane,) = find_invalid_planes(film(frames), lost=lost, channel_names=NAMES, steady_channels=(0,))
    assert (plane.frame, plane.channel, plane.fault) == (4, 1, "lost")
    assert plane.reason == "PI is lost: well B02, field 0, frame 4, channel PI: the chunk is damaged."


def test_the_input_is_not_changed():
    frames = dying()
    frames[5][0] = frames[4][0]
    quality = film(frames)
    before = {name: getattr(quality, name).copy() for name in ("mean", "contrast", "fingerprint")}
    find_invalid_planes(quality, steady_channels=(0,))
    for name, values in before.items():
        np.testing.assert_array_equal(getattr(quality, name), values)


def plane(frame, channel, fault="flat"):
    return InvalidPlane(frame=frame, channel=channel, fault=fault, reason=f"{channel} is {fault}")


def unseen(*planes, roles=DYES, n_frames=10):
    found = what_is_unseen(planes, roles, n_frames=n_frames)
    return sorted(found.roles["effector"]), sorted(found.roles["target"]), sorted(found.death)


def test_a_frame_without_death_dye_shows_both_roles():
    assert unseen(plane(4, 2)) == ([], [], [4])


def test_a_role_whose_dye_is_gone_is_unseen_the_other_is_not_and_whose_the_death_dye_is_cannot_be_told():
    assert unseen(plane(4, 0)) == ([4], [], [4])
    assert unseen(plane(4, 1, "lost")) == ([], [4], [4])


@pytest.mark.parametrize("fault", ["dark", "frozen", "partly_blank", "out_of_focus"])
def test_where_the_model_saw_a_bad_image_of_one_dye_it_may_have_taken_one_cell_for_another(fault):
    assert unseen(plane(4, 0, fault)) == ([4], [4], [4])
    assert unseen(plane(4, 2, fault)) == ([], [], [4])  # it shows no cells


def test_in_a_flood_of_light_nobody_is_seen():
    assert unseen(plane(4, 2, "flash")) == ([4], [4], [4])
    assert unseen(plane(4, 0, "overexposed")) == ([4], [4], [4])


@pytest.mark.parametrize(
    ("fault", "hidden"), [("flat", []), ("lost", []), ("dark", [4]), ("out_of_focus", [4])]
)
def test_brightfield_that_was_left_out_hides_nobody_with_a_dye_and_bad_brightfield_hides_all(fault, hidden):
    assert unseen(plane(4, 3, fault), roles={**DYES, "brightfield": (3,)}) == (hidden, hidden, hidden)


def test_who_is_shown_by_brightfield_alone_is_unseen_without_it():
    assert unseen(plane(4, 0), roles={"brightfield": (0,)}) == ([4], [4], [4])
    roles = {"target": (1,), "brightfield": (0,)}
    assert unseen(plane(4, 0), roles=roles) == ([4], [], [4])
    assert hidden_roles({0}, roles) == {"effector"}
    assert hidden_roles({1}, roles) == {"target"}
    assert hidden_roles((), roles) == frozenset()


def test_a_film_ends_for_everybody_where_the_death_dye_was_last_seen():
    assert unseen(plane(0, 2), plane(5, 2), plane(8, 2), plane(9, 2)) == ([0, 8, 9], [0, 8, 9], [0, 5, 8, 9])
    everywhere = [plane(frame, 2) for frame in range(10)]
    assert unseen(*everywhere) == (list(range(10)), list(range(10)), list(range(10)))


def test_planes_are_said_by_channel_and_fault():
    planes = [
        plane(3, 1, "dark"),
        plane(7, 1, "dark"),
        plane(8, 1, "dark"),
        plane(9, 1, "frozen"),
        plane(4, 0, "lost"),
    ]
    assert planes_in_words(planes, NAMES) == "GFP: lost on the disk 4. PI: frozen 9; dark 3,7-8"
    assert planes_in_words([], NAMES) == ""
