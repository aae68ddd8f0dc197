"""Which time point of the names is which frame: one clock for the whole plate."""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from assay.errors import VendorFileError


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Frame of each time point, the same for every well."""

    frames: Mapping[int, int]  # time point as written (minutes or index) -> frame
    step: int  # time points between frames
    clock: bool  # time points are minutes
    frame_min: float | None  # what the names say of the interval
    warnings: tuple[str, ...] = ()

    def spoken(self, frame: int) -> str:
        """How the files name a frame, for people who look for it."""
        point = next((point for point, number in self.frames.items() if number == frame), None)
        if point is None:
            point = min(self.frames) + frame * self.step
        return clock_text(point) if self.clock else f"time point {point}"


def index_timeline(indices: Iterable[int]) -> Timeline:
    """Time points that are counted: the plate's smallest is frame 0, every number between is a frame."""
    seen = sorted(set(indices))
    warnings: tuple[str, ...] = ()
    if seen[0] > 1:
        warnings = (f"the first time point of the plate is {seen[0]}; it becomes frame 0.",)
    frames = {index: index - seen[0] for index in seen}
    return Timeline(frames=frames, step=1, clock=False, frame_min=None, warnings=warnings)


def clock_timeline(minutes: Iterable[int], *, frame_min: float | None) -> Timeline:
    """Time points that are times: the usual step is the frame interval, a step of twice it lacks a frame.

    Args:
        minutes: Every time that stands in a name of the plate.
        frame_min: Interval given by hand; then times that are not evenly spaced are counted one by one.

    Raises:
        VendorFileError: The times are not evenly spaced and no interval was given.
    """
    seen = sorted(set(minutes))
    steps = [after - before for before, after in itertools.pairwise(seen)]
    if not steps:
        return Timeline(frames={seen[0]: 0}, step=1, clock=True, frame_min=None)
    counted = Counter(steps)
    step = min(counted, key=lambda length: (-counted[length], length))
    if all(length % step == 0 for length in steps):
        frames = {time: (time - seen[0]) // step for time in seen}
        return Timeline(frames=frames, step=step, clock=True, frame_min=float(step))
    shown = ", ".join(f"{length} min ({times} times)" for length, times in sorted(counted.items()))
    if frame_min is None:
        odd = next(time for time, length in zip(seen, steps, strict=False) if length % step)
        raise VendorFileError(
            f"the times in the file names are not evenly spaced: between frames lie {shown}, the first odd step "
            f"after {clock_text(odd)}. Expected one interval. If frames are to be counted one by one, give it with "
            f"--frame-min, e.g. --frame-min {step}."
        )
    warning = f"the times in the file names are not evenly spaced ({shown}); frames were counted one by one."
    frames = {time: number for number, time in enumerate(seen)}
    return Timeline(frames=frames, step=step, clock=True, frame_min=None, warnings=(warning,))


def clock_text(minutes: int) -> str:
    """Minutes as Incucyte writes them, "00d04h00m"."""
    return f"{minutes // 1440:02d}d{minutes // 60 % 24:02d}h{minutes % 60:02d}m"
