"""Validation of a plate before a run: metadata of every field, the protocol, and the light of a few frames.

What plans and labels need takes seconds to load, so it is loaded where it is used: a plate that is refused is
refused at once.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assay.brightness import frames_to_sample
from assay.errors import AssayError
from assay.invalid_planes import mask_frames
from assay.io.plate_reader import Plate, open_plate
from assay.pipeline.frame_sizes import require_workable_frames
from assay.pipeline.large_frames import light_of
from assay.pipeline.plan import RunPlan
from assay.protocol import Protocol
from assay.quality import concatenate
from assay.report.findings import death_note
from assay.segmentation_quality import unseen_texts
from assay.stack import FieldId

if TYPE_CHECKING:
    from assay.io.given_labels import LabelRequest
    from assay.pipeline.label_contrast import LabelDoubts

_FIELDS_LOOKED_AT = 12
_FRAMES_LOOKED_AT = 3


def check_plate(
    path: Path, protocol: Protocol | None, labels: "LabelRequest | None" = None
) -> tuple[list[str], list[str]]:
    """Look a plate over without computing anything that takes long.

    Args:
        path: The plate.
        protocol: To check it against.
        labels: Label images of another program to check with it; needs a protocol.

    Returns:
        Problems that stop a run, and lines that describe the plate.

    Raises:
        AssayError: The plate cannot be opened at all.
    """
    plate = open_plate(path)
    problems, kinds = _fields(plate, protocol)
    wells = sorted({place.well for place in plate.fields})
    lines = [f"{path.name}: {len(plate.fields)} fields in {len(wells)} wells"]
    lines += [f"{count} fields: {kind}" for kind, count in sorted(kinds.items())]
    if protocol is not None:
        lines += _plate_map(protocol, wells)
        lines += _channels(plate, protocol) if labels is None else []
    step = max(1, -(-len(plate.fields) // _FIELDS_LOOKED_AT))
    for place in plate.fields[::step]:
        if str(place) not in " ".join(problems):
            problems += _light(plate, place, protocol)
    if labels is not None and protocol is not None:
        from assay.pipeline.planning import RunOptions, plan_run

        plan = plan_run(path, Path(), protocol=protocol, options=RunOptions(), labels=labels)
        doubts = look_at_labels(plan)
        stops = [*plan.refused.values(), *(doubt.problem for doubt in doubts if doubt.problem)]
        problems += [line for line in stops if line not in problems]
        lines.append(describe_labels(plan))
        lines += [f"WARNING {line}" for line in plan.labels["warnings"]]
        lines += [f"WARNING {line}" for doubt in doubts for line in (*doubt.odd, *doubt.misplaced)]
    if not problems:
        lines.append("nothing speaks against a run")
    return problems, lines


def describe_labels(plan: RunPlan) -> str:
    """What labels of another program were taken for."""
    words = ", ".join(f"{name!r} for {role}s" for role, name in plan.labels["roles"].items())
    values = "track ids" if plan.labels["tracked"] else "labels of their own frame, to be followed"
    return f"labels: {plan.labels['read_as']}; {words}; values are {values}"


def look_at_labels(plan: RunPlan) -> "list[LabelDoubts]":
    """Look at labels of another program in a few fields and frames; nothing where there are none."""
    if not plan.labels:
        return []
    from assay.pipeline.label_contrast import doubts_about_labels

    step = max(1, -(-len(plan.fields) // _FIELDS_LOOKED_AT))
    found = []
    for field in plan.fields[::step]:
        usable = [frame for frame in range(field.shape[0]) if frame not in field.missing_frames]
        found.append(doubts_about_labels(field, _spread(usable)))
    return found


def _spread(frames: Sequence[int]) -> list[int]:
    """First, middle and last."""
    places = {round(k * (len(frames) - 1) / (_FRAMES_LOOKED_AT - 1)) for k in range(_FRAMES_LOOKED_AT)}
    return [frames[place] for place in sorted(places)]


def _fields(plate: Plate, protocol: Protocol | None) -> tuple[list[str], Counter[str]]:
    problems: list[str] = []
    kinds: Counter[str] = Counter()
    given = protocol.calibration if protocol else None
    for place in plate.fields:
        try:
            stack = plate.stack(place, calibration=given)
            require_workable_frames(stack.shape, place)
            if protocol is not None:
                protocol.channel_indices(stack.channel_names, str(place))
        except AssayError as error:
            problems.append(str(error))
            continue
        t, _, y, x = stack.shape
        size, interval = stack.calibration.pixel_um, stack.calibration.frame_min
        every = f", every {interval:g} min" if interval is not None else ""
        channels = ", ".join(stack.channel_names)
        missing = f", {len(stack.missing_frames)} frames missing" if stack.missing_frames else ""
        kinds[
            f"{t} frames{every} of {y} x {x} px at {size[0]:g} x {size[1]:g} um{missing}; channels {channels}"
        ] += 1
    return problems, kinds


def _channels(plate: Plate, protocol: Protocol) -> list[str]:
    """What the model does without, and which channels no role uses, by the first field that can be opened."""
    for place in plate.fields:
        try:
            names = plate.stack(place, calibration=protocol.calibration).channel_names
            roles = protocol.channel_indices(names, str(place))
        except AssayError:
            continue  # it is among the problems
        used = {names[channel] for channels in roles.values() for channel in channels}
        return [f"WARNING {text}" for text in unseen_texts(roles, names, used)]
    return []


def _plate_map(protocol: Protocol, wells: list[str]) -> list[str]:
    mapped = {well for condition in protocol.conditions for well in condition.wells}
    lines = [f"condition {c.name} ({c.kind}): {', '.join(c.wells)}" for c in protocol.conditions]
    if not_imaged := sorted(mapped - set(wells)):
        lines.append(f"WARNING in the plate map but not on the plate: {', '.join(not_imaged)}")
    if not_mapped := sorted(set(wells) - mapped):
        lines.append(f"WARNING on the plate but in no condition: {', '.join(not_mapped)}")
    if note := death_note(protocol):
        lines.append(f"WARNING {note[0].lower()}{note[1:-1]}")
    kinds = {condition.kind for condition in protocol.conditions}
    if kinds and "sample" not in kinds:
        lines.append(
            f"WARNING no sample wells, all are {' or '.join(sorted(kinds))}: there is nothing to compare with them"
        )
    if "target_only" not in kinds:
        lines.append("WARNING no target_only wells: cytolysis_percent will be missing")
    if "mock" not in kinds:
        lines.append("WARNING no mock wells: no difference to control, and kills rest on timing alone")
    return lines


def _light(plate: Plate, place: FieldId, protocol: Protocol | None) -> list[str]:
    """Problems with the first, middle and last frame of a field."""
    try:
        stack = plate.stack(place, calibration=protocol.calibration if protocol else None)
        usable = frames_to_sample(stack.shape[0], stack.missing_frames)
        chosen = _spread(usable)
        quality = concatenate([light_of(stack, frame) for frame in chosen])
    except AssayError as error:
        return [str(error)]
    masked = mask_frames(quality, channel_names=stack.channel_names, steady_channels=())
    if len(masked) < len(chosen):
        return []
    return [
        f"{place}: {len(masked)} of {len(chosen)} frames looked at are unusable: {next(iter(masked.values()))}."
    ]
