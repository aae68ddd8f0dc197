"""Commands that run the main job and show what came out of it."""

import os
import platform
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
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
from assay.cli.model_commands import model_for, runtime_of
from assay.cli.outputs import refuse_inside_plate
from assay.cli.progress import Reporter, plain
from assay.errors import AssayError, ProtocolError, ResultsError
from assay.protocol import read_protocol
from assay.report.findings import death_note
from assay.stack import well_name


def run(
    context: typer.Context,
    plate: Annotated[Path, typer.Argument(help="OME-Zarr plate, or one OME-Zarr image.")],
    protocol: Annotated[Path, typer.Option(help="The experiment's settings (TOML).")],
    out: Annotated[Path, typer.Option(help="RESULTS folder; an existing one is resumed.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    workers: Annotated[int, typer.Option(min=0, help="Processes; 0 chooses by the work and the cores.")] = 0,
    wells: Annotated[str, typer.Option(help="Only these, as B02,B03.")] = "",
    shard: Annotated[str, typer.Option(help="I/N: the I-th of N disjoint parts, for job arrays.")] = "",
    shards_per_task: Annotated[int, typer.Option(min=1, help="Whole shards of frames per task.")] = 1,
    batch_frames: Annotated[int, typer.Option(min=0, help="Frames per network call; 0 chooses.")] = 0,
    redo: Annotated[
        bool,
        typer.Option("--redo", help="Replace results of a protocol with other channels, model or labels."),
    ] = False,
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
    request = label_request(labels, labels_effectors, labels_targets, labels_pattern, labels_tracked)
    return run_and_show(
        plate, protocol, out, device=device, options=options, reporter=context.obj, labels=request
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
) -> int:
    """The main job, then the table of wells; the exit code says whether fields failed."""
    from dataclasses import replace

    from assay.execution import available_cores
    from assay.pipeline.run import choose_workers, plan_run, run_plate

    started = datetime.now(UTC)
    refuse_inside_plate(out, "--out")
    protocol = read_protocol(protocol_file)
    # bad input is said before torch is loaded
    plan = plan_run(plate, out, protocol=protocol, options=options, labels=labels)
    if note := death_note(protocol):
        reporter.say(f"WARNING {note}")
    plan = looked_at(plan, reporter)
    make_segmenter, identity = model_for(protocol.model, device) if plan.needs_model else (no_model, {})
    plan = plan.with_segmenter(identity)
    if options.workers == 0:
        options = replace(options, workers=choose_workers(plan, available_cores()))
    runtime = runtime_of(make_segmenter) if plan.needs_model else {}
    reporter.detail(f"runs on {runtime.get('chosen', 'no device of its own')}; {options.workers} workers")
    reporter.detail(f"model {identity}")
    with reporter.live():
        outcome = run_plate(
            plan,
            make_segmenter=make_segmenter,
            provenance=_provenance(started, identity, runtime),
            options=options,
            progress=reporter,
        )
    return _show(outcome, out, reporter)


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
    """Make tables and report again, from what is there."""
    from assay.pipeline.run import report_again

    if format not in ("html", "pdf-ready", "tables"):
        raise ResultsError(f"--format {format!r}: expected html, pdf-ready or tables.")
    path = report_again(
        results, tables_only=format == "tables", for_print=format == "pdf-ready", progress=context.obj
    )
    _print_wells(results)
    typer.echo(f"{'tables' if format == 'tables' else 'report'}: {path}")


def sample_folder() -> Path:
    """The sample plate: in the installed package, or in the source tree."""
    package = Path(__file__).parents[1]
    for folder in (package / "_sample", package.parent / "data" / "sample"):
        if (folder / "plate.zarr").is_dir():
            return folder
    raise ProtocolError(
        "the sample plate is not there. Expected data/sample/plate.zarr beside the package; install killassay "
        "again, or make one: killassay simulate sample.zarr --scenario sample"
    )


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
    from assay.io.tables import read_table
    from assay.report.console import summary_text, well_table, well_text

    tables = {name: read_table(results / "tables", name) for name in ("wells", "conditions", "fields")}
    typer.echo(summary_text(tables))
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
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
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
