"""Loops over pixels compiled to machine code, once per machine.

The code is kept beside the module, or in the user's cache folder where that cannot be written; where neither can
be, every process compiles anew and nothing else changes. Additions and multiplications keep their order, so
that the results are the same on every machine.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(loop: Loop) -> Loop:
    """Compile a function that Python calls; other threads run meanwhile."""
    try:
        return cast(Loop, numba.njit(cache=True, nogil=True)(loop))
    except RuntimeError:  # no folder to keep the code in
        return cast(Loop, numba.njit(nogil=True)(loop))


def part(loop: Loop) -> Loop:
    """Compile a function that only compiled ones of the same file call; it is kept with these."""
    return cast(Loop, numba.njit(nogil=True)(loop))


def kept_in() -> Path | None:
    """Folder that keeps compiled code for the next process; None where no folder can be written."""

    def nothing() -> None: ...

    try:
        loop = numba.njit(cache=True)(nothing)
    except RuntimeError:
        return None
    return Path(loop.stats.cache_path)
