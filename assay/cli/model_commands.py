"""Where a run gets its model from, on which device; and the command that trains one."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

import assay
from assay.cli.outputs import refuse_inside_plate
from assay.cli.progress import Reporter
from assay.errors import ModelError
from assay.labels import Segmenter
from assay.protocol import ModelSettings


def model_for(settings: ModelSettings, device: str) -> tuple[Callable[[], Segmenter], Mapping[str, str]]:
    """Choose model and device once, at the top.

    Returns:
        What makes the model in any process, and the model's identity.
    """
    make = loader_of(settings, device)
    return make, identity_of(make)


def loader_of(settings: ModelSettings, device: str) -> Callable[[], Segmenter]:
    """What makes the model in any process, on any machine; nothing is loaded yet."""
    return functools.partial(_load, settings.name, device, settings.precision)


def identity_of(make: Callable[[], Segmenter]) -> dict[str, str]:
    """The model's identity on this machine: weights, device, numerics."""
    return dict(make().identity)


def runtime_of(make: Callable[[], Segmenter]) -> Mapping[str, str]:
    """On what the model runs and why, for the record; empty where a segmenter does not say."""
    return dict(getattr(make(), "runtime", {}))


def known_of(make: Callable[[], Segmenter]) -> tuple[dict[str, str], dict[str, str]]:
    """Identity and runtime of the model where it is asked: here, or on a node of a cluster."""
    return identity_of(make), dict(runtime_of(make))


def gpus_of(device: str) -> tuple[str, ...]:
    """Names of the GPUs that a run on this device may spread over."""
    _require_our_models()
    from models.devices import visible_gpus

    return visible_gpus(device)


@functools.cache
def _load(name: str, device: str, precision: str) -> Segmenter:
    _require_our_models()
    from models.devices import one_thread
    from models.weights import load_model

    one_thread()  # with two, sums change their order, and threads that wait for each other burn the other core
    return load_model(name, device=device, precision=precision)


def _require_our_models() -> None:
    """Another package called `models` on the path would shadow ours."""
    import models

    found = Path(str(models.__file__)).parent if models.__file__ else None
    if found is None or found.parent != Path(str(assay.__file__)).parent.parent:
        raise ModelError(
            f"another package called 'models' is in the way: {found}. Expected the one beside "
            f"{Path(str(assay.__file__)).parent}. Start killassay from another folder, or rename that package."
        )


def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the new model: weights and card.")],
    minutes: Annotated[float, typer.Option(min=0.01, help="Stop training after so long.")] = 60.0,
    steps: Annotated[
        int, typer.Option(min=0, help="Stop after so many steps, however long they take; 0: by time.")
    ] = 0,
    size: Annotated[str, typer.Option(help="fast, standard or accurate.")] = "standard",
    tiles: Annotated[int, typer.Option(min=1, help="Simulated tiles to learn from.")] = 2800,
    annotated: Annotated[
        list[str] | None,
        typer.Option(help="Images with masks to learn from as well: the roles of their channels, =, folder."),
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(help="Go on from this model, a name or a card, instead of from nothing."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the simulated tiles; 1000000 or more.")] = 1_000_000,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Train a model on simulated films, from nothing or --start; run again on the same folder it resumes."""
    _require_our_models()
    from assay.cli.calibration import calibrate_model
    from assay.cli.outlined_frames import frames_of_folders
    from assay.cli.training import train_model

    refuse_inside_plate(out, "--out")
    reporter: Reporter = context.obj
    card = train_model(
        out,
        minutes=None if steps else minutes,
        steps=steps or None,
        n_tiles=tiles,
        seed=seed,
        size=size,
        annotated=frames_of_folders(annotated or [], reporter),
        start=start,
        device=device,
        progress=reporter,
    )
    calibrate_model(card, device=device, progress=reporter)
    typer.echo(f"model: {card}")
    typer.echo(f"how it went: {out / 'pictures'}")
    typer.echo(f'to use it, in the protocol: [model] name = "{card}"')
