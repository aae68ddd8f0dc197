"""How well cells are followed: our linker beside the nearest neighbour and, where it is installed, laptrack.

    python -m benchmarks.tracking [--frames 100] [--seeds 3] [--area-only]

Films of points with the motion of research on T cells and adherent cells: effectors walk persistently with a
lognormal speed, some arrest, all leave and enter the field; targets creep, divide and vanish. Detections are
missed and invented. Truth is known for every detection. With --area-only the linker sees positions and areas, no dye.
"""

import argparse
import importlib.util
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assay.labels import CellMeasures, CellRole
from assay.tracks import Tracks, link
from assay.units import Calibration

PIXEL_UM = 0.65


@dataclass(frozen=True, kw_only=True)
class Motion:
    """How the cells of a scene move and how well they are seen."""

    speed_um_per_min: float
    persistence_min: float
    arrested: float  # share of cells that stand still at any time
    creep_um: float  # per square root of a minute
    radius_um: float
    divisions_per_h: float = 0.0
    deaths_per_h: float = 0.0
    missed: float = 0.02
    invented: float = 0.01
    localisation_um: float = 0.5
    area_noise: float = 0.08
    brightness_spread: float = 0.3
    brightness_noise: float = 0.1


EFFECTOR = Motion(speed_um_per_min=5.0, persistence_min=4.0, arrested=0.3, creep_um=0.2, radius_um=5.0)
TARGET = Motion(
    speed_um_per_min=0.0,
    persistence_min=1.0,
    arrested=1.0,
    creep_um=0.25,
    radius_um=10.0,
    divisions_per_h=0.03,
    deaths_per_h=0.02,
)


@dataclass(frozen=True, kw_only=True)
class Film:
    """Detections of one role with the cell each belongs to; 0 where no cell was."""

    measures: CellMeasures
    true_id: NDArray[np.int64]
    parents: dict[int, int]
    n_frames: int
    calibration: Calibration
    field_shape: tuple[int, int]
    truth: dict[int, set[int]]  # frames in which each cell was in the field


def film(
    role: CellRole,
    motion: Motion,
    *,
    n_cells: int,
    n_frames: int,
    frame_min: float,
    field_um: float = 1331.0,
    seed: int = 0,
    drift_um: NDArray[np.float64] | None = None,
) -> Film:
    """Let `n_cells` move for `n_frames` and see them imperfectly."""
    rng = np.random.default_rng(seed)
    wide = field_um + 200.0  # a margin from which cells come in
    n = int(n_cells * (wide / field_um) ** 2)
    ids = np.arange(1, n + 1)
    place = rng.uniform(-100, field_um + 100, (n, 2))
    speed = motion.speed_um_per_min * rng.lognormal(-0.11, 0.47, n)
    angle = rng.uniform(0, 2 * np.pi, n)
    still = rng.random(n) < motion.arrested
    area = np.pi * motion.radius_um**2 * rng.lognormal(0, 0.2, n)
    bright = 1000 * rng.lognormal(0, motion.brightness_spread, n)
    parents: dict[int, int] = {}
    rows: list[tuple[NDArray[np.float64], ...]] = []
    next_id, step_min = n + 1, min(frame_min, 0.5)
    for frame in range(n_frames):
        rows.append((np.full(len(ids), float(frame)), ids.astype(float), *place.T, area, bright))
        for _ in range(round(frame_min / step_min)):
            angle += rng.normal(0, np.sqrt(2 * step_min / motion.persistence_min), len(ids))
            walk = np.where(still, 0.0, speed) * step_min
            place = place + walk[:, None] * np.stack([np.sin(angle), np.cos(angle)], 1)
            place += rng.normal(0, motion.creep_um * np.sqrt(step_min), place.shape)
            place = _apart(place, motion.radius_um)
        still = np.where(rng.random(len(ids)) < frame_min / 15, rng.random(len(ids)) < motion.arrested, still)
        place = np.mod(place + 100, wide) - 100
        gone = (place < -90).any(1) | (place > field_um + 90).any(1)
        ids = ids.copy()
        ids[gone] = next_id + np.arange(gone.sum())  # whoever wraps around out of sight is a new cell
        next_id += int(gone.sum())
        mothers = np.flatnonzero(rng.random(len(ids)) < motion.divisions_per_h * frame_min / 60)
        dying = np.flatnonzero(rng.random(len(ids)) < motion.deaths_per_h * frame_min / 60)
        dying = np.setdiff1d(dying, mothers)
        away = rng.uniform(0, 2 * np.pi, len(mothers))
        aside = 0.5 * motion.radius_um * np.stack([np.sin(away), np.cos(away)], 1)
        area = np.where(area < 0.98 * np.pi * motion.radius_um**2, area * 1.01, area)
        area[mothers] *= 0.5
        for place_in_list, mother in enumerate(mothers):
            parents[next_id + 2 * place_in_list] = parents[next_id + 2 * place_in_list + 1] = int(ids[mother])
        keep = np.setdiff1d(np.arange(len(ids)), dying)
        daughters = next_id + 2 * np.arange(len(mothers))
        ids[mothers] = daughters
        new_place = place[mothers] + aside
        place[mothers] -= aside
        next_id += 2 * len(mothers)
        ids = np.concatenate([ids[keep], daughters + 1])
        place = np.concatenate([place[keep], new_place])
        speed, angle, still, area, bright = (
            np.concatenate([column[keep], column[mothers]]) for column in (speed, angle, still, area, bright)
        )
    return _seen(role, motion, rows, parents, rng, n_frames, frame_min, field_um, drift_um)


