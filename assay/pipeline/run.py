"""The order of the steps, for a whole plate: what is there is kept, what failed is said, what stops is resumable."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from assay.errors import DamageError, ProtocolError, ResultsError
from assay.execution import Engine, Task, open_engine
from assay.io.ledger import Ledger
from assay.io.results import Results
from assay.io.tables import read_table
from assay.pipeline.cells import find_events, link_field, write_labels
from assay.pipeline.credit_tables import read_credit_facts
from assay.pipeline.damage import forget_damaged
from assay.pipeline.given import (
    expected_labels_of,
    labels_record,
    require_same_labels,
    with_recorded_labels,
)
from assay.pipeline.label_images import choose_windows, least_bytes, make_label_images
from assay.pipeline.page import write_page
from assay.pipeline.pixels import (
    MakeSegmenter,
    field_unit_of,
    scale_field,
    segment_runs,
    unit_of,
)
from assay.pipeline.plan import FieldPlan, RunPlan
from assay.pipeline.planning import RunOptions as RunOptions
from assay.pipeline.planning import plan_run as plan_run
from assay.pipeline.plate import write_result_tables
from assay.pipeline.reviewed_results import write_reviewed
from assay.pipeline.status import expected_segmenter, write_expected
from assay.stack import FieldId

_BEGINNING, _PATIENCE_S = "beginning", 600.0  # the lock under which RESULTS are laid out
_NUMERICS = ("precision", "numerics")  # of the segmenter's identity
_SHOWN_AS = {
    "brightness": "brightness",
    "pixels": "segmentation",
    "link": "tracking",
    "labels": "label images",
    "events": "contacts and deaths",
}
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
    had_nothing_to_do: bool = True

    def step(self, step: str, tasks: Sequence[Task], total: int) -> None:
        """Run the tasks of one step of the ledger; of a field's errors the one of its first unit is kept."""
        self.progress.begin(_SHOWN_AS[step], total, total - len(tasks))
        self.had_nothing_to_do &= not tasks
        errors: dict[FieldId, tuple[str, str]] = {}
        for outcome in self.engine.run(tasks):
            self.progress.advance()
            if outcome.error is not None and outcome.task.field is not None:
                mine = (outcome.task.unit, outcome.error)
                errors[outcome.task.field] = min(mine, errors.get(outcome.task.field, mine))
        for place, (unit, message) in sorted(errors.items()):
            self.failed[place] = message
            self.results.ledger.mark_failed(step, unit, message)
            self.progress.say(f"failed: {message}")


def choose_workers(plan: RunPlan, *, cores: int, gpus: int = 0) -> int:
    """How many processes pay: one per GPU, or per core, and no more than there are runs of frames.

    Each computes with one thread, so that threads are never more than cores.
    """
    pixels = sum(p.shape[0] * p.shape[2] * p.shape[3] for p in plan.fields)
    runs = sum(len(p.runs()) for p in plan.fields)
    return 1 if pixels < _PIXELS_WORTH_A_WORKER else max(1, min(gpus or cores, runs))


def run_plate(
    plan: RunPlan,
    *,
    make_segmenter: MakeSegmenter,
    provenance: Mapping[str, Any],
    options: RunOptions,
    progress: Progress,
    engine: Engine | None = None,
) -> RunOutcome:
    """Run the main job, or go on with it: the same answer however often it was stopped.

    Args:
        plan: From `plan_run`.
        make_segmenter: Makes the model, once in every process that needs it; must be picklable.
        provenance: Versions, device and command, written beside the results.
        options: Workers and parts.
        progress: Is told how far it is.
        engine: Does the work, as a cluster's; None: `options.workers` processes of this machine.

    Raises:
        AssayError: Disk or device refuse, and what is done is kept.
    """
    results = open_results(plan)
    number, of = options.part
    with ExitStack() as held:
        _begin(plan, results, options, held)
        mine = plan.fields[number - 1 :: of]
        for again in (False, True):
            own = open_engine(options.workers, gpus=options.gpus, say=progress.say)
            with nullcontext(engine) if engine else own as working:
                run = _Run(plan=plan, results=results, engine=working, progress=progress)
                _per_field_steps(run, mine, make_segmenter, options)
                _redo_damaged(run, mine, make_segmenter, options)
            failed = dict(sorted({**plan.refused, **run.failed}.items()))
            if of > 1:
                return RunOutcome(plan=plan, failed=failed, complete=False)
            if (
                not again
                and run.had_nothing_to_do
                and _is_summed_up(run, failed)
                and _forget_damaged(run, None)
            ):
                continue
            try:
                return _finish(plan, results, failed, provenance, progress)
            except DamageError:
                if again or not _forget_damaged(run, None):
                    raise
        raise AssertionError("the second time returns or raises")


def _is_summed_up(run: _Run, failed: Mapping[FieldId, str]) -> bool:
    """Whether all was done before: then there is time to look whether all of it is as it was written."""
    return run.results.ledger.is_done("summary", "plate", run.plan.summary_key(failed))


