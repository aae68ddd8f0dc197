"""Naive rules that people use, beside which ours must stand.

Knows scenes and the tables made of them. None of these rules says how sure it is.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assay.contacts import Contact
from assay.deaths import Death
from assay.field_events import FieldEvents
from assay.killbench.ours import Credit, Reading
from assay.killbench.scene import DYE, Scene
from assay.kills import Kill
from assay.labels import CELL_ROLES, CellMeasures, CellRole
from assay.traces import lay_out
from assay.tracks import Track, Tracks

NEAREST_UM, NEAREST_FRAMES = 18.0, 3
THRESHOLD_FRAMES, THRESHOLD_MADS, MAD = 5, 5.0, 1.4826
GAP_FRAMES = 2
LONGEST_WINDOW_MIN = 60.0

Longs = NDArray[np.int64]


def longest_contact(reading: Reading) -> Credit:
    """On our tracks, contacts and deaths: the effector with the longest contact in the hour before has it all."""
    events = reading.events(reading.scene.kind)
    window = round(events.calibration.frames(LONGEST_WINDOW_MIN))
    touching = _by_target(events.contacts)
    kills: list[Kill] = []
    uncredited: dict[int, float] = {}
    for death in events.deaths:
        lengths: dict[int, tuple[int, int]] = {}  # effector -> frames, contact
        for contact in touching.get(death.track_id, []):
            first, last = max(contact.first_frame, death.frame - window), min(contact.last_frame, death.frame)
            best = (last - first + 1, contact.contact_id)
            if best[0] > 0:
                lengths[contact.effector_track_id] = max(lengths.get(contact.effector_track_id, best), best)
        uncredited[death.death_id] = 0.0 if lengths else 1.0
        if lengths:
            effector = max(lengths, key=lambda e: (lengths[e], -e))
            kills.append(_all_to(effector, lengths[effector][1], death))
    return Credit(
        events=events,
        kills=tuple(kills),
        uncredited=uncredited,
        dead_from_start=reading.survey.dead_from_start,
    )


def _by_target(contacts: Sequence[Contact]) -> dict[int, list[Contact]]:
    touching: dict[int, list[Contact]] = {}
    for contact in contacts:
        touching.setdefault(contact.target_track_id, []).append(contact)
    return touching


def _all_to(effector: int, contact_id: int, death: Death) -> Kill:
    return Kill(
        death_id=death.death_id,
        target_track_id=death.track_id,
        effector_track_id=effector,
        contact_id=contact_id,
        share=1.0,
        lag_min=0.0,
    )


def nearest_effector(scene: Scene, tracks: Mapping[CellRole, Tracks], *, lasting_frames: int) -> Credit:
    """A fixed threshold on the dye, and the effector nearest to the target in the last frames before has it all.

    A death is the first of `lasting_frames` sights in a row above median + 5 MAD of the first five frames; a
    contact is a run of frames with the two centres within 18 um.

    Args:
        scene: What segmentation would hand on.
        tracks: From `chain_scene`, or better ones.
        lasting_frames: 1 for the naivest.
    """
    contacts = _close_runs(scene, tracks)
    deaths = _threshold_deaths(scene, tracks["target"], lasting_frames)
    events = FieldEvents(
        well=scene.well,
        field=0,
        kind=scene.kind,
        n_frames=scene.n_frames,
        calibration=scene.calibration,
        contacts=tuple(contacts),
        deaths=tuple(deaths),
        targets=tracks["target"].tracks,
    )
    touching = _by_target(contacts)
    kills: list[Kill] = []
    uncredited: dict[int, float] = {}
    for death in deaths:
        first = death.frame - NEAREST_FRAMES + 1
        near = [
            c
            for c in touching.get(death.track_id, [])
            if c.first_frame <= death.frame and c.last_frame >= first
        ]
        uncredited[death.death_id] = 0.0 if near else 1.0
        if near:
            best = min(near, key=lambda c: (c.min_gap_um, c.contact_id))
            kills.append(_all_to(best.effector_track_id, best.contact_id, death))
    return Credit(events=events, kills=tuple(kills), uncredited=uncredited)


def chain_scene(scene: Scene) -> dict[CellRole, Tracks]:
    """Link by nearest neighbours, the closest first, over gaps of up to two frames."""
    frame_min = scene.calibration.minutes(1)
    reach = {"effector": 15.0 * frame_min / 2 + 10.0, "target": 8.0}
    return {role: _chain(scene.measures[role], reach[role], scene.n_frames) for role in CELL_ROLES}


def _chain(cells: CellMeasures, reach_um: float, n_frames: int) -> Tracks:
    place = np.stack([cells.y_um, cells.x_um], axis=1)
    bounds = np.searchsorted(cells.frame, np.arange(n_frames + 1))
    track_id = np.zeros(len(cells), dtype=np.int64)
    lasts = np.zeros(0, dtype=np.int64)  # last row of every track that may go on
    count = 0
    for frame in range(n_frames):
        here = np.arange(bounds[frame], bounds[frame + 1])
        lasts = lasts[cells.frame[lasts] >= frame - GAP_FRAMES - 1]
        before, now = _closest_first(place[lasts], place[here], reach_um)
        track_id[here[now]] = track_id[lasts[before]]
        new = here[track_id[here] == 0]
        track_id[new] = count + 1 + np.arange(len(new))
        count += len(new)
        lasts = np.concatenate([np.delete(lasts, before), here])
    return _as_tracks(cells, track_id, n_frames)


def _closest_first(
    before: NDArray[np.float64], now: NDArray[np.float64], reach_um: float
) -> tuple[Longs, Longs]:
    """Pair places one to one, the closest two first."""
    if not len(before) or not len(now):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    pairs = cKDTree(before).sparse_distance_matrix(cKDTree(now), reach_um, output_type="ndarray")
    pairs = pairs[np.lexsort((pairs["j"], pairs["i"], pairs["v"]))]
    kept: dict[int, int] = {}
    taken: set[int] = set()
    for i, j in zip(pairs["i"].tolist(), pairs["j"].tolist(), strict=True):
        if i not in kept and j not in taken:
            kept[i] = j
            taken.add(j)
    return np.array(list(kept), dtype=np.int64), np.array(list(kept.values()), dtype=np.int64)


def _as_tracks(cells: CellMeasures, track_id: Longs, n_frames: int) -> Tracks:
    order = np.lexsort((cells.frame, track_id))
    known, starts = np.unique(track_id[order], return_index=True)
    stops = np.append(starts[1:], len(order))[: len(starts)] - 1  # of no cells there is no last row
    frame = cells.frame[order]
    tracks = tuple(
        Track(
            track_id=number,
            first_frame=first,
            last_frame=last,
            parent_track_id=None,
            start="movie_start" if first == 0 else "appeared",
            end="movie_end" if last == n_frames - 1 else "lost",
        )
        for number, first, last in zip(
            known.tolist(), frame[starts].tolist(), frame[stops].tolist(), strict=True
        )
    )
    return Tracks(role=cells.role, track_id=track_id, tracks=tracks)


def _threshold_deaths(scene: Scene, tracks: Tracks, lasting_frames: int) -> list[Death]:
    cells = scene.measures["target"]
    early = cells.means[DYE][cells.frame < THRESHOLD_FRAMES]
    if not len(early):
        return []
    limit = np.median(early) + THRESHOLD_MADS * MAD * np.median(np.abs(early - np.median(early)))
    table = lay_out(tracks, cells, cells.means[DYE], n_frames=scene.n_frames, masked_frames=())
    deaths: list[Death] = []
    for row, track in zip(table, tracks.tracks, strict=True):
        seen = np.flatnonzero(np.isfinite(row))
        above = row[seen] > limit
        lasts = np.array([above[k : k + lasting_frames].all() for k in range(len(seen) - lasting_frames + 1)])
        if not lasts.any() or lasts[0]:
            continue
        frame = int(seen[np.argmax(lasts)])
        deaths.append(
            Death(
                death_id=len(deaths) + 1,
                role="target",
                track_id=track.track_id,
                frame=frame,
                first_possible_frame=frame,
                last_possible_frame=frame,
                probability=1.0,
                evidence=("dye",),
            )
        )
    return deaths


def _close_runs(scene: Scene, tracks: Mapping[CellRole, Tracks]) -> list[Contact]:
    """Runs of frames in which an effector's and a target's centres are within 18 um."""
    e_cells, t_cells = scene.measures["effector"], scene.measures["target"]
    if not len(e_cells) or not len(t_cells):
        return []
    far = 4 * NEAREST_UM
    trees = [
        cKDTree(np.stack([cells.frame * far, cells.y_um, cells.x_um], axis=1)) for cells in (e_cells, t_cells)
    ]
    found = trees[0].sparse_distance_matrix(trees[1], NEAREST_UM, output_type="ndarray")
    if not len(found):
        return []
    effector, target = tracks["effector"].track_id[found["i"]], tracks["target"].track_id[found["j"]]
    frame, apart = e_cells.frame[found["i"]].astype(np.int64), found["v"]
    order = np.lexsort((frame, target, effector))
    effector, target, frame, apart = effector[order], target[order], frame[order], apart[order]
    same = (np.diff(effector) == 0) & (np.diff(target) == 0) & (np.diff(frame) == 1)
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    stops = np.append(starts[1:], len(order)) - 1
    nearest = np.minimum.reduceat(apart, starts)
    return [
        Contact(
            contact_id=number,
            effector_track_id=e,
            target_track_id=t,
            first_frame=first,
            last_frame=last,
            min_gap_um=gap,
            mean_interface_um=0.0,
            starts_censored=first == 0,
            ends_censored=last == scene.n_frames - 1,
        )
        for number, (e, t, first, last, gap) in enumerate(
            zip(
                effector[starts].tolist(), target[starts].tolist(), frame[starts].tolist(), frame[stops].tolist(),
                nearest.tolist(), strict=True,
            ),
            start=1,
        )
    ]  # fmt: skip
