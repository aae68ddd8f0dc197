"""Corrected outlines: the edited cells of a frame are measured again, and the touching pairs of that frame found again.

The only part of a review that sees pixels: of the frames that were edited, and no others. `labels.zarr` stays as the
run wrote it; patches speak of its values, which are track ids. A value that no track has is a new cell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from assay.errors import ResultsError
from assay.io.label_patches import LabelPatch, apply_patch, read_patch
from assay.io.ome_zarr import LabelPlate, open_plate
from assay.io.results import Results
from assay.io.review_logs import log_folders
from assay.labels import CELL_ROLES, CellMeasures, CellRole, FrameLabels, Pairs, is_large
from assay.measures import concatenate as concatenate_measures
from assay.measures import measure
from assay.pipeline.field_films import FieldFilm
from assay.pipeline.reviewed_tracks import Corrected, track_over
from assay.pipeline.work_files import take_measures
from assay.protocol import Protocol
from assay.review.decisions import Decision
from assay.stack import Stack
from assay.touching import concatenate_pairs, touching_pairs
from assay.tracks import Track, TrackEnd, Tracks, TrackStart

_OTHER: dict[CellRole, CellRole] = {"effector": "target", "target": "effector"}
_Images = Mapping[CellRole, NDArray[np.uint32]]


@dataclass(slots=True)
class _Rows:
    """One role's cells while they are corrected."""

    measures: CellMeasures
    track_id: NDArray[np.int64]
    sure: NDArray[np.float64] | None


def correct_labels(
    results: Path, film: FieldFilm, edits: Sequence[Decision], protocol: Protocol
) -> Corrected:
    """Apply patches in their order, frame by frame.

    Args:
        results: RESULTS, with the patches beside the logs that name them.
        film: The field as the run left it.
        edits: Decisions "labels" of this field.
        protocol: Says how near is near.

    Raises:
        ResultsError: The plate is not in its place, or a patch is gone or altered.
    """
    touched: dict[CellRole, set[int]] = {role: set() for role in CELL_ROLES}
    problems: list[str] = []
    rows = {role: _rows_of(film, role) for role in CELL_ROLES}
    pairs, labels, stack = (
        film.pairs,
        LabelPlate.open(results / "labels.zarr"),
        _stack(results, film, protocol),
    )
    for frame in sorted({int(edit.values["frame"]) for edit in edits}):
        mine = [edit for edit in edits if int(edit.values["frame"]) == frame]
        if frame in film.masked | set(film.unseen.death) or frame >= film.n_frames:
            problems.append(
                f"labels of frame {frame}: the frame has no usable image, so nothing is measured."
            )
            continue
        if is_large(stack.shape):
            problems.append(
                f"labels of frame {frame}: {film.field} has frames of {stack.shape[2]} x {stack.shape[3]} pixels, too large "
                "for corrected outlines, so nothing is measured."
            )
            continue
        images: dict[CellRole, NDArray[np.uint32]] = {
            role: labels.read(film.field, role, [frame])[0] for role in CELL_ROLES
        }
        changed: dict[CellRole, set[int]] = {role: set() for role in CELL_ROLES}
        for edit in mine:
            role: CellRole = "effector" if edit.values["role"] == "effector" else "target"
            patch = _patch(results, edit)
            images[role] = apply_patch(images[role], patch, where=f"{film.field}, frame {frame}")
            changed[role] |= set(patch.changed_labels)
            # cells of the other role under the edit are covered by more, or less, than before
            under = images[_OTHER[role]][patch.box][patch.before != patch.after]
            changed[_OTHER[role]] |= set(np.unique(under[under > 0]).tolist())
        found = _measure_again(images, rows, frame, stack, film)
        for role in CELL_ROLES:
            _take_frame(rows[role], found.measures[role], found.track_of[role], changed[role], frame)
            touched[role] |= changed[role]
        pairs = _pairs_again(pairs, found.labels, rows, frame, stack, protocol)
    return Corrected(
        film=replace(
            film,
            measures={role: rows[role].measures for role in CELL_ROLES},
            tracks={
                role: _tracks_over(film.tracks[role], rows[role], touched[role], film) for role in CELL_ROLES
            },
            pairs=pairs,
        ),
        touched={role: frozenset(touched[role]) for role in CELL_ROLES},
        problems=tuple(problems),
    )


def _rows_of(film: FieldFilm, role: CellRole) -> _Rows:
    tracks = film.tracks[role]
    return _Rows(film.measures[role], tracks.track_id, tracks.link_confidence)


def _stack(results: Path, film: FieldFilm, protocol: Protocol) -> Stack:
    opened = Results.open(results)
    if not Path(opened.plate_path).is_dir():
        raise ResultsError(
            f"{film.field}: corrected outlines are measured on the raw images, and the plate is not in "
            f"{opened.plate_path} any more. Put it back, or run `killassay run` with its new place."
        )
    return open_plate(opened.plate_path).stack(
        film.field, calibration=protocol.calibration, missing_chunks="mask"
    )


