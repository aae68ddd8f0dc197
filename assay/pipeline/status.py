"""How far a run is, from its ledger alone."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assay.errors import DamageError, ResultsError
from assay.io.results import Results
from assay.io.witness import require_as_written
from assay.pipeline.pixels import field_unit_of
from assay.pipeline.plan import RunPlan

_STEPS = ("pixels", "link", "events")
_EXPECTED = "expected.json"


def write_expected(plan: RunPlan, results: Results, *, labels: Mapping[str, Any]) -> None:
    """Keep what a run expects to do, so that `status` can say what is missing.

    Args:
        plan: Of the run.
        results: Where it works.
        labels: Which labels of another program it takes; empty where there are none.
    """
    fields = {
        field_unit_of(field): {
            "runs": len(field.runs()),
            "frames": field.shape[0],
            "run_frames": field.run_frames,
            "keys": {"pixels": field.pixels_key(), "link": field.link_key(), "events": field.events_key()},
        }
        for field in plan.fields
    }
    refused = {str(place): reason for place, reason in sorted(plan.refused.items())}
    segmenter = dict(plan.fields[0].segmenter) if plan.fields else {}
    values = {"fields": fields, "refused": refused, "segmenter": segmenter, "labels": dict(labels)}
    results.keep_file(results.work / _EXPECTED, json.dumps(values, sort_keys=True, indent=1).encode())


def _expected(results: Results) -> dict[str, Any]:
    file = results.work / _EXPECTED
    if file.is_file():
        require_as_written(file)
    expected: dict[str, Any] = json.loads(file.read_text())
    return expected


def expected_segmenter(results: Results) -> Mapping[str, str]:
    """Identity of the model and device that RESULTS were begun with; empty where nothing was begun or it is damaged."""
    try:
        expected = _expected(results)
    except (OSError, ValueError):
        return {}
    return dict(expected.get("segmenter", {}))


def expected_labels(results: Results) -> Mapping[str, Any] | None:
    """Which labels of another program RESULTS were begun with: empty for none, None where nothing was begun."""
    try:
        expected = _expected(results)
    except (OSError, ValueError):
        return None
    return dict(expected.get("labels", {}))


def status_lines(path: Path) -> tuple[list[str], bool]:
    """A line per field, and whether any failed.

    Raises:
        ResultsError: It is no RESULTS folder, or nothing was begun in it.
    """
    results = Results.open(path)
    try:
        expected = _expected(results)
    except DamageError:
        raise
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: nothing was begun here yet. Start `killassay run`.") from error
    done = {step: {(r.unit, r.key) for r in results.ledger.records(step)} for step in _STEPS}
    failures = {unit: message for (_, unit), message in results.ledger.failures().items()}
    lines, some_failed = [], bool(expected["refused"])
    for field, counts in expected["fields"].items():
        runs, keys = counts["runs"], counts["keys"]
        n_runs = sum(unit.startswith(f"{field}_") and key == keys["pixels"] for unit, key in done["pixels"])
        linked, events = ((field, keys[step]) in done[step] for step in ("link", "events"))
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
