"""The viewer's side of corrections: which cell was clicked, what a click does, and what the layers show. No Qt.

Knows napari's viewer model by its public names. The cells that were picked are outlined, the first white, the second
cyan. While outlines are edited, the labels layer of the role is the overlay itself, so that napari's brush paints there.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from assay.errors import AssayError
from assay.labels import CELL_ROLES, CellRole
from assay.report.crops import contours
from assay.stack import FieldId
from napari_plugin.corrections import Corrections, RenamedFilm
from napari_plugin.layers import Images, layer_options

Tool = Literal["pick", "brush", "erase", "fill", "remove", "split", "merge"]
TOOLS: tuple[Tool, ...] = ("pick", "brush", "erase", "fill", "remove", "split", "merge")
_MODES: dict[Tool, str] = {"brush": "paint", "erase": "erase"}
_PICKED = "picked cells"
_COLORS = ("#ffffff", "#37c8ff")
_LINE_PX = 2.6  # on the canvas
_STILL_PX = 3.0  # a press that moves farther is a drag of the canvas

HINTS: dict[Tool, str] = {
    "pick": "Click a cell: the brush then draws on it.",
    "brush": "Drag to add to the picked cell.",
    "erase": "Drag to rub out.",
    "fill": "Click a piece or a hole: it becomes the picked cell.",
    "remove": "Click a cell that is none.",
    "split": "Click once into each of the two cells that are outlined as one.",
    "merge": "Click two outlines that are one cell; the first keeps its number.",
}


class Correcting:
    """Picks and paints in one viewer; `close` leaves it as it was."""

    def __init__(self, viewer: Any, images: Images, corrections: Corrections) -> None:
        self.viewer, self.corrections = viewer, corrections
        self._images = images
        self.role: CellRole = "target"
        self.tool: Tool = "pick"
        self.editing = False
        self.brush_label = 0
        self.picked: list[int] = []  # tracks, at most two
        self.changed: list[Callable[[], None]] = []
        self.said: list[Callable[[str, str], None]] = []
        self.replaced: list[
            Callable[[], None]
        ] = []  # somebody put other labels into a layer: `refresh` is due
        self._first_click: tuple[int, tuple[int, int]] | None = None  # frame and place, of split and merge
        self._shown: FieldId | None = None
        self._outline: Any = None
        self._stands: dict[CellRole, tuple[Any, ...]] = {}  # what each layer was last drawn from
        self._was_visible: dict[CellRole, bool] = {}
        viewer.mouse_drag_callbacks.append(self._pressed)
        viewer.dims.events.current_step.connect(self._draw_picked)

    @property
    def field(self) -> FieldId | None:
        """The field that the viewer shows."""
        layer = self._layer(self.role)
        if layer is None:
            return None
        note = layer.metadata["killassay"]
        return FieldId(note["well"], note["field"])

    @property
    def frame(self) -> int:
        """The frame that the viewer shows."""
        step = self.viewer.dims.current_step
        return int(step[0]) if len(step) > 2 else 0

    @property
    def overlay(self) -> Any:
        """The labels of the role that is edited, with all that stands and what is being painted; None without a field."""
        field = self.field
        return None if field is None else self.corrections.overlay(field, self.role)

    def choose_role(self, role: CellRole) -> None:
        """Correct the other kind of cells."""
        if role != self.role:
            self.stop_editing()
            self.role, self.picked, self.brush_label = role, [], 0
            self.refresh()

    def choose_tool(self, tool: Tool) -> None:
        """Take another tool into the hand."""
        self.tool, self._first_click = tool, None
        self._set_mode()
        self._tell()

    def start_editing(self) -> None:
        """Show the overlay and let the tools change it."""
        if self.field is not None:
            self.editing, self.tool = True, "pick"
            layer = self._layer(self.role)
            self._was_visible[self.role] = layer.visible
            layer.visible = True  # one sees what one paints
            self.refresh()

    def stop_editing(self) -> None:
        """Put the tools away; what was painted and not committed stays."""
        layer = self._layer(self.role)
        if self.editing and layer is not None:
            layer.visible = self._was_visible.pop(self.role, True)
        self.editing, self.tool, self._first_click = False, "pick", None
        self.refresh()

    def new_cell(self) -> None:
        """The brush draws a cell that was not there."""
        overlay = self.overlay
        if overlay is not None:
            self.brush_label = overlay.new_label()
            self.choose_tool("brush")

    def pick(self, y: float, x: float, *, more: bool = False) -> int | None:
        """Pick the cell at a pixel; with `more` beside the one that is picked. None on background."""
        value = self._value_at(y, x)
        field = self.field
        if not value or field is None:
            return None
        track = self.corrections.track_at(field, self.role, value, self.frame)
        first = [one for one in self.picked[:1] if more and one != track]
        self.picked, self.brush_label = [*first, track], value
        self._set_mode()
        self._draw_picked()
        self._tell()
        return track

    def click(self, y: float, x: float, *, more: bool = False) -> None:
        """What a click into the picture does, by the tool in the hand."""
        if not self.editing or self.tool == "pick":
            if self.pick(y, x, more=more) is None:
                self._say(f"No {self.role} here in frame {self.frame}.", "info")
            return
        overlay, place = self.overlay, (round(y), round(x))
        if overlay is None or not self._is_inside(y, x):
            return
        try:
            self._use(overlay, place)
        except AssayError as error:
            self._first_click = None
            self._say(str(error), "warning")
        self.refresh()

    def undo(self) -> None:
        """Take the last stroke or click back."""
        self._turn(
            self.overlay.undo if self.overlay is not None else None, "Nothing to undo in this picture."
        )

    def redo(self) -> None:
        """Do it again."""
        self._turn(
            self.overlay.redo if self.overlay is not None else None, "Nothing to redo in this picture."
        )

    def discard(self) -> None:
        """Forget what was painted in this frame since the last commit."""
        if self.overlay is not None:
            self.overlay.discard(self.frame)
            self.refresh()

    def refresh(self) -> None:
        """Let the layers show what stands."""
        field = self.field
        if field is None:
            return
        if self._shown not in (None, field):
            self.picked, self.brush_label = [], 0
        self._shown = field
        for role in CELL_ROLES:
            self._show_labels(field, role)  # works only where something else stands now
        self._set_mode()
        self._draw_picked()
        self._tell()

    def close(self) -> None:
        """Take everything out of the viewer again."""
        if self._pressed in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._pressed)
        self.viewer.dims.events.current_step.disconnect(self._draw_picked)
        self.stop_editing()
        for role in CELL_ROLES:
            layer = self._layer(role)
            if layer is not None:
                layer.events.paint.disconnect(self._stroke_ended)
                layer.events.data.disconnect(self._data_replaced)
        if self._outline is not None and self._outline in self.viewer.layers:
            self.viewer.layers.remove(self._outline)
        self._outline = None
        for listeners in (self.changed, self.said, self.replaced):
            listeners.clear()

    def _use(self, overlay: Any, place: tuple[int, int]) -> None:
        frame = self.frame
        if self.tool == "remove":
            if not overlay.frame(frame)[place]:
                self._say(f"No {self.role} here in frame {frame}.", "info")
                return
            overlay.fill(frame, place, 0)
            self._say("Removed from this frame.", "good")
        elif self.tool == "fill":
            if not self.brush_label:
                self._say("Pick the cell first that this piece belongs to, or press New cell.", "info")
                return
            overlay.fill(frame, place, self.brush_label)
        elif self.tool in ("split", "merge"):
            before = self._first_click
            if before is None or before[0] != frame:
                self._first_click = (frame, place)
                self._say("Now click the other one.", "info")
                return
            self._first_click = None
            if self.tool == "split":
                kept, new = overlay.split(frame, before[1], place)
                self._say(f"Cut in two: {kept} and the new cell {new}.", "good")
            else:
                self._say(f"One cell now: {overlay.merge(frame, before[1], place)}.", "good")

    def _turn(self, act: Callable[[], int | None] | None, nothing: str) -> None:
        frame = act() if act is not None else None
        if frame is None:
            self._say(nothing, "info")
            return
        if frame != self.frame:
            self.viewer.dims.set_current_step(0, frame)
        self.refresh()

    def _show_labels(self, field: FieldId, role: CellRole) -> None:
        """The film itself where nothing is corrected; else tracks as they stand; the overlay while it is edited."""
        layer = self._layer(role)
        if layer is None:
            return
        corrections = self.corrections
        wanted: Any = self._images.of(field).labels[role]
        edits = self.editing and role == self.role
        overlay = corrections.overlay(field, role)
        if edits:
            wanted = overlay
        elif overlay.edited_frames or corrections.standing_keys(field, role):
            wanted = RenamedFilm(overlay, lambda frame: corrections.names_in(field, role, frame))
        stands = (overlay.version, id(overlay), corrections.standing_keys(field, role))
        same = layer.data is wanted or (isinstance(wanted, RenamedFilm) and _shows(layer.data, overlay))
        if not same:
            layer.data = wanted
        elif self._stands.get(role) != stands:
            layer.refresh()
        self._stands[role] = stands
        if not edits and role == self.role:
            layer.mode = "pan_zoom"
        layer.editable = edits
        layer.events.paint.disconnect(self._stroke_ended)
        layer.events.data.disconnect(self._data_replaced)
        layer.events.data.connect(self._data_replaced)
        if edits:
            layer.n_edit_dimensions = 2
            layer.events.paint.connect(self._stroke_ended)

    def _data_replaced(self, _event: Any = None) -> None:
        """The review shows another field, maybe after its event: films cannot be painted, overlays can."""
        for listener in tuple(self.replaced):
            listener()

    def _set_mode(self) -> None:
        layer = self._layer(self.role)
        if layer is None or not self.editing:
            return
        mode = _MODES.get(self.tool, "pan_zoom")
        if mode == "paint" and not self.brush_label:
            self._say("Pick the cell first that you want to draw on, or press New cell.", "info")
            self.tool, mode = "pick", "pan_zoom"
        layer.mode = mode
        if mode != "pan_zoom":
            self.viewer.layers.selection.active = layer
            layer.selected_label = self.brush_label or 1

    def _draw_picked(self, _event: Any = None) -> None:
        """Outline the picked cells in the frame that is shown."""
        field = self.field
        if self._outline is not None and self._outline not in self.viewer.layers:
            self._outline = None  # the reader deleted it
        if field is None or (self._outline is None and not self.picked):
            return
        calibration = self._images.of(field).calibration
        lines, colors = [np.zeros((0, 2, 3))], []
        for color, mask in zip(_COLORS, self._picked_masks(field), strict=False):
            drawn = _outline_lines(mask, self.frame)
            lines.append(drawn)
            colors += [color] * len(drawn)
        if self._outline is None:
            active = self.viewer.layers.selection.active
            self._outline = self.viewer.add_vectors(
                np.zeros((0, 2, 3)), name=_PICKED, vector_style="line", **layer_options(calibration)
            )
            self.viewer.layers.selection.active = active
        layer = self._outline
        layer.scale = layer_options(calibration)["scale"]
        layer.data = np.concatenate(lines)
        if colors:
            layer.edge_color = colors
        zoom = self.viewer.scene.camera.zoom * calibration.mean_pixel_um
        layer.edge_width = _LINE_PX / max(zoom, 1e-6)

    def _picked_masks(self, field: FieldId) -> list[NDArray[np.bool_]]:
        """Where each picked cell is in the frame that is shown."""
        if not self.picked:
            return []
        image = self.corrections.overlay(field, self.role).frame(self.frame)
        names = self.corrections.names_in(field, self.role, self.frame)
        masks = []
        for track in self.picked:
            values = [value for value, name in names.items() if name == track]
            values += [track] if track not in names else []
            masks.append(np.isin(image, values) if len(values) != 1 else image == values[0])
        return masks

    def _pressed(self, viewer: Any, event: Any) -> Iterator[None]:
        """Napari's hook: a press and release at one place is a click."""
        if event.button != 1 or (self.editing and self.tool in _MODES):
            return
        layer = self._layer(self.role)
        if layer is None:
            return
        pressed = np.asarray(event.pos, dtype=float)
        yield
        while event.type == "mouse_move":
            yield
        if np.hypot(*(np.asarray(event.pos, dtype=float) - pressed)) > _STILL_PX:
            return
        y, x = layer.world_to_data(event.position)[-2:]
        if self._is_inside(y, x):
            self.click(y, x, more="Shift" in {str(key) for key in event.modifiers})

    def _stroke_ended(self, _event: Any = None) -> None:
        overlay = self.overlay
        if overlay is not None:
            overlay.end_step()
        self._tell()

    def _value_at(self, y: float, x: float) -> int:
        overlay = self.overlay
        if overlay is None or not self._is_inside(y, x):
            return 0
        return int(overlay.frame(self.frame)[round(y), round(x)])

    def _is_inside(self, y: float, x: float) -> bool:
        layer = self._layer(self.role)
        height, width = layer.data.shape[-2:] if layer is not None else (0, 0)
        return 0 <= round(y) < height and 0 <= round(x) < width

    def _layer(self, role: CellRole) -> Any:
        name = f"{role}s"
        return next(
            (one for one in self.viewer.layers if one.name == name and "killassay" in one.metadata), None
        )

    def _say(self, text: str, level: str) -> None:
        for listener in tuple(self.said):
            listener(text, level)

    def _tell(self) -> None:
        for listener in tuple(self.changed):
            listener()


def _shows(film: Any, overlay: Any) -> bool:
    return isinstance(film, RenamedFilm) and film.shows(overlay)


def _outline_lines(mask: NDArray[np.bool_], frame: int) -> NDArray[np.float64]:
    """The outline of a cell as vectors (N, 2, 3) of frame, y, x."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    parts = [np.zeros((0, 2, 3))]
    if len(rows):
        close = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        for polygon in contours(close):
            places = polygon * close.shape + (rows[0] - 0.5, columns[0] - 0.5)
            part = np.zeros((len(places) - 1, 2, 3))
            part[:, 0, 0] = frame
            part[:, 0, 1:], part[:, 1, 1:] = places[:-1], np.diff(places, axis=0)
            parts.append(part)
    return np.concatenate(parts)
