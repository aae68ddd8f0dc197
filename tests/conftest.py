"""Drawn scenes: cells as letters, so that a test shows the biology it speaks of."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from assay.labels import FrameLabels

Drawn = tuple[NDArray[np.int32], NDArray[np.int32]]


def draw(text: str) -> Drawn:
    """Effector and target label images of a drawing.

    One row a line, pixels parted by blanks: `.` is background, `a` effector 1, `B` target 2, and `aB` shows
    effector 1 on top of target 2.
    """
    rows = [line.split() for line in text.strip().splitlines()]
    effectors = np.zeros((len(rows), len(rows[0])), np.int32)
    targets = np.zeros_like(effectors)
    for y, row in enumerate(rows):
        for x, pixel in enumerate(row):
            for letter in pixel.replace(".", ""):
                image = effectors if letter.islower() else targets
                image[y, x] = ord(letter.lower()) - ord("a") + 1
    return effectors, targets


@pytest.fixture
def scene() -> Callable[[str], Drawn]:
    return draw


@pytest.fixture
def frame_labels() -> Callable[[str], FrameLabels]:
    def of(text: str) -> FrameLabels:
        effectors, targets = draw(text)
        return FrameLabels(
            effectors=effectors,
            targets=targets,
            effector_scores=np.linspace(1, 0.5, int(effectors.max(initial=0)), dtype=np.float32),
            target_scores=np.linspace(1, 0.5, int(targets.max(initial=0)), dtype=np.float32),
        )

    return of
