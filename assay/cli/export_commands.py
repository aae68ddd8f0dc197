"""The command that writes results for other programs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.outputs import output_folder
from assay.cli.progress import Reporter
from assay.errors import ResultsError

_TABLES = ("parquet", "csv")
_TRACKS = ("ctc", "geff")
_FORMATS = (*_TABLES, *_TRACKS, "video")
_NOT_YET = {
    "plate": "labels in the input plate's own labels/ are not written yet: RESULTS/labels.zarr is a plate that opens in any "
    "viewer, and --labels RESULTS/labels.zarr takes it back",
}
_ROLES = ("effector", "target")


def export(
    context: typer.Context,
    results: Annotated[
        Path,
        typer.Argument(
            help="RESULTS folder; for ctc and geff also a folder of masks of the challenge, or a GEFF graph."
        ),
    ],
    to: Annotated[Path, typer.Option("--to", help="Folder to write into.")],
    format: Annotated[str, typer.Option(help="parquet, csv, ctc, geff or video.")] = "csv",
    role: Annotated[
        str,
        typer.Option(help="effector or target: whose masks, where a folder of the challenge does not say."),
    ] = "",
    pipeline: Annotated[
        bool,
        typer.Option(
            "--pipeline", help="Tables as the pipeline wrote them, also where readers decided otherwise."
        ),
    ] = False,
    most: Annotated[
        int, typer.Option(min=0, help="video: only so many films, of the likeliest deaths; 0 for all.")
    ] = 0,
) -> None:
    """Write tables (parquet, csv), tracks with their masks (ctc, geff), or a film of every target death (video)."""
    if format in _NOT_YET:
        raise ResultsError(f"--format {format}: {_NOT_YET[format]}. Expected one of {', '.join(_FORMATS)}.")
    if format not in _FORMATS:
        raise ResultsError(f"--format {format!r}: expected one of {', '.join(_FORMATS)}.")
    if role and role not in _ROLES:
        raise ResultsError(f"--role {role!r}: expected effector or target.")
    if format in _TABLES:
        _export_tables(results, to, format, context.obj, pipeline=pipeline)
    elif format == "video":
        _export_films(results, to, most, context.obj)
    else:
        _export_tracks(results, to, format, role or None, context.obj)


def _export_tables(results: Path, to: Path, form: str, reporter: Reporter, *, pipeline: bool) -> None:
    from assay.columns import REVIEWED_PREFIX, REVIEWED_TABLES, TABLES
    from assay.io.tables import read_table, write_csv, write_table
    from assay.pipeline.reviewed_results import current_tables

    folder = results / "tables"
    if not folder.is_dir():
        raise ResultsError(
            f"{results} has no tables yet. Expected a RESULTS folder of a finished `killassay run`."
        )
    output_folder(to, "--to")
    tables, reviewed = (
        ({name: read_table(folder, name) for name in TABLES}, "")
        if pipeline
        else current_tables(results, TABLES)
    )
    if reviewed:
        reporter.say(f"{reviewed}; cells.dead and fields are the pipeline's. --pipeline gives its own tables")
    for name, table in tables.items():
        own = f"{REVIEWED_PREFIX}{name}" if reviewed and name in REVIEWED_TABLES else name
        if form == "csv":
            path = write_csv(to / f"{name}.csv", table)
        else:
            path = write_table(to / f"{name}.parquet", own, table)
        typer.echo(str(path))


def _export_films(results: Path, to: Path, most: int, reporter: Reporter) -> None:
    from assay.pipeline.event_films import write_event_films

    output_folder(to, "--to")
    with reporter.live():
        for path in write_event_films(results, to, most=most, progress=reporter):
            typer.echo(str(path))


def _export_tracks(source: Path, to: Path, form: str, role: Any, reporter: Reporter) -> None:
    from assay.io.exporters import export_tracks, outputs_of
    from assay.io.lineage_sources import open_lineages

    lineages = open_lineages(source, role=role)
    output_folder(to, "--to")
    there = [path for path in outputs_of(lineages.films, to, form) if path.exists()]
    if there:
        raise ResultsError(f"{there[0]} exists already. Choose another folder for --to, or delete it first.")
    for line in lineages.left_out:
        reporter.say(f"WARNING {line}")
    with reporter.live():
        written = export_tracks(lineages.films, to, form, progress=reporter)
    for line in written.words:
        reporter.say(f"WARNING {line}")
    for path in written.paths:
        typer.echo(str(path))
