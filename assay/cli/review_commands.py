"""Commands that review results, say how far readers agree, and check that nothing was altered."""

import importlib.util
import json
import math
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from assay.cli.outputs import write_text_file
from assay.cli.progress import Reporter, plain
from assay.errors import DeviceError, ResultsError

_MANY = 40


def verify(
    context: typer.Context,
    results: Annotated[Path, typer.Argument(help="RESULTS folder, or a plate that killassay wrote.")],
) -> None:
    """Compare every file that killassay wrote with its recorded hash: of RESULTS, or of an imported plate."""
    from assay.io.durable import size_text
    from assay.io.plate_verification import verify_plate
    from assay.io.verification import results_to_verify, tables_since_review, verify_results

    reporter: Reporter = context.obj
    is_plate = any((results / name).is_file() for name in ("zarr.json", ".zattrs"))
    opened = None if is_plate else results_to_verify(results)
    with reporter.live():
        found = verify_plate(results, reporter) if opened is None else verify_results(opened, reporter)
    _say(
        f"compared: {found.n_files} files, {size_text(found.n_bytes)}; {found.n_decisions} decisions in {found.n_logs} review logs"
    )
    for line in found.unchecked:
        _say(f"not checked: {line}")
    for line in tables_since_review(opened) if opened is not None else ():
        _say(f"to know: {line}; they are found again by place or listed as lost")
    for line in found.problems[:_MANY]:
        _say(f"DAMAGED {line}")
    if len(found.problems) > _MANY:
        _say(f"and {len(found.problems) - _MANY} more")
    if found.problems:
        raise ResultsError(
            f"{results}: {len(found.problems)} things are not as they were written, the first: {found.problems[0]}. Put back "
            + (
                "an unharmed copy, or make the plate again."
                if opened is None
                else "an unharmed copy, or run `killassay run` again, which redoes what is damaged of the run but not of the "
                "reviews."
            )
        )
    _say("all of it is as it was written")


def review(
    results: Annotated[Path, typer.Argument(help="RESULTS folder.")],
    reader: Annotated[str, typer.Option(help="Who reviews; left out, the login name.")] = "",
    agreement: Annotated[
        bool, typer.Option("--agreement", help="Only say what was decided and how far the readers agree.")
    ] = False,
    to_json: Annotated[
        Path | None, typer.Option("--json", help="Write the agreement to this file, too.")
    ] = None,
) -> int:
    """Open napari to review the events, or say how far its readers agree."""
    if agreement or to_json is not None:
        show_agreement(results, to_json)
        return 0
    return _open_viewer(results, reader)


def show_agreement(results: Path, to_json: Path | None) -> None:
    """Print what was decided, kappa of all readers, the audit of the pipeline, and what is worth looking at."""
    from assay.io.results import Results
    from assay.io.review_logs import bound_decisions
    from assay.io.tables import read_table
    from assay.review.agreement import agreement
    from assay.review.events import review_events
    from assay.review.queue import audited_precision, stop_rule
    from assay.review.state import replay

    opened = Results.open(results)
    names = ("deaths", "doubtful_deaths", "kills", "contacts", "wells", "fields")
    tables = {name: read_table(opened.tables, name) for name in names}
    events = review_events(tables)
    decisions, lost = bound_decisions(opened, events)
    state = replay(decisions, events)
    found, audit = agreement(state), audited_precision(state.events, state)
    stop = stop_rule(state.events, state, tables["wells"])
    values = {
        "counts": state.counts(),
        "n_decisions": len(decisions),
        "lost": lost,
        "problems": state.problems,
        "agreement": asdict(found),
        "precision": asdict(audit),
        "stop": asdict(stop),
    }
    if to_json is not None:
        write_text_file(to_json, json.dumps(_finite(values), indent=1, sort_keys=True) + "\n", "--json")
    for line in _agreement_lines(values):
        _say(line)


