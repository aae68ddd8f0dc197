"""One row of the fault catalogue: what is broken, what is typed, what must come of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

RUN = ("run", "{plate}", "--protocol", "{protocol}", "--out", "{out}")
CHECK = ("check", "{plate}", "--protocol", "{protocol}")
OK, REFUSED, SOME_FAILED = 0, 2, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is broken, and what a user must see.

    `{plate}`, `{protocol}`, `{out}` and the like in `words` stand for files of the bench. The well that is broken is
    B03; B02 beside it is whole.
    """

    name: str
    number: int | None  # in the catalogue of the issue; None for what came later
    broken: str  # in a biologist's words
    breaks: Callable[[Any], None] | None
    words: tuple[str, ...] = RUN
    code: int
    says: str  # a regular expression that the line matches; "" where nothing is to be said
    todo: str  # what to do about it
    holds: Callable[[Any], None] | None = None  # what must be true besides
    is_clean: bool = False  # the results are those of the whole plate, byte for byte
    keeps_others: bool = True  # well B02 comes out as ever
    mends: bool = True  # once repaired, the same command gives the clean results
    anew: bool = False  # ... into a new --out, as the metadata of the plate are others now
    real_model: bool = False  # with the network that comes with killassay instead of a threshold


def refused(
    name: str, number: int | None, broken: str, breaks: Any, says: str, todo: str, **more: Any
) -> Fault:
    """A fault for which nothing is begun: exit code 2, one line."""
    return Fault(
        name=name, number=number, broken=broken, breaks=breaks, code=REFUSED, says=says, todo=todo, **more
    )


def fails_alone(
    name: str, number: int | None, broken: str, breaks: Any, says: str, todo: str, **more: Any
) -> Fault:
    """A fault that costs its own field and no other: exit code 3, FAILED with the reason."""
    return Fault(
        name=name, number=number, broken=broken, breaks=breaks, code=SOME_FAILED, says=says, todo=todo, **more
    )


def survived(name: str, number: int | None, broken: str, breaks: Any, **more: Any) -> Fault:
    """What looks like a fault and is none: exit code 0."""
    more = {"says": "", "todo": "nothing", "mends": False, **more}
    return Fault(name=name, number=number, broken=broken, breaks=breaks, code=OK, **more)
