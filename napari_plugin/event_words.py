"""An event in words, for the head of the dock and the canvas. Knows numbers and words only."""

import math
from typing import Any

from assay.review.decisions import Decision
from assay.review.state import ReviewState
from napari_plugin.event_list import hours_words, number_words

_STATUS_WORDS = {
    "pending": "not reviewed yet",
    "accepted": "accepted",
    "rejected": "rejected",
    "unsure": "unsure",
    "disagreement": "readers disagree",
}


def is_asked(event: dict[str, Any], status: str, *, blinded: bool) -> bool:
    """Whether a reader is asked if a target died at all: the pipeline did not call it, and nobody decided."""
    return not blinded and int(event["death_id"]) == 0 and status in ("pending", "unsure")


def headline(event: dict[str, Any], *, blinded: bool, time_min: float, asked: bool = False) -> str:
    """Who dies when, as: B03 · target 12 dies at 1:42 h (frame 17), or did target 12 die ...?"""
    where = "" if blinded else f"{event['well']} · "
    who, when = f"target {event['target_track_id']}", f"at {hours_words(time_min)} h (frame {event['frame']})"
    return f"{where}did {who} die {when}?" if asked else f"{where}{who} dies {when}"


def verdict_line(event: dict[str, Any], *, blinded: bool, killer_chosen: bool, asked: bool = False) -> str:
    """Who did it, as the pipeline says or a reader chose."""
    if blinded:
        return "Blinded: judge from the images alone."
    killer = float(event["killer"])
    probability = f"death P {float(event['probability']):.2f}"
    if asked:
        probability += ", not called: counts if accepted"
    if killer_chosen:
        return (
            f"{probability} · "
            + ("nobody killed it" if math.isnan(killer) else f"effector {killer:.0f} did it")
            + " (chosen)"
        )
    if math.isnan(killer):
        left = number_words(float(event["uncredited_share"]), "{:.2f}")
        return f"{probability} · nobody is credited (uncredited {left})"
    share = number_words(float(event["killer_share"]), "{:.2f}")
    contact = number_words(float(event["contact_min"]), "{:.0f} min in contact")
    if asked:
        return f"{probability} · then by effector {killer:.0f}: share {share}, {contact}"
    return f"{probability} · effector {killer:.0f} did it: share {share}, {contact}"


def status_words(status: str, about: str, notes: tuple[tuple[str, str], ...], *, blinded: bool) -> str:
    """What stands, and what readers wrote."""
    words = _STATUS_WORDS.get(status, status)
    if status == "disagreement" and about:
        words = f"readers disagree about the {about}"
    if notes and not blinded:
        reader, note = notes[-1]
        words += f" · {reader}: “{note}”"
    return words


def progress_words(done: int, total: int, minutes: float | None) -> str:
    """How far the review is, as: 37 of 300 reviewed, about 14 min left."""
    words = f"{done} of {total} reviewed"
    if done == total:
        return f"{words}: all done"
    if minutes is None:
        return words
    if minutes < 1:
        return f"{words}, less than a minute left"
    hours, rest = divmod(round(minutes), 60)
    return f"{words}, about " + (f"{hours} h {rest} min left" if hours else f"{rest} min left")


def end_words(step: int, *, pending: bool, n_pending: int) -> str:
    """Why there is no further event."""
    if pending and n_pending == 0:
        return "All events are reviewed."
    if pending:
        return "No more pending events among those that the filter shows."
    return "End of the list." if step > 0 else "Start of the list."


def history_words(decision: Decision, state: ReviewState, *, blinded: bool) -> str:
    """What an undo took back, or a redo did again."""
    key = decision.values.get("sitting") or decision.sitting, decision.values.get("number")
    verb = next((one.verb for one in state.decisions if one.key == key), "decision")
    row = state.row_of(decision.event) if decision.event else None
    if row is None:
        return verb
    target = f"target {state.events['target_track_id'][row]}"
    return f"{verb} of {target}" if blinded else f"{verb} of {state.events['well'][row]} {target}"
