"""`killassay finetune`: corrected outlines or a folder of images with masks in, a better model out, or none."""

from pathlib import Path
from typing import Annotated

import typer

from assay.cli.model_commands import _require_our_models
from assay.cli.outputs import refuse_inside_plate
from assay.cli.progress import Reporter, plain
from assay.errors import CalibrationError, ModelError, ProtocolError
from assay.labels import CELL_ROLES, CellRole
from assay.protocol import read_protocol
from assay.units import Calibration


def finetune(
    context: typer.Context,
    folder: Annotated[
        Path,
        typer.Argument(
            help="Reviewed RESULTS with corrected outlines, or images with masks: a.tif and a_labels.tif, or images/ and masks/."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The new model: a folder, or the name of its card, NAME.json.")],
    base: Annotated[
        str, typer.Option(help="Model to begin from: its name, or the path of its card.")
    ] = "standard",
    channels: Annotated[
        str, typer.Option(help="Roles of the planes in order, as nuclei,death,brightfield; - leaves one out.")
    ] = "",
    protocol: Annotated[
        Path | None, typer.Option(help="Roles by channel names, from a protocol; instead of --channels.")
    ] = None,
    role: Annotated[str, typer.Option(help="What the masks outline: target or effector.")] = "target",
    pixel_um: Annotated[
        str, typer.Option(help="Pixel size in um, or y,x; where the images do not say.")
    ] = "",
    held_out: Annotated[
        str, typer.Option(help="Images or experiments to judge by, as a,b; else chosen by their names.")
    ] = "",
    minutes: Annotated[float, typer.Option(min=0.01, help="Processor minutes to learn for.")] = 3.0,
    simulated: Annotated[
        int, typer.Option(min=0, help="Simulated frames to mix in, so that nothing is forgotten.")
    ] = 48,
    seed: Annotated[int, typer.Option(min=0, help="Of the crops that are drawn.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Write the model even if it is no better.")] = False,
) -> None:
    """Make a model better on your own images; it is written only if it is better on cells it has not learned from."""
    refuse_inside_plate(out, "--out")
    from assay.io.annotated_images import ReadingSettings, parse_channels
    from assay.io.reviewed_images import is_results

    settings = ReadingSettings(
        channels=parse_channels(channels) if channels else None,
        protocol=read_protocol(protocol) if protocol else None,
        mask_role=_cell_role(role),
        pixel_um=_pixel_um(pixel_um),
    )
    if is_results(folder) and (channels or protocol or pixel_um):
        raise ProtocolError(
            f"{folder}: RESULTS say themselves what the channels show and how large a pixel is. Leave --channels, --protocol "
            "and --pixel-um out."
        )
    if channels and protocol:
        raise ProtocolError("--channels and --protocol both say what the channels show. Give one of them.")
    _require_our_models()
    from assay.cli.outlined_frames import learn_from_folder
    from models.training.finetune import FinetuneSettings

    card = out if out.suffix == ".json" else out / f"{out.name}.json"
    reporter: Reporter = context.obj
    with reporter.live():
        pictures = learn_from_folder(
            folder,
            reading=settings,
            base=base,
            out=card,
            held_out=[name.strip() for name in held_out.split(",") if name.strip()] or None,
            n_simulated=simulated,
            settings=FinetuneSettings(minutes=minutes, seed=seed, device=device, force=force),
            progress=reporter,
        )
    typer.echo(plain(f"model: {card}"))
    typer.echo(plain(f"pictures: {pictures} (held-out cells before and after)"))
    typer.echo(plain(f'to use it, in the protocol: [model] name = "{card}"'))


def _cell_role(text: str) -> CellRole:
    for role in CELL_ROLES:
        if text == role:
            return role
    raise ModelError(f"--role {text}: expected {' or '.join(CELL_ROLES)}.")


def _pixel_um(text: str) -> tuple[float, float] | None:
    if not text:
        return None
    try:
        sizes = [float(word) for word in text.split(",")]
        return Calibration(pixel_um=(sizes[0], sizes[-1])).pixel_um if len(sizes) in (1, 2) else _bad(text)
    except ValueError:
        return _bad(text)


def _bad(text: str) -> tuple[float, float]:
    raise CalibrationError(
        f"--pixel-um {text}: expected one pixel size in um, or y,x, each from 0.02 to 20, e.g. 0.65 or 0.65,0.65."
    )
