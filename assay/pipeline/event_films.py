"""A short film of every target death, for slides, supplements, and people without napari."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table, length
from assay.errors import ImageError, ResultsError
from assay.io.durable import disk_refusals, write_whole
from assay.io.ome_zarr import LabelPlate, Plate, open_plate
from assay.io.results import Results
from assay.labels import CELL_ROLES, ChannelRole
from assay.pipeline.reviewed_results import current_tables
from assay.protocol import Protocol as Settings
from assay.report.crops import (
    OUTSIDE,
    Crop,
    background_of,
    compose,
    contours,
    crop_in,
    crop_of,
    inside_of,
    stretch,
    strip_windows,
    surroundings,
)
from assay.report.event_films import EventFilm, FilmFrame, gif
from assay.stack import FieldId, Stack
from assay.units import Calibration

CROP_UM = 56.0
BEFORE, AFTER = 12, 10
"""Frames shown before the death, or before the contact that is credited with it, and after the death."""
LONGEST = 60
"""Frames; of a longer contact the end is shown."""


class Progress(Protocol):
    """Who is told how far it is."""

    def begin(self, step: str, total: int, done: int = 0) -> None:
        """It begins."""

    def advance(self) -> None:
        """One more film is written."""

    def say(self, line: str) -> None:
        """Something worth knowing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What films are cut from."""

    plate: Plate
    labels: LabelPlate
    protocol: Settings
    tables: Mapping[str, Table]


def write_event_films(results: Path, to: Path, *, most: int = 0, progress: Progress) -> list[Path]:
    """Write a film of every target death, the likeliest first; reviewed results where they were reviewed.

    Args:
        results: RESULTS of a finished run.
        to: Folder that exists; films are named WELL_FIELD_dDEATH.gif.
        most: At most so many; 0 for all.
        progress: Is told of each film.

    Raises:
        ResultsError: They hold no tables or labels, or the plate of the raw images is not in its place.
        StorageError: The disk refuses.
    """
    source = _source(results)
    deaths = _chosen(source.tables["deaths"], most)
    progress.begin("films", len(deaths))
    written: list[Path] = []
    lost: set[FieldId] = set()
    for death in deaths:
        field = FieldId(str(death["well"]), int(death["field"]))
        path = to / f"{field.well}_{field.field}_d{int(death['death_id'])}.gif"
        try:
            film = None if field in lost else cut_film(source, death)
        except ImageError as error:
            lost.add(field)
            progress.say(f"WARNING no films of {field}: {error}")
            film = None
        if film is not None:
            with disk_refusals("the film", path):
                write_whole(path, gif(film))
            written.append(path)
        progress.advance()
    return written


def cut_film(source: Source, death: Mapping[str, Any]) -> EventFilm:
    """Cut the film of one death. Holds the crops of one event in memory.

    Raises:
        ImageError: The images are damaged.
    """
    field = FieldId(str(death["well"]), int(death["field"]))
    policy: Any = "mask" if source.protocol.input.missing_chunks == "mask" else "fail"
    stack = source.plate.stack(field, calibration=source.protocol.calibration, missing_chunks=policy)
    kill = _top_kill(source.tables["kills"], death)
    contact = _contact_of(source.tables["contacts"], death, kill)
    frames = [
        f for f in _frames(int(death["frame"]), contact, stack.shape[0]) if f not in stack.missing_frames
    ]
    pair = {
        "target": int(death["track_id"]),
        "effector": 0 if kill is None else int(kill["effector_track_id"]),
    }
    window = _window(_centre(source.tables["cells"], death), stack)
    roles = {
        role: [stack.channel_names.index(name) for name in names]
        for role, names in source.protocol.channels.items()
    }
    return EventFilm(
        title=f"{field.well}  field {field.field}  target {pair['target']}",
        subtitle=_subtitle(death, kill),
        crop_um=CROP_UM,
        death_frame=int(death["frame"]),
        contact=contact,
        frames=_film_frames(source, stack, field, frames, pair, window, roles, int(death["frame"])),
    )


def _film_frames(
    source: Source,
    stack: Stack,
    field: FieldId,
    frames: Sequence[int],
    pair: Mapping[str, int],
    window: Crop,
    roles: Mapping[ChannelRole, Sequence[int]],
    death_frame: int,
) -> tuple[FilmFrame, ...]:
    crops, backgrounds = [], []
    around = surroundings(window, stack.shape)
    for frame in frames:
        image = stack.read([frame], window=around)[0]
        crops.append(crop_of(image, crop_in(window, around)).astype(np.float32))
        backgrounds.append(background_of(image))
    windows = strip_windows(np.stack(crops), np.stack(backgrounds))
    inside = inside_of(window, stack.shape)
    dye = next(iter(roles.get("death", ())), None)
    made = []
    for frame, crop in zip(frames, crops, strict=True):
        colours = np.where(inside[..., None], compose(crop, roles, windows), OUTSIDE).astype(np.uint8)
        grey = None if dye is None else np.where(inside, 255 * stretch(crop[dye], windows[dye]), OUTSIDE)
        masks = {
            role: crop_of(source.labels.read(field, role, [frame], window=around)[0], crop_in(window, around))
            == pair[role]
            for role in CELL_ROLES
        }
        made.append(
            FilmFrame(
                frame=frame,
                clock=_clock(frame, stack.calibration),
                from_death=_from_death(frame - death_frame, stack.calibration),
                composite=colours,
                death_dye=None if grey is None else np.round(grey).astype(np.uint8),
                target_outline=contours(masks["target"]),
                effector_outline=contours(masks["effector"]) if pair["effector"] else (),
            )
        )
    return tuple(made)


def _source(results: Path) -> Source:
    opened = Results.open(results)
    plate = Path(opened.plate_path)
    if not opened.tables.is_dir() or not opened.labels.is_dir():
        raise ResultsError(
            f"{results} has no tables or labels yet. Expected RESULTS of a finished `killassay run`."
        )
    if not opened.plate_path or not plate.is_dir():
        raise ResultsError(
            f"{results}: films need the raw images, and the plate is not at {opened.plate_path or 'any known place'}. "
            "Put it back, or run `killassay run` again with its new place and the same --out."
        )
    tables, _ = current_tables(results, ("deaths", "kills", "contacts", "cells"))
    return Source(
        plate=open_plate(plate),
        labels=LabelPlate.open(opened.labels),
        protocol=opened.read_protocol(),
        tables=tables,
    )


def _chosen(deaths: Table, most: int) -> list[dict[str, Any]]:
    """Target deaths as rows, the likeliest first."""
    rows = np.flatnonzero(deaths["role"] == "target")
    order = rows[np.argsort(-deaths["probability"][rows], kind="stable")]
    picked = order[:most] if most else order
    return [{name: column[row] for name, column in deaths.items()} for row in picked.tolist()]


def _rows_of(table: Table, field: Mapping[str, Any]) -> NDArray[np.bool_]:
    return np.asarray((table["well"] == field["well"]) & (table["field"] == field["field"]))


def _top_kill(kills: Table, death: Mapping[str, Any]) -> dict[str, Any] | None:
    """The effector with the largest share; None where nobody gets more than any effector."""
    if not length(kills):
        return None
    mine = np.flatnonzero(_rows_of(kills, death) & (kills["death_id"] == death["death_id"]))
    if not len(mine):
        return None
    best = mine[np.argmax(kills["share"][mine])]
    if kills["share"][best] < np.nan_to_num(death["uncredited_share"]):
        return None
    return {name: column[best] for name, column in kills.items()}


def _contact_of(
    contacts: Table, death: Mapping[str, Any], kill: Mapping[str, Any] | None
) -> tuple[int, int] | None:
    if kill is None or not length(contacts):
        return None
    mine = np.flatnonzero(_rows_of(contacts, death) & (contacts["contact_id"] == kill["contact_id"]))
    if not len(mine):
        return None
    return int(contacts["first_frame"][mine[0]]), int(contacts["last_frame"][mine[0]])


def _frames(death: int, contact: tuple[int, int] | None, n_frames: int) -> range:
    """From before the contact, or the death, until after the death."""
    first = death - BEFORE if contact is None else min(death - BEFORE, contact[0] - 3)
    last = min(death + AFTER, n_frames - 1)
    return range(max(first, last - LONGEST + 1, 0), last + 1)


def _centre(cells: Table, death: Mapping[str, Any]) -> tuple[float, float] | None:
    """(y, x) in um of the target where it was seen nearest in time to the death."""
    mine = np.flatnonzero(
        _rows_of(cells, death) & (cells["role"] == "target") & (cells["track_id"] == death["track_id"])
    )
    if not len(mine):
        return None
    row = mine[np.argmin(np.abs(cells["frame"][mine] - death["frame"]))]
    return float(cells["y_um"][row]), float(cells["x_um"][row])


def _window(centre: tuple[float, float] | None, stack: Stack) -> Crop:
    """(top, left, height, width) in pixels; it may reach over the edge of the image."""
    pixel = stack.calibration.pixel_um
    height, width = (max(8, round(CROP_UM / size)) for size in pixel)
    y, x = (
        (stack.shape[2] / 2, stack.shape[3] / 2)
        if centre is None
        else (c / p for c, p in zip(centre, pixel, strict=True))
    )
    return round(y - height / 2), round(x - width / 2), height, width


def _subtitle(death: Mapping[str, Any], kill: Mapping[str, Any] | None) -> str:
    words = f"probability of death {float(death['probability']):.2f}"
    if kill is None:
        return f"{words}, credited to nobody"
    return f"{words}, effector {int(kill['effector_track_id'])} has {100 * float(kill['share']):.0f} % of it"


def _clock(frame: int, calibration: Calibration) -> str:
    if calibration.frame_min is None:
        return f"frame {frame}"
    minutes = round(calibration.minutes(frame))
    return f"{minutes // 60}:{minutes % 60:02d} h"


def _from_death(frames: int, calibration: Calibration) -> str:
    unit = "frames" if calibration.frame_min is None else "min"
    amount = abs(frames) if calibration.frame_min is None else round(calibration.minutes(abs(frames)), 1)
    return f"{'+' if frames > 0 else '-' if frames < 0 else ''}{amount:g} {unit}"
