"""Film strips: one kill in a row of crops, so that a person can judge it in seconds.

Effectors are yellow, targets red, the death dye cyan. Frames are read through what the caller gives, and of frames too
large to be held only the part around the target.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from assay.columns import Table
from assay.labels import CELL_ROLES, CellRole, ChannelRole, is_large
from assay.report.crops import (
    OUTSIDE,
    Crop,
    Polygon,
    background_of,
    compose,
    contours,
    crop_in,
    crop_of,
    inside_of,
    png,
    stretch,
    strip_windows,
    surroundings,
)
from assay.report.numbers import rows
from assay.report.svg import drawing, line, tag, text
from assay.stack import FieldId, Window
from assay.units import Calibration


class StripSource(Protocol):
    """One field, as far as strips need it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., Y, X)."""

    @property
    def calibration(self) -> Calibration:
        """Pixel size and frame interval."""

    @property
    def channels(self) -> Mapping[ChannelRole, Sequence[int]]:
        """Role -> channel numbers."""

    def read(self, frame: int, window: Window) -> NDArray[Any]:
        """Raw pixels (C, y, x) of a window."""

    def read_tracks(self, role: CellRole, frame: int, window: Window) -> NDArray[np.integer[Any]]:
        """(y, x) of a window, whose values are track ids."""

    def locate(self, role: CellRole, track_id: int, frame: int) -> tuple[float, float] | None:
        """(y, x) of a cell in um; None where it is not seen."""


CROP_UM = 48.0
"""Side of a crop."""
_TILE = 150.0  # drawn size of a crop
_GAP = 6.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StripFrame:
    """One crop around the target."""

    frame: int
    minutes_from_death: float | None
    composite: NDArray[np.uint8]  # (Y, X, 3)
    death_dye: NDArray[np.uint8] | None  # (Y, X); None without such a channel
    target_outline: tuple[Polygon, ...]
    effector_outline: tuple[Polygon, ...]
    note: str  # "contact begins", "death" or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmStrip:
    """One kill, from before the contact until after the death."""

    field: FieldId
    death_id: int
    target_track_id: int
    effector_track_id: int
    probability: float  # that it is a death at all
    share: float  # of the credited effector
    uncredited_share: float
    lag_min: float
    for_review: bool  # among the least certain: a person should look
    crop_um: float
    frames: tuple[StripFrame, ...]


def choose_kills(
    tables: Mapping[str, Table], *, n_certain: int, n_uncertain: int
) -> list[tuple[dict[str, Any], dict[str, Any], bool]]:
    """Pick kills to show: the most certain, from as many wells as possible, then the least certain.

    A death of which nobody gets half or more is no kill. Certainty is P(death) x share of the top effector. Returns (row of deaths, row of kills, for_review).
    """
    top: dict[tuple[str, int, int], dict[str, Any]] = {}
    for kill in rows(tables.get("kills")):
        key = (str(kill["well"]), int(kill["field"]), int(kill["death_id"]))
        if key not in top or kill["share"] > top[key]["share"]:
            top[key] = kill
    scored = []
    for death in rows(tables.get("deaths")):
        key = (str(death["well"]), int(death["field"]), int(death["death_id"]))
        if death["role"] == "target" and key in top and death["uncredited_share"] < 0.5:
            scored.append((-float(death["probability"]) * float(top[key]["share"]), key, death, top[key]))
    scored.sort(key=lambda entry: entry[:2])
    turn: dict[str, int] = {}
    ranked = []
    for rank, entry in enumerate(scored):
        well = entry[1][0]
        ranked.append((turn.get(well, 0), rank, entry))
        turn[well] = turn.get(well, 0) + 1
    ranked.sort(key=lambda one: one[:2])
    certain = [entry for _, _, entry in ranked[:n_certain]]
    rest = [entry for entry in scored if entry[1] not in {one[1] for one in certain}]
    chosen = [(death, kill, False) for _, _, death, kill in certain]
    return chosen + [(death, kill, True) for _, _, death, kill in rest[::-1][:n_uncertain]]


def film_strips(
    tables: Mapping[str, Table],
    *,
    source_of: Callable[[FieldId], StripSource],
    n_certain: int = 4,
    n_uncertain: int = 2,
    n_frames: int = 7,
) -> list[FilmStrip]:
    """Cut the strips of a few kills. Holds one frame in memory at a time, or of a large one the part around the target."""
    contacts = {
        (str(c["well"]), int(c["field"]), int(c["contact_id"])): c for c in rows(tables.get("contacts"))
    }
    lengths = {(str(f["well"]), int(f["field"])): int(f["n_frames"]) for f in rows(tables.get("fields"))}
    masked: dict[tuple[str, int], set[int]] = {}
    for f in rows(tables.get("fields")):
        masked[str(f["well"]), int(f["field"])] = set(_parse_ranges(f["masked_frames"]))
    for plane in rows(tables.get("invalid_planes")):
        masked.setdefault((str(plane["well"]), int(plane["field"])), set()).add(int(plane["frame"]))
    strips = []
    for death, kill, for_review in choose_kills(tables, n_certain=n_certain, n_uncertain=n_uncertain):
        field = FieldId(str(death["well"]), int(death["field"]))
        where = (field.well, field.field)
        contact = contacts.get((*where, int(kill["contact_id"])))
        first = int(contact["first_frame"]) if contact is not None else int(death["frame"])
        frames = pick_frames(
            first, int(death["frame"]), lengths[where], n_frames, frozenset(masked.get(where, ()))
        )
        cut = _cut(
            source_of(field),
            kill,
            frames,
            notes={first: "contact begins", int(death["frame"]): "death"},
            death_frame=int(death["frame"]),
        )
        strips.append(_strip_of(field, death, kill, for_review, cut))
    return strips


def pick_frames(
    contact: int, death: int, n_frames: int, n_wanted: int, masked: frozenset[int] = frozenset()
) -> list[int]:
    """Frames before the contact, at its beginning, on the way, at the death and after it; no masked ones."""
    usable = [frame for frame in range(n_frames) if frame not in masked]
    lag = max(death - contact, 1)
    wishes: list[float] = [death, contact, contact - max(1, lag // 4), death + max(1, lag // 4), death - 1]
    wishes += [(contact + death) / 2, death + max(2, lag // 2), contact + lag / 4, contact + 3 * lag / 4]
    wishes += [death + step for step in range(1, n_wanted)] + [contact - step for step in range(1, n_wanted)]
    chosen: set[int] = set()
    for wish in wishes:
        near = min(usable, key=lambda frame: (abs(frame - wish), frame), default=None)
        if near is not None and abs(near - wish) < 1 and len(chosen) < n_wanted:
            chosen.add(near)
    return sorted(chosen)


def draw_strip(strip: FilmStrip) -> Markup:
    """The strip as one drawing: crops with outlines, times and a scale bar."""
    has_dye = any(frame.death_dye is not None for frame in strip.frames)
    n_rows = 2 if has_dye else 1
    width = len(strip.frames) * (_TILE + _GAP) - _GAP
    height = 18 + n_rows * (_TILE + _GAP) + 18
    parts: list[Markup] = []
    for index, frame in enumerate(strip.frames):
        x = index * (_TILE + _GAP)
        if frame.note:
            parts.append(text(x + _TILE / 2, 11, frame.note, f"strip-note {frame.note.split()[0]}", "middle"))
        parts.append(_picture(frame.composite, x, 18))
        parts += [_outline(polygon, x, 18, "outline-target") for polygon in frame.target_outline]
        parts += [_outline(polygon, x, 18, "outline-effector") for polygon in frame.effector_outline]
        if has_dye and frame.death_dye is not None:
            parts.append(_picture(frame.death_dye, x, 18 + _TILE + _GAP))
            parts += [
                _outline(polygon, x, 18 + _TILE + _GAP, "outline-target") for polygon in frame.target_outline
            ]
        parts.append(text(x + _TILE / 2, height - 5, _time_words(frame), "tick", "middle"))
    bar = 10.0 / strip.crop_um * _TILE
    parts.append(line(8, 18 + _TILE - 9, 8 + bar, 18 + _TILE - 9, "scale-bar"))
    parts.append(text(8, 18 + _TILE - 14, "10 µm", "scale-text"))
    if has_dye:
        parts.append(text(8, 18 + _TILE + _GAP + 14, "death dye", "scale-text"))
    label = (
        f"Film strip of the death of target {strip.target_track_id} by effector {strip.effector_track_id} "
        f"in {strip.field}, frames {', '.join(str(frame.frame) for frame in strip.frames)}"
    )
    return drawing(*parts, width=width, height=height, label=label, class_="film")


def _cut(
    source: StripSource,
    kill: Mapping[str, Any],
    frames: Sequence[int],
    *,
    notes: Mapping[int, str],
    death_frame: int,
) -> tuple[StripFrame, ...]:
    """Crops of the frames around the target; where it is not seen, around where it was seen nearest in time."""
    centres = _centres(source, int(kill["target_track_id"]), frames)
    channels, calibration = source.channels, source.calibration
    pixels, backgrounds, inside, masks = [], [], [], []
    for frame in frames:
        place = _place(centres.get(frame), source.shape[-2:], calibration)
        around = surroundings(place, source.shape)
        image = source.read(frame, around)
        pixels.append(crop_of(image, crop_in(place, around)).astype(np.float32))
        backgrounds.append(background_of(image))
        inside.append(inside_of(place, source.shape))
        masks.append(
            {
                role: crop_of(source.read_tracks(role, frame, around), crop_in(place, around))
                == int(kill[f"{role}_track_id"])
                for role in CELL_ROLES
            }
        )
    windows = strip_windows(np.stack(pixels), np.stack(backgrounds))
    dye = next(iter(channels.get("death", ())), None)
    cut = []
    for frame, crop, here, mine in zip(frames, pixels, inside, masks, strict=True):
        colours = np.where(here[..., None], compose(crop, channels, windows), OUTSIDE)
        grey = None if dye is None else np.where(here, 255 * stretch(crop[dye], windows[dye]), OUTSIDE)
        cut.append(
            StripFrame(
                frame=frame,
                minutes_from_death=_minutes(frame - death_frame, calibration),
                composite=colours.astype(np.uint8),
                death_dye=None if grey is None else np.round(grey).astype(np.uint8),
                target_outline=contours(mine["target"]),
                effector_outline=contours(mine["effector"]),
                note=notes.get(frame, ""),
            )
        )
    return tuple(cut)


def _centres(source: StripSource, target: int, frames: Sequence[int]) -> dict[int, tuple[float, float]]:
    """(y, x) of the target in each frame; where it is not seen, that of the nearest frame where it is."""
    seen: dict[int, tuple[float, float]] = {}
    for frame in frames:
        whole = not is_large(source.shape)
        near = None if whole else source.locate("target", target, frame)
        if not whole and near is None:
            continue
        pixel_um = source.calibration.pixel_um
        about = None if near is None else (near[0] / pixel_um[0], near[1] / pixel_um[1])
        window = surroundings(_place(about, source.shape[-2:], source.calibration), source.shape)
        mask = source.read_tracks("target", frame, window) == target
        if mask.any():
            places = np.argwhere(mask) + np.array([part.start for part in window])
            y, x = places.mean(axis=0).tolist()
            seen[frame] = (y, x)
    if not seen:
        return {}
    return {frame: seen[min(seen, key=lambda other: (abs(other - frame), other))] for frame in frames}


def _strip_of(
    field: FieldId,
    death: Mapping[str, Any],
    kill: Mapping[str, Any],
    for_review: bool,
    frames: tuple[StripFrame, ...],
) -> FilmStrip:
    return FilmStrip(
        field=field,
        death_id=int(death["death_id"]),
        target_track_id=int(kill["target_track_id"]),
        effector_track_id=int(kill["effector_track_id"]),
        probability=float(death["probability"]),
        share=float(kill["share"]),
        uncredited_share=float(death["uncredited_share"]),
        lag_min=float(kill["lag_min"]),
        for_review=for_review,
        crop_um=CROP_UM,
        frames=frames,
    )


def _place(centre: tuple[float, float] | None, shape: tuple[int, ...], calibration: Calibration) -> Crop:
    """The crop around a centre, or the middle of the frame."""
    height, width = (max(8, round(CROP_UM / size)) for size in calibration.pixel_um)
    y, x = centre if centre is not None else (shape[0] / 2, shape[1] / 2)
    return round(y - height / 2), round(x - width / 2), height, width


def _picture(image: NDArray[np.uint8], x: float, y: float) -> Markup:
    data = "data:image/png;base64," + base64.b64encode(png(image)).decode("ascii")
    return tag("image", href=data, x=x, y=y, width=_TILE, height=_TILE, preserveAspectRatio="none")


def _outline(polygon: Polygon, x: float, y: float, class_: str) -> Markup:
    """A contour twice: a dark casing below, so that it shows on bright cells too."""
    inside = np.clip(polygon, 0.0, 1.0) * _TILE
    points = " ".join(f"{x + px:.1f},{y + py:.1f}" for py, px in inside.tolist())
    return tag("polygon", points=points, class_="casing") + tag("polygon", points=points, class_=class_)


def _time_words(frame: StripFrame) -> str:
    if frame.minutes_from_death is None:
        return f"frame {frame.frame}"
    if frame.minutes_from_death == 0:
        return "0 min"
    sign = "+" if frame.minutes_from_death > 0 else "−"
    return f"{sign}{abs(frame.minutes_from_death):g} min"


def _minutes(frames: int, calibration: Calibration) -> float | None:
    return None if calibration.frame_min is None else round(calibration.minutes(frames), 2)


def _parse_ranges(words: Any) -> frozenset[int]:
    frames: set[int] = set()
    for part in str(words or "").split(","):
        if part:
            first, _, last = part.partition("-")
            frames.update(range(int(first), int(last or first) + 1))
    return frozenset(frames)