def _apart(place: NDArray[np.float64], radius_um: float) -> NDArray[np.float64]:
    """Push overlapping cells softly apart."""
    near = cKDTree(place).query_pairs(1.6 * radius_um, output_type="ndarray")
    if len(near) == 0:
        return place
    step = place[near[:, 0]] - place[near[:, 1]]
    far = np.maximum(np.hypot(*step.T), 1e-6)
    push = (0.2 * (1.6 * radius_um - far) / far)[:, None] * step
    place = place.copy()
    np.add.at(place, near[:, 0], push)
    np.add.at(place, near[:, 1], -push)
    return place


def _seen(
    role: CellRole,
    motion: Motion,
    rows: list[tuple[NDArray[np.float64], ...]],
    parents: dict[int, int],
    rng: np.random.Generator,
    n_frames: int,
    frame_min: float,
    field_um: float,
    drift_um: NDArray[np.float64] | None,
) -> Film:
    parts = []
    truth: dict[int, set[int]] = {}
    for frame, (_, ids, y, x, area, bright) in enumerate(rows):
        shift = np.zeros(2) if drift_um is None else drift_um[frame]
        y, x = y + shift[0], x + shift[1]
        inside = np.flatnonzero((y >= 0) & (y < field_um) & (x >= 0) & (x < field_um))
        for cell in ids[inside].astype(int).tolist():
            truth.setdefault(cell, set()).add(frame)
        inside = inside[rng.random(len(inside)) >= motion.missed]
        ghosts = rng.poisson(motion.invented * len(inside))
        place = np.stack([y[inside], x[inside]], 1) + rng.normal(0, motion.localisation_um, (len(inside), 2))
        place = np.concatenate([place, rng.uniform(0, field_um, (ghosts, 2))])
        template = rng.integers(0, max(len(ids), 1), ghosts)
        who = np.concatenate([ids[inside], np.zeros(ghosts)])
        areas = np.concatenate([area[inside], area[template]]) * rng.lognormal(0, motion.area_noise, len(who))
        lights = np.concatenate([bright[inside], bright[template]])
        lights = lights * rng.lognormal(0, motion.brightness_noise, len(who))
        order = np.lexsort((place[:, 1], place[:, 0]))
        parts.append((np.full(len(who), frame), who[order], place[order], areas[order], lights[order]))
    frame_of, who, place, areas, lights = (np.concatenate(column) for column in zip(*parts, strict=True))
    label = np.concatenate([np.arange(1, len(part[0]) + 1) for part in parts]).astype(np.int32)
    size = round(field_um / PIXEL_UM)
    radius = np.sqrt(areas / np.pi)
    edge = np.minimum(place.min(1), (field_um - place).min(1))
    measures = CellMeasures(
        role=role,
        frame=frame_of.astype(np.int32),
        label=label,
        y_um=place[:, 0],
        x_um=place[:, 1],
        area_um2=areas,
        eccentricity=np.zeros(len(who)),
        covered=np.zeros(len(who)),
        at_border=edge <= radius,
        score=np.ones(len(who)),
        means={role: lights},
        own_means={role: lights},
    )
    return Film(
        measures=measures,
        true_id=who.astype(np.int64),
        parents=parents,
        n_frames=n_frames,
        calibration=Calibration(pixel_um=(PIXEL_UM, PIXEL_UM), frame_min=frame_min),
        field_shape=(size, size),
        truth=truth,
    )


