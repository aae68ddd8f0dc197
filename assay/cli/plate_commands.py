"""Commands about plates: import, describe, check, simulate, score."""

import contextlib
import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from assay.cli.label_options import (
    LabelsEffectorsOption,
    LabelsOption,
    LabelsPatternOption,
    LabelsTargetsOption,
    LabelsTrackedOption,
    label_request,
)
from assay.cli.outputs import refuse_inside_plate, write_text_file
from assay.cli.progress import Reporter, plain
from assay.errors import CalibrationError, ImageError, ProtocolError, ResultsError
from assay.protocol import read_protocol
from assay.units import Calibration

_NGFF = Annotated[
    str, typer.Option(help="OME-Zarr version to write: 0.5 (zarr v3, sharded) or 0.4 (zarr v2).")
]


def import_plate(
    context: typer.Context,
    source: Annotated[Path, typer.Argument(help="A TIFF file, or a folder of TIFF files.")],
    plate: Annotated[Path, typer.Argument(help="The plate to write, PLATE.zarr.")],
    pattern: Annotated[
        str,
        typer.Option(
            help="incucyte, plain, well (a file per well), or a regular expression with named groups."
        ),
    ] = "",
    protocol: Annotated[
        Path | None, typer.Option(help="Protocol whose \\[calibration] fills what is missing.")
    ] = None,
    wells: Annotated[
        Path | None, typer.Option(help="CSV with the columns file and well, maybe field.")
    ] = None,
    pixel_um: Annotated[str, typer.Option(help="Pixel size in um, as 0.65 or as Y,X.")] = "",
    frame_min: Annotated[float | None, typer.Option(help="Frame interval in minutes.")] = None,
    channels: Annotated[str, typer.Option(help="Channel names in order, as CTDR,GFP,PI.")] = "",
    axes: Annotated[str, typer.Option(help="Axes of files that do not say, as CYX, TYX or TCYX.")] = "",
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Take a series with holes; those frames are masked.")
    ] = False,
    ngff: _NGFF = "0.5",
) -> None:
    """Turn vendor files or folders of TIFF into one OME-Zarr plate."""
    from assay.io.importers.planning import plan_import

    refuse_inside_plate(plate.parent, "PLATE")
    reporter: Reporter = context.obj
    with reporter.live():
        plan = plan_import(
            source,
            pattern=pattern or None,
            wells=wells,
            channel_names=tuple(name.strip() for name in channels.split(",") if name.strip()) or None,
            axes=axes or None,
            pixel_um=_pixel(pixel_um),
            frame_min=frame_min,
            protocol=read_protocol(protocol) if protocol else None,
            allow_missing=allow_missing,
            progress=reporter,
        )
    for line in plan.summary():
        reporter.say(line)
    from assay.io.importers.writing import run_import  # loads zarr: a refusal does not wait for it

    with reporter.live():
        run_import(plan, plate, ngff=_ngff(ngff), progress=reporter)
    typer.echo(f"plate: {plate}")
    typer.echo(
        "next: " + shlex.join(["killassay", "protocol", str(plate), "-o", plate.with_suffix(".toml").name])
    )


def protocol(
    plate: Annotated[Path, typer.Argument(help="OME-Zarr plate.")],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="File to write; the screen if left out.")
    ] = None,
) -> None:
    """Write a protocol filled from the plate's metadata, each value with its unit and a comment."""
    from assay.io.importers.recorded import recorded_conditions
    from assay.io.plate_reader import open_plate
    from assay.protocol_template import protocol_template

    opened = open_plate(plate)
    first = opened.fields[0]
    calibration: Calibration | None = None
    with contextlib.suppress(CalibrationError):  # the template asks for what is missing
        calibration = opened.stack(first).calibration
    names = opened.stack(first, calibration=Calibration(pixel_um=(1.0, 1.0), frame_min=1.0)).channel_names
    wells = sorted({place.well for place in opened.fields})
    text = protocol_template(
        channel_names=names, calibration=calibration, wells=wells, conditions=recorded_conditions(plate)
    )
    if out is None:
        typer.echo(text, nl=False)
        return
    if out.exists():
        raise ProtocolError(f"{out} exists already. Give another name with -o, or delete it first.")
    write_text_file(out, text, "-o")
    typer.echo(f"protocol: {out}")


