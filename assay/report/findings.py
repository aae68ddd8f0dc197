"""What the tables say, in sentences: the headline, and what was left out and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from assay.columns import Table
from assay.protocol import Protocol
from assay.report.numbers import count, is_known, kills_per_100, number, rows

KIND_WORDS = {
    "sample": "sample",
    "mock": "mock control",
    "target_only": "targets only",
    "effector_only": "effectors only",
}
NO_EVENTS = (
    "These are films of a single frame. Cells were counted and measured, but a single frame has no events: "
    "contacts through time, deaths and kills need at least two frames. They are unknown here, not zero."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """Something that does not count, and why."""

    what: str
    status: str  # "failed", "excluded", "masked", "missing" or "unassigned"
    reason: str


def is_without_events(tables: Mapping[str, Table]) -> bool:
    """Every well that gave anything holds films of one frame only."""
    statuses = {well["status"] for well in rows(tables.get("wells"))}
    return "no_events" in statuses and "ok" not in statuses


def headline(tables: Mapping[str, Table]) -> list[str]:
    """The result in one sentence per sample condition, strongest first; or why there is none."""
    wells, conditions = rows(tables.get("wells")), rows(tables.get("conditions"))
    if not wells:
        return ["No well was analysed."]
    if is_without_events(tables):
        return [NO_EVENTS]
    if not any(well["status"] == "ok" for well in wells):
        return [
            f"No result: none of the {count(len(wells), 'well')} could be used. The reasons are listed below."
        ]
    samples = [
        row for row in conditions if row["kind"] == "sample" and is_known(row["kills_per_100_targets"])
    ]
    samples.sort(key=lambda row: -float(row["kills_per_100_targets"]))
    if not samples:
        return _without_conditions(wells)
    sentences = [_sentence(row) for row in samples[:3]]
    if len(samples) > 3:
        sentences.append(f"{count(len(samples) - 3, 'further condition')} in the table below.")
    return sentences


def control_note(tables: Mapping[str, Table]) -> str | None:
    """What cannot be said for want of a control."""
    if is_without_events(tables):
        return None
    kinds = {well["kind"] for well in rows(tables.get("wells")) if well["status"] == "ok"}
    missing = []
    if "sample" in kinds and "mock" not in kinds:
        missing.append(
            "There are no usable mock wells, so nothing is subtracted: kills include what effectors without the "
            "construct would do."
        )
    if kinds and "target_only" not in kinds:
        missing.append(
            "There are no usable target-only wells, so the death of targets by themselves is not known and no "
            "cytolysis in percent is given."
        )
    return " ".join(missing) or None


def left_out(tables: Mapping[str, Table], protocol: Protocol) -> list[LeftOut]:
    """Everything that does not count, in plate order: wells, fields, frames, wells that never came."""
    wells = rows(tables.get("wells"))
    found = []
    gone = set()
    for well in wells:
        if well["status"] in ("failed", "excluded"):
            gone.add(well["well"])
            found.append(LeftOut(what=f"well {well['well']}", status=well["status"], reason=_reason(well)))
        elif well["condition"] is None and protocol.conditions:
            text = "stands in no condition of the protocol: it is in the table of wells, but in no mean"
            found.append(LeftOut(what=f"well {well['well']}", status="unassigned", reason=text))
    for field in rows(tables.get("fields")):
        where = f"well {field['well']}, field {field['field']}"
        if field["status"] != "ok":
            found.append(LeftOut(what=where, status=field["status"], reason=_reason(field)))
        elif field["n_masked_frames"] > 0:
            masked, all_frames = int(field["n_masked_frames"]), int(field["n_frames"])
            text = (
                f"{count(masked, 'frame')} of {all_frames} without a usable image: {field['masked_frames']}"
            )
            found.append(LeftOut(what=where, status="masked", reason=text))
    known = {well["well"] for well in wells}
    for condition in protocol.conditions:
        for name in condition.wells:
            if name not in known:
                text = f"named in the protocol ({condition.name}), but not analysed"
                found.append(LeftOut(what=f"well {name}", status="missing", reason=text))
    return sorted(found, key=lambda entry: (_ORDER.index(entry.status), entry.what))


_ORDER = ("failed", "excluded", "missing", "unassigned", "masked")


def well_numbers(well: Mapping[str, Any]) -> str:
    """Why a well has no numbers; "" where it has some."""
    if well["status"] == "ok":
        return ""
    if well["status"] == "no_events":
        return "a single frame has no events"
    return f"{well['status']}: {_reason(well)}"


def _sentence(row: Mapping[str, Any]) -> str:
    value = number(row["kills_per_100_targets"])
    words = f"{row['condition']}: {value} of 100 targets were killed by effectors"
    low, high = row["kills_per_100_targets_low"], row["kills_per_100_targets_high"]
    words += f" (90 % interval {number(low)} to {number(high)})" if is_known(low) and is_known(high) else ""
    if is_known(row["difference_to_control"]):
        words += f", {_more(row['difference_to_control'])} than in the mock wells"
        low, high = row["difference_low"], row["difference_high"]
        words += f" ({number(low)} to {number(high)})" if is_known(low) and is_known(high) else ""
    return words + "."


def _more(difference: Any) -> str:
    return f"{number(abs(float(difference)))} {'more' if float(difference) >= 0 else 'fewer'}"


def _without_conditions(wells: list[dict[str, Any]]) -> list[str]:
    known = sorted(kills_per_100(well)[0] for well in wells if is_known(kills_per_100(well)[0]))
    if not known:
        return ["No sample well gave a number of kills."]
    return [
        f"Kills per 100 targets lie between {number(known[0])} and {number(known[-1])} over "
        f"{count(len(known), 'well')}. Name the conditions in the protocol to have them compared."
    ]


def _reason(row: Mapping[str, Any]) -> str:
    return str(row["reason"] or "no reason was recorded")