def score(true_film: Film, track_id: NDArray[np.int64], parents: dict[int, int]) -> dict[str, float]:
    """Edge F1, wrong links, complete tracks (true ones of 10 frames and more, found whole and pure), divisions."""
    frame, true = true_film.measures.frame, true_film.true_id
    truth_edges, found_edges = _edges(true, frame, skip=0), _edges(track_id, frame)
    right = len(truth_edges & found_edges)
    precision, recall = right / max(len(found_edges), 1), right / max(len(truth_edges), 1)
    sizes = np.bincount(track_id)
    whole = total = 0
    for cell in np.unique(true[true > 0]).tolist():
        rows = np.flatnonzero(true == cell)
        if len(rows) >= 10:
            total += 1
            tracks = np.unique(track_id[rows])
            whole += len(tracks) == 1 and sizes[tracks[0]] == len(rows)
    scores = {
        "edge_f1": 2 * precision * recall / max(precision + recall, 1e-9),
        "recall": recall,
        "false": 1 - precision,
        "complete": whole / max(total, 1),
        "tracks_per_cell": len(np.unique(track_id)) / max(len(np.unique(true[true > 0])), 1),
    }
    return scores | _division_scores(true_film, track_id, parents)


def _edges(cell: NDArray[np.int64], frame: NDArray[np.int32], skip: int = -1) -> set[tuple[int, int]]:
    order = np.lexsort((frame, cell))
    same = (cell[order][1:] == cell[order][:-1]) & (cell[order][1:] != skip)
    return set(zip(order[:-1][same].tolist(), order[1:][same].tolist(), strict=True))


def _division_scores(
    true_film: Film, track_id: NDArray[np.int64], parents: dict[int, int]
) -> dict[str, float]:
    def majority(track: int) -> int:
        values, counts = np.unique(true_film.true_id[track_id == track], return_counts=True)
        return int(values[np.argmax(counts)]) if len(values) else 0

    called = {(majority(child), majority(parent)) for child, parent in parents.items()}
    seen = set(np.unique(true_film.true_id).tolist())
    true = {pair for pair in true_film.parents.items() if pair[0] in seen and pair[1] in seen}
    right = len(called & true)
    return {
        "true_divisions": len(true) / 2,
        "division_precision": right / len(parents) if parents else float("nan"),
        "division_recall": right / len(true) if true else float("nan"),
    }


def ours(cells: Film, *, max_um_per_min: float, gap: int = 2) -> tuple[NDArray[np.int64], dict[int, int]]:
    """Our linker."""
    tracks: Tracks = link(
        cells.measures,
        n_frames=cells.n_frames,
        masked_frames=(),
        calibration=cells.calibration,
        field_shape=cells.field_shape,
        max_gap_frames=gap,
        max_um_per_min=max_um_per_min,
    )
    return tracks.track_id, {
        track.track_id: track.parent_track_id for track in tracks.tracks if track.parent_track_id is not None
    }


