"""`killassay doctor`: what this machine has, what is missing, and the line that installs it."""

import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from assay._version import __version__
from assay.cli import examinations
from assay.cli.examinations import Finding
from assay.cli.progress import plain
from assay.errors import AssayError

_SIGNS = {"ok": "ok", "note": "note", "missing": "MISSING"}


def doctor(
    disk: Annotated[Path, typer.Option(help="Folder on the disk where RESULTS would lie.")] = Path(),
    device: Annotated[str, typer.Option(help="Look at this one: auto, cpu, cuda or cuda:N.")] = "auto",
) -> int:
    """Look at environment and devices; say what is missing and the line that installs it."""
    typer.echo(f"killassay {__version__} on {platform.platform()}")
    findings = list(_findings(disk, device))
    width = max(len(finding.what) for finding in findings)
    for finding in findings:
        typer.echo(plain(f"{_SIGNS[finding.state]:<8}{finding.what:<{width}}  {finding.found}"))
        if finding.mend:
            typer.echo(plain(f"{'':<8}{'':<{width}}  -> {finding.mend}"))
    missing = [finding.what for finding in findings if finding.state == "missing"]
    notes = sum(finding.state == "note" for finding in findings)
    if missing:
        typer.echo(f"missing: {', '.join(missing)}. No run before that is mended (-> above).")
        return 2
    typer.echo(f"everything that a run needs is here{f'; {notes} notes above' if notes else ''}")
    return 0


def _findings(disk: Path, device: str) -> Iterator[Finding]:
    from assay.execution import available_cores

    packages = list(examinations.examine_python())
    yield from packages
    if all(finding.state == "ok" for finding in packages):
        yield from _examine_device(device)
        yield examinations.examine_compiled_code(_compiled_code())
    yield examinations.examine_processor(available_cores())
    yield examinations.examine_memory()
    yield examinations.examine_disk(disk.resolve())
    yield examinations.examine_home()
    yield examinations.examine_open_files()
    yield from examinations.examine_extras()
    yield examinations.examine_screen()
    yield examinations.examine_batch_systems()


def _examine_device(device: str) -> Iterator[Finding]:
    """The model that ships, on the device that a run would take."""
    from assay.cli.model_commands import gpus_of, known_of, loader_of
    from assay.protocol import ModelSettings

    model = ModelSettings()
    try:
        identity, runtime = known_of(loader_of(model, device))
    except AssayError as error:
        yield Finding(what="model", state="missing", found=str(error), mend="--device auto, or as it says")
        return
    yield Finding(what="model", state="ok", found=f"{model.name}, {identity.get('numerics', '')}")
    gpus = gpus_of(device)
    unused = not gpus and device == "auto" and shutil.which("nvidia-smi") is not None
    yield Finding(
        what="device",
        state="note" if unused else "ok",
        found=f"{runtime['device_name']}: {runtime['chosen']}" + (f"; {len(gpus)} GPUs" if gpus else ""),
        mend="there is an NVIDIA driver: `pip install torch` brings the CUDA build" if unused else "",
    )


def _compiled_code() -> Path | None:
    from assay.compiled import kept_in

    return kept_in()
