"""The small language of the filter box: `p<0.5 well:B03 status:pending flag:yes`.

Knows columns of numbers and of words. Knows no window.

    keep = parse_filter("p<0.5 well:B03,B04 -status:accepted")(columns)     # (N,) bool
"""

import fnmatch
import math
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.errors import AssayError

HINT = "p<0.5   killer:31   well:B03,B04   status:pending   flag:yes   -well:C*"

Bools = NDArray[np.bool_]
_TERM = re.compile(r"(?P<no>-)?(?P<name>[A-Za-z_]+)(?P<sign><=|>=|!=|<|>|=|:)(?P<value>\S.*)")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")
_COMPARE: dict[str, Callable[[NDArray[np.float64], float], Bools]] = {
    "<": lambda values, limit: np.asarray(values < limit),
    "<=": lambda values, limit: np.asarray(values <= limit),
    ">": lambda values, limit: np.asarray(values > limit),
    ">=": lambda values, limit: np.asarray(values >= limit),
}
_SAME = 1e-9


class FilterError(AssayError, ValueError):
    """A filter is not understood."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column of numbers; NaN is unknown, and `unknown_word` finds it."""

    values: NDArray[np.float64]
    unknown_word: str = "unknown"


@dataclass(frozen=True, slots=True)
class Words:
    """A column of words as numbers into a short list of what occurs."""

    codes: NDArray[np.int64]
    words: tuple[str, ...]

    @classmethod
    def of(cls, values: NDArray[np.object_] | list[str]) -> "Words":
        """Number the words of a column in alphabetical order."""
        words, codes = np.unique(np.asarray(values, dtype=str), return_inverse=True)
        return cls(codes.astype(np.int64), tuple(words.tolist()))


Columns = Mapping[str, Numbers | Words]
Filter = Callable[[Columns], Bools]


def parse_filter(text: str, names: Mapping[str, str]) -> Filter:
    """Understand a filter; all its terms must hold.

    Args:
        text: `name sign value` terms with blanks between them, or single words that any column of words may hold.
        names: What a reader may call a column -> the column's name.

    Raises:
        FilterError: A term is not understood; the message says which and what would be.
    """
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise FilterError("a quotation mark is not closed.") from error
    terms = [_term(part, names) for part in parts]

    def keep(columns: Columns) -> Bools:
        n = next((len(c.values if isinstance(c, Numbers) else c.codes) for c in columns.values()), 0)
        kept = np.ones(n, dtype=np.bool_)
        for term in terms:
            kept &= term(columns)
        return kept

    return keep


def _term(part: str, names: Mapping[str, str]) -> Filter:
    match = _TERM.fullmatch(part)
    if match is None:
        if any(sign in part for sign in "<>=:"):
            raise FilterError(
                f'"{part}" is not understood. Write a column, a sign and a value, as p<0.5 or well:B03.'
            )
        return _anywhere(part)
    name = names.get(match["name"].lower())
    if name is None:
        raise FilterError(f'there is no column "{match["name"]}". Columns: {", ".join(sorted(set(names)))}.')
    sign, value = match["sign"], match["value"]
    inverted = (match["no"] is not None) != (sign == "!=")
    test = _compared(name, sign, value) if sign in _COMPARE else _one_of(name, value)
    return (lambda columns: ~test(columns)) if inverted else test


def _compared(name: str, sign: str, value: str) -> Filter:
    if not _NUMBER.fullmatch(value):
        raise FilterError(f'{name}{sign}{value}: after {sign} comes a number, got "{value}".')
    limit = float(value)

    def test(columns: Columns) -> Bools:
        column = columns[name]
        if isinstance(column, Words):
            raise FilterError(
                f"{name} holds words: write {name}:{column.words[0] if column.words else 'word'}."
            )
        return _COMPARE[sign](column.values, limit)  # NaN is never smaller or greater

    return test


def _one_of(name: str, value: str) -> Filter:
    wanted = [word for word in value.lower().split(",") if word]

    def test(columns: Columns) -> Bools:
        column = columns[name]
        return (
            _among_words(column, wanted)
            if isinstance(column, Words)
            else _among_numbers(name, column, wanted)
        )

    return test


def _among_words(column: Words, wanted: list[str]) -> Bools:
    hit = np.array(
        [any(_matches(word.lower(), pattern) for pattern in wanted) for word in column.words], dtype=np.bool_
    )
    return hit[column.codes] if len(hit) else np.zeros(len(column.codes), dtype=np.bool_)


def _matches(word: str, pattern: str) -> bool:
    if pattern in ("yes", "no"):
        return (word not in ("", "no")) == (pattern == "yes")
    return fnmatch.fnmatchcase(word, pattern) or pattern in re.split(r"[ ,;]+", word)


def _among_numbers(name: str, column: Numbers, wanted: list[str]) -> Bools:
    found = np.zeros(len(column.values), dtype=np.bool_)
    for word in wanted:
        low, dots, high = word.partition("..")
        if word in (column.unknown_word, "unknown"):
            found |= np.isnan(column.values)
        elif dots and _NUMBER.fullmatch(low or "0") and _NUMBER.fullmatch(high or "0"):
            least, most = float(low or -math.inf), float(high or math.inf)
            found |= (column.values >= least) & (column.values <= most)
        elif _NUMBER.fullmatch(word):
            found |= np.abs(column.values - float(word)) <= _SAME
        else:
            raise FilterError(f'{name}:{word}: expected a number or a range as 0.2..0.5, got "{word}".')
    return found


def _anywhere(word: str) -> Filter:
    inverted, bare = word.startswith("-") and len(word) > 1, word.lstrip("-").lower()

    def test(columns: Columns) -> Bools:
        found: Bools | None = None
        for column in columns.values():
            if isinstance(column, Words):
                holds = np.array([bare in entry.lower() for entry in column.words], dtype=np.bool_)
                here = holds[column.codes] if len(holds) else np.zeros(len(column.codes), dtype=np.bool_)
                found = here if found is None else found | here
        if found is None:
            raise FilterError(f'"{word}": there is no column of words to look in.')
        return ~found if inverted else found

    return test