def _agreement_lines(values: dict[str, Any]) -> list[str]:
    counts, found, audit, stop = (values[name] for name in ("counts", "agreement", "precision", "stop"))
    n = sum(counts.values()) - counts["withdrawn"]
    decided = n - counts["pending"]
    shown = ", ".join(f"{counts[name]} {name}" for name in ("accepted", "rejected", "unsure", "disagreement"))
    lines = [f"events: {decided} of {n} reviewed ({shown}); readers: {', '.join(found['readers']) or 'none'}"]
    lines += [_pair_line(pair, f"{pair['reader']} and {pair['other']}") for pair in found["pairs"]]
    lines += [_pair_line(pair, f"{pair['reader']} again") for pair in found["repeats"]]
    if len(found["readers"]) > 2:
        lines.append(
            f"all readers: Fleiss' kappa {_number(found['fleiss_kappa'])} over {found['n_by_all']} events"
        )
    if audit["n"]:
        low, high = (100 * audit[end] for end in ("low", "high"))
        lines.append(
            f"audit: {audit['n_true']} of {audit['n']} randomly drawn deaths are deaths: precision "
            f"{100 * audit['value']:.0f} % (90 % interval {low:.0f} to {high:.0f} %)"
        )
    else:
        lines.append("audit: none of the random sample was looked at; sort the queue by audit to begin")
    if stop["wells"]:
        enough = sum(well["is_enough"] for well in stop["wells"])
        more = (
            f"about {stop['n_more']} more decisions to go"
            if stop["n_more"]
            else "more decisions would change little"
        )
        part = f"{100 * stop['part']:.0f} %"
        lines.append(
            f"queue: in {enough} of {len(stop['wells'])} wells the rest changes the kills by less than {part} of the "
            f"interval's half width; {more}"
        )
    if stop["unjudged"]:
        lines.append(
            f"queue: {len(stop['unjudged'])} wells have no interval, so nothing says when it is enough"
        )
    return (
        lines
        + [f"LOST {line}" for line in values["lost"]]
        + [f"WARNING {line}" for line in values["problems"]]
    )


def _pair_line(pair: dict[str, Any], who: str) -> str:
    if not pair["n"]:
        return f"{who}: no event on which both are sure"
    interval = "" if pair["kappa_low"] is None or math.isnan(pair["kappa_low"]) else (
        f" (90 % interval {_number(pair['kappa_low'])} to {_number(pair['kappa_high'])})"
    )  # fmt: skip
    line = f"{who}: kappa {_number(pair['kappa'])}{interval} over {pair['n']} events"
    if pair["n_killers"]:
        line += f"; same killer in {100 * pair['killer_agreement']:.0f} % of {pair['n_killers']}"
    if pair["both_accepted"]:
        line += f"; median |dt| {pair['median_dt_frames']:g} frames"
    return line


def _open_viewer(results: Path, reader: str) -> int:
    """Start napari in a process of its own, so that the command line stays without it."""
    from assay.io.results import Results
    from assay.io.review_logs import stored_logs, table_digests

    opened = Results.open(results)
    table_digests(opened)
    stored_logs(opened)  # an altered log is told here, not in a window
    if importlib.util.find_spec("napari") is None or importlib.util.find_spec("qtpy") is None:
        raise DeviceError("the review needs napari, which is not installed: pip install 'killassay[napari]'")
    screens = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    if sys.platform.startswith("linux") and not any(os.environ.get(name) for name in screens):
        raise DeviceError(
            "the review needs a screen, and none is here. Run it where you sit (RESULTS may lie on a network disk), or "
            "over `ssh -X`."
        )
    words = [sys.executable, "-m", "napari_plugin", str(results)]
    code = subprocess.run([*words, *(["--reader", reader] if reader else [])], check=False).returncode
    return code if code >= 0 else 1  # napari was killed, or crashed


def _finite(value: Any) -> Any:
    """Unknown numbers are null in JSON."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float) -> str:
    return "not defined" if math.isnan(value) else f"{value:.2f}"


def _say(line: str) -> None:
    typer.echo(plain(line))
