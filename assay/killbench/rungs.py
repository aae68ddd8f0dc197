"""What perfect tracks, contacts or deaths would give: the truth of a scene in the product's own form."""

import numpy as np
from numpy.typing import NDArray

from assay.contacts import Contact
from assay.deaths import Death, DeathSurvey
from assay.killbench.scene import Scene
from assay.labels import CELL_ROLES, CellRole
from assay.tracks import Track, TrackEnd, Tracks, TrackStart


def true_tracks(scene: Scene) -> dict[CellRole, Tracks]:
    """Every detection with its true cell; false cells and those of the other role are tracks of one frame."""
    return {role: _tracks(scene, role) for role in CELL_ROLES}


def _tracks(scene: Scene, role: CellRole) -> Tracks:
    true, frame = scene.true_id[role], scene.measures[role].frame.astype(np.int64)
    n = scene.world.settings.n_targets
    mine = (true > 0) & ((true <= n) if role == "target" else (true > n))
    ids = true.copy()
    ids[~mine] = int(true.max(initial=0)) + 1 + np.arange(int((~mine).sum()))
    order = np.lexsort((frame, ids))
    known, starts = np.unique(ids[order], return_index=True)
    stops = np.append(starts[1:], len(order))[: len(starts)]  # of no cells there is no last row
    firsts, lasts = frame[order][starts], frame[order][stops - 1]
    leaves = _leaving(scene)
    tracks = tuple(
        Track(
            track_id=track_id,
            first_frame=first,
            last_frame=last,
            parent_track_id=None,
            start=_start(first),
            end=_end(last, scene.n_frames, track_id in leaves),
        )
        for track_id, first, last in zip(known.tolist(), firsts.tolist(), lasts.tolist(), strict=True)
    )
    return Tracks(role=role, track_id=ids, tracks=tracks)


def _leaving(scene: Scene) -> set[int]:
    """Effectors that leave the field: another id comes in for them."""
    ids = scene.world.effector_id
    return set(ids[:-1][ids[:-1] != ids[1:]].tolist())


def _start(first: int) -> TrackStart:
    return "movie_start" if first == 0 else "appeared"


def _end(last: int, n_frames: int, leaves: bool) -> TrackEnd:
    if last == n_frames - 1:
        return "movie_end"
    return "left_field" if leaves else "lost"


def true_contacts(scene: Scene) -> list[Contact]:
    """Who was bound to whom, for true tracks."""
    return [
        Contact(
            contact_id=number,
            effector_track_id=contact.effector,
            target_track_id=contact.target,
            first_frame=contact.first_frame,
            last_frame=contact.last_frame,
            min_gap_um=0.0,
            mean_interface_um=5.0,
            starts_censored=contact.first_frame == 0,
            ends_censored=contact.last_frame == scene.n_frames - 1,
        )
        for number, contact in enumerate(scene.world.contacts, start=1)
    ]


def true_deaths(scene: Scene, tracks: Tracks) -> DeathSurvey:
    """The true deaths of targets on the tracks that show them: the track that is the cell nearest the death."""
    rows = _rows_of_cells(scene, tracks)
    deaths = []
    for death in scene.world.deaths:
        frames, track_ids = rows.get(death.target, (np.zeros(0, np.int64), np.zeros(0, np.int64)))
        if not len(frames):
            continue
        after = np.where(frames >= death.frame, frames - death.frame, scene.n_frames + death.frame - frames)
        deaths.append((int(track_ids[np.argmin(after)]), death.frame))
    return DeathSurvey(
        deaths=tuple(
            Death(
                death_id=number,
                role="target",
                track_id=track_id,
                frame=frame,
                first_possible_frame=frame,
                last_possible_frame=frame,
                probability=1.0,
                evidence=("truth",),
            )
            for number, (track_id, frame) in enumerate(sorted(set(deaths)), start=1)
        ),
        dead_from_start=frozenset(),
    )


def _rows_of_cells(scene: Scene, tracks: Tracks) -> dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Target -> frames and track ids of its detections in the order of frames."""
    true, frame = scene.true_id["target"], scene.measures["target"].frame.astype(np.int64)
    order = np.lexsort((frame, true))
    known, starts = np.unique(true[order], return_index=True)
    stops = np.append(starts[1:], len(order))[: len(starts)]
    return {
        cell: (frame[order[a:b]], tracks.track_id[order[a:b]])
        for cell, a, b in zip(known.tolist(), starts.tolist(), stops.tolist(), strict=True)
        if 0 < cell <= scene.world.settings.n_targets
    }
