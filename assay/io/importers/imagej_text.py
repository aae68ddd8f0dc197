"""What the text of an ImageJ TIFF says of calibration and channel names."""

import re
from collections.abc import Mapping
from typing import Any

from assay.io.importers.metadata_units import length_um, time_min

_POSITION = re.compile(r"^\s*(?:[czt]\s*:\s*\d+\s*/\s*\d+\s*)+(?:-\s*)?", re.IGNORECASE)
_NAMED = re.compile(
    r"^\s*(?:Channel[ :]*(?:\d+:)?(\d+)[ :]*Name|ChannelName[ :#]*(\d+))\s*[=:]\s*(.+?)\s*$", re.MULTILINE
)
_LISTED = re.compile(r'"ChNames"\s*:\s*\[([^\]]*)\]')


def imagej_calibration(
    said: Mapping[str, Any], resolution: tuple[float, float] | None
) -> tuple[tuple[float, float] | None, float | None]:
    """Pixel size (y, x) in um and frame interval in min; None for what ImageJ does not say.

    The resolution tags alone are not believed (every program writes 72 dpi into them): ImageJ's own `unit`
    must say what they count.
    """
    pixel_um = None
    if resolution is not None:
        x_unit = str(said.get("unit", ""))
        y = length_um(1 / resolution[0], str(said.get("yunit", x_unit)))
        x = length_um(1 / resolution[1], x_unit)
        pixel_um = None if y is None or x is None else (_rounded(y), _rounded(x))
    frame_min = time_min(said.get("finterval"), str(said.get("tunit", "sec")))
    per_second = time_min(said.get("fps"), "min")  # a positive number, or None
    if frame_min is None and per_second is not None:
        frame_min = time_min(1 / per_second, "sec")
    return pixel_um, frame_min


def imagej_channel_names(said: Mapping[str, Any], channels: int, frames: int) -> tuple[str | None, ...]:
    """Names from the slice labels or the Info text; None for a channel without one."""
    labels = said.get("Labels") or []
    labels = [labels] if isinstance(labels, str) else [str(label) for label in labels]
    names: list[str | None] = [None] * channels
    if channels == 1:  # an only slice's label is as a rule the name of its file
        labels = [label for label in labels if _POSITION.match(label)]
    if labels and len(labels) in (channels * frames, channels):
        for channel in range(channels):
            spoken = {_POSITION.sub("", label).strip() for label in labels[channel::channels]}
            names[channel] = spoken.pop() or None if len(spoken) == 1 else None
    if (
        channels > 1 and len(set(names)) < channels
    ):  # labels that are the same for all name the film, not a channel
        names = [None] * channels
    return tuple(names) if all(names) else _from_info(str(said.get("Info", "")), channels, names)


def _from_info(info: str, channels: int, names: list[str | None]) -> tuple[str | None, ...]:
    listed = _LISTED.search(info)
    if listed is not None:
        found = [name.strip().strip('"') for name in listed[1].split(",")]
        if len(found) == channels and all(found):
            return tuple(found)
    numbered = {int(a or b): name for a, b, name in _NAMED.findall(info)}
    if len(numbered) == channels and max(numbered) - min(numbered) == channels - 1:
        return tuple(numbered[number] for number in sorted(numbered))
    return tuple(names)


def _rounded(size_um: float) -> float:
    """Undo what ImageJ's fractions did to the number: 1 / (1000000 / 311200) is 0.3112."""
    return float(f"{size_um:.6g}")
