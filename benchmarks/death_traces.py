"""Cells whose deaths are known, as the tables that `assay.deaths` reads: no pixels, only what pixels give.

A made field: resting, dying, dividing and dead-from-the-start cells; a death dye that rises as
a (1 - exp(-(t - tau) / r)) after each death, then fades; blushes that recover; the spill of bright neighbours;
spikes; missed detections; masked frames; a lamp that drifts and may jump; marker, area, outline and motion
that change with some deaths and with every mitosis.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.labels import CellMeasures
from assay.tracks import Track, Tracks
from assay.units import Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceSettings:
    """How hard the field is."""

    n_cells: int = 200
    n_frames: int = 120
    frame_min: float = 4.0
    dying: float = 0.3
    amplitude: float = 400.0  # counts above background, median
    amplitude_spread: float = 0.5  # sd of its logarithm
    rise_min: float = 12.0
    additive: float = 8.0  # counts
    multiplicative: float = 0.2
    rest_spread: float = 8.0  # cell to cell
    spill: float = 0.2
    spikes: float = 0.01  # share of measures with a spike
    blushes: float = 0.05  # share of cells
    starts_dead: float = 0.05
    mitoses: float = 0.1
    missed: float = 0.03
    masked: tuple[int, ...] = ()
    jump_frame: int | None = None
    drift: float = 20.0  # counts over the film, in background and cells alike
    shape_cues: float = 0.7  # share of deaths that shrink


STANDARD = TraceSettings()
HARD = TraceSettings(
    amplitude=150.0, additive=12.0, multiplicative=0.4, spill=0.35, spikes=0.03, blushes=0.1,
    missed=0.08, masked=(40, 41, 42, 80), jump_frame=60,
)  # fmt: skip
CLEAN = TraceSettings(spill=0.0, spikes=0.0, blushes=0.0, starts_dead=0.0, mitoses=0.0, missed=0.0, drift=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceField:
    """A made field, and the truth: track id -> moment of onset in frames (not rounded)."""

    tracks: Tracks
    measures: CellMeasures
    background: dict[str, NDArray[np.float64]]
    settings: TraceSettings
    onsets: dict[int, float]

    @property
    def calibration(self) -> Calibration:
        """Square pixels of 0.65 um."""
        return Calibration(pixel_um=(0.65, 0.65), frame_min=self.settings.frame_min)


def make_field(seed: int, settings: TraceSettings = STANDARD) -> TraceField:
    """Make one field; the same seed gives the same field."""
    rng = np.random.default_rng([seed, 7])
    s = settings
    n, t = s.n_cells, np.arange(s.n_frames)
    place = _places(rng, n)
    dies = rng.random(n) < s.dying
    onset = np.where(dies, rng.uniform(2.0, s.n_frames + 0.0, n), np.inf)
    onset[rng.random(n) < s.starts_dead] = -30.0
    dye = _dye(rng, s, onset)
    dye += s.spill * _spill(place, np.maximum(dye, 0.0))
    dye += rng.normal(0, s.rest_spread, (n, 1))
    dye *= 1 + s.multiplicative * rng.standard_normal(dye.shape)
    dye += s.additive * rng.standard_normal(dye.shape)
    hit = rng.random(dye.shape) < s.spikes
    dye += hit * rng.uniform(0.3, 1.5, dye.shape) * s.amplitude
    lamp = 200 + s.drift * t / s.n_frames
    if s.jump_frame is not None:
        lamp = lamp + 90.0 * (t >= s.jump_frame)
    marker, area, outline, step = _shapes(rng, s, onset)
    y = place[:, :1] + np.cumsum(step * rng.standard_normal(dye.shape), axis=1)
    x = place[:, 1:] + np.cumsum(step * rng.standard_normal(dye.shape), axis=1)
    seen = rng.random(dye.shape) > s.missed
    seen[:, list(s.masked)] = False
    columns = {"dye": dye + lamp, "marker": marker + 100, "area": area, "outline": outline, "y": y, "x": x}
    return _as_field(s, seen, columns, onset, lamp)


def _places(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Cell centres 18 um apart or more, at about 500 um2 and more a cell."""
    edge = np.sqrt(n * 900.0)
    kept: list[NDArray[np.float64]] = []
    while len(kept) < n:
        spot = rng.uniform(0, edge, 2)
        if all(np.hypot(*(spot - other)) > 18 for other in kept[-2000:]):
            kept.append(spot)
    return np.array(kept)


