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
    "These are films of a single frame or two. Cells were counted and measured, but so few frames have no events: "
    "contacts through time, deaths and kills need at least three. They are unknown here, not zero."
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
    sentences = [_sentence(row, wells) for row in samples[:3]]
    if len(samples) > 3:
        sentences.append(f"{count(len(samples) - 3, 'further condition')} in the table below.")
    return sentences


def control_note(tables: Mapping[str, Table]) -> str | None:
    """What cannot be said for want of a control, and controls that are to be doubted."""
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
    return " ".join([*missing, *_doubtful_controls(tables)]) or None


def death_note(protocol: Protocol) -> str | None:
    """That nothing in the images is meant to show death."""
    if "death" in protocol.channels:
        return None
    return (
        "No channel shows death (role death in the protocol's channels): deaths are told by how cells look, move and vanish, "
        "which finds fewer of them, and later."
    )


def _doubtful_controls(tables: Mapping[str, Table]) -> list[str]:
    """Control wells that do not look like what the protocol calls them."""
    wells = [well for well in rows(tables.get("wells")) if well["status"] == "ok"]
    found = []
    for kind, own, word in (
        ("target_only", "n_targets", "targets"),
        ("mock", "n_targets", "targets"),
        ("mock", "n_effectors", "effectors"),
        ("effector_only", "n_effectors", "effectors"),
    ):
        empty = [str(well["well"]) for well in wells if well["kind"] == kind and well[own] == 0]
        if empty:
            found.append(
                f"{_together('Well', empty)} ({KIND_WORDS[kind]}) show{'' if len(empty) > 1 else 's'} no {word} in the first usable "
                "frame, so nothing is learned there. Check the plate map."
            )
    for kind, strangers, word in (
        ("target_only", "n_effectors", "effectors"),
        ("effector_only", "n_targets", "targets"),
    ):
        own = "n_targets" if kind == "target_only" else "n_effectors"
        named = [
            f"{well['well']} ({number(well[strangers], 0)})"
            for well in wells
            if well["kind"] == kind
            and is_known(well[strangers])
            and is_known(well[own])
            and float(well[strangers]) >= max(3.0, _STRANGERS * float(well[own]))
        ]
        if named:
            found.append(
                f"{word.capitalize()} were counted in wells that the protocol calls {KIND_WORDS[kind]}: "
                f"{_together('', named)}. Check the plate map, and whether one dye shows in the other's channel."
            )
    return found


def outlines_note(provenance: Mapping[str, Any]) -> str | None:
    """Where the outlines of the cells came from, where it was not our model."""
    labels = provenance.get("labels")
    if not labels:
        return None
    roles, words = labels["roles"], {"effector": "effectors", "target": "targets"}
    given = " and ".join(word for role, word in words.items() if role in roles)
    followed = (
        "whose values were taken as track ids" if labels["tracked"] else "followed through time by killassay"
    )
    note = (
        f"The outlines of {given} are label images that were given ({labels['source']}), {followed}; how sure they are "
        "is not known."
    )
    others = [word for role, word in words.items() if role not in roles]
    return note + (f" Those of {others[0]} come from the model." if others else "")


def label_doubts(provenance: Mapping[str, Any]) -> list[str]:
    """What was odd in label images that were given; the first few, and how many more."""
    warnings = list((provenance.get("labels") or {}).get("warnings", ()))
    more = len(warnings) - _SHOWN
    return [*warnings[:_SHOWN], f"and {more} more, in provenance.json"] if more > 0 else warnings


def left_out(tables: Mapping[str, Table], protocol: Protocol) -> list[LeftOut]:
    """Everything that does not count: wells, fields and frames, and wells that never came.

    What has the same status and reason stands together; a field that fell with its well is not said twice.
    """
    wells = rows(tables.get("wells"))
    found: dict[tuple[str, str, str], list[str]] = {}
    for well in wells:
        if well["status"] in ("failed", "excluded"):
            found.setdefault(("well", well["status"], _reason(well)), []).append(str(well["well"]))
        elif well["condition"] is None and protocol.conditions:
            text = "no condition of the protocol names it: it is in the table of wells, but in no mean"
            found.setdefault(("well", "unassigned", text), []).append(str(well["well"]))
    fallen = {name for (_, status, _), names in found.items() if status != "unassigned" for name in names}
    told = {(name, key[2]) for key, names in found.items() for name in names}
    for field in rows(tables.get("fields")):
        where = f"{field['well']} field {field['field']}"
        if field["status"] != "ok" and (field["well"], _reason(field)) not in told:
            found.setdefault(("", str(field["status"]), _reason(field)), []).append(where)
        elif field["status"] == "ok" and (text := _unseen(field)) and field["well"] not in fallen:
            found.setdefault(("", "masked", text), []).append(where)
    known = {well["well"] for well in wells}
    for condition in protocol.conditions:
        text = f"named in the protocol ({condition.name}), but not analysed"
        for name in condition.wells:
            if name not in known:
                found.setdefault(("well", "missing", text), []).append(name)
    entries = [
        LeftOut(what=_together(noun, names), status=status, reason=reason)
        for (noun, status, reason), names in found.items()
    ]
    return sorted(entries, key=lambda entry: (_ORDER.index(entry.status), entry.what))


