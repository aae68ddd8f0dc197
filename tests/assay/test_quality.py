import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from assay.columns import table_of_rows
from assay.errors import ShapeError
from assay.field_quality import FieldFacts, failed_field_row, field_row
from assay.invalid_planes import mask_frames
from assay.labels import FrameLabels
from assay.quality import (
    brightness_change_percent,
    concatenate,
    frame_ranges,
    lamp_jumps,
    measure_frame,
)
from assay.stack import FieldId

NAMES = ("GFP", "BF")


def cells_image(size: int = 160, *, n: int = 12, seed: int = 3) -> np.ndarray:
    """Boolean image of round cells."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    image = np.zeros((size, size), bool)
    for cy, cx in rng.uniform(12, size - 12, (n, 2)):
        image |= (y - cy) ** 2 + (x - cx) ** 2 < 9**2
    return image


def frame_of(
    number: int,
    *,
    gain: float = 1.0,
    blur: float = 1.0,
    n: int = 12,
    cells: bool = True,
    offset: float = 100.0,
) -> np.ndarray:
    """(2, Y, X) of fluorescent cells and of the same cells in brightfield, with noise of their own."""
    rng = np.random.default_rng(number)
    mask = cells_image(n=n) if cells else np.zeros((160, 160), bool)
    bright = gaussian_filter(mask * 600.0 * gain, blur)
    field = 3000.0 + gaussian_filter((mask * 1.0 - gaussian_filter(mask * 1.0, 3)) * 900, blur)
    clean = np.stack([bright + 20 * gain + offset, field])
    return (clean + rng.normal(0, 6, clean.shape)).clip(0, 65535).astype(np.uint16)


def film(frames, **more):
    return concatenate([measure_frame(image, frame=number, **more) for number, image in enumerate(frames)])


def labels_of(mask: np.ndarray) -> FrameLabels:
    return FrameLabels(
        effectors=np.zeros(mask.shape, np.int32),
        targets=mask.astype(np.int32),
        effector_scores=np.zeros(0, np.float32),
        target_scores=np.ones(1, np.float32),
    )


def test_mean_background_and_saturation_of_a_drawn_frame():
    image = np.full((1, 8, 8), 10, np.uint16)
    image[0, :2, :2] = 4095  # four pixels of 64 at the limit of a 12-bit camera
    quality = measure_frame(image, frame=5)
    assert quality.frame.tolist() == [5]
    assert quality.mean[0, 0] == pytest.approx((60 * 10 + 4 * 4095) / 64)
    assert quality.background[0, 0] == 10
    assert quality.saturated[0, 0] == pytest.approx(4 / 64)


def test_cells_are_no_background_and_give_the_signal():
    image = np.full((1, 16, 16), 50, np.uint16)
    image[0, :, :12] = 400  # three quarters of the image are cells
    mask = np.zeros((16, 16), bool)
    mask[:, :12] = True
    assert measure_frame(image, frame=0).background[0, 0] == 400
    known = measure_frame(image, frame=0, labels=labels_of(mask))
    assert known.background[0, 0] == 50
    assert known.signal[0, 0] == 350


def test_the_noise_of_an_empty_frame_is_that_of_its_pixels():
    noisy = np.random.default_rng(1).normal(1000, 7, (1, 256, 256)).astype(np.float32)
    assert measure_frame(noisy, frame=0).noise[0, 0] == pytest.approx(7, rel=0.05)


def test_an_image_without_structure_has_no_focus():
    assert np.isnan(measure_frame(frame_of(0, cells=False), frame=0).focus[0, 0])


def test_focus_falls_with_blur_and_not_with_brightness():
    sharp = measure_frame(frame_of(1), frame=0).focus[0, 0]
    dim = measure_frame(frame_of(2, gain=0.3), frame=0).focus[0, 0]
    blurred = measure_frame(frame_of(3, blur=5), frame=0).focus[0, 0]
    assert dim == pytest.approx(sharp, rel=0.1)
    assert blurred < 0.55 * sharp


def test_the_input_is_not_changed():
    image = frame_of(1)
    before = image.copy()
    measure_frame(image, frame=0)
    assert np.array_equal(image, before)


def test_an_image_of_the_wrong_shape_is_refused():
    with pytest.raises(ShapeError, match=r"expected an image of shape \(C, Y, X\), got \(4, 4\)"):
        measure_frame(np.zeros((4, 4)), frame=0)
    with pytest.raises(ShapeError, match=r"image is \(8, 8\) but its labels are \(4, 4\)"):
        measure_frame(np.zeros((1, 8, 8)), frame=0, labels=labels_of(np.zeros((4, 4), bool)))


def test_frames_come_in_order_however_they_were_cut():
    parts = [measure_frame(frame_of(n), frame=n) for n in range(4)]
    whole = concatenate(parts)
    cut = concatenate([concatenate(parts[2:]), concatenate(parts[:2])])
    assert cut.frame.tolist() == [0, 1, 2, 3]
    assert np.array_equal(cut.focus, whole.focus)


def test_a_black_frame_is_masked_and_named():
    frames = [frame_of(n) for n in range(6)]
    frames[3] = np.zeros_like(frames[3])
    assert mask_frames(film(frames), channel_names=NAMES) == {3: "GFP is black: nothing was recorded"}


def test_one_black_channel_is_enough():
    frames = [frame_of(n) for n in range(6)]
    frames[2][1] = 77
    assert mask_frames(film(frames), channel_names=NAMES) == {2: "BF is one flat value: nothing was recorded"}


def dark_frame(number: int) -> np.ndarray:
    """Offset and read noise of the camera only."""
    return np.random.default_rng(number).normal(100, 6, (2, 160, 160)).astype(np.uint16)


@pytest.mark.parametrize("dark", [{4}, {0}, {7}, {3, 4, 5}, {0, 1}])
def test_frames_taken_without_light_are_masked_although_they_have_camera_noise(dark):
    frames = [dark_frame(n) if n in dark else frame_of(n) for n in range(8)]
    reasons = mask_frames(film(frames), channel_names=NAMES)
    assert reasons == dict.fromkeys(sorted(dark), "GFP is dark: 0 % of the film's contrast")


def test_a_steady_channel_that_alone_goes_dark_and_comes_back_is_masked():
    frames = [frame_of(n) for n in range(8)]
    frames[4][0] = dark_frame(4)[0]
    assert set(mask_frames(film(frames), steady_channels=(0, 1))) == {4}
    assert mask_frames(film(frames)) == {}  # it might be a dye


def test_a_channel_that_alone_goes_dark_for_good_may_have_lost_its_cells():
    frames = [frame_of(n) for n in range(8)]
    for number in (6, 7):
        frames[number][0] = dark_frame(number)[0]
    assert mask_frames(film(frames), steady_channels=(0, 1)) == {}


def test_a_frame_with_a_value_that_is_no_number_is_masked():
    frames = [frame_of(n).astype(np.float32) for n in range(4)]
    frames[1][0, 0, :16] = np.nan
    reasons = mask_frames(film(frames), channel_names=NAMES)
    assert reasons == {1: "GFP holds 0.0625 % pixels that are not numbers"}  # 16 of 160 x 160


def test_missing_frames_are_masked_without_being_measured():
    quality = concatenate([measure_frame(frame_of(n), frame=n) for n in (0, 1, 3, 4)])
    assert mask_frames(quality, missing_frames=frozenset({2})) == {2: "was never recorded"}


def test_gross_loss_of_focus_is_masked():
    frames = [frame_of(n, blur=9 if n == 5 else 1) for n in range(9)]
    (reason,) = mask_frames(film(frames), channel_names=NAMES).values()
    assert reason.startswith("out of focus: ")


def test_small_wobble_of_focus_masks_nothing():
    frames = [frame_of(n, blur=1.0 + 0.4 * (n % 3)) for n in range(9)]
    assert mask_frames(film(frames)) == {}


def test_a_bleaching_film_is_not_masked():
    frames = [frame_of(n, gain=0.93**n) for n in range(40)]  # down to 6 % of its light
    assert mask_frames(film(frames)) == {}


def test_a_growing_film_is_not_masked():
    assert mask_frames(film([frame_of(n, n=4 + 2 * n) for n in range(16)])) == {}


def test_the_slow_death_of_every_cell_is_not_masked():
    frames = [frame_of(n, n=max(12 - n, 0), cells=n < 12) for n in range(16)]
    masked = mask_frames(film([frame[:1] for frame in frames]))
    assert set(masked) <= {12, 13, 14, 15}  # nothing at all is left there to be lost


def test_a_channel_that_never_shows_anything_masks_nothing():
    frames = [np.concatenate([frame_of(n), frame_of(90 + n, cells=False)[:1]]) for n in range(8)]
    assert mask_frames(film(frames)) == {}


def test_a_death_dye_that_lights_up_late_masks_nothing():
    dye = [frame_of(n, gain=0.0 if n < 6 else 0.2 * (n - 5), cells=n >= 6)[:1] for n in range(12)]
    frames = [np.concatenate([frame_of(n), dye[n]]) for n in range(12)]
    assert mask_frames(film(frames)) == {}


@pytest.mark.parametrize("n_frames", [1, 2])
def test_short_films_are_judged_only_for_broken_frames(n_frames):
    frames = [frame_of(n, gain=0.02 if n else 1.0) for n in range(n_frames)]
    assert mask_frames(film(frames)) == {}
    frames[0][:] = 0
    assert set(mask_frames(film(frames))) == {0}


def test_a_jump_of_the_lamp_is_told_but_not_masked():
    frames = [frame_of(n, gain=3.5 if n >= 4 else 1.0, offset=0.0) for n in range(8)]
    quality = film(frames)
    assert mask_frames(quality, channel_names=NAMES) == {}
    assert lamp_jumps(quality, channels=(0, 1), channel_names=NAMES) == [
        (4, "GFP becomes 3.5 times brighter at frame 4")
    ]


def test_an_overexposed_frame_is_masked():
    frames = [frame_of(n) for n in range(6)]
    frames[2][0, :40] = 65535  # a quarter of the image
    assert mask_frames(film(frames), channel_names=NAMES) == {
        2: "GFP is overexposed: 25 % of pixels at the limit"
    }


def test_a_film_that_saturates_all_the_time_is_not_masked():
    frames = [frame_of(n) for n in range(6)]
    for frame in frames:
        frame[0][cells_image()] = 65535
    assert mask_frames(film(frames)) == {}


def test_steady_light_has_no_jumps():
    assert lamp_jumps(film([frame_of(n) for n in range(8)]), channels=(0, 1)) == []


def test_bleaching_is_measured_on_the_cells():
    mask = cells_image()
    frames = [frame_of(n, gain=1.0 - 0.05 * n, offset=500.0) for n in range(11)]
    quality = film(frames, labels=labels_of(mask))
    change, channel = brightness_change_percent(quality, channels=(0,))
    assert channel == 0
    assert change == pytest.approx(-50, abs=2)  # the offset of the camera does not bleach


def test_a_single_frame_has_no_change_of_brightness():
    change, channel = brightness_change_percent(film([frame_of(0)]), channels=(0, 1))
    assert np.isnan(change)
    assert channel is None


@pytest.mark.parametrize(
    ("frames", "words"), [([], ""), ([3], "3"), ([7, 8, 9, 3], "3,7-9"), ([0, 1], "0-1"), ([5, 5], "5")]
)
def test_frames_are_written_as_ranges(frames, words):
    assert frame_ranges(frames) == words


def facts(**more) -> FieldFacts:
    return FieldFacts(has_effector_channel=True, steady_channels=(0,), **more)


def row_of(frames, facts_, *, masked=None):
    quality = film(frames)
    masked = mask_frames(quality, channel_names=NAMES) if masked is None else masked
    return field_row(
        FieldId("B02", 1), quality, n_frames=len(frames), masked=masked, facts=facts_, channel_names=NAMES
    )


def test_a_good_field_is_ok_and_warns_of_nothing():
    row = row_of([frame_of(n) for n in range(6)], facts(n_targets=12.0, n_effectors=9.0, drift_um=1.0))
    assert (row["well"], row["field"], row["status"], row["warning"]) == ("B02", 1, "ok", None)
    assert row["masked_frames"] == ""
    table_of_rows("fields", [row])  # has exactly the columns of the table


def test_a_field_without_a_usable_frame_is_excluded_with_its_reason():
    row = row_of([np.zeros((2, 160, 160), np.uint16)] * 3, facts())
    assert row["status"] == "excluded"
    assert row["reason"] == "no frame holds a usable image (frame 0: GFP is black: nothing was recorded)"
    assert row["masked_frames"] == "0-2"
    assert np.isnan(row["focus"])


@pytest.mark.parametrize(
    ("known", "warning"),
    [
        ({"n_targets": 0.0}, "no targets were found"),
        ({"n_effectors": 0.0}, "no effectors were found"),
        ({"drift_um": 30.0, "field_width_um": 500.0}, "the stage drifts by 30 um"),
        ({"cell_covered_percent": 85.0}, "crowded: cells cover 85 % of the image"),
        ({"lost_percent": 45.0}, "45 % of tracks end as lost"),
        (
            {"death_brighter_percent": 80.0},
            "in 80 % of targets of the first frame the death dye is brighter than the target dye: are the two "
            "channels swapped, or is nearly everything dead?",
        ),
        ({"segmentation": ("the model doubts itself",)}, "the model doubts itself"),
        (
            {"length_min": 50.0, "longest_min": 175.0},
            "the film lasts 50 min, others of the plate up to 175 min: its deaths and kills cover less time",
        ),
        (
            {"effector_area_um2": 400.0, "target_area_um2": 110.0},
            "effectors (400 um2) are larger than targets (110 um2): are the two channels swapped?",
        ),
    ],
)
def test_a_person_is_told_what_to_look_at(known, warning):
    assert row_of([frame_of(n) for n in range(3)], facts(**known))["warning"] == warning


def test_a_death_dye_that_is_gone_at_once_is_told():
    frames = [frame_of(n) for n in range(8)]
    for number in (4, 5, 6, 7):
        frames[number][0] = dark_frame(number)[0]
    told = "GFP is gone at once from frame 4 on: deaths after it cannot be seen"
    assert told in row_of(frames, facts(death_channels=(0,)), masked={})["warning"]


def test_bleaching_is_told():
    mask = cells_image()
    quality = film([frame_of(n, gain=1.0 - 0.06 * n) for n in range(11)], labels=labels_of(mask))
    row = field_row(FieldId("B02", 0), quality, n_frames=11, masked={}, facts=facts(), channel_names=NAMES)
    assert row["warning"] == f"GFP bleaches by {-row['brightness_change_percent']:.0f} %"
    assert row["brightness_change_percent"] == pytest.approx(-60, abs=2)


def test_a_failed_field_has_a_reason_and_no_numbers():
    row = failed_field_row(FieldId("B02", 0), reason="chunk (0, 1) is missing")
    assert (row["status"], row["reason"]) == ("failed", "chunk (0, 1) is missing")
    assert np.isnan(row["focus"])
    table_of_rows("fields", [row])


def test_a_death_dye_that_is_dark_until_cells_die_masks_nothing():
    rng = np.random.Generator(np.random.PCG64(5))
    cells = np.zeros((64, 64))
    cells[16:32, 16:32] = 900.0
    frames = []
    for frame in range(20):
        noise = rng.normal(200, 5, (2, 64, 64))
        noise[0] += cells
        noise[1] += cells * (frame >= 8)
        frames.append(measure_frame(noise, frame=frame))
    quality = concatenate(frames)
    assert mask_frames(quality, steady_channels=[0]) == {}
    assert mask_frames(quality) == {}  # nor where nobody says which channel is the dye
