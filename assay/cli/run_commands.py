"""Commands that run the main job and show what came out of it."""

import os
import platform
import shlex
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from assay._version import __version__
from assay.cli.label_options import (
    LabelsEffectorsOption,
    LabelsOption,
    LabelsPatternOption,
    LabelsTargetsOption,
    LabelsTrackedOption,
    label_request,
    looked_at,
    no_model,
)
from assay.cli.model_commands import gpus_of, known_of, loader_of
from assay.cli.outputs import refuse_inside_plate
from assay.cli.progress import JsonReporter, Reporter, plain
from assay.errors import AssayError, ProtocolError, ResultsError
from assay.io.sample import sample_folder
from assay.protocol import read_protocol
from assay.redaction import without_secrets
from assay.report.findings import death_note
from assay.stack import well_name


def run(
    context: typer.Context,
    plate: Annotated[Path, typer.Argument(help="OME-Zarr plate, or one OME-Zarr image.")],
    protocol: Annotated[Path, typer.Option(help="The experiment's settings (TOML).")],
    out: Annotated[Path, typer.Option(help="RESULTS folder; an existing one is resumed.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 chooses by the work and the cores.")] = 0,
    cluster: Annotated[
        Path | None, typer.Option(help="Workers are jobs of the cluster that this file describes (TOML).")
    ] = None,
    wells: Annotated[str, typer.Option(help="Only these, as B02,B03.")] = "",
    shard: Annotated[str, typer.Option(help="I/N: the I-th of N disjoint parts, for job arrays.")] = "",
    shards_per_task: Annotated[int, typer.Option(min=1, help="Whole shards of frames per task.")] = 1,
    batch_frames: Annotated[int, typer.Option(min=0, help="Frames per network call; 0 chooses.")] = 0,
    redo: Annotated[
        bool,
        typer.Option("--redo", help="Replace results of a protocol with other channels, model or labels."),
    ] = False,
    progress: Annotated[
        str, typer.Option(help="bar, or json: one JSON line a step on stderr, for programs.")
    ] = "bar",
    labels: LabelsOption = None,
    labels_effectors: LabelsEffectorsOption = "",
    labels_targets: LabelsTargetsOption = "",
    labels_pattern: LabelsPatternOption = "",
    labels_tracked: LabelsTrackedOption = None,
) -> int:
    """Run the main job: segment, track, find contacts and deaths, credit kills, report."""
    from assay.pipeline.run import RunOptions

    options = RunOptions(
        workers=workers,
        wells=_wells(wells),
        part=_part(shard),
        shards_per_task=shards_per_task,
        batch_frames=batch_frames or None,
        redo=redo,
    )
    if cluster is not None and shard:
        raise ProtocolError("--cluster hands out all the work itself: leave --shard out, or --cluster.")
    request = label_request(labels, labels_effectors, labels_targets, labels_pattern, labels_tracked)
    if progress not in ("bar", "json"):
        raise ProtocolError(f"--progress {progress!r}: expected bar or json.")
    reporter = context.obj if progress == "bar" else JsonReporter(verbose=context.obj.verbose)
    return run_and_show(
        plate,
        protocol,
        out,
        device=device,
        options=options,
        reporter=reporter,
        labels=request,
        cluster_file=cluster,
    )


def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="RESULTS folder.")] = Path("demo-results"),
) -> int:
    """Run the main job on the sample plate: the table of wells and the report."""
    from assay.pipeline.run import RunOptions

    sample = sample_folder()
    return run_and_show(
        sample / "plate.zarr",
        sample / "plate.toml",
        out,
        device="auto",
        options=RunOptions(workers=0),
        reporter=context.obj,
    )


def run_and_show(
    plate: Path,
    protocol_file: Path,
    out: Path,
    *,
    device: str,
    options: Any,
    reporter: Reporter,
    labels: Any = None,
    cluster_file: Path | None = None,
) -> int:
    """The main job, then the table of wells; the exit code says whether fields failed."""
    from assay.execution import read_cluster_file
    from assay.pipeline.run import plan_run, run_plate

    started = datetime.now(UTC)
    refuse_inside_plate(out, "--out")
    protocol = read_protocol(protocol_file)
    cluster = read_cluster_file(cluster_file) if cluster_file else None
    # bad input is said before torch is loaded
    plan = plan_run(plate, out, protocol=protocol, options=options, labels=labels)
    if note := death_note(protocol):
        reporter.say(f"WARNING {note}")
    plan = looked_at(plan, reporter)
    make_segmenter = loader_of(protocol.model, device) if plan.needs_model else no_model
    with ExitStack() as opened:
        engine = opened.enter_context(_cluster_engine(plan, cluster, reporter)) if cluster else None
        ask = engine.ask if engine else _here
        identity, runtime = ask(partial(known_of, make_segmenter)) if plan.needs_model else ({}, {})
        plan = plan.with_segmenter(identity)
        options = _with_workers(options, plan, engine, device=device, reporter=reporter)
        reporter.detail(f"runs on {runtime.get('chosen', 'no device of its own')}; {options.workers} workers")
        reporter.detail(f"model {identity}")
        with reporter.live():
            outcome = run_plate(
                plan,
                make_segmenter=make_segmenter,
                provenance=_provenance(started, identity, runtime),
                options=options,
                progress=reporter,
                engine=engine,
            )
    return _show(outcome, out, reporter)


