"""Options by which label images of another program take the place of the model's, for `run` and `check`."""

from pathlib import Path
from typing import Annotated, Any, Never

import typer

from assay.cli.progress import Reporter
from assay.errors import ImageError, ProtocolError

LabelsOption = Annotated[
    Path | None,
    typer.Option(
        help="Label images of another program instead of the model's: OME-Zarr with labels/, or TIFF files."
    ),
]
LabelsEffectorsOption = Annotated[
    str, typer.Option(help="What the effectors' labels are called; '*' for all there are.")
]
LabelsTargetsOption = Annotated[
    str, typer.Option(help="What the targets' labels are called; '*' for all there are.")
]
LabelsPatternOption = Annotated[
    str, typer.Option(help="Names of label TIFFs, as import --pattern, the group role being the role's word.")
]
LabelsTrackedOption = Annotated[
    bool | None,
    typer.Option(
        "--labels-tracked/--labels-untracked",
        help="A value is the same cell in all frames, or in its own frame only. Left out: only where killassay's "
        "own labels say so.",
    ),
]


def label_request(
    labels: Path | None, effectors: str, targets: str, pattern: str, tracked: bool | None
) -> Any:
    """What the options ask for; None without --labels.

    Raises:
        ProtocolError: An option speaks of labels, but none are given.
    """
    if labels is None:
        if effectors or targets or pattern or tracked is not None:
            raise ProtocolError(
                "options --labels-... were given without --labels LABELS. Say where the labels lie."
            )
        return None
    from assay.io.given_labels import LabelRequest

    names = {role: name for role, name in (("effector", effectors), ("target", targets)) if name}
    return LabelRequest(path=labels, names=names, pattern=pattern or None, tracked=tracked)  # type: ignore[arg-type]


def looked_at(plan: Any, reporter: Reporter) -> Any:
    """Say where the outlines come from and what is odd about them, before the work begins.

    Returns:
        The plan, with what was odd on its record.

    Raises:
        ImageError: Not one of the fields looked at has labels that can be used.
    """
    from dataclasses import replace

    from assay.pipeline.check import describe_labels, look_at_labels

    doubts = look_at_labels(plan)
    if not doubts:
        return plan
    problems = [doubt.problem for doubt in doubts if doubt.problem]
    if len(problems) == len(doubts):
        raise ImageError(problems[0])
    warnings = [*plan.labels["warnings"], *(line for doubt in doubts for line in doubt.misplaced)]
    reporter.say(describe_labels(plan))
    for line in warnings:
        reporter.say(f"WARNING {line}")
    return replace(plan, labels={**plan.labels, "warnings": warnings})


def no_model() -> Never:
    """Stands where a model would be made: labels are given for both roles."""
    raise AssertionError("labels are given for both roles, so no model is needed")
