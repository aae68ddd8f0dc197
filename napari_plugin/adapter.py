"""Puts an event before the reader's eyes: the field, the frame, the pair in the middle, outlined.

Knows napari's viewer model by its public names; no Qt. The target is red, its killer yellow, other effectors that
touched it faint and grey.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.stack import FieldId
from assay.units import Calibration
from napari_plugin.cell_book import CellTrack, FieldCells
from napari_plugin.clips import Cell, Clip
from napari_plugin.layers import Images, layer_options, show_field

EFFECTOR_COLOR = "#ffd91a"
TARGET_COLOR = "#ff4d57"
CANDIDATE_COLOR = "#b8bcc6"
FILL = 0.4  # of the canvas that the pair takes
TRACK_FRAMES = 30
_LEAST_UM, _MOST_UM = 22.0, 160.0
_LINES = "pair and candidates"
_LINE_PX = 2.2  # on the canvas
_FAINT, _FAINTER = 0.5, 0.4  # of the lines of other candidates, and of the ways
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

    def show_field(self, field: FieldId) -> bool:
        """Show the images of a field; False where they are shown already.

        Raises:
            AssayError: It is not there, or damaged.
        """
        if field == self._field:
            return False
        shown = show_field(self._viewer, self._images, field)
        if self._field is None:  # outlines say enough, and colours of all cells hide the light
            for layer in shown.values():
                layer.visible = layer.visible and "role" not in layer.metadata.get("killassay", {})
        self._field = field
        self._lift()
        return True

    def show_event(
        self, field: FieldId, frame: int, target: int, killer: int | None, cells: FieldCells
    ) -> None:
        """Go to an event: its field, its frame, the pair in the middle.

        Args:
            field: Where.
            frame: Of the death.
            target: Who died.
            killer: Who did it; None for nobody.
            cells: Of the field.
        """
        self.show_field(field)
        self.show_frame(frame)
        pair = [cells.track("target", target)]
        if killer is not None:
            pair.append(cells.track("effector", killer))
        self._look_at(pair, frame)

    def draw_outlines(
        self, clip: Clip | None, target: int, killer: int | None, cells: FieldCells, calibration: Calibration
    ) -> None:
        """Outline the pair, faintly the other candidates, and the way of the pair some frames before and after.

        All in one layer: each change of a layer makes napari look at all of them anew.

        Args:
            clip: Holds the outlines and says for which frames; without it nothing is drawn.
            target: Who died.
            killer: The effector that is drawn yellow; None for nobody.
            cells: Of the field.
            calibration: Of the field.
        """
        if clip is None:
            self._draw_lines(np.zeros((0, 2, 3)), np.zeros((0, 4)), calibration)
            return
        pair = [(TARGET_COLOR, cells.track("target", target))]
        if killer is not None:
            pair.append((EFFECTOR_COLOR, cells.track("effector", killer)))
        lines, colors = [], []
        for color, track in pair:  # first, as what comes later lies above
            lines.append(_way_lines(track, clip, calibration))
            colors.append(np.tile(_rgba(color, _FAINTER), (len(lines[-1]), 1)))
        for bold in (False, True):
            found = _outline_lines(clip, killer, bold=bold)
            lines.append(found[0])
            colors.append(found[1])
        self._draw_lines(np.concatenate(lines), np.concatenate(colors), calibration)

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

    def _draw_lines(
        self, lines: NDArray[np.float64], colors: NDArray[np.float64], calibration: Calibration
    ) -> None:
        """Put vectors into our layer; what is as it was is not set again, as napari then works anew."""
        shared = layer_options(calibration)
        layer = self._layers.get(_LINES)
        if layer is None or layer not in self._viewer.layers:  # not made yet, or the reader deleted it
            layer = self._new_layer(_LINES, shared)
        if not np.allclose(layer.scale, shared["scale"]):
            layer.scale = shared["scale"]
        width = _LINE_PX / max(self._viewer.scene.camera.zoom * calibration.mean_pixel_um, 1e-6)
        if len(lines) or len(layer.data):
            layer.data = lines
        if len(lines):
            layer.edge_color = colors
        if abs(layer.edge_width - width) > 0.1 * width:
            layer.edge_width = width

    def _new_layer(self, name: str, shared: dict[str, Any]) -> Any:
        active = self._viewer.layers.selection.active
        layer = self._viewer.add_vectors(
            np.zeros((0, 2, 3)),
            name=name,
            vector_style="line",
            metadata={"killassay": {"review": True}},
            **shared,
        )
        self._layers[name] = layer
        self._viewer.layers.selection.active = active
        return layer

    def _lift(self) -> None:
        """Outlines lie over the images."""
        for layer in self._layers.values():
            if layer in self._viewer.layers:
                self._viewer.layers.move(self._viewer.layers.index(layer), len(self._viewer.layers))


def _outline_lines(
    clip: Clip, killer: int | None, *, bold: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Outlines of the pair (bold) or of the others: vectors (N, 2, 3) of frame, y, x, and colours (N, 4)."""
    lines, colors = [np.zeros((0, 2, 3))], [np.zeros((0, 4))]
    for cell, frames in clip.outlines.items():
        color = color_of(cell, killer)
        if (color == CANDIDATE_COLOR) == bold:
            continue
        for place, polygons in enumerate(frames):
            for polygon in polygons:
                part = np.zeros((len(polygon) - 1, 2, 3))
                part[:, 0, 0] = clip.first_frame + place
                part[:, 0, 1:] = polygon[:-1]
                part[:, 1, 1:] = np.diff(polygon, axis=0)
                lines.append(part)
                colors.append(np.tile(_rgba(color, 1.0 if bold else _FAINT), (len(part), 1)))
    return np.concatenate(lines), np.concatenate(colors)


def _way_lines(track: CellTrack, clip: Clip, calibration: Calibration) -> NDArray[np.float64]:
    """A cell's way around the death, the same in every frame of the clip: vectors (N, 2, 3)."""
    kept = track.between(clip.key.frame - TRACK_FRAMES, clip.key.frame + TRACK_FRAMES)
    way = np.stack([track.y_um[kept], track.x_um[kept]], axis=1) / np.array(calibration.pixel_um)
    n = max(len(way) - 1, 0)
    lines = np.zeros((clip.n_frames, n, 2, 3))
    if n:
        lines[:, :, 0, 0] = np.arange(clip.first_frame, clip.last_frame + 1)[:, None]
        lines[:, :, 0, 1:] = way[:-1]
        lines[:, :, 1, 1:] = np.diff(way, axis=0)
    return lines.reshape(-1, 2, 3)


def _rgba(color: str, alpha: float = 1.0) -> NDArray[np.float64]:
    return np.array([*(int(color[n : n + 2], 16) / 255 for n in (1, 3, 5)), alpha])


def color_of(cell: Cell, killer: int | None) -> str:
    """Red for the target, yellow for its killer, grey for who else touched it."""
    role, track = cell
    if role == "target":
        return TARGET_COLOR
    return EFFECTOR_COLOR if track == killer else CANDIDATE_COLOR
