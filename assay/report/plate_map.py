"""The plate as it stands on the bench: which condition lies where, and what each well gave."""

import math
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from assay.report.numbers import interval, is_known, kills_per_100, number
from assay.report.svg import drawing, line, tag, text, ticks

PLATE_SIZES = ((8, 12), (16, 24), (32, 48))
"""Rows and columns of the plates that are drawn; the smallest that holds every well is taken."""

SHADES = 11
"""Steps of the colour scale, classes `s0` to `s10` of the style sheet: pale to strong, on light and on dark."""
_SIZE = 480.0
_MARGIN = 22.0


def row_index(name: str) -> int:
    """Row number from 0 of "A" to "Z", "AA" ..."""
    index = 0
    for letter in name:
        index = index * 26 + string.ascii_uppercase.index(letter) + 1
    return index - 1


def plate_shape(wells: Sequence[str]) -> tuple[int, int]:
    """Rows and columns of the smallest usual plate, from 96 wells, that holds these wells."""
    n_rows = max((row_index(well[:-2]) for well in wells), default=0) + 1
    n_columns = max((int(well[-2:]) for well in wells), default=1)
    fits = (shape for shape in PLATE_SIZES if shape[0] >= n_rows and shape[1] >= n_columns)
    return next(fits, (n_rows, n_columns))


def condition_letters(names: Sequence[str]) -> dict[str, str]:
    """A, B, C ... for conditions, so that a map needs no colour to be read."""
    letters = string.ascii_uppercase
    return {
        name: (letters[i] if i < 26 else letters[i // 26 - 1] + letters[i % 26])
        for i, name in enumerate(names)
    }


def layout_map(
    wells: Sequence[Mapping[str, Any]], letters: Mapping[str, str], classes: Mapping[str, str]
) -> Markup:
    """Which condition stands in which well, by letter and colour."""

    def draw(well: Mapping[str, Any]) -> tuple[str, int | None, str, str]:
        name = well["condition"]
        class_ = f"well back-{classes[name]}" if name in classes else "well unassigned"
        return class_, None, letters.get(name, "?"), f"{well['well']}: {name or 'no condition'}"

    return _plate(wells, draw, label="Plate map of the conditions")


def result_map(wells: Sequence[Mapping[str, Any]], *, counts_only: bool = False) -> Markup:
    """Kills per 100 targets of each well; a failed well is hatched and has no number.

    Args:
        wells: Rows of the `wells` table.
        counts_only: Show the targets seen instead: films of one frame have no events.
    """
    values = {str(well["well"]): _shown(well, counts_only) for well in wells}
    top = ticks(0.0, max([value for value in values.values() if math.isfinite(value)] + [1.0]), about=4)[-1]

    def draw(well: Mapping[str, Any]) -> tuple[str, int | None, str, str]:
        value = values[str(well["well"])]
        if not math.isfinite(value):
            return (
                "well failed",
                None,
                "",
                f"{well['well']}: {well['status']}, {well['reason'] or 'not known'}",
            )
        if counts_only:
            return "well", shade(value / top), number(value, 0), f"{well['well']}: {number(value, 0)} targets"
        words = f"{well['well']}: {interval(*kills_per_100(well))} kills per 100 targets, {well['condition'] or ''}"
        return "well", shade(value / top), number(value, 0), words

    name = "targets seen" if counts_only else "kills per 100 targets"
    return _plate(wells, draw, label=f"Plate map of {name}", scale=(name, top))


def shade(share: float) -> int:
    """Step of the colour scale at 0..1."""
    return round(min(max(share, 0.0), 1.0) * (SHADES - 1))


def _shown(well: Mapping[str, Any], counts_only: bool) -> float:
    if counts_only:
        counted = well["status"] in ("ok", "no_events") and is_known(well["n_targets"])
        return float(well["n_targets"]) if counted else math.nan
    return kills_per_100(well)[0]


def _plate(
    wells: Sequence[Mapping[str, Any]],
    draw: Callable[[Mapping[str, Any]], tuple[str, int | None, str, str]],
    *,
    label: str,
    scale: tuple[str, float] | None = None,
) -> Markup:
    n_rows, n_columns = plate_shape([str(well["well"]) for well in wells])
    pitch = (_SIZE - _MARGIN) / n_columns
    here = {(row_index(str(well["well"])[:-2]), int(str(well["well"])[-2:]) - 1): well for well in wells}
    parts = [_hatch()]
    every = 1 if pitch >= 14 else 4
    for column in range(0, n_columns, every):
        parts.append(text(_MARGIN + (column + 0.5) * pitch, 13, str(column + 1), "tick", "middle"))
    for row in range(n_rows):
        y = _MARGIN + row * pitch
        if row % every == 0:
            parts.append(text(_MARGIN - 8, y + pitch / 2 + 4, _row_name(row), "tick", "end"))
        for column in range(n_columns):
            x = _MARGIN + column * pitch
            parts.append(_well(here.get((row, column)), draw, x, y, pitch))
    height = _MARGIN + n_rows * pitch + 8
    if scale is not None:
        parts += _legend(scale, height + 4)
    return drawing(*parts, width=_SIZE, height=height + 40, label=label, class_="figure plate")


def _well(
    well: Mapping[str, Any] | None,
    draw: Callable[[Mapping[str, Any]], tuple[str, int | None, str, str]],
    x: float,
    y: float,
    pitch: float,
) -> Markup:
    middle_x, middle_y, radius = x + pitch / 2, y + pitch / 2, pitch / 2 - min(2.0, pitch * 0.06)
    if well is None:
        return tag("circle", cx=middle_x, cy=middle_y, r=radius, class_="empty-well")
    class_, step, words, tip = draw(well)
    class_ += "" if step is None else f" s{step}"
    parts = [tag("circle", tag("title", tip), cx=middle_x, cy=middle_y, r=radius, class_=class_)]
    if words and pitch >= 16:
        size = min(13.0, pitch * (0.42 if len(words) < 3 else 0.34))
        ink = "on-back" if step is None else "on-strong" if step > SHADES // 2 else "on-pale"
        parts.append(
            text(
                middle_x,
                middle_y + size * 0.35,
                words,
                f"well-text {ink}",
                "middle",
                style=f"font-size:{size:.1f}px",
            )
        )
    return Markup("").join(parts)


def _legend(scale: tuple[str, float], y: float) -> list[Markup]:
    name, top = scale
    width = 154.0
    parts = [text(_MARGIN, y + 10, name, "axis-name")]
    left = _MARGIN + 140
    for step in range(SHADES):
        x = left + step * width / SHADES
        parts.append(tag("rect", x=x, y=y, width=width / SHADES, height=12, class_=f"s{step}"))
    parts += [
        text(left, y + 26, "0", "tick", "middle"),
        text(left + width, y + 26, number(top, 0), "tick", "middle"),
    ]
    parts.append(tag("circle", cx=left + width + 46, cy=y + 7, r=8, class_="well failed"))
    parts.append(text(left + width + 60, y + 11, "no result", "tick"))
    return parts


def _hatch() -> Markup:
    stripe = line(0, 0, 0, 6, "hatch-line")
    pattern = tag("pattern", tag("rect", width=6, height=6, class_="hatch-back"), stripe, id="hatch", width=6, height=6,
                  patternUnits="userSpaceOnUse", patternTransform="rotate(45)")  # fmt: skip
    return tag("defs", pattern)


def _row_name(row: int) -> str:
    letters = string.ascii_uppercase
    return letters[row] if row < 26 else letters[row // 26 - 1] + letters[row % 26]
