"""Figures of the report: incidence curves, intervals on an axis, the distribution of lags."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from assay.conditions import SurvivalCurve
from assay.report.numbers import number, weighted_median
from assay.report.svg import drawing, line, polygon, polyline, tag, text, ticks

N_COLOURS = 6
"""Colours for sample conditions, `c1` to `c6` of the style sheet; further conditions begin again."""
_STRIP_MARGIN = 14.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidenceCurve:
    """Cumulative incidence of one condition: which share of its targets has died by when, by whose doing.

    Steps: `killed_percent[i]` holds from `time_min[i]` until the next time. The band is the 90 % interval
    over wells, NaN where there is a single well.
    """

    condition: str
    kind: str  # "sample", "mock", "target_only" or "effector_only"
    n_wells: int
    n_targets: float  # targets followed
    time_min: NDArray[np.float64]
    killed_percent: NDArray[np.float64]  # by effectors, competing risks taken into account
    killed_low: NDArray[np.float64]
    killed_high: NDArray[np.float64]
    uncredited_percent: NDArray[np.float64]  # died, but no effector gets the credit


def curve_of(survival: SurvivalCurve, *, kind: str, n_targets: float) -> IncidenceCurve:
    """The curve to draw of a condition's survival: fractions become percent, deaths split by who did it."""
    return IncidenceCurve(
        condition=survival.condition,
        kind=kind,
        n_wells=survival.n_wells,
        n_targets=n_targets,
        time_min=survival.times_min,
        killed_percent=100 * survival.killed,
        killed_low=100 * survival.killed_low,
        killed_high=100 * survival.killed_high,
        uncredited_percent=100 * np.clip(1 - survival.alive - survival.killed, 0, None),
    )


