"""Which events to show, in a small grammar: `conf<0.5 well:B03 status:pending "two killers"`.

Every term must hold. `name<number` (also <=, >, >=, =) compares a number, `name:text` a word, a bare word is looked for
in event, condition, flags and evidence. `-` before a term turns it round; a comma in a word means either.
"""

import operator
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table, length
from assay.errors import ResultsError
from assay.review.state import STATUSES, ReviewState, texts_of

NUMBERS = {
    "conf": "probability",
    "probability": "probability",
    "share": "killer_share",
    "nobody": "uncredited_share",
    "contact": "contact_min",
    "lag": "lag_min",
    "time": "time_min",
    "frame": "frame",
    "field": "field",
    "target": "target_track_id",
    "killer": "killer_track_id",
    "candidates": "n_candidates",
}
"""Short names of the columns that are compared as numbers."""

WORDS = ("well", "status", "condition", "flag", "evidence", "event", "is")
_IS = ("flagged", "retimed", "added", "reviewed")
_COMPARE: Mapping[str, Callable[[Any, float], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
}
_NUMERIC = re.compile(r"([a-z_]+)(<=|>=|<|>|=)(-?[0-9.]+(?:e-?[0-9]+)?)")
_WORDED = re.compile(r"([a-z_]+):(.+)")


def matching(events: Table, state: ReviewState, text: str) -> NDArray[np.bool_]:
    """Whether each event is to be shown; every one for an empty text, but events whose adding was undone.

    Args:
        events: `state.events`.
        state: What is decided.
        text: Terms as above.

    Raises:
        ResultsError: A term is not understood; says what is.
    """
    shown = state.status != STATUSES.index("withdrawn")
    try:
        terms = shlex.split(text)
    except ValueError:
        terms = text.replace('"', " ").replace("'", " ").split()  # a quote that is just being typed
    for term in terms:
        turned, bare = term.startswith("-") and len(term) > 1, term.removeprefix("-")
        found = _term(events, state, bare)
        shown = shown & (~found if turned else found)
    return np.asarray(shown, dtype=bool)


def _term(events: Table, state: ReviewState, term: str) -> NDArray[Any]:
    numeric = _NUMERIC.fullmatch(term)
    if numeric and numeric[1] in NUMBERS:
        return _number(events, state, numeric)
    worded = _WORDED.fullmatch(term)
    if worded and worded[1] in WORDS:
        return _word(events, state, worded[1], worded[2])
    if numeric or worded or re.search(r"[<>=]", term):
        raise ResultsError(
            f"filter {term!r}: expected one of {', '.join(sorted(NUMBERS))} with < <= > >= or = and a number, "
            f"or one of {', '.join(WORDS)} with : and a word."
        )
    term = term.lower()
    names = (term in name.lower() for name in events["event"].tolist())
    found = np.fromiter(names, dtype=bool, count=length(events))
    for name in ("condition", "flags", "evidence"):
        found |= _holds(events, state, name, term)
    return found


def _number(events: Table, state: ReviewState, numeric: re.Match[str]) -> NDArray[Any]:
    """Frames and killers as they stand after the decisions, the rest as the pipeline had it."""
    name = NUMBERS[numeric[1]]
    column = {"frame": state.frame, "killer_track_id": state.killer}.get(name, events[name])
    try:
        value = float(numeric[3])
    except ValueError as error:
        raise ResultsError(f"filter {numeric[0]!r}: {numeric[3]!r} is no number.") from error
    return np.asarray(_COMPARE[numeric[2]](column, value))


def _word(events: Table, state: ReviewState, name: str, said: str) -> NDArray[Any]:
    options = [one for one in said.split(",") if one]
    if name == "status":
        return _one_of(options, STATUSES, lambda one: state.status == STATUSES.index(one))
    if name == "is":
        marks = {
            "flagged": state.flagged,
            "retimed": state.retimed,
            "added": np.arange(length(events)) >= state.n_pipeline_events,
            "reviewed": state.status != STATUSES.index("pending"),
        }
        return _one_of(options, _IS, lambda one: marks[one])
    if name == "well":
        codes, wells = texts_of(events, state, "well")
        wanted = {one.upper() for one in options}
        return np.asarray(np.array([well.upper() in wanted for well in wells], dtype=bool)[codes])
    column = "flags" if name == "flag" else name
    return np.asarray(np.logical_or.reduce([_holds(events, state, column, one) for one in options]))


def _one_of(options: list[str], known: tuple[str, ...], mark: Callable[[str], NDArray[Any]]) -> NDArray[Any]:
    """Words may be cut short, as they are while they are typed."""
    full = [next((name for name in known if name.startswith(one.lower())), None) for one in options]
    if None in full:
        raise ResultsError(f"filter: expected one of {', '.join(known)}, got {', '.join(options)}.")
    return np.asarray(np.logical_or.reduce([mark(name) for name in full if name is not None]))


def _holds(events: Table, state: ReviewState, name: str, word: str) -> NDArray[Any]:
    """Texts that hold a word, whatever its capitals; each different text is looked at once."""
    codes, texts = texts_of(events, state, name)
    word = word.lower()
    return np.asarray(np.array([word in text.lower() for text in texts], dtype=bool)[codes])
