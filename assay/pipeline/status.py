"""How far a run is, from its ledger alone."""

import json
from pathlib import Path
from typing import Any

from assay.errors import ResultsError
from assay.io.durable import write_whole
from assay.io.results import Results
from assay.pipeline.plan import RunPlan

_STEPS = ("brightness", "pixels", "link", "labels", "events")


def write_expected(plan: RunPlan, results: Results) -> None:
    """Keep what a run expects to do, so that `status` can say what is missing."""
    fields = {
        f"{field.field.well}_{field.field.field}": {"runs": len(field.runs()), "frames": field.shape[0]}
        for field in plan.fields
    }
    refused = {str(place): reason for place, reason in sorted(plan.refused.items())}
    text = json.dumps({"fields": fields, "refused": refused}, sort_keys=True, indent=1)
    write_whole(results.work / "expected.json", text.encode())


def status_lines(path: Path) -> tuple[list[str], bool]:
    """A line per field, and whether any failed.

    Raises:
        ResultsError: It is no RESULTS folder, or nothing was begun in it.
    """
    results = Results.open(path)
    try:
        expected: dict[str, Any] = json.loads((results.work / "expected.json").read_text())
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: nothing was begun here yet. Start `killassay run`.") from error
    done = {step: [record.unit for record in results.ledger.records(step)] for step in _STEPS}
    failures = {unit: message for (_, unit), message in results.ledger.failures().items()}
    lines, some_failed = [], bool(expected["refused"])
    for field, counts in expected["fields"].items():
        runs = counts["runs"]
        n_runs = sum(unit.startswith(f"{field}_") for unit in done["pixels"])
        linked, events = field in done["link"], field in done["events"]
        failure = next(
            (m for unit, m in sorted(failures.items()) if unit == field or unit.startswith(f"{field}_")), None
        )
        state = "failed" if failure else "done" if events else "in work" if n_runs else "to do"
        some_failed |= failure is not None
        lines.append(
            f"{field.replace('_', ' field ')}: {state}; segmented {n_runs} of {runs} runs, "
            f"{'linked' if linked else 'not linked'}, {'events found' if events else 'no events yet'}"
            + (f"; {failure}" if failure else "")
        )
    lines += [f"{place}: failed; {reason}" for place, reason in expected["refused"].items()]
    n_done = sum("done;" in line for line in lines)
    lines.append(f"{n_done} of {len(expected['fields']) + len(expected['refused'])} fields done")
    return lines, some_failed
