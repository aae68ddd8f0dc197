"""How cells of one film move: measured from links, asked by the linker.

Knows steps and velocities of one role's cells. Knows nothing of frames, tracks or who is linked.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

NEW_SHARE = 0.01  # of a frame's detections: cells or ghosts that were not there before
WIDE_SHARE = 0.02  # of the steps that follow neither of the two ways to move
SHIFT_SHARE = 0.1  # of a resting cell's steps in which its outline changes and its centre shifts
SHIFT = 3.0  # times its usual step
STAY_IN_MODE = 0.85  # a cell that moves goes on moving, one that rests goes on resting
FIT_ROUNDS = 20
LEAST_STEPS = 30  # to measure anything from
MOST_STEPS = 10_000  # beyond, every n-th is asked


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkModel:
    """How these cells move; standard deviations are per axis and frame.

    A step is one of a resting cell (about 0), of a moving cell (about `persistence` x its velocity) or of
    neither (wide).
    """

    still_um: float
    moving_um: float
    start_um: float  # a moving cell's whole step, where its velocity is not known yet
    wide_um: float
    persistence: float
    moving_share: float
    new_per_um2: float  # detections per frame that continue no track

    def table(self) -> Floats:
        """As the compiled loops read it."""
        own = (
            self.still_um,
            self.moving_um,
            self.start_um,
            self.wide_um,
            self.persistence,
            self.moving_share,
        )
        return np.array([*own, STAY_IN_MODE, WIDE_SHARE, SHIFT_SHARE, SHIFT])


def first_model(*, per_um2: float, um_per_frame: float, slack_um: float) -> LinkModel:
    """A model to start from, before anything was linked.

    Args:
        per_um2: Detections per frame and um2.
        um_per_frame: The farthest that a cell may move in a frame.
        slack_um: What outlines jitter.
    """
    return LinkModel(
        still_um=slack_um / 3,
        moving_um=(um_per_frame + slack_um) / 4,
        start_um=(um_per_frame + slack_um) / 3,
        wide_um=(um_per_frame + slack_um) / 2,
        persistence=0.5,
        moving_share=0.5,
        new_per_um2=NEW_SHARE * per_um2,
    )


def fit_model(model: LinkModel, *, step: Floats, velocity: Floats, smallest_um: float) -> LinkModel:
    """Measure the model from steps of one frame, by expectation maximisation.

    Too few steps leave it as it was.

    Args:
        model: To start from.
        step: (N, 2) in um.
        velocity: (N, 2) in um per frame, before the step; nan where it was not known.
        smallest_um: No standard deviation is taken to be smaller.
    """
    if len(step) < LEAST_STEPS:
        return model
    known = np.isfinite(velocity[:, 0])
    if known.sum() < LEAST_STEPS:
        return model
    step, velocity = step[known], velocity[known]
    every = -(-len(step) // MOST_STEPS)
    step, velocity = step[::every], velocity[::every]
    short, long = np.percentile(np.hypot(step[:, 0], step[:, 1]), (20, 80)).tolist()
    model = replace(
        model,
        still_um=max(short, smallest_um),
        moving_um=max(0.6 * long, 2 * smallest_um),
        start_um=max(0.7 * long, 2 * smallest_um),
        persistence=0.4,
        moving_share=0.5,
    )
    for _ in range(FIT_ROUNDS):
        still, moving, _ = mode_weights(model, step, velocity)
        # a shifted step tells of a resting cell's usual step by a third of its length
        usual = _resting_density(step, model.still_um**2)[1]
        narrowed = step * np.sqrt(usual + (1 - usual) / SHIFT**2)[:, None]
        along = (moving[:, None] * velocity**2).sum()
        persistence = float(np.clip((moving[:, None] * step * velocity).sum() / max(along, 1e-9), 0.0, 0.97))
        start_um = max(_spread(moving, step), smallest_um)
        model = replace(
            model,
            persistence=persistence,
            # whoever moves moves farther than who rests, else the two would trade places
            still_um=min(max(_spread(still, narrowed), smallest_um), start_um / 2),
            moving_um=max(_spread(moving, step - persistence * velocity), smallest_um),
            start_um=start_um,
            moving_share=float(np.clip(moving.sum() / (still.sum() + moving.sum()), 0.02, 0.98)),
        )
    return model


def _mode_densities(
    model: LinkModel, step: Floats, velocity: Floats, frames: Ints
) -> tuple[Floats, Floats, Floats]:
    """Density, per um2, of a step over some frames: resting, moving, neither."""
    waits, place = np.unique(frames, return_inverse=True)
    powers: list[Floats] = [model.persistence ** np.arange(1, wait + 1) for wait in waits.tolist()]
    ahead = np.array([power.sum() for power in powers])
    # what one frame's departure adds to the place after the rest of the frames
    blur = np.array([((1 - power) ** 2).sum() / (1 - model.persistence) ** 2 for power in powers])
    waited = frames.astype(np.float64)
    resting = model.still_um**2 * (1.0 + waited) / 2
    known = np.isfinite(velocity[:, 0])
    forecast = np.where(known[:, None], ahead[place][:, None] * velocity, 0.0)
    departure: Floats = np.where(known, model.moving_um**2, model.start_um**2) * blur[place]
    return (
        _resting_density(step, resting)[0],
        _gauss(step - forecast, departure),
        _gauss(step, model.wide_um**2 * waited),
    )


def mode_weights(
    model: LinkModel, step: Floats, velocity: Floats, share: Floats | None = None
) -> tuple[Floats, Floats, Floats]:
    """Probability that a step of one frame was that of a resting, a moving cell, or neither."""
    part = np.full(len(step), model.moving_share) if share is None else share
    still, moving, wide = _mode_densities(model, step, velocity, np.ones(len(step), dtype=np.int64))
    still, moving, wide = (
        (1 - WIDE_SHARE) * (1 - part) * still,
        (1 - WIDE_SHARE) * part * moving,
        WIDE_SHARE * wide,
    )
    total = np.maximum(still + moving + wide, 1e-300)
    return still / total, moving / total, wide / total


def _gauss(offset: Floats, variance: Floats | float) -> Floats:
    squared = offset[:, 0] ** 2 + offset[:, 1] ** 2
    density: Floats = np.exp(-squared / (2 * variance)) / (2 * np.pi * variance)
    return density


def _resting_density(step: Floats, variance: Floats | float) -> tuple[Floats, Floats]:
    """Density of a resting cell's step, and the share in it of steps without a shift of the outline."""
    usual = (1 - SHIFT_SHARE) * _gauss(step, variance)
    shifted = SHIFT_SHARE * _gauss(step, SHIFT**2 * variance)
    return usual + shifted, usual / np.maximum(usual + shifted, 1e-300)


def _spread(weight: Floats, offset: Floats) -> float:
    squared = offset[:, 0] ** 2 + offset[:, 1] ** 2
    return math.sqrt(float((weight * squared).sum()) / max(2 * float(weight.sum()), 1e-9))
