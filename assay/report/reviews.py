"""What the report says of reviews: who looked at how much, what it changed, how far readers agree.

Knows the decisions as they stand and the tables before and after. Knows no disk.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from assay.columns import Table
from assay.report.numbers import UNKNOWN, count, interval, number, rows
from assay.review.agreement import PairAgreement, agreement
from assay.review.queue import audited_precision
from assay.review.state import ReviewState

FEWEST_AUDITED = 10
"""Events of the random sample that must be decided before a precision is given."""

_SHOWN = 12  # lines of a list before it is cut
_WORDS = {
    "accepted": "accepted",
    "rejected": "rejected",
    "unsure": "unsure",
    "disagreement": "readers disagree",
    "pending": "not decided",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """What the page needs: the decisions, and the tables on both sides of them."""

    state: ReviewState
    before: Mapping[str, Table]
    tables: Mapping[str, Table]
    lost: Collection[str] = ()  # decisions that found no event, in words
    problems: Collection[str] = ()  # decisions that could not be applied


def reviewed_sentence(reviewed: Reviewed) -> str:
    """Stands right under the headline: these numbers are not the pipeline's alone, and what they were before."""
    counts = reviewed.state.counts()
    standing = sum(counts.values()) - counts["withdrawn"]
    decided = counts["accepted"] + counts["rejected"]
    words = (
        f"These numbers are reviewed: {_names(_readers(reviewed.state))} decided {decided} of "
        f"{count(standing, 'target death')}, and what nobody decided counts as the pipeline had it."
    )
    before = [
        f"{number(row['pipeline_kills_per_100_targets'])} with {row['condition']}"
        for row in rows(reviewed.tables["conditions"])
        if row["kind"] == "sample" and not math.isnan(float(row["pipeline_kills_per_100_targets"]))
    ]
    if before:
        more = f" and {len(before) - 3} more" if len(before) > 3 else ""
        words += f" Before review it was {', '.join(before[:3])}{more}."
    return words


def review_section(reviewed: Reviewed) -> dict[str, Any]:
    """The section of the page."""
    state, counts = reviewed.state, reviewed.state.counts()
    found = agreement(state)
    return {
        "facts": [
            (str(counts[name]), words) for name, words in _WORDS.items() if counts[name] or name == "accepted"
        ],
        "kinds": _kinds(state),
        "readers": _reader_rows(state),
        "pairs": [_pair(pair) for pair in found.pairs],
        "repeats": [_pair(pair) for pair in found.repeats],
        "disagreements": found.n_disagreements,
        "wells": _well_rows(reviewed),
        "audit": _audit(state),
        "lost": _cut(reviewed.lost),
        "problems": _cut(reviewed.problems),
    }


def _kinds(state: ReviewState) -> str | None:
    """What was done beside saying yes or no."""
    done = [
        (int(state.retimed.sum()), "timed anew", "timed anew"),
        (
            int(state.killer_chosen.sum()),
            "with a killer, or nobody, named",
            "with a killer, or nobody, named",
        ),
        (len(state.added), "added", "added"),
        (len(state.track_edits), "correction of tracks", "corrections of tracks"),
        (len(state.label_edits), "correction of outlines", "corrections of outlines"),
    ]
    return ", ".join(count(n, one, many) for n, one, many in done if n) or None


def _readers(state: ReviewState) -> list[str]:
    return sorted({one.reader for one in state.decisions})


def _reader_rows(state: ReviewState) -> list[dict[str, Any]]:
    shown = []
    for reader in _readers(state):
        verdicts = [state.of(name).verdicts.get(reader) for name in sorted(state.judged)]
        mine = [verdict for verdict in verdicts if verdict is not None]
        days = sorted(one.utc[:10] for one in state.decisions if one.reader == reader)
        shown.append(
            {
                "name": reader or "nobody",
                "events": len(mine),
                "blinded": sum(verdict.blinded for verdict in mine),
                "days": days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}",
            }
        )
    return shown


def _pair(pair: PairAgreement) -> dict[str, Any]:
    return {
        "who": f"{pair.reader} again" if pair.reader == pair.other else f"{pair.reader} and {pair.other}",
        "n": pair.n,
        "kappa": interval(pair.kappa, pair.kappa_low, pair.kappa_high, digits=2),
        "killer": f"{number(100 * pair.killer_agreement, 0)} % of {pair.n_killers}"
        if pair.n_killers
        else UNKNOWN,
        "apart": number(pair.median_dt_frames, 1),
    }


def _well_rows(reviewed: Reviewed) -> list[dict[str, Any]]:
    """Wells in which anybody decided anything; what changed is told from what only was confirmed."""
    shown = []
    for before, after in zip(rows(reviewed.before["wells"]), rows(reviewed.tables["wells"]), strict=True):
        values = [(before[name], after[name]) for name in ("deaths", "kills", "cytolysis_percent")]
        changed = [_written(old) != _written(new) for old, new in values]
        if not (after["n_reviewed"] or any(changed)):
            continue
        shown.append(
            {
                "well": after["well"],
                "condition": after["condition"] or UNKNOWN,
                "events": f"{int(after['n_reviewed'])} of {int(after['n_events'])}",
                "values": [
                    {"before": _written(old), "after": _written(new), "changed": different}
                    for (old, new), different in zip(values, changed, strict=True)
                ],
                "interval": interval(after["kills"], after["kills_low"], after["kills_high"]),
            }
        )
    return shown


def _written(value: Any) -> str:
    return number(value)


def _audit(state: ReviewState) -> str | None:
    """Precision from the random sample, which alone speaks of the deaths that nobody looked at."""
    found = audited_precision(state.events, state)
    if found.n < FEWEST_AUDITED:
        return None
    percent = interval(100 * found.value, 100 * found.low, 100 * found.high, digits=0)
    return (
        f"Of {found.n} deaths drawn at random from those that the pipeline called, {found.n_true} are deaths: precision "
        f"{percent} % with its 90 % interval."
    )


def _cut(lines: Collection[str]) -> list[str]:
    kept = list(lines)
    more = len(kept) - _SHOWN
    return [*kept[:_SHOWN], f"and {more} more"] if more > 0 else kept


def _names(names: list[str]) -> str:
    if not names:  # all they decided was on events that are no longer there
        return "nobody"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
