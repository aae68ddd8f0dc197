"""When effectors may hit targets: contacts cut by age, and the minutes of each before every possible onset.

Knows contacts, deaths and when each target was seen. Knows nothing of hazards; `lag_model.py` fits them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.deaths import Death
from assay.field_events import FieldEvents, Floats, Ints, alive_until, onset_weights
from assay.pieces import Pieces, cut_contacts

_EDGES_MIN = (0, 4, 8, 12, 18, 25, 35, 50, 70, 100, 140, 200, 280, 400, 560, 800, 1200, 1800, 2880, 5760)
_MOST_ONSETS = 9  # frames that stand for the interval of an onset


def lag_edges(max_lag_min: float) -> Floats:
    """Edges of the staircase, finer at short lags, ending at the longest lag."""
    inner = np.array([edge for edge in _EDGES_MIN if edge < 0.85 * max_lag_min], dtype=np.float64)
    return np.append(inner, max_lag_min)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Contacts and deaths of some fields in the shape that fit and credit need.

    A row holds the minutes of one piece that lie in one lag bin before one possible onset.
    """

    pieces: Pieces
    exposure: Floats  # (pieces, bins) minutes of the piece x minutes at risk of its target after them
    row_onset: Ints
    row_piece: Ints
    row_bin: Ints
    row_pair: Ints
    row_min: Floats
    onset_death: Ints  # (onsets,)
    onset_chance: Floats  # (onsets,) of each death they sum to 1
    death_weight: Floats  # (deaths,) probability
    death_well: Ints
    death_frame: Ints
    pair_death: Ints  # (pairs,) a death and an effector that touched before it
    pair_effector: Ints
    at_risk_min: Floats  # (wells,)
    n_effectors: int
    n_targets: int
    n_contacts: int


def gather(events: FieldEvents, edges_min: Floats) -> Evidence:
    """Lay out one field; wells, deaths, effectors and contacts are counted from 0 in their order."""
    ends = alive_until(events)
    pieces = cut_contacts(events)
    frame_min = events.calibration.minutes(1)
    end = np.array([ends.get(c.target_track_id, -1) for c in events.contacts], dtype=np.int64)
    at_risk = frame_min * sum(max(ends[t.track_id] - t.first_frame, 0) for t in events.targets)
    rows = _rows(events, pieces, edges_min, frame_min)
    weight = np.array([death.probability for death in events.deaths])
    return Evidence(
        pieces=pieces,
        exposure=exposures(pieces.first, pieces.last, end[pieces.contact], edges_min, frame_min),
        death_weight=weight,
        death_well=np.zeros(len(weight), dtype=np.int64),
        death_frame=np.array([death.frame for death in events.deaths], dtype=np.int64),
        at_risk_min=np.array([float(at_risk)]),
        n_effectors=len({contact.effector_track_id for contact in events.contacts}),
        n_targets=len({contact.target_track_id for contact in events.contacts}),
        n_contacts=len(events.contacts),
        **rows,
    )


def minutes_before(first: Ints, last: Ints, frame: Ints, edges_min: Floats, frame_min: float) -> Floats:
    """Minutes of each run of frames that lie in each lag bin before its `frame`: (runs, bins)."""
    last = np.minimum(last, frame - 1)[:, None]
    # frames s of the run with edge < (frame - s) x frame_min <= next edge
    reach = np.floor(edges_min / frame_min + 1e-9).astype(np.int64)[None, :]
    newest, oldest = frame[:, None] - reach[:, :-1] - 1, frame[:, None] - reach[:, 1:]
    inside = np.minimum(last, newest) - np.maximum(first[:, None], oldest) + 1
    return np.asarray(np.maximum(inside, 0) * frame_min)


def exposures(first: Ints, last: Ints, end: Ints, edges_min: Floats, frame_min: float) -> Floats:
    """Minutes of each run of frames x minutes at risk after them up to frame `end`, per lag bin: (runs, bins)."""
    lags = np.arange(1, int(np.floor(edges_min[-1] / frame_min + 1e-9)) + 1)
    bins = np.searchsorted(edges_min, lags * frame_min * (1 - 1e-12), side="left") - 1
    total = np.zeros((len(first), len(edges_min) - 1))
    for lag, place in zip(lags, bins, strict=True):
        total[:, place] += np.maximum(np.minimum(end - lag, last) - first + 1, 0)
    return total * frame_min**2


def _onsets(death: Death) -> tuple[Ints, Floats]:
    """The frames that stand for the onset: all of a short interval, evenly spread ones of a long one."""
    frames, chances = onset_weights(death)
    if len(frames) <= _MOST_ONSETS:
        return frames, chances
    groups = np.arange(len(frames)) * _MOST_ONSETS // len(frames)
    weight: Floats = np.bincount(groups, weights=chances).astype(np.float64)
    middle = np.bincount(groups, weights=chances * frames) / weight
    return np.rint(middle).astype(np.int64), weight