def _unseen(field: Mapping[str, Any]) -> str:
    """What of a field holds no usable image, and what follows; "" where all does."""
    masked, wrong = int(field["n_masked_frames"]), field["invalid_planes"]
    text = ""
    if masked:
        text = f"{count(masked, 'frame')} of {field['n_frames']} without a usable image: {field['masked_frames']}"
    if wrong:
        images = count(int(field["n_invalid_planes"]), "image")
        text += f" ({wrong})" if text else f"{images} not read, cells are followed all the same ({wrong})"
    return text


_STRANGERS = 0.1  # share of cells that do not belong in a control well before it is doubted
_SHOWN = 12  # names in one entry
_ORDER = ("failed", "excluded", "missing", "unassigned", "masked")


def well_numbers(well: Mapping[str, Any]) -> str:
    """Why a well has no numbers; "" where it has some."""
    if well["status"] == "ok":
        return ""
    if well["status"] == "no_events":
        return "too few frames for events"
    return f"{well['status']}: {_reason(well)}"


def _sentence(row: Mapping[str, Any], wells: list[dict[str, Any]]) -> str:
    value = number(row["kills_per_100_targets"])
    words = f"With {row['condition']}, effectors killed {value} of 100 targets"
    low, high = row["kills_per_100_targets_low"], row["kills_per_100_targets_high"]
    if is_known(low) and is_known(high):
        words += f" (90 % interval {number(low)} to {number(high)})"
    elif int(row["n_wells"]) == 1:
        words += _single_well(row, wells)
    if is_known(row["difference_to_control"]):
        words += f", {_more(row['difference_to_control'])} than in the mock wells"
        low, high = row["difference_low"], row["difference_high"]
        words += f" ({number(low)} to {number(high)})" if is_known(low) and is_known(high) else ""
    return words + "."


def _single_well(row: Mapping[str, Any], wells: list[dict[str, Any]]) -> str:
    """The interval of the only well: of its own count, not of how wells differ."""
    rates = [kills_per_100(well) for well in wells if well["condition"] == row["condition"]]
    known = [rate for rate in rates if all(is_known(value) for value in rate)]
    if len(known) != 1:
        return " (one well)"
    return f" (one well; 90 % interval of its own count {number(known[0][1])} to {number(known[0][2])})"


def _more(difference: Any) -> str:
    return f"{number(abs(float(difference)))} {'more' if float(difference) >= 0 else 'fewer'}"


def _without_conditions(wells: list[dict[str, Any]]) -> list[str]:
    known = sorted(kills_per_100(well)[0] for well in wells if is_known(kills_per_100(well)[0]))
    if not known:
        return ["No sample well gave a number of kills."]
    kinds = {well["kind"] for well in wells}
    if "sample" not in kinds and None not in kinds:
        named = " or ".join(KIND_WORDS[kind] for kind in sorted(kinds))
        return [
            f"There is no sample: the protocol calls all {count(len(wells), 'well')} {named}, so there is no result to compare "
            "with the control."
        ]
    return [
        f"Kills per 100 targets lie between {number(known[0])} and {number(known[-1])} over "
        f"{count(len(known), 'well')}. Name the conditions in the protocol to have them compared."
    ]


def _reason(row: Mapping[str, Any]) -> str:
    return str(row["reason"] or "no reason was recorded")


def _together(noun: str, names: list[str]) -> str:
    shown = ", ".join(sorted(names)[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{noun}{'s' if len(names) > 1 else ''} {shown}{more}" if noun else f"{shown}{more}"
