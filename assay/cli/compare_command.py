"""The command that says what differs between two results of one plate."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from assay.cli.outputs import refuse_inside_plate, write_text_file
from assay.cli.progress import plain
from assay.errors import ResultsError

if TYPE_CHECKING:
    from assay.columns import Table
    from assay.score.differences import Differences

_TABLES = ("deaths", "contacts", "kills", "cells", "fields", "wells")
_MANY = 40


def compare(
    results_a: Annotated[Path, typer.Argument(help="RESULTS folder, the earlier one.", metavar="RESULTS_A")],
    results_b: Annotated[Path, typer.Argument(help="RESULTS folder of the same plate.", metavar="RESULTS_B")],
    to_json: Annotated[Path | None, typer.Option("--json", help="Write all of it to this file, too.")] = None,
    events: Annotated[
        Path | None,
        typer.Option("--events", help="Write every event that differs to this file, .csv or .parquet."),
    ] = None,
    pipeline: Annotated[
        bool,
        typer.Option("--pipeline", help="Compare what the pipeline wrote, without what readers decided."),
    ] = False,
) -> None:
    """Say which deaths, contacts and kills appeared or vanished, and what that does to each well."""
    from assay.score.differences import differences

    if events is not None:
        _check_name(events)
    opened_a, opened_b = _opened(results_a), _opened(results_b)
    if opened_a.plate_identity != opened_b.plate_identity:
        raise ResultsError(
            f"{results_a} and {results_b} are results of two plates ({opened_a.plate_name}, {opened_b.plate_name}), so "
            "their events are not the same cells'. Expected two runs on one plate."
        )
    sides = [_tables(path, pipeline=pipeline) for path in (results_a, results_b)]
    found = differences(sides[0][0], sides[1][0])
    for letter, path, (_, said) in zip("AB", (results_a, results_b), sides, strict=True):
        _say(f"{letter}  {path}" + (f"  ({said})" if said else ""))
    for line in _lines(found):
        _say(line)
    if to_json is not None:
        write_text_file(to_json, json.dumps(_json(found), indent=1, sort_keys=True) + "\n", "--json")
    if events is not None:
        _write_events(found, events)


def _opened(path: Path) -> Any:
    from assay.io.results import Results

    opened = Results.open(path)
    if not (opened.tables / "deaths.parquet").is_file():
        raise ResultsError(
            f"{path} has no tables yet. Expected a RESULTS folder of a finished `killassay run`."
        )
    return opened


def _tables(path: Path, *, pipeline: bool) -> "tuple[dict[str, Table], str]":
    from assay.io.tables import read_table
    from assay.pipeline.reviewed_results import current_tables

    if pipeline:
        return {name: read_table(path / "tables", name) for name in _TABLES}, ""
    return current_tables(path, _TABLES)


def _lines(found: "Differences") -> list[str]:
    from assay.score.differences import KINDS

    lines = []
    for kind in KINDS:
        n = {status: found.count(kind, status) for status in ("appeared", "vanished", "changed")}
        changed = f", {n['changed']} changed" if kind != "contact" else ""
        lines.append(
            f"{kind + 's':9s} {found.n_same[kind]} in both, {n['appeared']} appeared, {n['vanished']} vanished{changed}"
        )
    for letter, places in (("A", found.only_a), ("B", found.only_b)):
        if places:
            shown = ", ".join(f"{well} field {field}" for well, field in places[:5])
            more = f" and {len(places) - 5} more" if len(places) > 5 else ""
            lines.append(f"counts in {letter} only: {shown}{more}; all events there differ with it")
    other = [row for row in found.wells if _differs(row)]
    if not other:
        return [*lines, "no well's numbers differ"]
    lines.append("")
    lines.append(
        f"{'well':6s}{'deaths A':>10s}{'B':>9s}{'kills A':>10s}{'B':>9s}{'cytolysis A':>13s}{'B':>8s}  events +/-"
    )
    for row in other[:_MANY]:
        numbers = [
            row[f"{name}_{side}"] for name in ("deaths", "kills", "cytolysis_percent") for side in "ab"
        ]
        texts = [_number(value) for value in numbers]
        came, went = (sum(row[f"{kind}s_{status}"] for kind in KINDS) for status in ("appeared", "vanished"))
        widths = (10, 9, 10, 9, 13, 8)
        cells = "".join(f"{text:>{width}s}" for text, width in zip(texts, widths, strict=True))
        lines.append(f"{row['well']:6s}{cells}  +{came} -{went}")
    if len(other) > _MANY:
        lines.append(f"and {len(other) - _MANY} wells more: --json has them all")
    n_same = len(found.wells) - len(other)
    return (
        [*lines, f"in {n_same} of {len(found.wells)} wells no number and no event differs"]
        if n_same
        else lines
    )


def _differs(row: dict[str, Any]) -> bool:
    from assay.score.differences import KINDS, STATUSES, WELL_NUMBERS

    if any(row[f"{kind}s_{status}"] for kind in KINDS for status in STATUSES):
        return True
    pairs = [(row[f"{name}_a"], row[f"{name}_b"]) for name in WELL_NUMBERS]
    return any(a != b and not (math.isnan(a) and math.isnan(b)) for a, b in pairs)


def _json(found: "Differences") -> dict[str, Any]:
    from assay.score.differences import KINDS, STATUSES

    counts = {kind: {status: found.count(kind, status) for status in STATUSES} for kind in KINDS}
    for kind in KINDS:
        counts[kind]["same"] = found.n_same[kind]
    return {
        "counts": counts,
        "events": [_finite(one) for one in found.events],
        "wells": [_finite(one) for one in found.wells],
        "fields_only_a": [list(place) for place in found.only_a],
        "fields_only_b": [list(place) for place in found.only_b],
    }


def _finite(row: dict[str, Any]) -> dict[str, Any]:
    """Plain values; unknown ones are null."""
    values = {name: one.item() if hasattr(one, "item") else one for name, one in row.items()}
    return {
        n: None if isinstance(one, float) and not math.isfinite(one) else one for n, one in values.items()
    }


def _check_name(path: Path) -> None:
    refuse_inside_plate(path, "--events")
    if path.suffix not in (".csv", ".parquet"):
        raise ResultsError(f"--events {path}: expected the name of a file that ends in .csv or .parquet.")
    if not path.parent.is_dir() or path.is_dir():
        raise ResultsError(f"--events {path}: expected a file in a folder that exists.")


def _write_events(found: "Differences", path: Path) -> None:
    from assay.io.tables import write_arrays, write_csv
    from assay.score.differences import event_table

    table = event_table(found)
    (write_csv if path.suffix == ".csv" else write_arrays)(path, table)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}"


def _say(line: str) -> None:
    typer.echo(plain(line))
