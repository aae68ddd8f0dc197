from dataclasses import replace

import numpy as np
from scipy import ndimage

from assay.simulate.film import seeded
from assay.simulate.hardships import CameraTraits, ClutterTraits, Hardships, LightTraits, StainTraits
from assay.simulate.scenario import Scenario, scenario_named
from assay.simulate.tiles import frame_of, training_frame


def test_frames_of_one_set_differ():
    one, other = (training_frame(number, seed=5, tile_um=80.0) for number in range(2))
    assert one.images.shape != other.images.shape or (one.images != other.images).any()


def test_labels_run_from_one_without_holes_and_fit_the_images():
    for frame in (training_frame(number, seed=1, tile_um=90.0) for number in range(12)):
        assert frame.images.dtype == np.uint16
        assert frame.images.shape == (len(frame.roles), *frame.targets.shape)
        for labels in (frame.effectors, frame.targets):
            present = np.unique(labels[labels > 0])
            assert list(present) == list(range(1, len(present) + 1))


def _small(name: str, **hardships: object) -> Scenario:
    scenario = scenario_named(name)
    return replace(scenario, shape_px=(150, 150), margin_um=22.0, hardships=Hardships(**hardships))  # type: ignore[arg-type]


def _empty(scenario: Scenario) -> Scenario:
    return replace(
        scenario,
        targets=replace(scenario.targets, density_per_mm2=0.0),
        effectors=replace(scenario.effectors, et_ratio=0.0),
    )


def test_hardly_any_training_tile_clips_and_none_is_constant_in_transmitted_light():
    clipped, n = 0, 0
    for frame in (training_frame(number, seed=3, tile_um=70.0) for number in range(24)):
        for role, image in zip(frame.roles, frame.images, strict=True):
            n += 1
            clipped += bool((image >= frame.scenario.optics.max_counts).mean() > 0.01)
            assert role != "brightfield" or image.min() < image.max()
    assert clipped <= 0.03 * n


def test_the_same_seed_gives_the_same_bytes():
    one, two = (training_frame(4, seed=9, tile_um=80.0) for _ in range(2))
    assert one.images.tobytes() == two.images.tobytes()
    assert one.effectors.tobytes() == two.effectors.tobytes()


def test_red_cells_debris_and_fibres_are_seen_and_are_in_no_truth():
    clutter = ClutterTraits(
        red_cells_per_mm2=4000,
        red_cells_per_clump=5,
        red_cell_glow=0.1,
        fragments_per_mm2=2000,
        fibres_per_mm2=100,
    )
    scenario = _empty(_small("adherent_standard", clutter=clutter))
    bare = frame_of(_empty(_small("adherent_standard")), rng=seeded(5))
    frame = frame_of(scenario, rng=seeded(5))
    assert not frame.targets.any()
    assert not frame.effectors.any()
    for channel in range(len(frame.roles)):
        assert frame.images[channel].std() > 1.3 * bare.images[channel].std()


def test_black_strips_are_black_in_all_channels_and_hold_no_truth():
    camera = CameraTraits(border_share=0.12)
    frame = frame_of(_small("adherent_standard", camera=camera), rng=seeded(6))
    black = (frame.images == 0).all(axis=0)
    assert 0.01 < black.mean() < 0.25
    assert black.all(axis=0).any() or black.all(axis=1).any()
    assert not frame.targets[black].any()
    assert not frame.effectors[black].any()
    assert frame.targets[~black].any()


def test_effectors_that_share_the_nuclear_dye_shine_and_are_no_targets():
    frames = [
        frame_of(_small("nuclei", stain=StainTraits(effector_nuclei=share)), rng=seeded(8))
        for share in (0.0, 1.2)
    ]
    np.testing.assert_array_equal(frames[0].targets, frames[1].targets)
    dark, bright = (frame.images[frame.roles.index("nuclei")].astype(float) for frame in frames)
    alone = (frames[0].effectors > 0) & ~ndimage.binary_dilation(frames[0].targets > 0, iterations=6)
    assert alone.any()
    assert bright[alone].mean() > 1.5 * dark[alone].mean()


def test_light_turned_over_makes_bright_what_was_dark():
    scenario = replace(_small("nuclei"), optics=replace(scenario_named("nuclei").optics, debris_per_mm2=0.0))
    usual = frame_of(scenario, rng=seeded(8))
    turned = frame_of(replace(scenario, hardships=Hardships(light=LightTraits(gain=-1.0))), rng=seeded(8))
    one, two = (
        frame.images[frame.roles.index("brightfield")].astype(float) - 6500 for frame in (usual, turned)
    )
    softened = [
        ndimage.gaussian_filter(image, 1.0) - ndimage.gaussian_filter(image, 8.0) for image in (one, two)
    ]
    assert np.corrcoef(softened[0].ravel(), softened[1].ravel())[0, 1] < -0.8


def test_cells_out_of_focus_are_softer_and_as_bright_in_sum():
    sharp = frame_of(_small("nuclei"), rng=seeded(8))
    soft = frame_of(_small("nuclei", stain=StainTraits(deep_share=1.0, deep_um=2.0)), rng=seeded(8))
    slot = sharp.roles.index("nuclei")
    one, two = sharp.images[slot].astype(float), soft.images[slot].astype(float)
    assert np.abs(np.diff(two)).max() < 0.6 * np.abs(np.diff(one)).max()
    assert abs(two.mean() / one.mean() - 1) < 0.03
    np.testing.assert_array_equal(sharp.targets, soft.targets)
