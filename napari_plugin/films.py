"""The films of one field: raw channels or the small preview, and the labels of both roles. Reads a frame when it is asked for."""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from assay.io.ome_zarr import LabelPlate, MissingChunks, Plate, PlateStack, open_plate
from assay.labels import CELL_ROLES, CHANNEL_ROLES, CellRole, ChannelRole
from assay.protocol import Protocol
from assay.stack import FieldId, Window
from assay.units import Calibration
from napari_plugin.lazy import FrameCache, FrameStore

_PERCENT = (1.0, 99.8)
ReadWindow = Callable[[Sequence[int], Sequence[int], Window], NDArray[Any]]
"""Frames, channel numbers, rows and columns -> (t, C, y, x)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFilm:
    """One channel through time."""

    name: str
    index: int  # number of the channel in the images
    role: ChannelRole | None
    film: FrameCache
    limits: tuple[float, float]  # what to display
    shrink: int = 1  # a preview's pixel is this many pixels of the labels

    def showing(self, limits: tuple[float, float]) -> Self:
        """The same with other limits."""
        return replace(self, limits=limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class RawFilms:
    """The channels of a field, and how to read a small part of them."""

    calibration: Calibration
    shape: tuple[int, int, int]
    channels: tuple[ChannelFilm, ...]
    read_window: ReadWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldImages:
    """All films of one field."""

    field: FieldId
    calibration: Calibration
    shape: tuple[int, int, int]  # (T, Y, X)
    channels: tuple[ChannelFilm, ...]
    labels: Mapping[CellRole, FrameCache]
    read_window: ReadWindow
    read_labels: Callable[..., NDArray[np.uint32]] | None

    def crop(self, frames: Sequence[int], rows: slice, columns: slice) -> NDArray[Any]:
        """A small film of all channels, (t, C, y, x); of a preview in its own, larger pixels.

        Frames that lie in memory are cut from there; of the others only the chunks that are met are read. Frames that
        were never recorded are black.

        Args:
            frames: Which ones, inside the film.
            rows: Of the full-size image, inside it.
            columns: The same.
        """
        shrink = self.channels[0].shrink
        window = tuple(slice(part.start // shrink, -(-part.stop // shrink)) for part in (rows, columns))
        films = [channel.film for channel in self.channels]
        size = [part.stop - part.start for part in window]
        strip = np.empty((len(frames), len(films), *size), films[0].dtype)
        unread = [place for place, frame in enumerate(frames) if not all(film.has(frame) for film in films)]
        for place in set(range(len(frames))).difference(unread):
            strip[place] = [film.frame(frames[place])[window] for film in films]
        if unread:
            chosen = [channel.index for channel in self.channels]
            strip[unread] = self.read_window([frames[place] for place in unread], chosen, window)
        return strip

    def crop_labels(
        self, role: CellRole, frames: Sequence[int], rows: slice, columns: slice
    ) -> NDArray[np.uint32]:
        """The same of a role's labels, (t, y, x)."""
        film = self.labels[role]
        if self.read_labels is None or all(film.has(frame) for frame in frames):
            return np.stack([film.frame(frame)[rows, columns] for frame in frames])
        return self.read_labels(self.field, role, list(frames), window=(rows, columns))


def raw_films(plate: Plate, field: FieldId, *, protocol: Protocol | None, store: FrameStore) -> RawFilms:
    """The raw channels of a field: those that the protocol names, or all of a plate without one.

    Raises:
        ImageError: The images are damaged or not there.
        CalibrationError: Nobody says the pixel size.
    """
    policy: MissingChunks = "mask" if protocol is None or protocol.input.missing_chunks == "mask" else "fail"
    given = None if protocol is None else protocol.calibration
    stack, info = plate.stack(field, calibration=given, missing_chunks=policy), plate.info(field)
    n_frames, _, height, width = stack.shape
    names = stack.channel_names
    if protocol is None:
        said = {name: role for role in CHANNEL_ROLES for name, of in info.channel_roles.items() if of == role}
        shown = [(said.get(name), name) for name in names]
    else:
        shown = [(role, name) for role, of_role in protocol.channels.items() for name in of_role]
    channels = []
    for role, name in shown:
        index = names.index(name)
        film = FrameCache(
            functools.partial(_read_channel, stack, index),
            shape=(n_frames, height, width),
            dtype=stack.dtype,
            store=store,
        )
        window = info.channel_windows[index] if index < len(info.channel_windows) else None
        limits = window or _full_range(stack.dtype)
        channels.append(ChannelFilm(name=name, index=index, role=role, film=film, limits=limits))
    return RawFilms(
        calibration=stack.calibration,
        shape=(n_frames, height, width),
        channels=tuple(channels),
        read_window=functools.partial(_read_window, stack),
    )


def preview_films(
    labels: LabelPlate, field: FieldId, *, protocol: Protocol | None, store: FrameStore
) -> RawFilms:
    """The small images beside the labels, where the raw ones are not at hand.

    Raises:
        ImageError: They are damaged.
        CalibrationError: They do not say their pixel size.
    """
    small = open_plate(labels.path)
    stack, info = small.stack(field), small.info(field)
    shape = labels.shape(field)
    shrink = labels.preview_shrink(field)
    y_um, x_um = stack.calibration.pixel_um
    roles = {} if protocol is None else {name: role for role, of in protocol.channels.items() for name in of}
    channels = tuple(
        ChannelFilm(
            name=f"{name} (preview)",
            index=index,
            role=roles.get(name),
            film=FrameCache(
                functools.partial(_read_channel, stack, index),
                shape=(shape[0], *stack.shape[2:]),
                dtype=stack.dtype,
                store=store,
            ),
            limits=(info.channel_windows[index : index + 1] or (None,))[0] or _full_range(stack.dtype),
            shrink=shrink,
        )
        for index, name in enumerate(stack.channel_names)
    )
    calibration = Calibration(pixel_um=(y_um / shrink, x_um / shrink), frame_min=stack.calibration.frame_min)
    read_window = functools.partial(_read_window, stack)
    return RawFilms(calibration=calibration, shape=shape, channels=channels, read_window=read_window)


def label_films(labels: LabelPlate, field: FieldId, *, store: FrameStore) -> dict[CellRole, FrameCache]:
    """The labels of both roles; a value is a track id."""
    return {
        role: FrameCache(
            functools.partial(labels.read, field, role),
            shape=labels.shape(field),
            dtype=np.uint32,
            store=store,
        )
        for role in CELL_ROLES
    }


def _read_channel(stack: PlateStack, channel: int, frames: Sequence[int]) -> NDArray[Any]:
    """One channel of some frames, (t, Y, X)."""
    everything = (slice(0, stack.shape[2]), slice(0, stack.shape[3]))
    return _read_window(stack, frames, [channel], everything)[:, 0]


def _read_window(
    stack: PlateStack, frames: Sequence[int], channels: Sequence[int], window: Window
) -> NDArray[Any]:
    """A part of some frames, (t, C, y, x); frames that were never recorded are black."""
    there = [place for place, frame in enumerate(frames) if frame not in stack.missing_frames]
    size = [part.stop - part.start for part in window]
    if len(there) == len(frames):
        return stack.read(frames, channels, window=window)
    images = np.zeros((len(frames), len(channels), *size), dtype=stack.dtype)
    if there:
        images[there] = stack.read([frames[place] for place in there], channels, window=window)
    return images


def _full_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    if dtype.kind in "ui":
        return float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    return 0.0, 1.0
