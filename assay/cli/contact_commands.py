"""The command that says how long contacts last, in results and in tables of other programs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.outputs import refuse_inside_plate
from assay.cli.progress import plain
from assay.errors import CalibrationError, TableError


def contacts(
    source: Annotated[Path, typer.Argument(help="RESULTS folder, or a CSV of contacts of another program.")],
    columns: Annotated[
        str,
        typer.Option(
            help="Of a CSV: what its columns are, as effector=NAME,target=NAME,first_frame=NAME,frames=NAME."
        ),
    ] = "",
    frame_min: Annotated[float | None, typer.Option(help="Of a CSV: frame interval in minutes.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table here too.")] = None,
) -> None:
    """Say how long contacts last: number, mean, median, longest; of the plate, its conditions, its wells."""
    from assay.columns import table_of_rows
    from assay.io.tables import write_csv
    from assay.report.contact_table import contact_times_text

    if csv is not None:
        refuse_inside_plate(csv, "--csv")
        if not csv.parent.is_dir():
            raise TableError(f"--csv {csv}: there is no folder {csv.parent}. Make it first.")
    if source.is_dir():
        if columns or frame_min is not None:
            raise TableError(
                "--columns and --frame-min are for a CSV of another program; RESULTS have both. Leave them out."
            )
        rows = _of_results(source)
    else:
        rows = _of_csv(source, columns, frame_min)
    typer.echo(plain(contact_times_text(rows)))
    if csv is not None:
        write_csv(csv, table_of_rows("contact_times", rows))


def _of_results(results: Path) -> list[dict[str, Any]]:
    from assay.contact_times import contact_time_rows
    from assay.io.contact_sources import contacts_of_results

    of = contacts_of_results(results)
    return contact_time_rows(of.contacts, wells=of.wells, frame_min=of.frame_min)


def _of_csv(source: Path, columns: str, frame_min: float | None) -> list[dict[str, Any]]:
    from assay.contact_times import contact_time_rows
    from assay.io.event_tables import read_contacts
    from assay.units import FRAME_MIN_RANGE

    low, high = FRAME_MIN_RANGE
    if frame_min is not None and not low <= frame_min <= high:
        raise CalibrationError(f"--frame-min {frame_min}: expected more than 0 and at most {high:g} min.")
    table = read_contacts(source, columns=_mapping(columns))
    names = sorted(set(table["well"].tolist()))
    return contact_time_rows(table, wells=dict.fromkeys(names), frame_min=dict.fromkeys(names, frame_min))


def _mapping(text: str) -> dict[str, str] | None:
    if not text:
        return None
    mapping: dict[str, str] = {}
    for piece in text.split(","):
        meaning, equals, name = piece.partition("=")
        if not equals or not name.strip() or meaning.strip() in mapping:
            raise TableError(
                f"--columns {text!r}: expected meaning=NAME, parted by commas, each meaning once."
            )
        mapping[meaning.strip()] = name.strip()
    return mapping