def _dye(rng: np.random.Generator, s: TraceSettings, onset: NDArray[np.float64]) -> NDArray[np.float64]:
    n, t = s.n_cells, np.arange(s.n_frames)
    peak = s.amplitude * np.exp(s.amplitude_spread * rng.standard_normal(n))
    rise = s.rise_min / s.frame_min * np.exp(0.3 * rng.standard_normal(n))
    fade = rng.uniform(150, 800, n)
    age = np.clip(t[None, :] - onset[:, None], 0.0, None)
    age = np.where(np.isfinite(age), age, 0.0)
    dye = peak[:, None] * -np.expm1(-age / rise[:, None]) * np.exp(-age / fade[:, None])
    for cell in np.flatnonzero((rng.random(n) < s.blushes) & ~np.isfinite(onset)):
        start, width = rng.uniform(5, s.n_frames - 20), rng.uniform(2, 10)
        dye[cell] += (
            rng.uniform(0.2, 0.8) * s.amplitude * (t >= start) * np.exp(-np.maximum(t - start, 0) / width)
        )
    return dye


def _spill(place: NDArray[np.float64], light: NDArray[np.float64]) -> NDArray[np.float64]:
    distance = np.hypot(*(place[:, None] - place[None]).transpose(2, 0, 1))
    share = np.exp(-((distance / 14.0) ** 2))
    np.fill_diagonal(share, 0.0)
    return share @ light


def _shapes(
    rng: np.random.Generator, s: TraceSettings, onset: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    n, t = s.n_cells, np.arange(s.n_frames)[None, :]
    lead = rng.uniform(-20, 20, (n, 1)) / s.frame_min
    late = np.where(np.isfinite(onset[:, None]), np.clip(t - onset[:, None] - lead, 0, None), 0.0)
    gone = -np.expm1(-late / (20 / s.frame_min))
    shows = rng.random((n, 1)) < s.shape_cues
    noise = rng.standard_normal((4, n, s.n_frames))
    round_up = np.zeros((n, s.n_frames))
    for cell in np.flatnonzero((rng.random(n) < s.mitoses) & ~np.isfinite(onset)):
        start = rng.integers(0, s.n_frames)
        round_up[cell, start : start + round(60 / s.frame_min)] = 1.0
    size = 300 * np.exp(0.25 * noise[0, :, :1])
    area = size * np.exp(-(0.5 * gone * shows) - 0.45 * round_up + 0.08 * noise[1])
    outline = np.clip(0.6 - 0.3 * round_up - 0.3 * gone * shows + 0.08 * noise[2], 0, 0.98)
    marker = 600 * np.exp(0.3 * noise[0, :, 1:2] - 1.2 * gone * shows + 0.2 * round_up + 0.1 * noise[3])
    marker *= np.exp(-0.3 * t / s.n_frames)  # bleaching
    return marker, area, outline, np.where(late > 0, 0.1, 0.4)


def _as_field(
    s: TraceSettings,
    seen: NDArray[np.bool_],
    columns: dict[str, NDArray[np.float64]],
    onset: NDArray[np.float64],
    lamp: NDArray[np.float64],
) -> TraceField:
    kept = [row for row in range(s.n_cells) if seen[row].any()]
    frame, cell = np.nonzero(seen[kept].T)
    take = {name: table[kept][cell, frame] for name, table in columns.items()}
    tracks, onsets = [], {}
    for track_id, row in enumerate(kept, start=1):
        frames = np.flatnonzero(seen[row])
        first, last = int(frames[0]), int(frames[-1])
        tracks.append(
            Track(
                track_id=track_id, first_frame=first, last_frame=last, parent_track_id=None,
                start="movie_start" if first == 0 else "appeared", end="movie_end",
            )
        )  # fmt: skip
        if first < onset[row] <= last:
            onsets[track_id] = float(onset[row])
    zeros = np.zeros(len(frame))
    measures = CellMeasures(
        role="target", frame=frame.astype(np.int32), label=(cell + 1).astype(np.int32), y_um=take["y"],
        x_um=take["x"], area_um2=take["area"], eccentricity=take["outline"], covered=zeros,
        at_border=zeros.astype(bool), score=zeros + 1,
        means={"PI": take["dye"], "GFP": take["marker"]}, own_means={"PI": take["dye"], "GFP": take["marker"]},
    )  # fmt: skip
    background = {"PI": lamp, "GFP": np.full(s.n_frames, 100.0)}
    return TraceField(
        tracks=Tracks(role="target", track_id=(cell + 1).astype(np.int64), tracks=tuple(tracks)),
        measures=measures, background=background, settings=s, onsets=onsets,
    )  # fmt: skip