def colour_classes(conditions: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Style class of each (condition, kind): samples take the colours in turn, controls are grey."""
    classes: dict[str, str] = {}
    for name, kind in conditions:
        used = sum(value.startswith("c") for value in classes.values())
        classes[name] = f"c{used % N_COLOURS + 1}" if kind == "sample" else f"k-{kind.replace('_', '-')}"
    return classes


def incidence_figure(curves: Sequence[IncidenceCurve], classes: Mapping[str, str]) -> Markup:
    """Killed targets over time: one panel for few conditions, one small panel each for many."""
    top = max((float(np.nanmax(np.append(_high(curve), 0.0))) for curve in curves), default=0.0)
    y_ticks = ticks(0.0, min(100.0, max(top, 5.0)), about=4)
    end_min = max((float(curve.time_min[-1]) for curve in curves if len(curve.time_min)), default=0.0)
    if len(curves) <= N_COLOURS:
        return _one_panel(curves, classes, y_ticks, end_min)
    return _small_panels(curves, classes, y_ticks, end_min)


def interval_strip(
    value: float, low: float, high: float, *, axis: Sequence[float], class_: str, width: float = 240.0
) -> Markup:
    """A dot with its interval on a shared axis, for one row of a table."""
    height, left, right = 22.0, _STRIP_MARGIN, width - _STRIP_MARGIN

    def x_of(amount: float) -> float:
        share = (amount - axis[0]) / (axis[-1] - axis[0])
        return left + min(max(share, 0.0), 1.0) * (right - left)

    parts = [line(x_of(tick), 0, x_of(tick), height, "grid") for tick in axis]
    label = "not known"
    if math.isfinite(value):
        label = number(value)
        if math.isfinite(low) and math.isfinite(high):
            label += f", 90 % interval {number(low)} to {number(high)}"
            parts.append(line(x_of(low), height / 2, x_of(high), height / 2, f"whisker {class_}"))
        parts.append(tag("circle", cx=x_of(value), cy=height / 2, r=4.5, class_=f"dot {class_}"))
    return drawing(*parts, width=width, height=height, label=label, class_="strip-axis")


def axis_strip(axis: Sequence[float], *, width: float = 240.0) -> Markup:
    """The numbers below (or above) a column of `interval_strip`s."""
    left, right = _STRIP_MARGIN, width - _STRIP_MARGIN
    parts = [
        text(
            left + (tick - axis[0]) / (axis[-1] - axis[0]) * (right - left),
            11,
            number(tick, _decimals(axis)),
            "tick",
            "middle",
        )
        for tick in axis
    ]
    label = f"axis from {number(axis[0], _decimals(axis))} to {number(axis[-1], _decimals(axis))}"
    return drawing(*parts, width=width, height=14, label=label, class_="strip-axis")


def lag_figure(lag_min: NDArray[np.float64], weight: NDArray[np.float64]) -> Markup:
    """How long from the beginning of the credited contact to the death; each kill weighs its share."""
    width, height, left, bottom, top = 720.0, 230.0, 56.0, 44.0, 22.0
    x_ticks = ticks(0.0, float(lag_min.max()) if lag_min.size else 60.0, about=6)
    x_ticks = [tick for tick in x_ticks if tick >= 0]
    edges = np.linspace(x_ticks[0], x_ticks[-1], 4 * (len(x_ticks) - 1) + 1)
    kills, _ = np.histogram(np.clip(lag_min, 0.0, None), bins=edges, weights=weight)
    y_ticks = ticks(0.0, max(float(kills.max()), 1.0), about=3)
    right = width - 16

    def x_of(minutes: float) -> float:
        return left + minutes / x_ticks[-1] * (right - left)

    def y_of(amount: float) -> float:
        return height - bottom - amount / y_ticks[-1] * (height - bottom - top)

    parts = [line(left, y_of(tick), right, y_of(tick), "grid") for tick in y_ticks]
    parts += [
        text(left - 8, y_of(tick) + 4, number(tick, _decimals(y_ticks)), "tick", "end") for tick in y_ticks
    ]
    for low, high, amount in zip(edges, edges[1:], kills, strict=False):
        if amount > 0:
            words = f"{number(low, 0)} to {number(high, 0)} min: {number(amount)} kills"
            bar = {"x": x_of(low) + 0.75, "y": y_of(amount), "width": x_of(high) - x_of(low) - 1.5}
            parts.append(tag("rect", tag("title", words), **bar, height=y_of(0) - y_of(amount), class_="bar"))
    median = weighted_median(lag_min, weight)
    if math.isfinite(median):
        side = "end" if x_of(median) > (left + right) * 0.6 else "start"
        parts.append(line(x_of(median), top - 8, x_of(median), y_of(0), "median"))
        parts.append(
            text(
                x_of(median) + (6 if side == "start" else -6),
                top,
                f"median {number(median, 0)} min",
                "label",
                side,
            )
        )
    parts.append(line(left, y_of(0), right, y_of(0), "axis"))
    parts += [
        text(x_of(tick), height - bottom + 18, number(tick, _decimals(x_ticks)), "tick", "middle")
        for tick in x_ticks
    ]
    parts.append(
        text(
            (left + right) / 2,
            height - 6,
            "from the beginning of contact to death, min",
            "axis-name",
            "middle",
        )
    )
    parts.append(text(left, top - 8, "kills", "axis-name", "end"))
    label = f"Histogram of the time from contact to death; median {number(median, 0)} min"
    return drawing(*parts, width=width, height=height, label=label)


def _one_panel(
    curves: Sequence[IncidenceCurve], classes: Mapping[str, str], y_ticks: Sequence[float], end_min: float
) -> Markup:
    width, height = 1000.0, 390.0
    frame = _Panel(
        left=56, right=width - 230, top=26, bottom=height - 46, end_min=end_min, y_ticks=tuple(y_ticks)
    )
    parts = [*frame.axes(), text(4, 12, "targets killed by effectors, %", "axis-name")]
    parts.append(text((frame.left + frame.right) / 2, height - 6, frame.time_name, "axis-name", "middle"))
    parts += [frame.band(curve, classes[curve.condition]) for curve in curves]
    for curve in curves:
        parts += frame.lines(curve, classes[curve.condition])
    ends = [frame.y_of(_last(curve.killed_percent)) for curve in curves]
    for curve, end, y in zip(curves, ends, _apart(ends, 30.0, frame.top + 6, frame.bottom - 12), strict=True):
        colour = classes[curve.condition]
        parts.append(
            polyline(
                [(frame.right + 3, end), (frame.right + 12, y), (frame.right + 18, y)], f"leader {colour}"
            )
        )
        parts.append(
            text(frame.right + 22, y + 1, _short(curve.condition, 24), f"label strong fill-{colour}")
        )
        low, high = _last(curve.killed_low), _last(curve.killed_high)
        words = f"{number(_last(curve.killed_percent))} %"
        words += f" ({number(low)}–{number(high)})" if math.isfinite(low) and math.isfinite(high) else ""
        parts.append(text(frame.right + 22, y + 14, words, "tick"))
    return drawing(*parts, width=width, height=height, label=_spoken(curves))


def _small_panels(
    curves: Sequence[IncidenceCurve], classes: Mapping[str, str], y_ticks: Sequence[float], end_min: float
) -> Markup:
    columns, width, height = 4, 268.0, 176.0
    frame = _Panel(
        left=34, right=width - 14, top=24, bottom=height - 28, end_min=end_min, y_ticks=tuple(y_ticks)
    )
    everybody = [frame.line_of(curve.time_min, curve.killed_percent, "ghost") for curve in curves]
    parts: list[Markup] = [tag("defs", tag("g", *everybody, id="everybody"))]
    for index, curve in enumerate(curves):
        row, column = divmod(index, columns)
        colour = classes[curve.condition]
        inside = [
            *frame.axes(),
            tag("use", href="#everybody"),
            frame.band(curve, colour),
            *frame.lines(curve, colour),
        ]
        inside.append(text(frame.left, 14, _short(curve.condition, 28), "label strong"))
        inside.append(
            text(frame.left + 6, frame.top + 12, f"{number(_last(curve.killed_percent))} %", "label")
        )
        parts.append(tag("g", *inside, transform=f"translate({column * width:g} {20 + row * height:g})"))
    bottom = 20 + math.ceil(len(curves) / columns) * height + 20
    unit = "h" if frame.unit_min == 60 else "min"
    parts.append(text(4, 12, "targets killed by effectors, %", "axis-name"))
    parts.append(
        text(columns * width / 2, bottom - 6, f"time, {unit}; grey: all conditions", "axis-name", "middle")
    )
    return drawing(*parts, width=columns * width, height=bottom, label=_spoken(curves))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Panel:
    """Where a plot's axes lie, and how numbers become places."""

    left: float
    right: float
    top: float
    bottom: float
    end_min: float
    y_ticks: tuple[float, ...]

    @property
    def unit_min(self) -> float:
        """Minutes per unit of the time axis."""
        return 60.0 if self.end_min > 180 else 1.0

    @property
    def time_name(self) -> str:
        """Name of the time axis."""
        return f"time since the first frame, {'h' if self.unit_min == 60 else 'min'}"

    def x_of(self, minutes: float) -> float:
        """Place of a time."""
        return self.left + minutes / max(self.end_min, 1e-9) * (self.right - self.left)

    def y_of(self, percent: float) -> float:
        """Place of a percentage."""
        low, high = self.y_ticks[0], self.y_ticks[-1]
        return self.bottom - (percent - low) / (high - low) * (self.bottom - self.top)

    def axes(self) -> list[Markup]:
        """Grid, ticks and the base line."""
        parts: list[Markup] = []
        for tick in self.y_ticks:
            parts.append(line(self.left, self.y_of(tick), self.right, self.y_of(tick), "grid"))
            parts.append(
                text(self.left - 8, self.y_of(tick) + 4, number(tick, _decimals(self.y_ticks)), "tick", "end")
            )
        about = 6 if self.right - self.left > 400 else 3
        x_ticks = list(ticks(0.0, self.end_min / self.unit_min, about=about))
        for tick in x_ticks:
            if tick * self.unit_min <= self.end_min * 1.001:
                x = self.x_of(tick * self.unit_min)
                parts.append(text(x, self.bottom + 17, number(tick, _decimals(x_ticks)), "tick", "middle"))
        parts.append(line(self.left, self.bottom, self.right, self.bottom, "axis"))
        return parts

    def band(self, curve: IncidenceCurve, class_: str) -> Markup:
        """The interval around a curve."""
        known = np.isfinite(curve.killed_low) & np.isfinite(curve.killed_high)
        if not known.any():
            return Markup("")
        time = curve.time_min[known]
        upper = self._steps(time, curve.killed_high[known])
        return polygon(upper + self._steps(time, curve.killed_low[known])[::-1], f"band {class_}")

    def lines(self, curve: IncidenceCurve, class_: str) -> list[Markup]:
        """The curve, and thinly what died without an effector."""
        return [
            self.line_of(curve.time_min, curve.uncredited_percent, f"uncredited {class_}"),
            self.line_of(curve.time_min, curve.killed_percent, f"curve {class_}"),
        ]

    def line_of(self, time_min: NDArray[np.float64], percent: NDArray[np.float64], class_: str) -> Markup:
        """A step line."""
        known = np.isfinite(percent)
        return polyline(self._steps(time_min[known], percent[known]), class_) if known.any() else Markup("")

    def _steps(
        self, time_min: NDArray[np.float64], percent: NDArray[np.float64]
    ) -> list[tuple[float, float]]:
        points: list[tuple[float, float]] = []
        for minutes, amount in zip(time_min.tolist(), percent.tolist(), strict=True):
            if points:
                points.append((self.x_of(minutes), points[-1][1]))
            points.append((self.x_of(minutes), self.y_of(min(amount, self.y_ticks[-1]))))
        if points:
            points.append((self.right, points[-1][1]))
        return points


def _high(curve: IncidenceCurve) -> NDArray[np.float64]:
    return np.concatenate([curve.killed_high, curve.killed_percent, curve.uncredited_percent])


def _last(values: NDArray[np.float64]) -> float:
    return float(values[-1]) if len(values) else math.nan


def _apart(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move labels so that none lies on another, keeping their order."""
    order = sorted(range(len(places)), key=lambda index: (places[index], index))
    moved = [min(max(places[index], low), high) if math.isfinite(places[index]) else high for index in order]
    for index in range(1, len(moved)):
        moved[index] = max(moved[index], moved[index - 1] + gap)
    overflow = max(0.0, moved[-1] - high) if moved else 0.0
    for index in reversed(range(len(moved))):
        limit = moved[index + 1] - gap if index + 1 < len(moved) else high
        moved[index] = min(moved[index], limit) if overflow else moved[index]
    result = [0.0] * len(places)
    for index, place in zip(order, moved, strict=True):
        result[index] = place
    return result


def _spoken(curves: Sequence[IncidenceCurve]) -> str:
    parts = [f"{curve.condition} {number(_last(curve.killed_percent))} %" for curve in curves]
    return "Targets killed by effectors at the end of the film: " + "; ".join(parts)


def _short(words: str, length: int) -> str:
    return words if len(words) <= length else words[: length - 1] + "…"


def _decimals(values: Sequence[float]) -> int:
    """How many decimals it takes to tell these ticks apart exactly."""
    return next((n for n in range(4) if all(math.isclose(value, round(value, n)) for value in values)), 4)
