"""Images that show what no camera saw: black and blank frames, lamps that jump, stages that slip, numbers that are none."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tests.faults.bench import OTHER, VICTIM, Bench, films
from tests.faults.fault import Fault, survived

Film = NDArray[Any]
_AT = 5  # the frame that is harmed; the death is seen from frame 6 on
_MASKED = "nothing: the frame is left out of this channel, and never a zero"


def _harmed(change: Callable[[Film], Film | None], *, both: type | None = None) -> Callable[[Bench], None]:
    """The broken well's film after the change; with `both`, the two wells' pixels are of that type."""

    def build(bench: Bench) -> None:
        images = films()
        whole = images[OTHER] if both is None else images[OTHER].astype(both)
        film = images[VICTIM].copy() if both is None else images[VICTIM].astype(both)
        changed = change(film)
        bench.new_plate(**{OTHER: whole, VICTIM: film if changed is None else changed})

    return build


def _set(value: float, *, channels: Any = slice(None), part: Any = (slice(None), slice(None))) -> Any:
    def change(film: Film) -> None:
        film[_AT, channels][..., *part] = value

    return change


def _is_masked(channel: str) -> Callable[[Bench], None]:
    """The plane is named, and no death was made of it."""

    def holds(bench: Bench) -> None:
        said = str(bench.well(VICTIM, "fields")["invalid_planes"])
        assert channel in said, said
        assert str(_AT) in said, said
        _no_more_deaths(bench)

    return holds


def _no_more_deaths(bench: Bench) -> None:
    clean = bench.table("deaths", bench.templates.results())
    ours = bench.table("deaths")
    assert (ours["well"] == VICTIM).sum() <= (clean["well"] == VICTIM).sum()


def _as_clean(bench: Bench) -> None:
    """Tracks, contacts and deaths as in the unharmed film."""
    clean = bench.templates.results()
    for name, columns in (
        ("tracks", ("role", "track_id", "first_frame", "last_frame")),
        ("deaths", ("track_id", "frame")),
    ):
        ours, theirs = bench.table(name), bench.table(name, clean)
        for column in columns:
            assert ours[column].tolist() == theirs[column].tolist(), (name, column)


def _is_unknown(bench: Bench) -> None:
    row = bench.well(VICTIM)
    assert row["kills"] != row["kills"], "an unseen well is no zero"
    assert row["status"] in ("excluded", "no_events", "failed")


def _no_kills(bench: Bench) -> None:
    assert bench.well(VICTIM)["kills"] == 0.0


def _jump(film: Film) -> Film:
    """From the frame on, the stage stands 30 pixels further."""
    film[_AT:] = np.roll(film[_AT:], 30, axis=3)
    return film


def _no_contact_across(bench: Bench) -> None:
    _no_more_deaths(bench)


def _blur(film: Film) -> Film:
    film[_AT : _AT + 2] = ndimage.gaussian_filter(film[_AT : _AT + 2].astype(float), (0, 0, 9, 9)).astype(
        film.dtype
    )
    return film


def _frozen(film: Film) -> Film:
    film[_AT] = film[_AT - 1]
    return film


def _no_cells_of(channel: int) -> Callable[[Film], Film]:
    def change(film: Film) -> Film:
        rng = np.random.Generator(np.random.PCG64(5))
        film[:, channel] = np.rint(rng.normal(200, 6, film[:, channel].shape))
        return film

    return change


def _whole_type(kind: Any, scale: float = 1.0, shift: float = 0.0) -> Callable[[Bench], None]:
    """Both wells in another type of pixel, scaled."""

    def build(bench: Bench) -> None:
        bench.new_plate(**{well: (frames * scale + shift).astype(kind) for well, frames in films().items()})

    return build


def _row(
    name: str, number: int, broken: str, breaks: Any, holds: Any, todo: str = _MASKED, **more: Any
) -> Fault:
    return survived(name, number, broken, breaks, says="B03", holds=holds, todo=todo, **more)


_CORNER = (slice(0, 20), slice(0, 20))

FAULTS: list[Fault] = [
    _row("frame-black", 4, "A frame that is black in all channels", _harmed(_set(0)), _is_masked("GFP")),
    _row("frame-white", 5, "A frame of one value", _harmed(_set(255)), _is_masked("GFP")),
    _row(
        "channel-black-in-a-frame",
        4,
        "A frame that is black in the target channel alone",
        _harmed(_set(0, channels=1)),
        _is_masked("GFP"),
    ),
    _row(
        "dye-black-in-a-frame",
        4,
        "A frame that is black in the death dye alone",
        _harmed(_set(0, channels=2)),
        _no_more_deaths,
    ),
    _row(
        "part-of-a-frame-black",
        4,
        "Most of a frame is black (a transfer broke off)",
        _harmed(_set(0, part=(slice(0, 66), slice(0, 70)))),
        _is_masked("GFP"),
    ),
    _row(
        "not-numbers",
        1,
        "A frame that is not a number (NaN)",
        _harmed(_set(np.nan), both=np.float32),
        _is_masked("GFP"),
        keeps_others=False,
    ),
    _row(
        "infinite",
        2,
        "A frame of infinite values",
        _harmed(_set(np.inf), both=np.float32),
        _is_masked("GFP"),
        keeps_others=False,
    ),
    _row(
        "some-pixels-not-numbers",
        1,
        "A corner of a frame is not a number",
        _harmed(_set(np.nan, part=_CORNER), both=np.float32),
        _is_masked("GFP"),
        keeps_others=False,
    ),
    _row("overexposed", 3, "A frame at the sensor's limit", _harmed(_set(65535)), _is_masked("GFP")),
    _row(
        "channel-black-throughout",
        6,
        "The shutter of the target channel never opened",
        _harmed(lambda film: film.__setitem__((slice(None), 1), 0)),
        _is_unknown,
        "film the well again; its numbers are unknown, not zero",
    ),
    _row(
        "film-black-throughout",
        6,
        "A film that is black throughout",
        _harmed(lambda film: film.__setitem__(slice(None), 0)),
        _is_unknown,
        "film the well again; its numbers are unknown, not zero",
    ),
    _row(
        "lamp-jumps",
        7,
        "The lamp is ten times as bright in one frame",
        _harmed(lambda film: film.__setitem__(_AT, np.minimum(film[_AT].astype(int) * 10, 65535))),
        _no_more_deaths,
    ),
    _row(
        "copy-of-eight-bits",
        14,
        "One frame is a copy of eight bits",
        _harmed(lambda film: film.__setitem__(_AT, film[_AT] // 256)),
        _no_more_deaths,
    ),
    _row(
        "stage-jumps",
        8,
        "The stage jumps by 30 pixels",
        _harmed(_jump),
        _no_contact_across,
        "nothing: no kill is made across the jump",
    ),
    _row("out-of-focus", 9, "Two frames out of focus", _harmed(_blur), _no_more_deaths),
    _row("frozen", 10, "The camera gave the frame before once more", _harmed(_frozen), _no_more_deaths),
    _row(
        "no-effectors",
        16,
        "A well without effectors",
        _harmed(_no_cells_of(0)),
        _no_kills,
        "nothing: deaths are counted, kills are 0",
    ),
    _row(
        "no-targets",
        16,
        "A well without targets",
        _harmed(_no_cells_of(1)),
        None,
        "nothing: no rate is made of no cells",
    ),
    _row(
        "pixels-signed",
        19,
        "Signed pixels, some below zero",
        _whole_type(np.int16, 1.0, -150.0),
        _as_clean,
        "nothing",
        keeps_others=False,
    ),
    _row(
        "pixels-of-32-bits",
        20,
        "Pixels of 32 bits",
        _whole_type(np.uint32, 1000.0),
        _as_clean,
        "nothing",
        keeps_others=False,
    ),
    _row(
        "pixels-between-0-and-1",
        20,
        "Pixels between 0 and 1",
        _whole_type(np.float32, 1 / 4096),
        _as_clean,
        "nothing",
        keeps_others=False,
    ),
    _row(
        "pixels-of-eight-bits",
        20,
        "Pixels of eight bits",
        _whole_type(np.uint8, 1 / 8),
        None,
        "nothing",
        keeps_others=False,
    ),
]
