"""What a disagreement between readers can be settled as. Knows decisions and words only."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from assay.review.state import ACCEPTED, DISAGREEMENT, REJECTED, EventState, ReviewState, Verdict
from napari_plugin.event_list import killer_words

MOST = 6  # choices, as many as there are keys for them


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """One choice."""

    words: str
    values: Mapping[str, Any]  # of the decision `settle`


def settlements(state: ReviewState, event: str, *, frame: int, candidates: Iterable[int]) -> list[Settlement]:
    """What each reader says, then what else it could be; nothing where readers do not disagree.

    Args:
        state: What stands.
        event: Its name.
        frame: That the viewer shows, offered where they disagree about the frame.
        candidates: Effectors that touched the target, offered where they disagree about the killer.
    """
    now = state.of(event)
    if now.status != DISAGREEMENT:
        return []
    said = _said(now, state.shown(event))
    found = [_choice(values, readers) for values, readers in said.values()]
    if now.about == "frame" and frame not in [values.get("frame") for values, _ in said.values()]:
        found.append(_choice({"status": "accepted", "frame": frame}, []))
    if now.about == "killer":
        named = [values.get("effector_track_id", 0) for values, _ in said.values()]
        others = [one for one in [*candidates, None] if one not in named]
        found += [_choice({"status": "accepted", "effector_track_id": one}, []) for one in others]
    unsure = Settlement(words="unsure: as the pipeline had it", values={"status": "unsure"})
    return [*found[: MOST - 1], unsure]


def _said(
    now: EventState, shown: tuple[int, float]
) -> dict[tuple[tuple[str, Any], ...], tuple[dict[str, Any], list[str]]]:
    """What readers say, each once, with who says it."""
    said: dict[tuple[tuple[str, Any], ...], tuple[dict[str, Any], list[str]]] = {}
    for reader, verdict in now.verdicts.items():
        if verdict.status in (ACCEPTED, REJECTED):
            values = _values(verdict, shown)
            said.setdefault(tuple(sorted(values.items())), (values, []))[1].append(reader)
    return said


def _values(verdict: Verdict, shown: tuple[int, float]) -> dict[str, Any]:
    if verdict.status == REJECTED:
        return {"status": "rejected"}
    values: dict[str, Any] = {
        "status": "accepted",
        "frame": shown[0] if verdict.frame is None else verdict.frame,
    }
    killer = shown[1] if verdict.killer is None and verdict.sees_killer else verdict.killer
    if killer is not None:
        values["effector_track_id"] = None if math.isnan(killer) else int(killer)
    return values


def _choice(values: dict[str, Any], readers: list[str]) -> Settlement:
    words = "no death" if values["status"] == "rejected" else "death"
    if "frame" in values:
        words += f" at frame {values['frame']}"
    if "effector_track_id" in values:
        effector = values["effector_track_id"]
        words += " by " + killer_words(math.nan if effector is None else float(effector))
    who = ", ".join(readers)
    return Settlement(words=f"{words} ({who})" if who else words, values=values)
