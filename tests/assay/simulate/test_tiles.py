import numpy as np

from assay.simulate.film import seeded
from assay.simulate.tiles import random_scenario, training_frame, training_frames


def test_a_set_made_in_parts_is_the_same_set():
    whole = list(training_frames(3, seed=5, tile_um=80.0))
    part = training_frame(2, seed=5, tile_um=80.0)
    np.testing.assert_array_equal(whole[2].images, part.images)
    np.testing.assert_array_equal(whole[2].targets, part.targets)
    assert whole[0].images.shape != whole[1].images.shape or (whole[0].images != whole[1].images).any()


def test_labels_run_from_one_without_holes_and_fit_the_images():
    for frame in training_frames(12, seed=1, tile_um=90.0):
        assert frame.images.dtype == np.uint16
        assert frame.images.shape == (len(frame.roles), *frame.targets.shape)
        for labels in (frame.effectors, frame.targets):
            present = np.unique(labels[labels > 0])
            assert list(present) == list(range(1, len(present) + 1))


def test_every_laboratory_shows_effectors_and_targets_somehow():
    for k in range(200):
        roles = set(random_scenario(seeded(k), tile_um=166.4).roles)
        assert roles & {"effector", "brightfield"}
        assert roles & {"target", "nuclei", "brightfield"}


def test_laboratories_differ_in_everything_that_matters():
    drawn = [random_scenario(seeded(k), tile_um=166.4) for k in range(150)]
    assert {scenario.target_mask for scenario in drawn} == {"cell", "nucleus"}
    assert {scenario.targets.adherent for scenario in drawn} == {True, False}
    assert {scenario.optics.contrast for scenario in drawn} == {"phase", "brightfield"}
    pixels = [scenario.pixel_um[0] for scenario in drawn]
    assert min(pixels) < 0.4
    assert max(pixels) > 1.1
    assert any(
        scenario.roles.keys() == {"brightfield"} or scenario.roles.keys() == {"death", "brightfield"}
        for scenario in drawn
    )
    assert any(scenario.effectors.et_ratio == 0 for scenario in drawn)
    assert any(scenario.targets.density_per_mm2 == 0 for scenario in drawn)
