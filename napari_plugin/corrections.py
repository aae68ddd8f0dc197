"""What a reader corrects in one field: who is who in time, and the outlines of single frames. No window.

Every correction is a decision in the review log: `labels.zarr` and the tables stay as the run wrote them. The values of
label images stay the run's too; which cell a value means after cuts, joins and swaps is said by `track_at`.

    corrections = Corrections(sitting, images, cells, folder=log_folder)
    corrections.cut(field, "target", 12, last_frame=30)
    overlay = corrections.overlay(field, "target")
    overlay.split(31, (40, 52), (47, 60))
    corrections.commit(field, "target")
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table
from assay.errors import AssayError, ResultsError
from assay.io.label_patches import read_patch, write_patch
from assay.labels import CellRole
from assay.review.decisions import Decision
from assay.review.sitting import Sitting
from assay.stack import FieldId
from napari_plugin.layers import Images
from napari_plugin.overlay import LabelOverlay, patches_by_frame

_Slot = tuple[FieldId, CellRole]
_Sights = dict[int, NDArray[np.int64]]  # track -> frames in which it is seen, in order


class Corrections:
    """Corrections of one reader, of any field of the plate.

    Args:
        sitting: Takes the decisions.
        images: Gives the labels.
        cells: The cells table as the pipeline wrote it.
        folder: Where patches are written: the folder of the sitting's log.
        more_folders: Where patches of other readers may lie.
    """

    def __init__(
        self,
        sitting: Sitting,
        images: Images,
        cells: Table,
        *,
        folder: Path,
        more_folders: Sequence[Path] = (),
    ) -> None:
        self._sitting, self._images, self._cells = sitting, images, cells
        self._folder, self._folders = folder, (folder, *more_folders)
        self._seen: dict[_Slot, _Sights] = {}
        self._overlays: dict[_Slot, tuple[tuple[tuple[str, int], ...], LabelOverlay]] = {}
        self._committing = False  # decisions are told of before the overlay knows that they are its own
        self.problems: list[str] = []

    def cut(self, field: FieldId, role: CellRole, track_id: int, *, last_frame: int) -> Decision:
        """End a track after a frame; what followed is a cell of its own.

        Raises:
            ResultsError: There is nothing before, or nothing after.
        """
        frames = self.frames_of(field, role, track_id)
        if not len(frames) or frames[0] > last_frame or frames[-1] <= last_frame:
            raise ResultsError(
                f"{_cell(role, track_id)} {_seen_in(frames)}, so it cannot be cut after frame {last_frame}."
            )
        values = {"track_id": track_id, "new_track_id": self.next_track(field, role)}
        return self._decide("split", field, role, frame=last_frame + 1, **values)

    def join(self, field: FieldId, role: CellRole, first: int, second: int, *, frame: int) -> Decision:
        """Make one track of two that are never seen in the same frame; the earlier one keeps its number.

        Raises:
            ResultsError: They are one track, or both are seen in some frame.
        """
        parts = sorted((first, second), key=lambda track: (self._first(field, role, track), track))
        together = np.intersect1d(*(self.frames_of(field, role, track) for track in parts))
        if first == second or len(together):
            both = f"both are seen in frame {int(together[0])}" if first != second else "they are one track"
            raise ResultsError(
                f"{_cell(role, first)} and {_cell(role, second)} cannot be joined: {both}. Cut one of them first."
            )
        return self._decide("join", field, role, frame=frame, track_id=parts[0], other_track_id=parts[1])

    def swap(self, field: FieldId, role: CellRole, first: int, second: int, *, frame: int) -> Decision:
        """Let two tracks change names from a frame on.

        Raises:
            ResultsError: They are one track, or neither is seen from there on.
        """
        after = [bool((self.frames_of(field, role, track) >= frame).any()) for track in (first, second)]
        if first == second or not any(after):
            why = "they are one track" if first == second else f"neither is seen from frame {frame} on"
            raise ResultsError(f"{_cell(role, first)} and {_cell(role, second)} cannot be swapped: {why}.")
        return self._decide("swap", field, role, frame=frame, track_id=first, other_track_id=second)

    def frames_of(self, field: FieldId, role: CellRole, track_id: int) -> NDArray[np.int64]:
        """Frames in which a track is seen, after all corrections of tracks."""
        sights = dict(self._sights(field, role))
        for edit in self._track_edits(field, role):
            _apply(sights, edit)
        return sights.get(track_id, np.zeros(0, np.int64))

    def track_at(self, field: FieldId, role: CellRole, value: int, frame: int) -> int:
        """Which track a value of the label images means in a frame, after all corrections of tracks."""
        for edit in self._track_edits(field, role):
            value = _renamed(value, frame, edit)
        return value

    def names_in(self, field: FieldId, role: CellRole, frame: int) -> dict[int, int]:
        """Values of the label images that mean another track in this frame, and which."""
        touched = {
            int(edit.values[name])
            for edit in self._track_edits(field, role)
            for name in ("track_id", "other_track_id", "new_track_id")
            if edit.values.get(name) is not None
        }
        names = {value: self.track_at(field, role, value, frame) for value in sorted(touched)}
        return {value: name for value, name in names.items() if value != name}

    def next_track(self, field: FieldId, role: CellRole) -> int:
        """A number that no track of this field and role has, nor any cell that was drawn or cut."""
        largest = max(self._sights(field, role), default=0)
        for edit in self._track_edits(field, role):
            largest = max(largest, int(edit.values.get("new_track_id") or 0))
        for _, patch in self._patches(field, role):
            largest = max(largest, int(patch.after.max(initial=0)))
        drawn = self._overlays.get(
            (field, role)
        )  # cells that were drawn and not committed have theirs already
        return largest + 1 if drawn is None else drawn[1].reserve(largest + 1)

    def overlay(self, field: FieldId, role: CellRole) -> LabelOverlay:
        """The labels with all corrections that stand, to look at and to paint on.

        The same one until a correction comes or goes; then uncommitted changes of it are gone.
        """
        standing = tuple(edit.key for edit in self._label_edits(field, role))
        before = self._overlays.get((field, role))
        if before is None or (before[0] != standing and not self._committing):
            made = LabelOverlay(
                self._images.of(field).labels[role],
                new_label=self.next_track(field, role),
                patches=patches_by_frame(self._patches(field, role)),
            )
            self._overlays[field, role] = (standing, made)
        overlay = self._overlays[field, role][1]
        overlay.reserve(
            1
            + max((int(e.values.get("new_track_id") or 0) for e in self._track_edits(field, role)), default=0)
        )
        return overlay

    def commit(self, field: FieldId, role: CellRole) -> list[Decision]:
        """Write what was painted since the last time: one patch and one decision per frame, on the disk on return.

        Raises:
            StorageError: The disk refuses; frames not written stay as they are, to be tried again.
        """
        overlay = self.overlay(field, role)
        made: list[Decision] = []
        self._committing = True
        try:
            for frame in overlay.edited_frames:
                patch = overlay.patch(frame)
                assert patch is not None
                name, sha256 = write_patch(self._folder, patch, field=field, role=role, frame=frame)
                made.append(self._decide("labels", field, role, frame=frame, patch=name, sha256=sha256))
                overlay.keep(frame)
                standing = self._overlays[field, role][0]
                self._overlays[field, role] = (
                    (*standing, made[-1].key),
                    overlay,
                )  # it holds this patch already
        finally:
            self._committing = False
        return made

    def standing(self, field: FieldId) -> list[Decision]:
        """Corrections of a field that stand, in order."""
        edits = [*self._sitting.state.track_edits, *self._sitting.state.label_edits]
        return sorted((edit for edit in edits if _is_of(edit, field)), key=lambda edit: (edit.utc, edit.key))

    def standing_keys(self, field: FieldId, role: CellRole) -> tuple[tuple[str, int], ...]:
        """Which corrections of a role stand: another tuple whenever the picture is another."""
        edits = [*self._track_edits(field, role), *self._label_edits(field, role)]
        return tuple(edit.key for edit in edits)

    def _decide(self, verb: str, field: FieldId, role: CellRole, **values: Any) -> Decision:
        return self._sitting.decide(verb, "", well=field.well, field=field.field, role=role, **values)

    def _track_edits(self, field: FieldId, role: CellRole) -> list[Decision]:
        return [edit for edit in self._sitting.state.track_edits if _is_of(edit, field, role)]

    def _label_edits(self, field: FieldId, role: CellRole) -> list[Decision]:
        return [edit for edit in self._sitting.state.label_edits if _is_of(edit, field, role)]

    def _patches(self, field: FieldId, role: CellRole) -> list[tuple[int, Any]]:
        """Standing patches in order; one that cannot be read is left out and named in `problems`."""
        patches = []
        for edit in self._label_edits(field, role):
            name, frame = str(edit.values["patch"]), int(edit.values["frame"])
            folder = next((one for one in self._folders if (one / name).is_file()), self._folder)
            try:
                patches.append((frame, read_patch(folder, name, sha256=str(edit.values["sha256"]))))
            except AssayError as error:
                if str(error) not in self.problems:
                    self.problems.append(str(error))
        return patches

    def _sights(self, field: FieldId, role: CellRole) -> _Sights:
        if (field, role) not in self._seen:
            cells = self._cells
            rows = np.flatnonzero(
                (cells["well"] == field.well) & (cells["field"] == field.field) & (cells["role"] == role)
            )
            tracks, frames = cells["track_id"][rows], cells["frame"][rows]
            order = np.lexsort((frames, tracks))
            names, starts = np.unique(tracks[order], return_index=True)
            ends = [*starts[1:], len(order)]
            self._seen[field, role] = {
                int(name): frames[order[start:end]]
                for name, start, end in zip(names, starts, ends[: len(names)], strict=True)
            }
        return self._seen[field, role]

    def _first(self, field: FieldId, role: CellRole, track_id: int) -> int:
        frames = self.frames_of(field, role, track_id)
        if not len(frames):
            raise ResultsError(f"{_cell(role, track_id)} is seen in no frame of {field}.")
        return int(frames[0])


class RenamedFilm:
    """Labels as tracks stand after cuts, joins and swaps: an array-like for napari, to look at only."""

    def __init__(self, film: Any, names_in: Any) -> None:
        self.shape, self.ndim, self.size, self.dtype = film.shape, film.ndim, film.size, film.dtype
        self._film, self._names_in = film, names_in

    def __len__(self) -> int:
        return self.shape[0]

    def shows(self, film: Any) -> bool:
        """Whether it shows this film already."""
        return self._film is film

    def __getitem__(self, key: Any) -> NDArray[Any]:
        values: NDArray[Any] = self._film[key]  # a copy of our own
        first = key[0] if isinstance(key, tuple) else key
        if np.ndim(first) == 0 and not isinstance(first, slice) and first is not Ellipsis:
            names = self._names_in(int(first))
            if names and values.size:
                renamed = np.arange(max(int(values.max()), *names) + 1, dtype=values.dtype)
                renamed[list(names)] = list(names.values())
                values = renamed[values]
        return values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)


def _apply(sights: _Sights, edit: Decision) -> None:
    values = edit.values
    track, frame = int(values["track_id"]), int(values["frame"])
    nothing = np.zeros(0, np.int64)
    mine = sights.get(track, nothing)
    if edit.verb == "split":
        new = int(values["new_track_id"])
        sights[track] = mine[mine < frame]
        sights[new] = np.union1d(sights.get(new, nothing), mine[mine >= frame])
        return
    other = int(values["other_track_id"])
    theirs = sights.get(other, nothing)
    if edit.verb == "join":
        sights[track] = np.union1d(mine, theirs)
        sights.pop(other, None)
    else:
        sights[track] = np.union1d(mine[mine < frame], theirs[theirs >= frame])
        sights[other] = np.union1d(theirs[theirs < frame], mine[mine >= frame])


def _renamed(name: int, frame: int, edit: Decision) -> int:
    values = edit.values
    track = int(values["track_id"])
    if edit.verb == "split":
        return int(values["new_track_id"]) if name == track and frame >= int(values["frame"]) else name
    other = int(values["other_track_id"])
    if edit.verb == "join":
        return track if name == other else name
    if frame < int(values["frame"]):
        return name
    return {track: other, other: track}.get(name, name)


def _is_of(edit: Decision, field: FieldId, role: CellRole | None = None) -> bool:
    values: Mapping[str, Any] = edit.values
    here = values.get("well") == field.well and values.get("field") == field.field
    return here and (role is None or values.get("role") == role)


def _cell(role: CellRole, track_id: int) -> str:
    return f"{role} {track_id}"


def _seen_in(frames: NDArray[np.int64]) -> str:
    return (
        f"is seen in frames {int(frames[0])} to {int(frames[-1])}" if len(frames) else "is seen in no frame"
    )


def in_words(decision: Decision) -> str:
    """A correction as one line of a list."""
    values = decision.values
    role, frame = values.get("role", ""), values.get("frame", 0)
    if decision.verb == "labels":
        return f"{role} outlines of frame {frame}"
    if decision.verb == "split":
        return (
            f"{role} {values.get('track_id')} cut after frame {frame - 1}; then {values.get('new_track_id')}"
        )
    verb = {"join": "joined", "swap": f"swapped from frame {frame} on"}[decision.verb]
    return f"{role} {values.get('track_id')} and {values.get('other_track_id')} {verb}"
