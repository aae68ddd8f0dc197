"""What will be run: every field's metadata looked at, labels of other programs opened, the work cut."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from assay.errors import AssayError, ImageError, ProtocolError, ResultsError
from assay.io.given_labels import LabelRequest, labels_of
from assay.io.ome_zarr import Plate, open_plate
from assay.pipeline.frame_sizes import require_workable_frames
from assay.pipeline.given import open_given, record_of
from assay.pipeline.label_images import label_shard_frames
from assay.pipeline.plan import FieldPlan, RunPlan
from assay.protocol import Protocol as AssayProtocol
from assay.stack import FieldId


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is carried out; nothing here changes any number but `redo`."""

    workers: int = 1
    gpus: tuple[str, ...] = ()  # names of this machine's GPUs, where each worker takes one
    wells: tuple[str, ...] = ()  # only these; empty for all
    part: tuple[int, int] = (1, 1)  # (I, N): this process does the I-th of N disjoint parts of the fields
    shards_per_task: int = 1
    batch_frames: int | None = None
    redo: bool = False  # let a protocol that sees the images otherwise replace what is there


def plan_run(
    plate: Path,
    results: Path,
    *,
    protocol: AssayProtocol,
    options: RunOptions,
    labels: LabelRequest | None = None,
) -> RunPlan:
    """Look at every field's metadata and cut the work; nothing is computed and nothing written.

    Give the plan its model before running it, unless labels are given for both roles:
    `plan_run(...).with_segmenter(identity)`.

    Args:
        plate: OME-Zarr plate or image.
        results: RESULTS.
        protocol: Settings of the experiment.
        options: How the run is carried out.
        labels: Label images of another program to take in the place of the model's.

    Raises:
        AssayError: The plate or the labels cannot be read, or none of the fields that are asked for can be run.
    """
    opened = open_plate(plate)
    _require_wells(opened.fields, options.wells)
    if not opened.is_single_image:  # which is well A01 whatever it was before
        _require_its_map(opened.fields, protocol)
    source = open_given(labels, protocol, opened.fields, opened.identity()) if labels else None
    fields: list[FieldPlan] = []
    refused: dict[FieldId, str] = {}
    first_error: AssayError | None = None
    for place in opened.fields:
        try:
            planned = _plan_field(opened, place, results, protocol)
            require_workable_frames(planned.shape, place, given_labels=labels is not None)
            if source is not None and labels is not None:
                t, _, y, x = planned.shape
                given = labels_of(source, labels, place, shape=(t, y, x), missing=planned.missing_frames)
                planned = replace(planned, given=given)
            fields.append(planned)
        except AssayError as error:
            if not options.wells or place.well in options.wells:
                first_error = first_error or error
                refused[place] = str(error)
    plan = RunPlan(
        plate=plate,
        plate_name=opened.name,
        plate_identity=opened.identity(),
        results=results,
        protocol=protocol,
        all_fields=tuple(fields),
        wells=options.wells,
        refused=refused,
        labels=record_of(source, labels, opened.fields) if source is not None and labels is not None else {},
    )
    if first_error is not None and not plan.fields:
        raise first_error
    return plan


def _plan_field(plate: Plate, place: FieldId, results: Path, protocol: AssayProtocol) -> FieldPlan:
    stack = plate.stack(place, calibration=protocol.calibration)
    missing = stack.missing_frames
    if len(missing) == stack.shape[0]:
        raise ImageError(
            f"{place}: none of its {len(missing)} frames was ever recorded. Film it, or leave it out."
        )
    return FieldPlan(
        plate=plate.path,
        results=results,
        field=place,
        shape=stack.shape,
        dtype=stack.dtype.str,
        calibration=stack.calibration,
        channel_names=stack.channel_names,
        roles=protocol.channel_indices(stack.channel_names, str(place)),
        missing_frames=missing,
        identity=plate.field_identity(place),
        run_frames=label_shard_frames(stack.shape),
        protocol=protocol,
        segmenter={},
    )


def _require_its_map(fields: Sequence[FieldId], protocol: AssayProtocol) -> None:
    """Refuse the plate map of another plate: not one of its wells is here.

    Raises:
        ProtocolError: None of the wells of the conditions is on the plate.
    """
    mapped = sorted({well for condition in protocol.conditions for well in condition.wells})
    known = sorted({place.well for place in fields})
    if mapped and not set(mapped) & set(known):
        raise ProtocolError(
            f"none of the wells of the protocol's conditions ({_some(mapped)}) is on the plate, which has {_some(known)}. "
            "Take the protocol of this plate, or correct its [[condition]] wells."
        )


def _some(wells: Sequence[str]) -> str:
    return ", ".join(wells[:6]) + (f" and {len(wells) - 6} more" if len(wells) > 6 else "")


def _require_wells(fields: Sequence[FieldId], wells: Sequence[str]) -> None:
    known = sorted({place.well for place in fields})
    unknown = sorted(set(wells) - set(known))
    if unknown:
        raise ResultsError(f"the plate has no well {', '.join(unknown)}. It has {', '.join(known)}.")
