"""One death as a short film that opens in any browser or slide: the pair outlined, a clock, a scale bar, the moment marked.

Effectors are yellow, targets red, the death dye cyan, and in grey on the right where there is one. Pure drawing: pixels
and outlines are given.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from assay.report.crops import Polygon

FRAME_MS = 250
"""How long a frame is shown; the last one, and that of the death, longer."""
_HOLD_MS = 900
_PANEL, _EDGE, _HEAD, _FOOT = 300, 10, 44, 40
_GROUND, _INK, _DIM = (21, 23, 28), (238, 240, 244), (150, 156, 168)
_TARGET, _EFFECTOR, _DEATH = (255, 74, 84), (255, 217, 26), (77, 228, 255)
_OVER = 2  # lines are drawn larger and shrunk, so that they are smooth


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmFrame:
    """One frame around the target."""

    frame: int
    clock: str  # time since the film began
    from_death: str  # time from the death
    composite: NDArray[np.uint8]  # (Y, X, 3)
    death_dye: NDArray[np.uint8] | None  # (Y, X); None without such a channel
    target_outline: tuple[Polygon, ...]
    effector_outline: tuple[Polygon, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilm:
    """One death from before the contact until after it."""

    title: str
    subtitle: str
    crop_um: float  # side of the crop
    death_frame: int
    contact: tuple[int, int] | None  # first and last frame of the credited contact
    frames: tuple[FilmFrame, ...]


def gif(film: EventFilm) -> bytes:
    """The film as an animated GIF that runs for ever."""
    pictures = [Image.fromarray(picture(film, place)) for place in range(len(film.frames))]
    palette = _palette_of(pictures)
    small = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in pictures]
    times = [FRAME_MS] * len(small)
    times[-1] = _HOLD_MS
    for place, frame in enumerate(film.frames):
        if frame.frame == film.death_frame:
            times[place] = _HOLD_MS
    out = io.BytesIO()
    small[0].save(
        out, "GIF", save_all=True, append_images=small[1:], duration=times, loop=0, optimize=False, disposal=1
    )
    return out.getvalue()


def picture(film: EventFilm, place: int) -> NDArray[np.uint8]:
    """One frame of the film, (Y, X, 3)."""
    frame = film.frames[place]
    panels = [frame.composite] if frame.death_dye is None else [frame.composite, _grey(frame.death_dye)]
    width = 2 * _EDGE + len(panels) * _PANEL + (len(panels) - 1) * _EDGE
    sheet = Image.new("RGB", (width, _HEAD + _PANEL + _FOOT), _GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_EDGE, 6), film.title, font=_font(15), fill=_INK)
    draw.text((_EDGE, 25), film.subtitle, font=_font(12), fill=_DIM)
    at_death = frame.frame == film.death_frame
    for number, panel in enumerate(panels):
        corner = (_EDGE + number * (_PANEL + _EDGE), _HEAD)
        sheet.paste(_panel(panel, frame, both=number == 0), corner)
        if at_death:
            box = (corner[0], corner[1], corner[0] + _PANEL - 1, corner[1] + _PANEL - 1)
            draw.rectangle(box, outline=_DEATH, width=3)
        _marks(draw, corner, film, frame, number)
    _timeline(draw, film, place, width)
    return np.asarray(sheet)


def _panel(pixels: NDArray[np.uint8], frame: FilmFrame, *, both: bool) -> Image.Image:
    """A crop at drawn size with the outlines of the pair."""
    large = Image.fromarray(pixels).resize((_PANEL * _OVER, _PANEL * _OVER), Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(large)
    cells = [(frame.target_outline, _TARGET)] + ([(frame.effector_outline, _EFFECTOR)] if both else [])
    for outlines, color in cells:
        for polygon in outlines:
            points = [(x * _PANEL * _OVER, y * _PANEL * _OVER) for y, x in polygon.tolist()]
            draw.line(points, fill=(0, 0, 0), width=4 * _OVER, joint="curve")
            draw.line(points, fill=color, width=round(1.8 * _OVER), joint="curve")
    return large.resize((_PANEL, _PANEL), Image.Resampling.LANCZOS)


def _marks(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], film: EventFilm, frame: FilmFrame, panel: int
) -> None:
    """Clock, scale bar and words in the corners of a panel."""
    x, y = corner
    if panel == 1:
        _label(draw, (x + 8, y + 8), "death dye", _INK)
        return
    _label(draw, (x + 8, y + 8), frame.clock, _INK)
    words, color = frame.from_death, _DIM
    if frame.frame == film.death_frame:
        words, color = "death", _DEATH
    elif film.contact is not None and film.contact[0] <= frame.frame <= film.contact[1]:
        words, color = f"in contact, {frame.from_death}", _EFFECTOR
    wide = draw.textlength(words, font=_font(13))
    _label(draw, (x + _PANEL - 8 - wide, y + 8), words, color)
    bar = 10.0 / film.crop_um * _PANEL
    draw.rectangle((x + 9, y + _PANEL - 13, x + 11 + bar, y + _PANEL - 8), fill=(0, 0, 0))
    draw.rectangle((x + 10, y + _PANEL - 12, x + 10 + bar, y + _PANEL - 9), fill=_INK)
    _label(draw, (x + 10, y + _PANEL - 30), "10 um", _INK)


def _timeline(draw: ImageDraw.ImageDraw, film: EventFilm, place: int, width: int) -> None:
    """Where the film is, from when to when they touch, and when the target dies."""
    left, right, y = _EDGE + 4, width - _EDGE - 4, _HEAD + _PANEL + 20
    first, last = film.frames[0].frame, film.frames[-1].frame

    def at(frame: int) -> float:
        return left + (right - left) * (frame - first) / max(last - first, 1)

    draw.line((left, y, right, y), fill=(70, 75, 86), width=3)
    if film.contact is not None:
        begin, end = (min(max(frame, first), last) for frame in film.contact)
        draw.line((at(begin), y, at(end), y), fill=_EFFECTOR, width=5)
    x = at(film.death_frame)
    draw.line((x, y - 9, x, y + 9), fill=_DEATH, width=3)
    now = at(film.frames[place].frame)
    draw.ellipse((now - 5, y - 5, now + 5, y + 5), fill=_INK)


def _label(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], words: str, color: tuple[int, int, int]
) -> None:
    draw.text(at, words, font=_font(13), fill=color, stroke_width=2, stroke_fill=(0, 0, 0))


def _font(size: int) -> Any:
    return ImageFont.load_default(size=size)


def _grey(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.repeat(image[..., None], 3, axis=-1)


def _palette_of(pictures: Sequence[Image.Image]) -> Image.Image:
    """One palette for all frames, so that colours do not flicker."""
    some = [np.asarray(one)[::2, ::2] for one in pictures[:: max(1, len(pictures) // 8)]]
    return Image.fromarray(np.concatenate(some)).quantize(colors=256, method=Image.Quantize.MAXCOVERAGE)
