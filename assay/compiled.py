"""Loops over pixels compiled to machine code, once per machine.

The code is kept beside the module, or in the user's cache folder where that cannot be written; where neither can
be, every process compiles anew and nothing else changes. Additions and multiplications keep their order, so
that the results are the same on every machine.

Two words change how long a loop takes and nothing else: `lent` and `fetch_ahead`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(loop: Loop) -> Loop:
    """Compile a function that Python calls; other threads run meanwhile."""
    try:
        return cast(Loop, numba.njit(cache=True, nogil=True)(loop))
    except RuntimeError:  # no folder to keep the code in
        return cast(Loop, numba.njit(nogil=True)(loop))


def part(loop: Loop) -> Loop:
    """Compile a function that only compiled ones of the same file call, into these."""
    return cast(Loop, numba.njit(nogil=True, forceinline=True)(loop))


@intrinsic  # type: ignore[untyped-decorator]
def lent(context: Any, array: Any) -> Any:
    """The same array, whose holders nobody counts: to count them takes longer than a short loop.

    For arrays that somebody else holds until the function ends: its caller, or a name that it still asks for something.
    """

    def without_count(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = cgutils.create_struct_proxy(signature.args[0])
        counted = kind(target, builder, arguments[0])
        counted.meminfo = cgutils.get_null_value(counted.meminfo.type)
        counted.parent = cgutils.get_null_value(counted.parent.type)
        return counted._getvalue()

    return array(array), without_count


@intrinsic  # type: ignore[untyped-decorator]
def fetch_ahead(context: Any, array: Any, place: Any) -> Any:
    """Ask for the memory of `array[place]` and its neighbours without waiting; a place outside of it does no harm.

    The array has one axis and lies in one piece.
    """

    def ask(target: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = cgutils.create_struct_proxy(signature.args[0])(target, builder, arguments[0]).data
        at = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [at.type, *3 * [ir.IntType(32)]])
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        to_read, often, data_cache = (ir.Constant(ir.IntType(32), value) for value in (0, 3, 1))
        builder.call(prefetch, [at, to_read, often, data_cache])
        return target.get_dummy_value()

    return types.void(array, place), ask


def kept_in() -> Path | None:
    """Folder that keeps compiled code for the next process; None where no folder can be written."""

    def nothing() -> None: ...

    try:
        loop = numba.njit(cache=True)(nothing)
    except RuntimeError:
        return None
    return Path(loop.stats.cache_path)
