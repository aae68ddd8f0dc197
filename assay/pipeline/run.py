"""The order of the steps, for a whole plate: what is there is kept, what failed is said, what stops is resumable."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from assay.errors import AssayError, ResultsError
from assay.execution import Engine, Task, open_engine
from assay.io.ledger import Ledger
from assay.io.ome_zarr import LabelPlate, MissingChunks, open_plate
from assay.io.results import Results
from assay.pipeline.cells import find_events, link_field, write_labels
from assay.pipeline.label_images import label_shard_frames, make_label_images
from assay.pipeline.page import write_page
from assay.pipeline.pixels import (
    MakeSegmenter,
    field_unit_of,
    scale_field,
    segment_run,
    unit_of,
)
from assay.pipeline.plan import FieldPlan, RunPlan
from assay.pipeline.plate import write_result_tables
from assay.pipeline.status import write_expected
from assay.protocol import Protocol as AssayProtocol
from assay.protocol import read_protocol
from assay.stack import FieldId

_PIXELS_WORTH_A_WORKER = 150_000_000  # starting processes that each load a model takes about ten seconds


class Progress(Protocol):
    """Who is told how far a run is; `assay.cli.progress.Reporter` is one."""

    def begin(self, step: str, total: int, done: int = 0) -> None:
        """A step begins."""

    def advance(self) -> None:
        """One more unit of it is done."""

    def say(self, line: str) -> None:
        """Something worth knowing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How a run is carried out; nothing here changes any number but `redo`."""

    workers: int = 1
    wells: tuple[str, ...] = ()  # only these; empty for all
    part: tuple[int, int] = (1, 1)  # (I, N): this process does the I-th of N disjoint parts of the fields
    shards_per_task: int = 1
    batch_frames: int | None = None
    redo: bool = False  # let a protocol that sees the images otherwise replace what is there


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How a run ended. `failed` holds the fields that are no zero but unknown, each with the reason."""

    plan: RunPlan
    failed: Mapping[FieldId, str]
    complete: bool  # False for a part of a job array: a last run without --shard merges
    report: Path | None = None


@dataclass(slots=True)
class _Run:
    """What one run holds on to while it works."""

    plan: RunPlan
    results: Results
    engine: Engine
    progress: Progress
    failed: dict[FieldId, str] = field(default_factory=dict)

    def step(self, name: str, tasks: Sequence[Task], total: int) -> None:
        """Run the tasks of one step; of a field's errors the one of its first unit is kept."""
        self.progress.begin(name, total, total - len(tasks))
        errors: dict[FieldId, tuple[str, str]] = {}
        for outcome in self.engine.run(tasks):
            self.progress.advance()
            if outcome.error is not None and outcome.task.field is not None:
                mine = (outcome.task.unit, outcome.error)
                errors[outcome.task.field] = min(mine, errors.get(outcome.task.field, mine))
        for place, (unit, message) in sorted(errors.items()):
            self.failed[place] = message
            self.results.ledger.mark_failed(name, unit, message)
            self.progress.say(f"failed: {message}")


def plan_run(
    plate: Path,
    results: Path,
    *,
    protocol: AssayProtocol,
    options: RunOptions,
) -> RunPlan:
    """Look at every field's metadata and cut the work; nothing is computed and nothing written.

    Give the plan its model before running it: `plan_run(...).with_segmenter(identity)`.

    Raises:
        AssayError: The plate cannot be read, or none of the fields that are asked for can be run.
    """
    opened = open_plate(plate)
    _require_wells(opened.fields, options.wells)
    fields: list[FieldPlan] = []
    refused: dict[FieldId, str] = {}
    first_error: AssayError | None = None
    policy: MissingChunks = "mask" if protocol.input.missing_chunks == "mask" else "fail"
    for place in opened.fields:
        try:
            stack = opened.stack(place, calibration=protocol.calibration, missing_chunks=policy)
            fields.append(
                FieldPlan(
                    plate=plate,
                    results=results,
                    field=place,
                    shape=stack.shape,
                    dtype=stack.dtype.str,
                    calibration=stack.calibration,
                    channel_names=stack.channel_names,
                    roles=protocol.channel_indices(stack.channel_names, str(place)),
                    missing_frames=stack.missing_frames,
                    identity=opened.field_identity(place),
                    run_frames=options.shards_per_task * label_shard_frames(stack.shape),
                    protocol=protocol,
                    segmenter={},
                )
            )
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
    )
    if first_error is not None and not plan.fields:
        raise first_error
    return plan


