"""Puts an event before the reader's eyes: the field, the frame, the pair in the middle, outlined.

Knows napari's viewer model by its public names; no Qt. The target is red, its killer yellow, other effectors that
touched it thin and grey.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.stack import FieldId
from assay.units import Calibration
from napari_plugin.cell_book import CellTrack, FieldCells, track_rows
from napari_plugin.clips import Cell, Clip
from napari_plugin.layers import Images, layer_options, show_field

EFFECTOR_COLOR = "#ffd91a"
TARGET_COLOR = "#ff4d57"
CANDIDATE_COLOR = "#b8bcc6"
FILL = 0.4  # of the canvas that the pair takes
TRACK_FRAMES = 30
_LEAST_UM, _MOST_UM = 22.0, 160.0
_PAIR, _OTHERS, _TRACKS = "pair", "candidates", "tracks of the pair"
_BOLD_PX, _THIN_PX = 2.6, 1.1  # on the canvas
_CELL_RADIUS_UM = 10.0


class ViewerAdapter:
    """Moves one viewer; makes its layers when they are first needed and takes them away on `close`."""

    def __init__(self, viewer: Any, images: Images, *, on_frame: Callable[[int], None]) -> None:
        """Take hold of a viewer.

        Args:
            viewer: napari's Viewer or ViewerModel.
            images: Of the plate.
            on_frame: Told the frame that the viewer shows, whenever it changes.
        """
        self._viewer, self._images, self._on_frame = viewer, images, on_frame
        self._field: FieldId | None = None
        self._layers: dict[str, Any] = {}
        self._tell = lambda _event: self._on_frame(self.frame)
        viewer.dims.events.current_step.connect(self._tell)

    @property
    def frame(self) -> int:
        """The frame that is shown."""
        step = self._viewer.dims.current_step
        return int(step[0]) if len(step) > 2 else 0

    @property
    def cursor_um(self) -> tuple[float, float] | None:
        """(y, x) under the mouse; None before it was over the canvas."""
        position = self._viewer.cursor.position
        return (float(position[-2]), float(position[-1])) if len(position) > 1 else None

    def show_frame(self, frame: int) -> None:
        """Go to a frame of the field that is shown."""
        last = int(self._viewer.dims.nsteps[0]) - 1
        self._viewer.dims.set_current_step(0, int(np.clip(frame, 0, max(last, 0))))

    def show_field(self, field: FieldId) -> None:
        """Show the images of a field, where they are not shown already.

        Raises:
            AssayError: It is not there, or damaged.
        """
        if field != self._field:
            shown = show_field(self._viewer, self._images, field)
            if self._field is None:  # outlines say enough, and colours of all cells hide the light
                for layer in shown.values():
                    layer.visible = layer.visible and "role" not in layer.metadata.get("killassay", {})
            self._field = field
            self._lift()

    def show_event(
        self, field: FieldId, frame: int, target: int, killer: int | None, cells: FieldCells
    ) -> None:
        """Go to an event: its field, its frame, the pair in the middle, its tracks.

        Args:
            field: Where.
            frame: Of the death.
            target: Who died.
            killer: Who did it; None for nobody.
            cells: Of the field.
        """
        self.show_field(field)
        self.show_frame(frame)
        calibration = self._images.of(field).calibration
        pair = [cells.track("target", target)]
        if killer is not None:
            pair.append(cells.track("effector", killer))
        self._look_at(pair, frame)
        self._show_tracks(pair, frame, calibration)

    def outline(self, clip: Clip | None, killer: int | None, calibration: Calibration) -> None:
        """Draw the outlines of an event's cells; None draws nothing.

        Args:
            clip: Holds the outlines.
            killer: The effector that is drawn yellow.
            calibration: Of the field.
        """
        bold, thin = _segments(clip, killer)
        shared = layer_options(calibration)
        width = 1.0 / max(self._viewer.scene.camera.zoom * calibration.mean_pixel_um, 1e-6)
        for name, (lines, colors), size in ((_PAIR, bold, _BOLD_PX), (_OTHERS, thin, _THIN_PX)):
            self._draw_lines(name, lines, colors, size * width, shared)

    def let_go(self) -> None:
        """Hear no more of the viewer."""
        self._viewer.dims.events.current_step.disconnect(self._tell)

    def close(self) -> None:
        """Let go of the viewer and take the outlines away; the images stay."""
        self.let_go()
        for layer in self._layers.values():
            if layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self._layers.clear()

    def _look_at(self, pair: list[CellTrack], frame: int) -> None:
        places = [place for place in (track.near(frame) for track in pair) if place is not None]
        if not places:
            return
        if len(places) > 1 and np.hypot(*np.subtract(places[0], places[1])) > _MOST_UM:
            places = places[:1]
        low, high = np.min(places, axis=0), np.max(places, axis=0)
        size = float(np.clip((high - low).max() + 2 * _CELL_RADIUS_UM, _LEAST_UM, _MOST_UM))
        camera = self._viewer.scene.camera
        canvas = min(self._viewer.canvas.size)
        camera.center = tuple(((low + high) / 2).tolist())
        camera.zoom = FILL * canvas / size

    def _show_tracks(self, pair: list[CellTrack], frame: int, calibration: Calibration) -> None:
        rows = track_rows(
            list(enumerate(pair, start=1)),
            first=frame - TRACK_FRAMES,
            last=frame + TRACK_FRAMES,
            pixel_um=calibration.pixel_um,
        )
        lines, colors = [], []
        for name, color in ((1, TARGET_COLOR), (2, EFFECTOR_COLOR)):
            way = rows[rows[:, 0] == name][:, 2:]
            lines += [np.stack([a, b - a]) for a, b in itertools.pairwise(way)]
            colors += [color] * max(len(way) - 1, 0)
        shared = layer_options(calibration)
        flat = {name: shared[name][1:] for name in shared}  # the same in every frame
        width = _THIN_PX / max(self._viewer.scene.camera.zoom * calibration.mean_pixel_um, 1e-6)
        self._draw_lines(_TRACKS, np.array(lines).reshape(-1, 2, 2), colors, width, flat, opacity=0.55)

    def _draw_lines(
        self,
        name: str,
        lines: NDArray[np.float64],
        colors: list[str],
        width: float,
        shared: dict[str, Any],
        opacity: float = 1.0,
    ) -> None:
        layer = self._layers.get(name)
        if layer is not None and layer not in self._viewer.layers:  # the reader deleted it
            layer = None
        if layer is None:
            active = self._viewer.layers.selection.active
            layer = self._viewer.add_vectors(
                np.zeros((0, 2, len(shared["scale"]))),
                name=name,
                vector_style="line",
                opacity=opacity,
                metadata={"killassay": {"review": True}},
                **shared,
            )
            self._layers[name] = layer
            self._viewer.layers.selection.active = active
        layer.scale = shared["scale"]
        layer.edge_width = width
        layer.data = lines
        if len(lines):
            layer.edge_color = np.array(colors)

    def _lift(self) -> None:
        """Outlines lie over the images."""
        for layer in self._layers.values():
            if layer in self._viewer.layers:
                self._viewer.layers.move(self._viewer.layers.index(layer), len(self._viewer.layers))


_Lines = tuple[NDArray[np.float64], list[str]]


def _segments(clip: Clip | None, killer: int | None) -> tuple[_Lines, _Lines]:
    """(of the pair, of the other candidates): vectors (N, 2, 3) of frame, y, x, and their colours."""
    found: dict[bool, tuple[list[NDArray[np.float64]], list[str]]] = {True: ([], []), False: ([], [])}
    for cell, frames in ({} if clip is None else clip.outlines).items():
        assert clip is not None
        color = color_of(cell, killer)
        lines, colors = found[color != CANDIDATE_COLOR]
        for place, polygons in enumerate(frames):
            for polygon in polygons:
                part = np.zeros((len(polygon) - 1, 2, 3))
                part[:, 0, 0] = clip.first_frame + place
                part[:, 0, 1:] = polygon[:-1]
                part[:, 1, 1:] = np.diff(polygon, axis=0)
                lines.append(part)
                colors += [color] * len(part)
    bold, thin = (
        (np.concatenate(lines) if lines else np.zeros((0, 2, 3)), colors)
        for lines, colors in (found[True], found[False])
    )
    return bold, thin


def color_of(cell: Cell, killer: int | None) -> str:
    """Red for the target, yellow for its killer, grey for who else touched it."""
    role, track = cell
    if role == "target":
        return TARGET_COLOR
    return EFFECTOR_COLOR if track == killer else CANDIDATE_COLOR
