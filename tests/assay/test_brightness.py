import numpy as np

from assay.brightness import frames_to_sample, measure_brightness, role_slots
from assay.labels import CHANNEL_ROLES

RNG_SEED = 7


def film_frame(background: float, cell: float, noise: float) -> np.ndarray:
    """(1, Y, X): a bright square of 10 % of the image on a noisy background."""
    image = np.random.Generator(np.random.PCG64(RNG_SEED)).normal(background, noise, (1, 100, 120))
    image[0, 20:60, 30:60] += cell
    return image


def test_background_becomes_zero_and_bright_cells_about_one():
    frame = film_frame(background=200, cell=800, noise=10)
    slots, present = role_slots(frame[None], measure_brightness([frame]), {"target": (0,)})
    target = slots[0, CHANNEL_ROLES.index("target")]
    assert present == (False, True, False, False, False)
    assert abs(np.median(target[:10])) < 0.01
    assert 0.9 < np.median(target[20:60, 30:60]) <= 1.0


def test_the_scale_does_not_depend_on_gain_or_offset():
    frame = film_frame(background=200, cell=800, noise=10)
    roles = {"target": (0,)}
    ours, _ = role_slots(frame[None], measure_brightness([frame]), roles)
    other = 3 * frame + 1000
    theirs, _ = role_slots(other[None], measure_brightness([other]), roles)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_noise_of_an_empty_channel_is_not_blown_up_to_cells():
    frame = film_frame(background=200, cell=0, noise=10)
    slots, _ = role_slots(frame[None], measure_brightness([frame]), {"death": (0,)})
    assert slots.std() < 0.15  # a twelfth where there is one role of five


def test_brightfield_is_centred_on_its_median():
    frame = film_frame(background=30000, cell=-3000, noise=200)
    slots, _ = role_slots(frame[None], measure_brightness([frame]), {"brightfield": (0,)})
    brightfield = slots[0, CHANNEL_ROLES.index("brightfield")]
    assert abs(np.median(brightfield)) < 0.01
    assert brightfield[20:60, 30:60].mean() < -0.5


def test_of_two_channels_in_a_role_the_brighter_counts():
    a, b = film_frame(200, 800, 1), film_frame(200, 0, 1)
    both = np.concatenate([b, a])
    slots, _ = role_slots(both[None], measure_brightness([both]), {"target": (0, 1)})
    assert slots[0, 1, 40, 40] > 0.9


def test_a_black_frame_does_not_set_the_scale():
    frame = film_frame(200, 800, 10)
    with_black = measure_brightness([np.zeros_like(frame), frame])
    assert with_black.background.tolist() == measure_brightness([frame]).background.tolist()


def test_a_channel_that_is_flat_throughout_gives_zeros_and_nothing_infinite():
    frame = np.full((1, 8, 8), 17.0)
    slots, _ = role_slots(frame[None] - 17, measure_brightness([frame]), {"target": (0,)})
    assert (slots == 0).all()


def test_pixels_that_are_no_number_become_background():
    frame = film_frame(200, 800, 10)
    broken = frame.copy()
    broken[0, 0, 0] = np.nan
    slots, _ = role_slots(broken[None], measure_brightness([frame]), {"target": (0,)})
    assert slots[0, 1, 0, 0] == 0.0


def test_the_sampled_frames_are_spread_over_the_film_and_skip_missing_ones():
    assert frames_to_sample(3) == [0, 1, 2]
    assert frames_to_sample(100) == [0, 14, 28, 42, 57, 71, 85, 99]
    assert frames_to_sample(4, {1}) == [0, 2, 3]


def test_input_is_not_changed():
    frame = film_frame(200, 800, 10)
    before = frame.copy()
    role_slots(frame[None], measure_brightness([frame]), {"target": (0,)})
    assert (frame == before).all()


def test_a_dyes_faint_bleed_into_an_empty_channel_of_few_counts_stays_faint():
    rng = np.random.Generator(np.random.PCG64(RNG_SEED))
    image = rng.normal(15, 0.8, (1, 100, 120))
    image[0, 20:60, 30:60] += 5  # what a bright target leaves in the effectors' channel
    counts = np.rint(image).astype(np.uint16)
    slots, _ = role_slots(counts[None], measure_brightness([counts]), {"effector": (0,)})
    assert 0.2 < np.median(slots[0, 0, 20:60, 30:60]) < 0.45  # 5 counts of about 20 noises of 0.7 to 0.8
