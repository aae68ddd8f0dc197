"""`killassay models`: what comes with killassay, what a card says, and models for other programs."""

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from assay.cli.model_commands import _require_our_models
from assay.cli.outputs import refuse_inside_plate
from assay.errors import ModelError

models = typer.Typer(
    help="List the models that come with killassay, show one, or export it for other programs."
)
_NameArgument = Annotated[str, typer.Argument(help="Name, or path of a model's card.")]


@models.callback(invoke_without_command=True)
def _list(context: typer.Context) -> None:
    if context.invoked_subcommand is not None:
        return
    _require_our_models()
    from models.weights import ZOO, list_models

    table = Table(title=None, box=None, pad_edge=False)
    for heading in ("name", "size", "um per pixel", "effectors AP50", "targets AP50", "licence"):
        table.add_column(heading)
    cards = list_models()
    for card in cards:
        scores = card.scores or {}
        megabytes = (ZOO / f"{card.name}.safetensors").stat().st_size / 1e6
        spans = [_span(scores, role) for role in card.cell_roles]
        table.add_row(card.name, f"{megabytes:.1f} MB", f"{card.pixel_um:g}", *spans, card.licence)
    Console(highlight=False).print(table)
    for card in cards:
        typer.echo(f"{card.name} has learned from: {card.training_data}")
        typer.echo(f"{card.name}: {_score_words(card.confidence is not None)}")
    typer.echo(
        "AP50 is the lowest and the highest over the films of the card; `killassay models show NAME` has each."
    )


@models.command("show")
def show(name: _NameArgument) -> None:
    """Show all that a model's card says: data, licence, training, scores."""
    _require_our_models()
    from models.weights import card_of

    card = card_of(name)
    for field in fields(card):
        value = getattr(card, field.name)
        if field.name == "confidence":
            typer.echo(f"confidence: {_score_words(value is not None)}")
        elif field.name != "scores" and value not in (None, ""):
            typer.echo(f"{field.name}: {_words(value)}")
    if card.scores:
        typer.echo("scores:")
        Console(highlight=False).print(_score_table(card.scores))


@models.command("export")
def export_model(
    name: _NameArgument,
    onnx: Annotated[Path | None, typer.Option(help="ONNX file to write.")] = None,
    bioimageio: Annotated[
        Path | None, typer.Option(help="bioimage.io package to write: a folder, or a .zip file.")
    ] = None,
) -> None:
    """Write a model for other programs; what is written is compared with the model itself."""
    if onnx is None and bioimageio is None:
        raise ModelError("nothing to write: give --onnx FILE or --bioimageio DIR-or-zip, or both.")
    _require_our_models()
    from models.export import export_bioimageio, export_onnx

    for path, option, write in (
        (onnx, "--onnx", export_onnx),
        (bioimageio, "--bioimageio", export_bioimageio),
    ):
        if path is not None:
            refuse_inside_plate(path, option)
            write(name, path)
            typer.echo(str(path))


@models.command("calibrate")
def calibrate(
    context: typer.Context,
    card: Annotated[Path, typer.Argument(help="Path of the model's card; it is written anew.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Fit how likely a model's cells are right, on simulated films it never saw, and write it into its card."""
    _require_our_models()
    refuse_inside_plate(card, "CARD")
    from assay.cli.calibration import calibrate_model

    done = calibrate_model(card, device=device, progress=context.obj)
    typer.echo(f"{done.name}: {_score_words(done.confidence is not None)}")


def _score_words(calibrated: bool) -> str:
    if calibrated:
        return "scores are calibrated: the probability that an outline is right (IoU 0.5) on films as it learned from"
    return "scores are not calibrated: they order cells, and no field is told from those it learned from"


def _span(scores: Mapping[str, Any], role: str) -> str:
    """Lowest and highest AP50 over the films that the card has scores of."""
    found = [
        of_film[role]["ap50"]
        for of_film in scores.values()
        if isinstance(of_film, Mapping) and isinstance(of_film.get(role), Mapping) and "ap50" in of_film[role]
    ]
    return f"{min(found):.2f} to {max(found):.2f}" if found else "not scored"


def _score_table(scores: Mapping[str, Any]) -> Table:
    table = Table(title=None, box=None, pad_edge=False)
    for heading in ("images", "role", "what"):
        table.add_column(heading)
    for images, of_images in scores.items():
        if not isinstance(of_images, Mapping):
            table.add_row(images, "", str(of_images))
            continue
        for role, values in of_images.items():
            table.add_row(images, role, _words(values))
    return table


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return " ".join(_words(inner) for inner in value)
    return value if isinstance(value, str) else json.dumps(value)
