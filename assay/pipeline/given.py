"""Labels of another program for a plate: opened, on the record, and the same when a run goes on."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from assay.errors import ResultsError
from assay.io.given_labels import LabelRequest, LabelSource, open_labels, require_plate_of, strangers
from assay.io.label_films import GivenLabels
from assay.io.label_roles import FOLDERS
from assay.io.results import Results
from assay.labels import CELL_ROLES
from assay.pipeline.outlines import odd_labels
from assay.pipeline.plan import RunPlan
from assay.pipeline.status import expected_labels
from assay.protocol import Protocol
from assay.stack import FieldId


def open_given(
    request: LabelRequest, protocol: Protocol, fields: Sequence[FieldId], plate_identity: str
) -> LabelSource:
    """Open the labels that were asked for.

    Raises:
        ImageError: There are none, or they are of another plate.
    """
    channels = {role: protocol.channels.get(role, ()) for role in CELL_ROLES}
    require_plate_of(request.path, plate_identity)
    return open_labels(request, channels=channels, fields=fields)


def record_of(source: LabelSource, request: LabelRequest, fields: Sequence[FieldId]) -> dict[str, Any]:
    """What the provenance says of labels of another program."""
    tracked = source.tracked if request.tracked is None else request.tracked
    return {
        "source": str(request.path.resolve()),
        "read_as": source.read_as,
        "roles": dict(source.names),
        "tracked": tracked,
        "warnings": [*source.warnings, *strangers(source, fields)],
    }


def labels_record(plan: RunPlan, failed: Mapping[FieldId, str]) -> dict[str, Any]:
    """The entry "labels" of the provenance; nothing where the model found the cells."""
    if not plan.labels:
        return {}
    fields = {
        str(field.field): {role: given.as_record() for role, given in field.given.items()}
        for field in plan.fields
    }
    warnings = [*plan.labels["warnings"], *label_warnings(plan, failed)]
    return {"labels": {**plan.labels, "warnings": warnings, "fields": fields}}


def label_warnings(plan: RunPlan, failed: Mapping[FieldId, str]) -> list[str]:
    """What was odd in the given labels of the fields that were run."""
    return [line for field in plan.fields if field.field not in failed for line in odd_labels(field)]


def with_recorded_labels(plan: RunPlan, provenance: Mapping[str, Any]) -> RunPlan:
    """A plan to report on, with the labels that its results were made with; they need not be there any more."""
    record = provenance.get("labels")
    if not record:
        return plan
    fields = tuple(
        replace(
            field,
            given={
                role: GivenLabels.from_record(given)
                for role, given in record["fields"].get(str(field.field), {}).items()
            },
        )
        for field in plan.all_fields
    )
    return replace(plan, all_fields=fields, labels=record)


def require_same_labels(plan: RunPlan, results: Results) -> None:
    """Refuse a run that would take the outlines from elsewhere than what is there did.

    The same source may have changed: exactly the fields whose files changed are done again.

    Raises:
        ResultsError: Other roles are given, or from another source.
    """
    before = expected_labels(results)
    if before is None:
        return
    now = expected_labels_of(plan)
    common = [field for field in now.get("fields", {}) if field in before.get("fields", {})]
    same_files = any(now["fields"][field] == before["fields"][field] for field in common)
    if now.get("roles") == before.get("roles") and (now.get("source") == before.get("source") or same_files):
        return
    raise ResultsError(
        f"{results.path} holds results with outlines from {_spoken(before)}; now they would come from {_spoken(now)}. All "
        "of it would be done again. Choose another folder for --out, or say --redo to replace what is there."
    )


def expected_labels_of(plan: RunPlan) -> dict[str, Any]:
    """What a run expects of its labels: enough to tell whether a later one has the same."""
    if not plan.labels:
        return {}
    fields = {
        str(field.field): {role: given.identity for role, given in field.given.items()}
        for field in plan.fields
    }
    return {"source": plan.labels["source"], "roles": dict(plan.labels["roles"]), "fields": fields}


def _spoken(labels: Mapping[str, Any]) -> str:
    if not labels:
        return "the model"
    roles = " and ".join(FOLDERS[role] for role in CELL_ROLES if role in labels["roles"])
    return f"{labels['source']} ({roles})"