def nearest(cells: Film, *, max_um_per_min: float, gap: int = 2) -> tuple[NDArray[np.int64], dict[int, int]]:
    """Greedy nearest neighbour with memory, what a script does."""
    frame = cells.measures.frame
    place = np.stack([cells.measures.y_um, cells.measures.x_um], 1)
    track_id = np.zeros(len(frame), np.int64)
    active: list[int] = []
    reach = max_um_per_min * cells.calibration.minutes(1)
    count = 0
    for now in range(cells.n_frames):
        rows = np.flatnonzero(frame == now)
        last = np.array([row for row in active if now - frame[row] <= gap + 1], dtype=np.int64)
        taken: set[int] = set()
        if len(last) and len(rows):
            near = cKDTree(place[last]).sparse_distance_matrix(
                cKDTree(place[rows]), reach, output_type="ndarray"
            )
            for i, j, _ in np.sort(near, order=["v", "i", "j"]).tolist():
                if last[i] not in taken and track_id[rows[j]] == 0:
                    taken.add(int(last[i]))
                    track_id[rows[j]] = track_id[last[i]]
        for row in rows[track_id[rows] == 0]:
            count += 1
            track_id[row] = count
        active = [row for row in last.tolist() if row not in taken] + rows.tolist()
    return track_id, {}


def laptrack(cells: Film, *, max_um_per_min: float, gap: int = 2) -> tuple[NDArray[np.int64], dict[int, int]]:
    """Laptrack with gap closing and, for targets, splitting; the same gates."""
    from laptrack import LapTrack  # an optional yardstick, not a dependency

    frame = cells.measures.frame
    place = np.stack([cells.measures.y_um, cells.measures.x_um], 1)
    reach = max_um_per_min * cells.calibration.minutes(1)
    splits = cells.measures.role == "target"
    tracker = LapTrack(
        cutoff=reach**2,
        gap_closing_cutoff=reach**2,
        gap_closing_max_frame_count=gap,
        splitting_cutoff=reach**2 if splits else False,
    )
    rows_of = [np.flatnonzero(frame == now) for now in range(cells.n_frames)]
    graph = tracker.predict([place[rows] for rows in rows_of])
    track_id, parents, count = np.zeros(len(frame), np.int64), {}, 0
    for node in sorted(graph.nodes):
        before = list(graph.predecessors(node))
        row = rows_of[node[0]][node[1]]
        if before and graph.out_degree(before[0]) == 1:
            track_id[row] = track_id[rows_of[before[0][0]][before[0][1]]]
            continue
        count += 1
        track_id[row] = count
        if before:
            parents[count] = int(track_id[rows_of[before[0][0]][before[0][1]]])
    return track_id, parents


SCENES = [  # cells in the field, minutes per frame
    (200, 300, 2.0),
    (800, 1200, 2.0),
    (200, 300, 5.0),
]


def main() -> None:
    """Print one line per scene, role and linker."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--scenes", type=int, default=len(SCENES))
    parser.add_argument("--area-only", action="store_true")
    arguments = parser.parse_args()
    linkers: dict[str, Callable[..., tuple[NDArray[np.int64], dict[int, int]]]] = {
        "ours": ours,
        "nearest": nearest,
    }
    if importlib.util.find_spec("laptrack"):
        linkers["laptrack"] = laptrack
    for n_effectors, n_targets, frame_min in SCENES[: arguments.scenes]:
        for role, motion, n_cells, fastest in (
            ("effector", EFFECTOR, n_effectors, 15.0),
            ("target", TARGET, n_targets, 4.0),
        ):
            for name, linker in linkers.items():
                rows = []
                for seed in range(arguments.seeds):
                    cells = film(
                        role,
                        motion,
                        n_cells=n_cells,
                        n_frames=arguments.frames,
                        frame_min=frame_min,
                        seed=seed,
                    )
                    if arguments.area_only:
                        cells = replace(cells, measures=replace(cells.measures, means={}, own_means={}))
                    started = time.process_time()
                    track_id, parents = linker(cells, max_um_per_min=fastest)
                    rows.append({"cpu_s": time.process_time() - started, **score(cells, track_id, parents)})
                means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
                numbers = "  ".join(f"{key} {value:.3f}" for key, value in means.items())
                print(f"{n_cells:5d} {role:8s} {frame_min:g} min  {name:9s} {numbers}", flush=True)


if __name__ == "__main__":
    main()