def _redo_damaged(
    run: _Run, mine: Sequence[FieldPlan], make_segmenter: MakeSegmenter, options: RunOptions
) -> None:
    """Do again the fields that failed because of files of ours that are not as they were written."""
    damaged = [one for one in mine if one.field in run.failed and _forget_damaged(run, [one.field])]
    for one in damaged:
        del run.failed[one.field]
    if damaged:
        _per_field_steps(run, damaged, make_segmenter, options)


def _forget_damaged(run: _Run, fields: Collection[FieldId] | None) -> bool:
    """Look for damage, say what is found, and prepare for doing it again."""
    found = forget_damaged(run.results, fields)
    for line in found:
        run.progress.say(f"done again: {line}")
    if found:
        make_label_images(run.plan, run.results)
    return bool(found)


def open_results(plan: RunPlan) -> Results:
    """Make RESULTS, or open those of an earlier run on this plate.

    Raises:
        ResultsError: The folder belongs to another plate, or holds other things.
    """
    return Results.create_or_open(
        plan.results,
        plate_name=plan.plate_name,
        plate_identity=plan.plate_identity,
        plate_path=str(plan.plate.resolve()),
    )


def _finish(
    plan: RunPlan,
    results: Results,
    failed: Mapping[FieldId, str],
    provenance: Mapping[str, Any],
    progress: Progress,
) -> RunOutcome:
    """What is done once a plate, when every field was done or failed."""
    progress.begin("wells and report", 2)
    _write_tables(plan, results, failed)
    choose_windows(plan, results)
    progress.advance()
    results.write_provenance({**provenance, **_record(plan, results, failed)})
    report = write_page(plan, results, failed)
    progress.advance()
    return RunOutcome(plan=plan, failed=failed, complete=True, report=report)


def _write_tables(plan: RunPlan, results: Results, failed: Mapping[FieldId, str]) -> None:
    """Write the result tables, unless every byte of them is there."""
    if not results.ledger.is_done("summary", "plate", plan.summary_key(failed), compare=True):
        results.ledger.forget("summary", "plate")
    write_result_tables(plan, results, failed)


def _begin(plan: RunPlan, results: Results, options: RunOptions, held: ExitStack) -> None:
    """Lay out RESULTS, one process at a time, and hold them: alone, or beside the other parts of a job array.

    Raises:
        ResultsError: Others work here with another protocol or cut, or RESULTS are of other images.
    """
    number, of = options.part
    name, others = (f"part-{number}-of-{of}", [f"part-*-of-{of}"]) if of > 1 else ("run", [])
    with results.lock(_BEGINNING, wait_s=_PATIENCE_S):
        held.enter_context(results.lock(name, beside=[_BEGINNING, *others]))
        text = plan.protocol.to_toml()
        if results.protocol_file.is_file():
            if not options.redo:
                require_same_labels(plan, results)
                _require_same_images(plan, results)
            changed = results.protocol_file.read_bytes() != text.encode()
            if changed and results.others_at_work(_BEGINNING, name):
                raise ResultsError(
                    f"{results.path}: other parts are at work here with another protocol. Wait until they end, or "
                    "choose another folder for --out."
                )
        else:
            results.require_space(least_bytes(plan))  # nothing is begun that surely cannot end
        results.write_protocol(text)
        make_label_images(plan, results)
        write_expected(plan, results, labels=expected_labels_of(plan))


def _require_same_images(plan: RunPlan, results: Results) -> None:
    """Refuse a run that would look at every pixel again, by its protocol or its device; a threshold may change.

    Raises:
        ResultsError: Channels, model, pixel size or the numerics of the device changed.
    """
    protocol = plan.protocol
    try:
        before = results.read_protocol()
    except (DamageError, ProtocolError):  # what is done says by its keys whether it was done with these
        return
    now_then: dict[str, tuple[Any, Any]] = {
        "[channels]": (dict(protocol.channels), dict(before.channels)),
        "[model]": (protocol.model, before.model),
        "[calibration] pixel_um": (protocol.calibration.pixel_um, before.calibration.pixel_um),
    }
    segmenter = expected_segmenter(results)
    for part in _NUMERICS:
        now = plan.fields[0].segmenter.get(part) if plan.fields else None
        now_then[f"the device's {part}"] = (now, segmenter.get(part, now))
    for section, (now, then) in now_then.items():
        if now != then:
            raise ResultsError(
                f"{results.path} holds results of another protocol: {section} was {then}, is {now}. All of it would "
                "be done again. Choose another folder for --out, or say --redo to replace what is there."
                if section.startswith("[")
                else f"{results.path} holds results of another kind of machine: {section} was {then}, is {now}. One "
                'run never mixes two. Go on where it was begun (or with --device, or [model] precision = "fp32"), '
                "choose another folder for --out, or say --redo."
            )


