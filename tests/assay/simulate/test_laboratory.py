import numpy as np

from assay.simulate.film import seeded
from assay.simulate.laboratory import random_scenario


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


def test_transmitted_light_lies_in_the_middle_of_the_camera_and_in_five_of_six_tiles():
    drawn = [random_scenario(seeded(k), tile_um=166.4) for k in range(300)]
    shown = [scenario.optics for scenario in drawn if "brightfield" in scenario.roles]
    assert 0.8 < len(shown) / len(drawn) < 0.95
    for optics in shown:
        assert 0.1 <= optics.signal_counts["brightfield"] / optics.max_counts <= 0.6


def test_no_dye_bleeds_into_another_channel_with_more_than_a_third_of_its_light():
    for k in range(200):
        optics = random_scenario(seeded(k), tile_um=166.4).optics
        for (source, into), share in optics.bleed.items():
            assert share * optics.signal_counts[source] <= 0.34 * optics.signal_counts[into]


def test_laboratories_are_tidy_or_troubled_in_every_way():
    drawn = [random_scenario(seeded(k), tile_um=166.4).hardships for k in range(300)]
    for is_there in (
        lambda h: h.stain.effector_nuclei > 0.3,
        lambda h: h.stain.deep_share > 0,
        lambda h: h.stain.lost_share > 0,
        lambda h: h.clutter.red_cells_per_mm2 > 1000,
        lambda h: h.clutter.fragments_per_mm2 > 0,
        lambda h: h.clutter.fibres_per_mm2 > 0,
        lambda h: h.light.gain < 0,
        lambda h: h.light.dust_per_mm2 > 0,
        lambda h: h.camera.border_share > 0,
        lambda h: h.camera.shift_px > 0,
        lambda h: h.camera.hot_share > 0,
        lambda h: not h.camera.auto_exposure,
    ):
        share = np.mean([bool(is_there(hardships)) for hardships in drawn])
        assert 0 < share < 0.7
