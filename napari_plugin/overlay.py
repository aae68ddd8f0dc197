"""Labels that can be painted on while the film on the disk stays as it is.

Looks like an array to napari, which paints into it; a frame is copied when it is first changed. Every change can be
undone. Knows no window and no files: what changed leaves as a patch, and patches of earlier sittings come in.

    overlay = LabelOverlay(film, new_label=412)
    overlay.split(12, (30, 41), (36, 50))
    overlay.undo()
    patch = overlay.patch(12)              # None where the frame stands as it was
    overlay.keep(12)                       # the patch is safe in the log now
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from assay.errors import ResultsError
from assay.io.label_patches import LabelPatch, apply_patch, label_patch
from napari_plugin.cell_shapes import disk_offsets, region_at, split_cell
from napari_plugin.lazy import whole_key

Place = tuple[int, int]  # (y, x) of a pixel
Labels = NDArray[np.uint32]


class LabelFilm(Protocol):
    """What lies below: `lazy.FrameCache` of labels."""

    shape: tuple[int, ...]

    def frame(self, number: int) -> NDArray[Any]:
        """One frame (Y, X), read-only."""


@dataclass(frozen=True, slots=True)
class _Change:
    """Pixels of one frame, by their number in the flat image."""

    frame: int
    pixels: NDArray[np.int64]
    before: Labels
    after: Labels


class LabelOverlay:
    """The labels of one field and role, with changes on top.

    Args:
        film: The labels as the run wrote them.
        new_label: The first value that no cell of this field and role has.
        patches: Frame -> corrections of earlier sittings, in order.
    """

    def __init__(
        self, film: LabelFilm, *, new_label: int, patches: Mapping[int, Sequence[LabelPatch]] | None = None
    ) -> None:
        self.shape = tuple(film.shape)
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape))
        self.dtype: np.dtype[Any] = np.dtype(np.uint32)
        self._film = film
        self._patches = {frame: list(of_frame) for frame, of_frame in (patches or {}).items()}
        self._edited: dict[int, Labels] = {}
        self._steps: list[list[_Change]] = []
        self._undone: list[list[_Change]] = []
        self._open = False  # whether the last step may grow: a stroke of the brush is many small changes
        self._new_label = new_label
        self.version = 0  # another one whenever any pixel may be another

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def edited_frames(self) -> tuple[int, ...]:
        """Frames with changes that are not kept yet."""
        return tuple(sorted(frame for frame in self._edited if self.patch(frame) is not None))

    @property
    def can_undo(self) -> bool:
        """Whether there is a step to take back."""
        return bool(self._steps)

    @property
    def can_redo(self) -> bool:
        """Whether there is a step to do again."""
        return bool(self._undone)

    def frame(self, number: int) -> Labels:
        """One frame (Y, X) as it stands, to look at: it may be the film's own."""
        edited = self._edited.get(number)
        return self._kept(number) if edited is None else edited

    def new_label(self) -> int:
        """A value for a cell that is drawn anew; never given twice."""
        self._new_label += 1
        return self._new_label - 1

    def reserve(self, new_label: int) -> int:
        """Labels below this one are taken; gives the next that `new_label` will give."""
        self._new_label = max(self._new_label, new_label)
        return self._new_label

    def __getitem__(self, key: Any) -> NDArray[Any]:
        numbers, rest, scalar = self._frames_of(key)
        if isinstance(numbers, np.ndarray):
            places = np.broadcast_arrays(numbers, *rest)
            values = np.empty(places[0].shape, self.dtype)
            for number in np.unique(places[0]):
                here = places[0] == number
                values[here] = self.frame(int(number))[tuple(place[here] for place in places[1:])]
            return values
        if scalar:  # a copy: napari writes into what it shows
            return np.array(self.frame(numbers[0])[tuple(rest)])
        frames = [self.frame(number)[tuple(rest)] for number in numbers]
        return np.stack(frames) if frames else np.empty((0, *self.shape[1:]), self.dtype)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Paint, as napari does: pixels by three arrays of places, or a box of one frame."""
        numbers, rest, scalar = self._frames_of(key)
        if isinstance(numbers, np.ndarray):
            t, y, x, new = np.broadcast_arrays(numbers, *rest, np.asarray(value, dtype=self.dtype))
            for number in np.unique(t):
                here = t == number
                self._change(int(number), y[here].astype(np.int64) * self.shape[2] + x[here], new[here])
            return
        y, x = (np.arange(size)[part] for size, part in zip(self.shape[1:], rest, strict=True))
        both = np.ndim(y) == np.ndim(x) == 1 and not any(isinstance(part, np.ndarray) for part in rest)
        places = y[:, None] * self.shape[2] + x if both else y * self.shape[2] + x
        new = np.asarray(value, dtype=self.dtype)
        new = np.broadcast_to(new, places.shape if scalar else (len(numbers), *places.shape))
        for place, number in enumerate(numbers):
            of_frame = new if scalar else new[place]
            self._change(number, np.ravel(places), np.ravel(of_frame))

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[:], dtype=dtype)

    def end_step(self) -> None:
        """What was changed since the last step is one step for undo: a whole stroke of the brush."""
        self._open = False

    def paint(self, frame: int, centre: Place, radius_px: float, label: int) -> None:
        """One stamp of a round brush; 0 rubs out. Stamps are one step until `end_step`."""
        y, x = (offsets + at for offsets, at in zip(disk_offsets(radius_px), centre, strict=True))
        inside = (y >= 0) & (y < self.shape[1]) & (x >= 0) & (x < self.shape[2])
        pixels = y[inside].astype(np.int64) * self.shape[2] + x[inside]
        self._change(frame, pixels, np.full(len(pixels), label, self.dtype))

    def fill(self, frame: int, place: Place, label: int) -> None:
        """Give a whole piece of a cell, or a hole in one, another label; 0 removes the cell.

        Raises:
            ResultsError: The place is open background, which would make one cell of it.
        """
        region = region_at(self.frame(frame), place)
        self._step(frame, region, np.uint32(label))

    def merge(self, frame: int, kept: Place, other: Place) -> int:
        """Make one cell of two: the second takes the first one's label, which is given back.

        Raises:
            ResultsError: The places do not lie in two cells.
        """
        image = self.frame(frame)
        first, second = (int(image[place]) for place in (kept, other))
        if not first or not second or first == second:
            raise ResultsError("Click into one cell and then into another to make one cell of the two.")
        self._step(frame, image == second, np.uint32(first))
        return first

    def split(self, frame: int, one: Place, other: Place) -> tuple[int, int]:
        """Cut a cell in two between two places in it; the larger part keeps the label.

        Returns:
            The label that stays and the new one.

        Raises:
            ResultsError: The places do not lie apart in one cell.
        """
        image = self.frame(frame)
        cell = int(image[one])
        if not cell or int(image[other]) != cell or one == other:
            raise ResultsError("Click twice into the same cell, once into each of the two that it should be.")
        smaller = split_cell(image == cell, one, other)
        new = self.new_label()
        self._step(frame, smaller, np.uint32(new))
        return cell, new

    def undo(self) -> int | None:
        """Take the last step back; gives its frame, or None where there is none."""
        return self._move(self._steps, self._undone, back=True)

    def redo(self) -> int | None:
        """Do the step again that was undone last."""
        return self._move(self._undone, self._steps, back=False)

    def patch(self, frame: int) -> LabelPatch | None:
        """What changed in a frame since it was last kept."""
        edited = self._edited.get(frame)
        return None if edited is None else label_patch(self._kept(frame), edited)

    def keep(self, frame: int) -> None:
        """The frame's patch is safe: it is what stands from now on, and its steps cannot be undone here any more."""
        patch = self.patch(frame)
        if patch is not None:
            self._patches.setdefault(frame, []).append(patch)
        self.discard(frame)

    def discard(self, frame: int) -> None:
        """Let a frame be again as it was last kept."""
        self._edited.pop(frame, None)
        self.version += 1
        for steps in (self._steps, self._undone):
            steps[:] = [step for step in steps if step[0].frame != frame]
        self._open = False

    def _kept(self, frame: int) -> Labels:
        """A frame as it was last kept; the film's own where it has no patches."""
        image: Labels = self._film.frame(frame)
        for patch in self._patches.get(frame, ()):
            image = apply_patch(image, patch, where=f"frame {frame}")
        return image

    def _step(self, frame: int, region: NDArray[np.bool_], label: np.uint32) -> None:
        """One change that is a step of its own."""
        self.end_step()
        pixels = np.flatnonzero(region)
        self._change(frame, pixels, np.full(len(pixels), label, self.dtype))
        self.end_step()

    def _change(self, frame: int, pixels: NDArray[np.integer], after: NDArray[Any]) -> None:
        if frame not in self._edited:
            self._edited[frame] = np.array(self._kept(frame), dtype=np.uint32)
        flat = self._edited[frame].reshape(-1)
        changed = flat[pixels] != after
        if not changed.any():
            return
        where = np.asarray(pixels[changed], dtype=np.int64)
        change = _Change(frame, where, flat[where], np.asarray(after[changed], dtype=np.uint32))
        flat[where] = change.after
        self.version += 1
        if self._open and self._steps and self._steps[-1][0].frame == frame:
            self._steps[-1].append(change)
        else:
            self._steps.append([change])
        self._open = True
        self._undone.clear()

    def _move(self, source: list[list[_Change]], goal: list[list[_Change]], *, back: bool) -> int | None:
        self.end_step()
        if not source:
            return None
        step = source.pop()
        for change in reversed(step) if back else step:
            flat = self._edited[change.frame].reshape(-1)
            flat[change.pixels] = change.before if back else change.after
        goal.append(step)
        self.version += 1
        return step[0].frame

    def _frames_of(self, key: Any) -> tuple[Any, list[Any], bool]:
        """An index as frame numbers (an array of places, or a list of whole frames), the rest, and whether it was one."""
        first, *rest = whole_key(key, self.ndim)
        if isinstance(first, slice):
            return list(range(len(self))[first]), rest, False
        if np.ndim(first) == 0:
            return [range(len(self))[int(first)]], rest, True
        return np.asarray(first), rest, False


def patches_by_frame(patches: Iterable[tuple[int, LabelPatch]]) -> dict[int, list[LabelPatch]]:
    """Patches of one field and role, in the order of the log, by frame."""
    by_frame: dict[int, list[LabelPatch]] = {}
    for frame, patch in patches:
        by_frame.setdefault(frame, []).append(patch)
    return by_frame
