"""Commands as hurried people type them."""

from typing import Any

from tests.faults.bench import Bench
from tests.faults.fault import RUN, Fault, refused

_HELP = "look at --help"


def _row(
    name: str, broken: str, words: tuple[str, ...], says: str, todo: str = _HELP, breaks: Any = None
) -> Fault:
    return refused(name, None, broken, breaks, says, todo, words=words, mends=False)


def _empty(bench: Bench) -> None:
    (bench.root / "empty").mkdir()


FAULTS: list[Fault] = [
    _row(
        "command-not-known",
        "A command that does not exist",
        ("rnu",),
        r"No such command 'rnu'.*killassay --help",
    ),
    _row(
        "option-not-known",
        "An option that does not exist",
        (*RUN, "--thershold", "1"),
        r"No such option.*--thershold",
    ),
    _row(
        "argument-left-out",
        "`run` without a protocol",
        ("run", "{plate}", "--out", "{out}"),
        r"Missing option '--protocol'.*killassay run --help",
    ),
    _row(
        "value-of-another-kind",
        "--workers two",
        (*RUN, "--workers", "two"),
        r"--workers.*valid integer.*killassay run --help",
    ),
    _row(
        "workers-negative",
        "--workers -1",
        (*RUN, "--workers", "-1"),
        r"--workers.*greater than or equal to 0.*killassay run --help",
    ),
    _row(
        "well-not-on-the-plate",
        "--wells of a well that the plate does not have",
        (*RUN, "--wells", "B02,H12"),
        r"the plate has no well H12\. It has B02, B03",
    ),
    _row(
        "well-that-is-no-well",
        "--wells of a word that is no well",
        (*RUN, "--wells", "control"),
        r"'control'",
    ),
    _row("wells-empty", "--wells ,", (*RUN, "--wells", ","), r"--wells ',': expected well names"),
    _row("shard-of-nonsense", "--shard 3/2", (*RUN, "--shard", "3/2"), r"--shard '3/2': expected I/N"),
    _row(
        "shard-and-cluster",
        "--shard together with --cluster",
        (*RUN, "--shard", "1/2", "--cluster", "c.toml"),
        r"--cluster hands out all the work itself",
    ),
    _row(
        "labels-options-without-labels",
        "--labels-targets without --labels",
        (*RUN, "--labels-targets", "x"),
        r"without --labels LABELS",
    ),
    _row("labels-not-there", "--labels of a folder that is not there", (*RUN, "--labels", "masks"), r"masks"),
    _row(
        "progress-of-nonsense",
        "--progress xml",
        (*RUN, "--progress", "xml"),
        r"--progress 'xml': expected bar or json",
    ),
    _row(
        "export-format",
        "`export --format xlsx`",
        ("export", "{results}", "--to", "{made}", "--format", "xlsx"),
        r"--format 'xlsx': expected one of",
    ),
    _row(
        "export-into-the-plate",
        "`export` into a plate",
        ("export", "{results}", "--to", "{plate}/x"),
        r"OME-Zarr data and is never changed",
    ),
    _row(
        "export-onto-a-file",
        "`export` onto a file",
        ("export", "{results}", "--to", "{protocol}"),
        r"is a file, or lies in one",
    ),
    _row(
        "report-format",
        "`report --format docx`",
        ("report", "{results}", "--format", "docx"),
        r"--format 'docx': expected html",
    ),
    _row(
        "score-without-truth",
        "`score` against a truth that is not there",
        ("score", "{results}", "nothing-truth"),
        r"nothing-truth",
    ),
    _row(
        "score-role",
        "`score --role nk`",
        ("score", "{results}", "{results}", "--role", "nk"),
        r"--role 'nk': expected effector or target",
    ),
    _row(
        "score-into-no-folder",
        "`score --json` into a folder that is not there",
        ("score", "{results}", "{results}", "--json", "no/where.json"),
        r"there is no folder|scenario\.json",
    ),
    _row(
        "scenario-not-known",
        "A scenario that does not exist",
        ("simulate", "{made}.zarr", "--scenario", "adherent"),
        r"no scenario 'adherent'\. Expected one of",
    ),
    _row(
        "simulate-onto-a-plate",
        "`simulate` onto a plate that is there",
        ("simulate", "{plate}", "--frames", "1"),
        r"plate\.zarr",
    ),
    _row(
        "ngff-not-known",
        "--ngff 0.6",
        ("simulate", "{made}.zarr", "--ngff", "0.6"),
        r"--ngff '0\.6': expected 0\.5 or 0\.4",
    ),
    _row(
        "protocol-file-is-there",
        "`protocol -o` onto a file that is there",
        ("protocol", "{plate}", "-o", "{protocol}"),
        r"assay\.toml exists already",
    ),
    _row(
        "protocol-into-no-folder",
        "`protocol -o` into a folder that is not there",
        ("protocol", "{plate}", "-o", "no/where.toml"),
        r"there is no folder no",
    ),
    _row(
        "finetune-without-images",
        "`finetune` on an empty folder",
        ("finetune", "empty", "--out", "{made}"),
        r"empty",
        breaks=_empty,
    ),
    _row(
        "finetune-on-nothing",
        "`finetune` on a folder that is not there",
        ("finetune", "nothing", "--out", "{made}"),
        r"nothing",
    ),
    _row(
        "model-show-unknown",
        "`models show` of a model that does not exist",
        ("models", "show", "standrad"),
        r"no model 'standrad'",
    ),
    _row(
        "model-export-nothing",
        "`models export` without a file to write",
        ("models", "export", "standard"),
        r"--onnx FILE or --bioimageio",
    ),
    _row(
        "bench-not-known", "A benchmark that does not exist", ("bench", "evnts"), r"No such command 'evnts'"
    ),
    _row(
        "review-json-into-no-folder",
        "`review --json` into a folder that is not there",
        ("review", "{results}", "--json", "no/where.json"),
        r"there is no folder no",
    ),
]
