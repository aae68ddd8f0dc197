"""Drawings as SVG text: the same bytes on every machine, no fonts or plotting library involved.

Colours come from the page's style sheet by class name, so that one drawing serves light, dark and print.
"""

import math
from collections.abc import Sequence

from markupsafe import Markup, escape


def tag(element: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """One element. Text and values are escaped unless they are `Markup`; None leaves an attribute out.

    `class_` becomes class and underscores become hyphens, so `stroke_width=2` is stroke-width="2".
    """
    written = "".join(
        f' {_attribute(key)}="{escape(_value(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(child if isinstance(child, Markup) else escape(child) for child in children)
    return Markup(f"<{element}{written}>{inside}</{element}>" if inside else f"<{element}{written}/>")


def drawing(*children: str, width: float, height: float, label: str, class_: str = "figure") -> Markup:
    """A whole drawing, with a sentence for those who cannot see it."""
    return tag(
        "svg",
        tag("title", label),
        *children,
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        width=width,
        height=height,
        role="img",
        aria_label=label,
        class_=class_,
    )


def text(
    x: float, y: float, words: str, class_: str = "", anchor: str = "start", **more: str | float
) -> Markup:
    """Words at a point; `anchor` is start, middle or end."""
    return tag("text", words, x=x, y=y, class_=class_ or None, text_anchor=anchor, **more)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """A straight line."""
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def polyline(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """A line through points (x, y)."""
    return tag("polyline", points=" ".join(f"{_value(x)},{_value(y)}" for x, y in points), class_=class_)


def polygon(points: Sequence[tuple[float, float]], class_: str) -> Markup:
    """A closed area through points (x, y)."""
    return tag("polygon", points=" ".join(f"{_value(x)},{_value(y)}" for x, y in points), class_=class_)


def ticks(low: float, high: float, *, about: int = 5) -> list[float]:
    """Round numbers from `low` up to the first at or above `high`."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low, low + 1.0]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(number * step, 10) for number in range(first, last + 1)]


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-") if key != "viewBox" else key


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".") if value == value else "0"