def _rows(
    events: FieldEvents, pieces: Pieces, edges_min: Floats, frame_min: float
) -> dict[str, NDArray[Any]]:
    of_target: dict[int, list[int]] = {}
    for n, place in enumerate(pieces.contact.tolist()):
        of_target.setdefault(events.contacts[place].target_track_id, []).append(n)
    begun = np.array([contact.first_frame for contact in events.contacts], dtype=np.int64)
    onset_death: list[int] = []
    onset_chance: list[float] = []
    parts: list[NDArray[np.int64]] = [np.zeros((0, 4), dtype=np.int64)]
    minutes: list[Floats] = [np.zeros(0)]
    for number, death in enumerate(events.deaths):
        frames, chances = _onsets(death)
        mine = np.array(of_target.get(death.track_id, []), dtype=np.int64)
        mine = mine[begun[pieces.contact[mine]] <= death.frame]
        onsets = np.arange(len(frames)) + len(onset_death)
        onset_death += [number] * len(frames)
        onset_chance += chances.tolist()
        onset, piece = np.repeat(onsets, len(mine)), np.tile(mine, len(frames))
        table = minutes_before(
            pieces.first[piece], pieces.last[piece], np.repeat(frames, len(mine)), edges_min, frame_min
        )
        row, place = np.nonzero(table)
        parts.append(np.stack([onset[row], piece[row], place, np.full(len(row), number)], axis=1))
        minutes.append(table[row, place])
    rows = np.concatenate(parts)
    span = int(pieces.effector.max(initial=0)) + 1
    pairs, row_pair = np.unique(rows[:, 3] * span + pieces.effector[rows[:, 1]], return_inverse=True)
    return {
        "row_onset": rows[:, 0],
        "row_piece": rows[:, 1],
        "row_bin": rows[:, 2],
        "row_pair": row_pair.astype(np.int64),
        "row_min": np.concatenate(minutes),
        "onset_death": np.array(onset_death, dtype=np.int64),
        "onset_chance": np.array(onset_chance, dtype=np.float64),
        "pair_death": pairs // span,
        "pair_effector": pairs % span,
    }


def join(parts: Sequence[tuple[int, Evidence]], n_wells: int, n_bins: int) -> Evidence:
    """Put fields together: each with the place of its well; everything else is counted on."""
    joined: dict[str, list[NDArray[Any]]] = {name: [] for name in _PLAIN}
    cut: dict[str, list[NDArray[Any]]] = {entry.name: [] for entry in fields(Pieces)}
    at_risk = np.zeros(n_wells)
    total = dict.fromkeys((*_COUNTED_FROM, "well"), 0)
    for well, part in parts:
        shift = total | {"well": well}
        for entry in cut:
            cut[entry].append(getattr(part.pieces, entry) + shift.get(_PIECE_COUNTS.get(entry, ""), 0))
        for name in _PLAIN:
            joined[name].append(getattr(part, name) + shift.get(_ROW_COUNTS.get(name, ""), 0))
        at_risk[well] += part.at_risk_min[0]
        for name, length in _lengths(part).items():
            total[name] += length
    empty = {"exposure": np.zeros((0, n_bins))}
    return Evidence(
        pieces=Pieces(**{name: _together(name, arrays) for name, arrays in cut.items()}),
        at_risk_min=at_risk,
        n_effectors=total["effector"],
        n_targets=total["target"],
        n_contacts=total["contact"],
        **{
            name: np.concatenate(arrays) if arrays else empty.get(name, _together(name, []))
            for name, arrays in joined.items()
        },
    )


_COUNTED_FROM = ("contact", "effector", "target", "piece", "onset", "death", "pair")
_PIECE_COUNTS = {"contact": "contact", "effector": "effector", "target": "target", "well": "well"}
_ROW_COUNTS = {
    "row_onset": "onset", "row_piece": "piece", "row_pair": "pair", "onset_death": "death", "death_well": "well",
    "pair_death": "death", "pair_effector": "effector",
}  # fmt: skip
_PLAIN = (*_ROW_COUNTS, "exposure", "row_bin", "row_min", "onset_chance", "death_weight", "death_frame")
_FLOATS = ("exposure", "row_min", "onset_chance", "death_weight", "frame_min", "weight", "doubt")


def _together(name: str, arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    if arrays:
        return np.concatenate(arrays)
    return np.zeros(0) if name in _FLOATS else np.zeros(0, dtype=np.int64)


def _lengths(part: Evidence) -> Mapping[str, int]:
    return {
        "contact": part.n_contacts, "effector": part.n_effectors, "target": part.n_targets,
        "piece": len(part.exposure), "onset": len(part.onset_death), "death": len(part.death_weight),
        "pair": len(part.pair_death),
    }  # fmt: skip