def _patch(results: Path, edit: Decision) -> LabelPatch:
    name, sha256 = str(edit.values["patch"]), str(edit.values["sha256"])
    folders = log_folders(Results.open(results))
    folder = next((one for one in folders if (one / name).is_file()), folders[0])
    return read_patch(folder, name, sha256=sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """One frame measured again, its cells under the labels that they have in the private tables."""

    labels: FrameLabels
    measures: Mapping[CellRole, CellMeasures]
    track_of: Mapping[CellRole, Mapping[int, int]]  # label -> track


def _measure_again(
    images: _Images, rows: Mapping[CellRole, _Rows], frame: int, stack: Stack, film: FieldFilm
) -> _Frame:
    labelled, scores, track_of = {}, {}, {}
    for role in CELL_ROLES:
        labelled[role], scores[role], track_of[role] = _as_labels(images[role], rows[role], frame)
    labels = FrameLabels(
        effectors=labelled["effector"],
        targets=labelled["target"],
        effector_scores=scores["effector"],
        target_scores=scores["target"],
    )
    measures = measure(
        labels,
        frame=frame,
        channels=stack.read([frame])[0],
        channel_names=tuple(film.measures["target"].means),
        calibration=stack.calibration,
    )
    return _Frame(labels=labels, measures=measures, track_of=track_of)


def _as_labels(
    image: NDArray[np.uint32], rows: _Rows, frame: int
) -> tuple[NDArray[np.int32], NDArray[np.float32], dict[int, int]]:
    """Track ids back to labels of the frame; new cells get new labels, and a score of 1: a person drew them."""
    here = rows.measures.frame == frame
    label_of = dict(zip(rows.track_id[here].tolist(), rows.measures.label[here].tolist(), strict=True))
    score_of = dict(zip(rows.track_id[here].tolist(), rows.measures.score[here].tolist(), strict=True))
    largest = int(rows.measures.label[here].max(initial=0))
    values, compact = np.unique(image, return_inverse=True)
    names = np.zeros(len(values), dtype=np.int32)
    for place, value in enumerate(values.tolist()):
        if value and value not in label_of:
            largest += 1
            label_of[value] = largest
        names[place] = label_of.get(value, 0)
    scores = np.ones(largest, dtype=np.float32)
    for value, score in score_of.items():
        scores[label_of[value] - 1] = score
    track_of = {label: value for value, label in label_of.items()}
    return names[compact].reshape(image.shape), scores, track_of


def _take_frame(
    rows: _Rows, measured: CellMeasures, track_of: Mapping[int, int], changed: set[int], frame: int
) -> None:
    """Put the edited cells of the frame in the place of what was measured; all others stay to the last digit."""
    ids = np.array([track_of[label] for label in measured.label.tolist()], dtype=np.int64)
    new = np.isin(ids, sorted(changed))
    kept = ~((rows.measures.frame == frame) & np.isin(rows.track_id, sorted(changed)))
    was = dict(zip(rows.track_id[~kept].tolist(), np.flatnonzero(~kept).tolist(), strict=True))
    parts = [take_measures(rows.measures, kept), take_measures(measured, new)]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ("frame", "label")}
    order = np.lexsort((joined["label"], joined["frame"]))
    if rows.sure is not None:
        added = [rows.sure[was[one]] if one in was else 1.0 for one in ids[new].tolist()]
        rows.sure = np.concatenate([rows.sure[kept], np.array(added, dtype=np.float64)])[order]
    rows.track_id = np.concatenate([rows.track_id[kept], ids[new]])[order]
    rows.measures = concatenate_measures(parts)


def _pairs_again(
    pairs: Pairs,
    labels: FrameLabels,
    rows: Mapping[CellRole, _Rows],
    frame: int,
    stack: Stack,
    protocol: Protocol,
) -> Pairs:
    contact = protocol.contact
    found = touching_pairs(
        labels.effectors,
        labels.targets,
        frame=frame,
        calibration=stack.calibration,
        max_gap_um=contact.leave_um,
        enter_um=contact.enter_um,
    )
    kept = pairs.frame != frame
    names = ("frame", "effector_label", "target_label", "gap_um", "interface_um")
    others = Pairs(**{name: getattr(pairs, name)[kept] for name in names})
    return concatenate_pairs([others, found])


def _tracks_over(tracks: Tracks, rows: _Rows, touched: set[int], film: FieldFilm) -> Tracks:
    """Tracks after cells came and went; a new cell is one that appeared, and is lost after its last frame."""
    if not touched:
        return tracks
    frame, present = rows.measures.frame.astype(np.int64), set(rows.track_id.tolist())
    sure = rows.sure
    if sure is not None:  # a first row has no link
        order = np.lexsort((frame, rows.track_id))
        first = order[np.concatenate([[True], np.diff(rows.track_id[order]) != 0])] if len(order) else order
        sure = sure.copy()
        sure[first] = np.nan
    made: list[Track] = []
    known = {track.track_id: track for track in tracks.tracks}
    for number in sorted(set(known) | touched):
        track = known.get(number)
        if number not in present:
            continue
        if track is not None and number not in touched:
            made.append(track)
            continue
        whole = track_over(number, rows.track_id, frame, sure, "appeared", "lost", None)
        if track is not None:
            whole = replace(
                whole,
                parent_track_id=track.parent_track_id,
                start=track.start if whole.first_frame == track.first_frame else _start(whole.first_frame),
                end=track.end if whole.last_frame == track.last_frame else _end(whole.last_frame, film),
            )
        else:
            whole = replace(whole, start=_start(whole.first_frame), end=_end(whole.last_frame, film))
        made.append(whole)
    return Tracks(role=tracks.role, track_id=rows.track_id, tracks=tuple(made), link_confidence=sure)


def _start(first: int) -> TrackStart:
    return "movie_start" if first == 0 else "appeared"


def _end(last: int, film: FieldFilm) -> TrackEnd:
    return "movie_end" if last == film.n_frames - 1 else "lost"
