"""Commands that measure the product where the truth is known, with naive rules beside it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from assay.cli.outputs import refuse_inside_plate, write_text_file
from assay.cli.progress import Reporter
from assay.errors import ProtocolError, ResultsError

bench = typer.Typer(
    help="Benchmarks with known truth, naive rules beside ours.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@bench.command()
def events(
    context: typer.Context,
    levels: Annotated[
        str, typer.Option(help="Of easy, medium, hard, additive, mock, control.")
    ] = "easy,medium,hard,additive,mock,control",
    seeds: Annotated[str, typer.Option(help="As 3, 3,5 or 0-9. 100-109 are for scoring only.")] = "0-9",
    wells: Annotated[
        int, typer.Option(min=0, help="Also so many wells of small fields, for the 90 % interval of kills.")
    ] = 0,
    rungs: Annotated[
        bool,
        typer.Option("--rungs", help="Also ours on true tracks, contacts and deaths, and without controls."),
    ] = False,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", help="Keep each scene's counts here, a line each; go on from there."),
    ] = None,
) -> None:
    """Read made co-cultures with known deaths, killers and contacts, scene by scene."""
    from assay.killbench.bench import jobs_of, run_bench
    from assay.killbench.page import bench_text

    reporter: Reporter = context.obj
    asked = [level for level in levels.split(",") if level]
    jobs = jobs_of(asked, seeds_of(seeds), n_wells=wells)
    if json_file is not None:
        refuse_inside_plate(json_file, "--json")
        if not json_file.absolute().parent.is_dir():
            raise ResultsError(f"--json {json_file}: there is no folder {json_file.parent}. Make it first.")
    with reporter.live():
        reporter.begin("scenes", len(jobs))
        counts = []
        for done in run_bench(jobs, rungs=rungs, kept=json_file):
            counts += done
            reporter.advance()
    Console(highlight=False, soft_wrap=True).print(bench_text(counts), end="", markup=False)


@bench.command()
def speed(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here too.")] = None,
) -> None:
    """What measures, touching pairs, links, contacts and deaths cost on this machine, plain ways beside them."""
    from assay.killbench.speed import speed_costs, speed_text

    costs = speed_costs()
    Console(highlight=False, soft_wrap=True).print(speed_text(costs), end="", markup=False)
    if json_file is not None:
        write_text_file(json_file, json.dumps([asdict(cost) for cost in costs], indent=1) + "\n", "--json")


def seeds_of(text: str) -> list[int]:
    """Read "3", "3,5" or "100-109".

    Raises:
        ProtocolError: It is none of these.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        last = last if dash else first
        if not (first.isdecimal() and last.isdecimal() and int(first) <= int(last)):
            raise ProtocolError(f"--seeds {text!r}: expected numbers and upward ranges, as 3,5 or 0-9.")
        seeds += range(int(first), int(last) + 1)
    return list(dict.fromkeys(seeds))
