"""The command line: one door, exit codes as in the contract, one line for every error a user can mend."""

import errno
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer

from assay._version import __version__
from assay.cli.bench import bench
from assay.cli.compare_command import compare
from assay.cli.contact_commands import contacts
from assay.cli.doctor import doctor
from assay.cli.export_commands import export
from assay.cli.finetuning import finetune
from assay.cli.model_commands import train
from assay.cli.plate_commands import check, import_plate, protocol, score, simulate
from assay.cli.progress import Reporter, plain
from assay.cli.review_commands import review, verify
from assay.cli.run_commands import demo, report, run, status
from assay.cli.zoo import models
from assay.errors import AssayError

EXIT_OK, EXIT_BUG, EXIT_MENDABLE, EXIT_SOME_FAILED = 0, 1, 2, 3
EXIT_INTERRUPTED, EXIT_TERMINATED = 130, 143

# Wrong words on the command line. Newer typers carry a click of their own, so its classes are found by descent.
_CLICK_ERRORS: tuple[type[Exception], ...] = tuple(
    base
    for base in typer.BadParameter.__mro__
    if issubclass(base, Exception) and hasattr(base, "format_message")
)
_INTERRUPTED = "interrupted; what is done is kept, the same command goes on from there"

app = typer.Typer(
    name="killassay",
    help="Who killed whom, when, and how sure: killing assays from a plate on disk to numbers with intervals.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Terminated(BaseException):
    """SIGTERM came, as when a cluster takes a node back; what is done is kept."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"killassay {__version__}")
        raise typer.Exit


@app.callback()
def _global_options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True)] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Say more.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Say nothing but errors and results.")] = False,
) -> None:
    context.obj = Reporter(quiet=quiet, verbose=verbose)


app.command()(demo)
app.command(name="import")(import_plate)
for _command in (
    protocol,
    check,
    run,
    status,
    report,
    review,
    verify,
    contacts,
    export,
    compare,
    simulate,
    score,
    train,
    finetune,
    doctor,
):
    app.command()(_command)
app.add_typer(models, name="models")
app.add_typer(bench, name="bench")


def main() -> NoReturn:
    """Run the command line and leave with the contract's exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(_exit_code())


def _exit_code() -> int:
    try:
        code = app(standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        return _leave(_INTERRUPTED, EXIT_INTERRUPTED)
    except Terminated:
        return _leave(
            "terminated; what is done is kept, the same command goes on from there", EXIT_TERMINATED
        )
    except _CLICK_ERRORS as error:
        return _leave(_usage_message(error), EXIT_MENDABLE)
    except AssayError as error:
        return _leave(str(error), EXIT_MENDABLE)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM):
            return _leave(
                f"{error.filename or 'the disk'}: {error.strerror}. What is done is kept.", EXIT_MENDABLE
            )
        if _folder_is_gone():
            return _leave(
                "the folder this was started in was deleted. Go to another one (cd).", EXIT_MENDABLE
            )
        return _bug()
    except MemoryError:
        return _leave("not enough memory. Run with fewer workers; what is done is kept.", EXIT_MENDABLE)
    except Exception:  # noqa: BLE001 - the outermost door: whatever comes here is our bug, and is said to be
        return _bug()
    if code == EXIT_INTERRUPTED:  # how typer hands on Ctrl-C
        return _leave(_INTERRUPTED, EXIT_INTERRUPTED)
    return code if isinstance(code, int) else EXIT_OK


def _folder_is_gone() -> bool:
    try:
        return not Path.cwd().is_dir()
    except FileNotFoundError:
        return True


def _usage_message(error: Exception) -> str:
    said = error.format_message().rstrip(".")  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    command = "killassay"
    if context is not None and context.info_name and context.parent is not None:
        command += f" {context.info_name}"
    return f"{said}{'. ' if said else ''}`{command} --help` shows what is expected."


def _leave(message: str, code: int) -> int:
    sys.stderr.write(f"killassay: {plain(message)}\n".replace("\n", " ").rstrip() + "\n")
    return code


def _bug() -> int:
    traceback.print_exc()
    sys.stderr.write(f"killassay {__version__}: this is our bug, please report it with the lines above.\n")
    return EXIT_BUG


def _terminate(signum: int, frame: FrameType | None) -> None:
    raise Terminated