def _here(call: Callable[[], Any]) -> Any:
    return call()


def _cluster_engine(plan: Any, cluster: Any, reporter: Reporter) -> AbstractContextManager[Any]:
    """Workers that are jobs of a cluster, which must reach plate and RESULTS."""
    from assay.execution import open_engine
    from assay.pipeline.run import open_results

    results = open_results(plan)
    shared = (plan.plate, results.path)
    return open_engine(0, cluster=cluster, shared=shared, logs=results.work / "cluster", say=reporter.say)


def _with_workers(options: Any, plan: Any, engine: Any, *, device: str, reporter: Reporter) -> Any:
    """How many processes there are: a cluster's, or as many as pay or were asked for, one per GPU or core at most."""
    from assay.execution import available_cores
    from assay.pipeline.run import choose_workers

    if engine is not None:
        return replace(options, workers=engine.workers)
    gpus, cores = gpus_of(device) if _on_gpu(plan) else (), available_cores()
    most = len(gpus) or cores
    if options.workers > most:
        reporter.say(
            f"{most} of {options.workers} workers are started: one per {'GPU' if gpus else 'core'}, and this machine "
            f"gives {most}"
        )
    chosen = min(options.workers, most) or choose_workers(plan, cores=cores, gpus=len(gpus))
    return replace(options, workers=chosen, gpus=gpus)


def _on_gpu(plan: Any) -> bool:
    return bool(plan.fields) and plan.fields[0].segmenter.get("device", "cpu") != "cpu"


def status(results: Annotated[Path, typer.Argument(help="RESULTS folder.")]) -> int:
    """What is expected, done and failed, per field."""
    from assay.pipeline.status import status_lines

    lines, some_failed = status_lines(results)
    typer.echo(plain("\n".join(lines)))
    return 3 if some_failed else 0


def report(
    context: typer.Context,
    results: Annotated[Path, typer.Argument(help="RESULTS folder.")],
    format: Annotated[str, typer.Option(help="html, pdf-ready or tables.")] = "html",
) -> None:
    """Make tables and report again, from what is there, with the decisions of readers."""
    from assay.pipeline.run import report_again

    if format not in ("html", "pdf-ready", "tables"):
        raise ResultsError(f"--format {format!r}: expected html, pdf-ready or tables.")
    path = report_again(
        results, tables_only=format == "tables", for_print=format == "pdf-ready", progress=context.obj
    )
    _print_wells(results)
    typer.echo(f"{'tables' if format == 'tables' else 'report'}: {path}")


def _show(outcome: Any, out: Path, reporter: Reporter) -> int:
    if outcome.complete:
        _print_wells(out)
    for place, reason in outcome.failed.items():
        said = reason if reason.startswith(str(place)) else f"{place}: {reason}"
        typer.echo(plain(f"FAILED {said}").replace("\n", " "))
    if outcome.complete:
        typer.echo(f"report: {outcome.report}")
    else:
        typer.echo(f"this part is done; run without --shard to merge the parts in {out}")
    return 3 if outcome.failed else 0


def _print_wells(results: Path) -> None:
    from assay.pipeline.reviewed_results import current_tables
    from assay.report.console import summary_text, well_table, well_text

    tables, reviewed = current_tables(results, ("wells", "conditions", "fields"))
    typer.echo(summary_text(tables) + (f"{plain(reviewed)}\n" if reviewed else ""))
    if sys.stdout.isatty():
        Console(highlight=False).print(well_table(tables))
    else:
        typer.echo(well_text(tables))


def _provenance(started: datetime, identity: Any, runtime: Mapping[str, str]) -> dict[str, Any]:
    import numpy

    return {
        "killassay": __version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "machine": platform.machine(),
        "system": platform.system(),
        "model": dict(identity),
        "runtime": dict(runtime),
        "command": without_secrets(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])),
        "started": started.isoformat(timespec="seconds"),
        "process": os.getpid(),
    }


def _wells(text: str) -> tuple[str, ...]:
    wells = tuple(well_name(well) for well in text.split(",") if well.strip())
    if text and not wells:
        raise _usage(f"--wells {text!r}: expected well names, e.g. --wells B02,B03.")
    return wells


def _part(text: str) -> tuple[int, int]:
    if not text:
        return 1, 1
    try:
        number, of = (int(piece) for piece in text.split("/"))
    except ValueError:
        number, of = 0, 0
    if not 1 <= number <= of:
        raise _usage(f"--shard {text!r}: expected I/N with 1 <= I <= N, e.g. --shard 2/8.")
    return number, of


def _usage(message: str) -> AssayError:
    return ProtocolError(message)