def choose_workers(plan: RunPlan, cores: int) -> int:
    """How many processes pay: one on a GPU or for little work, else one per core and run of frames."""
    if not plan.fields or plan.fields[0].segmenter.get("device", "cpu") != "cpu":
        return 1
    pixels = sum(p.shape[0] * p.shape[2] * p.shape[3] for p in plan.fields)
    runs = sum(len(p.runs()) for p in plan.fields)
    return 1 if pixels < _PIXELS_WORTH_A_WORKER else max(1, min(cores, runs))


def run_plate(
    plan: RunPlan,
    *,
    make_segmenter: MakeSegmenter,
    provenance: Mapping[str, Any],
    options: RunOptions,
    progress: Progress,
) -> RunOutcome:
    """Run the main job, or go on with it: the same answer however often it was stopped.

    Args:
        plan: From `plan_run`.
        make_segmenter: Makes the model, once in every process that needs it; must be picklable.
        provenance: Versions, device and command, written beside the results.
        options: Workers and parts.
        progress: Is told how far it is.

    Raises:
        AssayError: Disk or device refuse, and what is done is kept.
    """
    results = Results.create_or_open(
        plan.results,
        plate_name=plan.plate_name,
        plate_identity=plan.plate_identity,
        plate_path=str(plan.plate.resolve()),
    )
    number, of = options.part
    with results.lock(f"part-{number}-of-{of}" if of > 1 else "run"):
        if not options.redo:
            _require_same_images(plan.protocol, results)
        results.write_protocol(plan.protocol.to_toml())
        write_expected(plan, results)
        make_label_images(plan, results)
        with open_engine(options.workers) as engine:
            run = _Run(plan=plan, results=results, engine=engine, progress=progress)
            _per_field_steps(run, plan.fields[number - 1 :: of], make_segmenter, options)
        failed = dict(sorted({**plan.refused, **run.failed}.items()))
        if of > 1:
            return RunOutcome(plan=plan, failed=failed, complete=False)
        progress.begin("wells and report", 2)
        write_result_tables(plan, results, failed)
        LabelPlate.open(results.labels).choose_windows()
        progress.advance()
        results.write_provenance({**provenance, **_record(plan, failed)})
        report = write_page(plan, results, failed)
        progress.advance()
        return RunOutcome(plan=plan, failed=failed, complete=True, report=report)


def _require_same_images(protocol: AssayProtocol, results: Results) -> None:
    """Refuse a protocol under which every pixel would be looked at again; a threshold may change.

    Raises:
        ResultsError: Channels, model, pixel size or the treatment of missing chunks changed.
    """
    if not results.protocol_file.is_file():
        return
    before = read_protocol(results.protocol_file)
    now_then = {
        "[channels]": (dict(protocol.channels), dict(before.channels)),
        "[model]": (protocol.model, before.model),
        "[calibration] pixel_um": (protocol.calibration.pixel_um, before.calibration.pixel_um),
        "[input]": (protocol.input, before.input),
    }
    for section, (now, then) in now_then.items():
        if now != then:
            raise ResultsError(
                f"{results.path} holds results of another protocol: {section} was {then}, is {now}. All of it would "
                "be done again. Choose another folder for --out, or say --redo to replace what is there."
            )


