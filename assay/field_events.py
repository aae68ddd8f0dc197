"""What happened in one field, as fit and credit are told of it: contacts, deaths, and when each target was in sight.

Knows contacts, deaths and tracks. Knows nothing of hits or hazards.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from assay.contacts import Contact
from assay.deaths import Death
from assay.tracks import Track
from assay.units import Calibration

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MOST_FRAMES = 16  # of a contact are looked at
_LEAST_CONFIDENCE = 0.02  # a link is never doubted more


class Film(Protocol):
    """One field's events, held or still on the disk: those of a large plate are never held all at once."""

    @property
    def well(self) -> str:
        """Its well."""

    @property
    def field(self) -> int:
        """Its number in the well."""

    @property
    def kind(self) -> str | None:
        """Kind of the well's condition."""

    @property
    def n_contacts(self) -> int:
        """How much there is to read."""

    def load(self) -> "FieldEvents":
        """The events themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldEvents:
    """What happened in one field: who touched whom, which targets died, when each target was in sight."""

    well: str
    field: int
    kind: str | None  # of the well's condition; None where the plate map leaves it out
    n_frames: int
    calibration: Calibration
    contacts: tuple[Contact, ...]
    deaths: tuple[Death, ...]  # of targets
    targets: tuple[Track, ...]
    dead_targets: frozenset[int] = frozenset()  # track ids of targets that were dead when first seen
    engagements: Mapping[int, Sequence[tuple[int, int, float]]] | None = None
    """Contact -> (first frame, last frame, probability) of each time in which its effector holds on to the target;
    None: not asked, so that all of a contact counts."""
    link_doubts: Mapping[int, tuple[Ints, Floats]] = dataclass_field(
        default_factory=dict
    )  # of effectors; empty: sure

    @property
    def n_contacts(self) -> int:
        """How many contacts there are."""
        return len(self.contacts)

    def load(self) -> "FieldEvents":
        """As a `Film`: these are held already."""
        return self


def link_doubts(track_id: Ints, frame: Ints, confidence: Floats) -> dict[int, tuple[Ints, Floats]]:
    """How much doubt has gathered along each track that it still is the same cell.

    Args:
        track_id: (N,) of rows of cells in any order.
        frame: (N,) their frames.
        confidence: (N,) that a row shows the cell of the track's row before; NaN where unknown, taken for sure.

    Returns:
        Track id -> its frames and the sum of -log(confidence) up to each. The probability that a track is one
        cell from one frame to another is exp(-|difference|).
    """
    order = np.lexsort((frame, track_id))
    ids, firsts = np.unique(track_id[order], return_index=True)
    doubt = -np.log(np.clip(np.nan_to_num(confidence[order], nan=1.0), _LEAST_CONFIDENCE, 1.0))
    frames = frame[order].astype(np.int64)
    ends = np.append(firsts, len(order))[1:]
    return {int(i): (frames[a:b], np.cumsum(doubt[a:b])) for i, a, b in zip(ids, firsts, ends, strict=True)}


def one_cell(doubts: tuple[Ints, Floats], first: int, last: int) -> float:
    """Probability that a track shows one cell in any two of these frames; `doubts` are one track's of `link_doubts`."""
    frames = np.linspace(first, last, min(last - first + 1, _MOST_FRAMES))
    doubt = np.interp(frames, *doubts)
    return float(np.exp(-np.abs(doubt[:, None] - doubt)).mean())


def onset_weights(death: Death) -> tuple[Ints, Floats]:
    """Frames that may hold the onset of a death, and how probable each is; the weights sum to 1."""
    frames = np.arange(death.first_possible_frame, death.last_possible_frame + 1)
    before = max((death.frame - death.first_possible_frame + 0.5) / 1.645, 0.3)
    after = max((death.last_possible_frame - death.frame + 0.5) / 1.645, 0.3)
    away = frames - death.frame
    weights = np.exp(-0.5 * (away / np.where(away < 0, before, after)) ** 2)
    return frames, np.asarray(weights / weights.sum())


def alive_until(events: FieldEvents) -> dict[int, int]:
    """Last frame in which each target was alive and in sight, as far as we know; -1 if it was never alive."""
    ends = {track.track_id: track.last_frame for track in events.targets}
    for death in events.deaths:
        if death.track_id in ends and death.probability >= 0.5:
            ends[death.track_id] = min(ends[death.track_id], death.frame)
    return ends | dict.fromkeys(events.dead_targets & ends.keys(), -1)
