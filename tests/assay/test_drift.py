import numpy as np
import pytest

from assay.labels import CellMeasures
from assay.tracks import estimate_drift
from assay.units import Calibration

MICRON = Calibration(pixel_um=(1.0, 1.0), frame_min=2.0)


def cells(places, role="target"):
    """One (N, 2) array of positions per frame."""
    frame = np.repeat(np.arange(len(places)), [len(place) for place in places]).astype(np.int32)
    yx = np.concatenate([np.asarray(place, float).reshape(-1, 2) for place in places])
    zero = np.zeros(len(yx))
    label = np.concatenate([np.arange(1, len(place) + 1) for place in places]).astype(np.int32)
    return CellMeasures(
        role=role,
        frame=frame,
        label=label,
        y_um=yx[:, 0],
        x_um=yx[:, 1],
        area_um2=zero,
        eccentricity=zero,
        covered=zero,
        at_border=zero > 0,
        score=zero,
    )


def estimated(*films, n_frames, masked_frames=()):
    return estimate_drift(films, n_frames=n_frames, masked_frames=masked_frames, calibration=MICRON)


def scattered(n, seed=0, field_um=600.0):
    return np.random.default_rng(seed).uniform(0, field_um, (n, 2))


def test_the_stage_is_where_the_resting_cells_say():
    home = scattered(40)
    drift = np.array([[0.0, 0.0], [1.0, -2.0], [1.5, -2.0], [31.5, 18.0]])  # creep, then a jump of 36 um
    found = estimated(cells([home + step for step in drift]), n_frames=4)
    assert found == pytest.approx(drift)


def test_moving_effectors_do_not_hide_the_stage():
    rng = np.random.default_rng(1)
    home, walkers = scattered(40), scattered(80, seed=2)
    drift = np.cumsum(rng.normal(0, 1, (10, 2)), axis=0)
    drift -= drift[0]
    targets = [home + step + rng.normal(0, 0.4, home.shape) for step in drift]
    effectors = [walkers + step + rng.normal(0, 12, walkers.shape) for step in drift]
    found = estimated(cells(targets), cells(effectors, role="effector"), n_frames=10)
    assert np.abs(np.diff(found - drift, axis=0)).max() < 0.5


def test_where_no_cells_agree_the_stage_is_taken_to_stand():
    anywhere = [scattered(30, seed=seed) for seed in range(5)]
    assert (estimated(cells(anywhere), n_frames=5) == 0).all()
    few = [scattered(3) + step for step in (0.0, 5.0)]
    assert (estimated(cells(few), n_frames=2) == 0).all()


def test_a_masked_frame_takes_the_place_of_the_frame_before():
    home = scattered(40)
    film = cells([home, home + 2.0, np.zeros((0, 2)), home + 6.0])
    found = estimated(film, n_frames=4, masked_frames=[2])
    assert found == pytest.approx(np.array([[0, 0], [2, 2], [2, 2], [6, 6]]))


def test_a_film_without_cells_does_not_drift():
    empty = cells([np.zeros((0, 2))] * 3)
    assert estimated(empty, n_frames=3).shape == (3, 2)
    assert (estimated(empty, n_frames=3) == 0).all()
    assert (estimated(n_frames=2) == 0).all()


def test_the_order_of_rows_does_not_matter():
    home = scattered(60)
    rng = np.random.default_rng(4)
    frames = [home + step + rng.normal(0, 0.5, home.shape) for step in (0.0, 1.0, 5.0)]
    shuffled = [rng.permutation(place) for place in frames]
    assert (estimated(cells(frames), n_frames=3) == estimated(cells(shuffled), n_frames=3)).all()