def report_again(results: Path, *, tables_only: bool, for_print: bool, progress: Progress) -> Path:
    """Make tables and report again from the events that are there; nothing is segmented or tracked.

    Raises:
        ResultsError: No run was finished here, or the plate is not where it was.
    """
    opened = Results.open(results)
    provenance = opened.read_provenance()
    if "model" not in provenance:
        raise ResultsError(f"{results}: no run was finished here yet. Run the same `killassay run` again.")
    plan = plan_run(
        Path(opened.plate_path),
        results,
        protocol=read_protocol(opened.protocol_file),
        options=RunOptions(wells=tuple(provenance["wells"])),
    ).with_segmenter(provenance["model"])
    failed = {FieldId(well, field): reason for well, field, reason in provenance["failed"]}
    with opened.lock():
        progress.begin("tables" if tables_only else "report", 1)
        write_result_tables(plan, opened, failed)
        path = opened.tables if tables_only else write_page(plan, opened, failed, for_print=for_print)
        progress.advance()
    return path


def _record(plan: RunPlan, failed: Mapping[FieldId, str]) -> dict[str, Any]:
    """What the provenance says of input and fields."""
    fields = {str(field.field): {"status": "ok", "identity": field.identity} for field in plan.fields}
    fields |= {str(place): {"status": "failed", "reason": reason} for place, reason in failed.items()}
    return {
        "plate": {"name": plan.plate_name, "identity": plan.plate_identity},
        "wells": list(plan.wells),
        "fields": fields,
        "failed": [[place.well, place.field, reason] for place, reason in failed.items()],
    }


def _per_field_steps(
    run: _Run, mine: Sequence[FieldPlan], make_segmenter: MakeSegmenter, options: RunOptions
) -> None:
    ledger = run.results.ledger

    def alive() -> list[FieldPlan]:
        return [plan for plan in mine if plan.field not in run.failed]

    def per_field(name: str, step: str, call: Callable[..., None], key: Callable[[FieldPlan], str]) -> None:
        todo = [p for p in alive() if not ledger.is_done(step, field_unit_of(p), key(p))]
        run.step(name, [_task(p, field_unit_of(p), call, p) for p in todo], len(alive()))

    per_field("brightness", "brightness", scale_field, FieldPlan.brightness_key)
    runs = [(plan, a, b) for plan in alive() for a, b in plan.runs()]
    todo = [(p, a, b) for p, a, b in runs if not _pixels_done(ledger, p, a)]
    tasks = [
        _task(p, unit_of(p, a), segment_run, p, a, b, make_segmenter, options.batch_frames)
        for p, a, b in todo
    ]
    run.step("segmentation", tasks, len(runs))
    per_field("tracking", "link", link_field, FieldPlan.link_key)
    runs = [(plan, a, b) for plan in alive() for a, b in plan.runs()]
    todo = [(p, a, b) for p, a, b in runs if not ledger.is_done("labels", unit_of(p, a), p.labels_key())]
    run.step("label images", [_task(p, unit_of(p, a), write_labels, p, a, b) for p, a, b in todo], len(runs))
    per_field("contacts and deaths", "events", find_events, FieldPlan.events_key)


def _pixels_done(ledger: Ledger, plan: FieldPlan, first: int) -> bool:
    unit = unit_of(plan, first)
    return ledger.is_done("pixels", unit, plan.pixels_key()) and ledger.is_done(
        "pairs", unit, plan.pairs_key()
    )


def _task(plan: FieldPlan, unit: str, call: Callable[..., Any], *arguments: Any) -> Task:
    return Task(unit=unit, field=plan.field, call=call, arguments=arguments)


def _require_wells(fields: Sequence[FieldId], wells: Sequence[str]) -> None:
    known = sorted({place.well for place in fields})
    unknown = sorted(set(wells) - set(known))
    if unknown:
        raise ResultsError(f"the plate has no well {', '.join(unknown)}. It has {', '.join(known)}.")