def report_again(results: Path, *, tables_only: bool, for_print: bool, progress: Progress) -> Path:
    """Make tables and report again from the events and decisions that are there; nothing is segmented or tracked.

    Raises:
        ResultsError: No run was finished here, or the plate is not where it was.
    """
    opened = Results.open(results)
    provenance = opened.read_provenance()
    if "model" not in provenance:
        raise ResultsError(f"{results}: no run was finished here yet. Run the same `killassay run` again.")
    if not Path(opened.plate_path).is_dir():
        raise ResultsError(
            f"{results}: the plate was in {opened.plate_path} and is not there now. Run `killassay run` with its new "
            "place; what is done is not done again."
        )
    plan = plan_run(
        Path(opened.plate_path),
        results,
        protocol=opened.read_protocol(),
        options=RunOptions(wells=tuple(provenance["wells"])),
    ).with_segmenter(provenance["model"])
    plan = with_recorded_labels(plan, provenance)
    failed = {FieldId(well, field): reason for well, field, reason in provenance["failed"]}
    with opened.lock(beside=()):
        _require_all_events(plan, opened, failed)
        progress.begin("tables" if tables_only else "report", 1)
        _write_tables(plan, opened, failed)
        if tables_only:
            write_reviewed(results)
        path = opened.tables if tables_only else write_page(plan, opened, failed, for_print=for_print)
        progress.advance()
    return path


def _require_all_events(plan: RunPlan, results: Results, failed: Mapping[FieldId, str]) -> None:
    """Refuse to put together events of two protocols, as a run leaves them that was stopped halfway."""
    done = results.ledger.is_done
    for one in plan.fields:
        if one.field not in failed and not done("events", field_unit_of(one), one.events_key()):
            raise ResultsError(
                f"{results.path}: the last run was not finished, {one.field} still lacks its events. Run the same "
                "`killassay run` again."
            )


def _record(plan: RunPlan, results: Results, failed: Mapping[FieldId, str]) -> dict[str, Any]:
    """What the provenance says of input and fields."""
    identity = {field.field: field.identity for field in plan.fields}
    fields: dict[str, dict[str, str]] = {}
    table = read_table(results.tables, "fields")
    for well, number, status, reason in zip(
        *(table[name].tolist() for name in ("well", "field", "status", "reason")), strict=True
    ):
        place = FieldId(well, number)
        known = {"status": status, "reason": reason, "identity": identity.get(place)}
        fields[str(place)] = {name: value for name, value in known.items() if value}
    return {
        "plate": {"name": plan.plate_name, "identity": plan.plate_identity},
        "wells": list(plan.wells),
        "fields": fields,
        "failed": [[place.well, place.field, reason] for place, reason in failed.items()],
        "credit": read_credit_facts(plan.results),
        **labels_record(plan, failed),
    }


def _per_field_steps(
    run: _Run, mine: Sequence[FieldPlan], make_segmenter: MakeSegmenter, options: RunOptions
) -> None:
    ledger = run.results.ledger

    def alive() -> list[FieldPlan]:
        return [plan for plan in mine if plan.field not in run.failed]

    def per_field(step: str, call: Callable[..., None], key: Callable[[FieldPlan], str]) -> None:
        todo = [p for p in alive() if not ledger.is_done(step, field_unit_of(p), key(p))]
        run.step(step, [_task(p, field_unit_of(p), call, p) for p in todo], len(alive()))

    per_field("brightness", scale_field, FieldPlan.brightness_key)
    groups = [(plan, runs) for plan in alive() for runs in _grouped(plan.runs(), options.shards_per_task)]
    groups.sort(key=lambda one: one[1][0][0] - one[1][-1][1])  # no worker is left alone with a long one
    tasks = [
        _task(p, unit_of(p, runs[0][0]), segment_runs, p, runs, make_segmenter, options.batch_frames)
        for p, runs in groups
        if not all(_pixels_done(ledger, p, first) for first, _ in runs)
    ]
    run.step("pixels", tasks, len(groups))
    per_field("link", link_field, FieldPlan.link_key)
    runs = [(plan, a, b) for plan in alive() for a, b in plan.runs()]
    todo = [  # no later step reads them, so their bytes are compared here
        (p, a, b)
        for p, a, b in runs
        if not ledger.is_done("labels", unit_of(p, a), p.labels_key(), compare=True)
    ]
    run.step("labels", [_task(p, unit_of(p, a), write_labels, p, a, b) for p, a, b in todo], len(runs))
    per_field("events", find_events, FieldPlan.events_key)


def _grouped(runs: Sequence[tuple[int, int]], size: int) -> list[Sequence[tuple[int, int]]]:
    return [runs[start : start + size] for start in range(0, len(runs), size)]


def _pixels_done(ledger: Ledger, plan: FieldPlan, first: int) -> bool:
    unit = unit_of(plan, first)
    return ledger.is_done("pixels", unit, plan.pixels_key()) and ledger.is_done(
        "pairs", unit, plan.pairs_key()
    )


def _task(plan: FieldPlan, unit: str, call: Callable[..., Any], *arguments: Any) -> Task:
    return Task(unit=unit, field=plan.field, call=call, arguments=arguments)