def check(
    plate: Annotated[Path, typer.Argument(help="OME-Zarr plate.")],
    protocol: Annotated[Path | None, typer.Option(help="Check it against this protocol too.")] = None,
    labels: LabelsOption = None,
    labels_effectors: LabelsEffectorsOption = "",
    labels_targets: LabelsTargetsOption = "",
    labels_pattern: LabelsPatternOption = "",
    labels_tracked: LabelsTrackedOption = None,
) -> int:
    """Validate plate and protocol and look at a few frames; nothing that takes long."""
    from assay.pipeline.check import check_plate

    request = label_request(labels, labels_effectors, labels_targets, labels_pattern, labels_tracked)
    if request is not None and protocol is None:
        raise ProtocolError(
            "--labels are checked together with a protocol, which names the channels. Give --protocol."
        )
    problems, lines = check_plate(plate, read_protocol(protocol) if protocol else None, request)
    console = Console(highlight=False, soft_wrap=True)
    for line in lines:
        console.print(plain(line).replace("\n", " "), markup=False)
    for problem in problems:
        typer.echo(f"killassay: {plain(problem)}".replace("\n", " "), err=True)
    return 2 if problems else 0


def simulate(
    context: typer.Context,
    plate: Annotated[Path, typer.Argument(help="The plate to write, PLATE.zarr; its truth lies beside it.")],
    scenario: Annotated[
        str, typer.Option(help="Name of the scenario; `list` shows all.")
    ] = "adherent_standard",
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    frames: Annotated[int | None, typer.Option(help="Number of frames, if not the scenario's.")] = None,
    fields: Annotated[int, typer.Option(min=1, help="Fields per well.")] = 1,
    replicates: Annotated[int, typer.Option(min=1, help="Wells per condition.")] = 2,
    ngff: _NGFF = "0.5",
) -> None:
    """Make a plate whose truth is known, to learn how far each number can be trusted."""
    from assay.simulate.plate import simulate_plate
    from assay.simulate.scenario import SCENARIOS

    if scenario == "list":
        for name, known in SCENARIOS.items():
            typer.echo(f"{name}: {known.summary}")
        return
    if scenario not in SCENARIOS:
        raise ProtocolError(f"no scenario {scenario!r}. Expected one of {', '.join(SCENARIOS)}.")
    refuse_inside_plate(plate.parent, "PLATE")
    reporter: Reporter = context.obj
    with reporter.live():
        simulate_plate(
            plate,
            scenario=SCENARIOS[scenario],
            seed=seed,
            n_frames=frames,
            fields_per_well=fields,
            replicates=replicates,
            ngff=_ngff(ngff),
            progress=reporter,
        )
    typer.echo(f"plate: {plate}")
    typer.echo(f"protocol: {plate.with_suffix('.toml')}")
    typer.echo(f"truth: {plate.with_name(plate.stem + '-truth')}")


def score(
    results: Annotated[
        Path, typer.Argument(help="RESULTS folder; or masks of the challenge, GEFF, CSV of positions.")
    ],
    truth: Annotated[
        Path, typer.Argument(help="PLATE-truth folder; or tracks of another origin, taken for true.")
    ],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the scores here too.")] = None,
    role: Annotated[
        str, typer.Option(help="effector or target: whose tracks, where their names do not say.")
    ] = "",
) -> None:
    """Score results against known truth, or tracks against tracks of another origin."""
    if role not in ("", "effector", "target"):
        raise ResultsError(f"--role {role!r}: expected effector or target.")
    if (truth / "tables").is_dir() or not truth.exists():
        from assay.score import format_scores, score_results

        scored = score_results(results, truth)
        text, numbers = format_scores(scored), scored.as_dict()
    else:
        from assay.io.lineage_sources import open_lineages
        from assay.score.lineages import format_lineage_scores, score_lineages

        whose: Any = role or None
        films, true = open_lineages(results, role=whose).films, open_lineages(truth, role=whose).films
        compared = score_lineages(films, true)
        text, numbers = format_lineage_scores(compared), dict(compared.as_dict())
    Console(highlight=False, soft_wrap=True).print(text)
    if json_file is not None:
        write_text_file(json_file, json.dumps(numbers, indent=1) + "\n", "--json")


def _pixel(text: str) -> tuple[float, float] | None:
    if not text:
        return None
    try:
        sizes = [float(piece) for piece in text.split(",")]
    except ValueError:
        sizes = []
    if len(sizes) == 1:
        sizes *= 2
    if len(sizes) != 2:
        raise CalibrationError(f"--pixel-um {text!r}: expected um per pixel as 0.65, or as Y,X.")
    return sizes[0], sizes[1]


def _ngff(text: str) -> Any:
    if text not in ("0.4", "0.5"):
        raise ImageError(f"--ngff {text!r}: expected 0.5 or 0.4.")
    return text
