"""Damage to files that killassay wrote, by seed, and what comes of it: named, and never another number.

A case is one file of one kind and one way to damage it. `verify` must name it; then one reader of the file, drawn
by the same seed, must give the undamaged numbers or one line of error.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from assay.errors import AssayError
from assay.io.ome_zarr import open_plate
from assay.io.plate_verification import verify_plate
from assay.io.results import Results
from assay.io.review_logs import open_log
from assay.io.tables import read_table
from assay.io.verification import Verification, results_to_verify, verify_results
from assay.pipeline.reviewed_results import read_review
from assay.pipeline.run import report_again
from assay.protocol import Protocol, parse_protocol
from assay.review.events import review_events
from assay.review.sitting import Sitting
from assay.score.plates import score_results
from tests.assay.pipeline.test_run import Silent, digest, run
from tests.small_plates import PROTOCOL, film, write_small_plate

WAYS = ("flipped bit", "cut short", "emptied", "deleted", "swapped")
RESULTS_KINDS: dict[str, str] = {
    "label chunks": r"labels\.zarr/.*/c/.*",
    "label metadata": r"labels\.zarr/.*zarr\.json",
    "frame label chunks": r"work/frame_labels\.zarr/.*/c/.*",
    "frame label metadata": r"work/frame_labels\.zarr/.*zarr\.json",
    "work tables": r"work/.*\.parquet",
    "work facts": r"work/.*(?<!zarr)\.json",
    "tables": r"tables/[^/]*",
    "reviewed tables": r"tables/reviewed/.*",
    "ledger": r"ledger/.*",
    "page, protocol, provenance, mark": r"[^/]*",
    "review logs": r"review/.*\.jsonl",
}
PLATE_KINDS: dict[str, str] = {
    "chunks": r"[A-Z]+/\d+/\d+/\d+/(c/)?\d+(/\d+)*",
    "array metadata": r"[A-Z]+/\d+/\d+/\d+/(zarr\.json|\.zarray|\.zattrs)",
    "group metadata": r"([A-Z]+(/\d+(/\d+)?)?/)?(zarr\.json|\.zattrs)",
    "sums": r".*killassay\.sums\.json",
}
OTHER = PROTOCOL + "[contact]\nenter_um = 2.0\nleave_um = 6.0\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What is damaged: a plate, RESULTS with a review, and the undamaged numbers."""

    plate: Path
    results: Path
    truth: Path
    digests: Mapping[str, Mapping[str, str]]  # protocol -> file -> hash
    scores: str
    reviewed: str
    pixels: Mapping[str, Any]
    plate_04: Path  # of the same pixels, without checks in its codecs


def make(folder: Path) -> Made:
    """A run of two wells, reviewed; keep `XDG_DATA_HOME` off the user's own data."""
    films = {"B02": film(18), "C02": film(18, effectors=False)}
    plate = write_small_plate(folder / "plate.zarr", films)
    results, truth = folder / "results", folder / "truth"
    run(plate, truth)
    (truth / "scenario.json").write_text('{"wells": {"B02": "sample", "C02": "target_only"}}')
    run(plate, results)
    tables = {name: read_table(results / "tables", name) for name in ("deaths", "kills", "contacts")}
    events = review_events(tables)
    log = open_log(Results.open(results), reader="ana")
    sitting = Sitting(events, log, reader="ana")
    for name in events["event"][:2]:
        sitting.decide("reject", name, reason="debris")
    log.close()
    run(plate, results)
    other = folder / "other"
    shutil.copytree(results, other)
    run(plate, other, protocol=parse_protocol(OTHER))
    return Made(
        plate=plate,
        results=results,
        truth=truth,
        digests={PROTOCOL: digest(results), OTHER: digest(other)},
        scores=scored(results, truth),
        reviewed=reviewed(results),
        pixels=pixels_of(plate),
        plate_04=write_small_plate(folder / "plate_04.zarr", films, ngff="0.4"),
    )


def scored(results: Path, truth: Path) -> str:
    return repr(score_results(results, truth))


def reviewed(results: Path) -> str:
    review = read_review(results)
    assert review is not None
    return hashlib.sha256(
        repr({n: {c: v.tolist() for c, v in t.items()} for n, t in review.tables.items()}).encode()
    ).hexdigest()


def pixels_of(plate: Path) -> dict[str, Any]:
    """Everything that a run takes from a plate."""
    opened = open_plate(plate)
    found: dict[str, Any] = {"fields": tuple(opened.fields)}
    for place in opened.fields:
        stack = opened.stack(place)
        pixels = stack.read(range(stack.shape[0]))
        found[str(place)] = (
            stack.shape,
            stack.channel_names,
            stack.calibration,
            sorted(stack.missing_frames),
            hashlib.sha256(pixels.tobytes()).hexdigest(),
        )
    return found


def damage(root: Path, kinds: Mapping[str, str], seed: int) -> tuple[str, str, list[str]]:
    """Damage one file (two where they are swapped): (kind, way, names below the root)."""
    rng = np.random.Generator(np.random.PCG64(seed))
    files = sorted(path for path in root.rglob("*") if path.is_file())
    names = [path.relative_to(root).as_posix() for path in files]
    names = [name for name in names if not name.rpartition("/")[2].endswith(".lock")]
    kind = list(kinds)[seed % len(kinds)]
    mine = [name for name in names if re.fullmatch(kinds[kind], name)]
    assert mine, kind
    name = mine[int(rng.integers(len(mine)))]
    way = WAYS[int(rng.integers(len(WAYS)))]
    file = root / name
    data = file.read_bytes()
    others = [one for one in mine if (root / one).read_bytes() != data]
    if way == "swapped" and not others:
        way = "flipped bit"
    if way == "flipped bit":
        broken = bytearray(data)
        bit = int(rng.integers(len(data) * 8))
        broken[bit // 8] ^= 1 << (bit % 8)
        file.write_bytes(bytes(broken))
    elif way == "cut short":
        file.write_bytes(data[: int(rng.integers(len(data)))])
    elif way == "emptied":
        file.write_bytes(b"")
    elif way == "deleted":
        file.unlink()
    else:
        other = others[int(rng.integers(len(others)))]
        file.write_bytes((root / other).read_bytes())
        (root / other).write_bytes(data)
        return kind, way, [name, other]
    return kind, way, [name]


def in_results(made: Made, folder: Path, seed: int) -> dict[str, str]:
    """One case in RESULTS; `folder` must not exist and is removed."""
    out = folder / "results"
    folder.mkdir()
    shutil.copytree(made.results, out)
    kind, way, names = damage(out, RESULTS_KINDS, seed)
    named = _named(lambda: verify_results(results_to_verify(out)), names)
    reader = ("run", "run otherwise", "report", "review", "score")[seed // len(RESULTS_KINDS) % 5]
    end = _read(made, out, reader)
    if end == "as undamaged" and reader == "run" and kind != "review logs":
        again = verify_results(Results.open(out)).problems
        end = end if not again else f"WRONG: not mended by run: {again[0]}"
    shutil.rmtree(folder)
    return {"kind": kind, "way": way, "names": ", ".join(names), "reader": reader, "named": named, "end": end}


def in_plate(made: Made, folder: Path, seed: int) -> dict[str, str]:
    """One case in a plate that we wrote; its reader is whatever a run asks of it."""
    out = folder / "plate.zarr"
    folder.mkdir()
    shutil.copytree((made.plate, made.plate_04)[seed // len(PLATE_KINDS) % 2], out)
    kind, way, names = damage(out, PLATE_KINDS, seed)
    named = _named(lambda: verify_plate(out), names)
    try:
        end = "as undamaged" if pixels_of(out) == made.pixels else "WRONG: other pixels"
    except AssayError as error:
        end = _line(error)
    shutil.rmtree(folder)
    return {
        "kind": f"plate {kind}",
        "way": way,
        "names": ", ".join(names),
        "reader": "plate",
        "named": named,
        "end": end,
    }


def is_well(case: Mapping[str, str]) -> bool:
    """Whether a case ended as it should."""
    return case["named"] == "yes" and not case["end"].startswith("WRONG")


def _named(verify: Callable[[], Verification], names: list[str]) -> str:
    try:
        found = verify()
    except AssayError as error:
        lines: tuple[str, ...] = (str(error),)
    else:
        lines = (*found.problems, *(line for line in found.unchecked if "it was changed" in line))
    silent = [name for name in names if not any(name.removeprefix("review/") in line for line in lines)]
    return "yes" if not silent else f"NO: {silent[0]}"


def _read(made: Made, out: Path, reader: str) -> str:
    try:
        if reader in ("run", "run otherwise"):
            settings = PROTOCOL if reader == "run" else OTHER
            protocol: Protocol = parse_protocol(settings)
            outcome, _ = run(made.plate, out, protocol=protocol)
            if outcome.failed:
                return f"failed: {next(iter(outcome.failed.values()))}"
            return _same(digest(out), made.digests[settings])
        if reader == "report":
            report_again(out, tables_only=False, for_print=False, progress=Silent())
            return _same(
                digest_of_tables(out),
                {n: h for n, h in made.digests[PROTOCOL].items() if n.startswith("tables")},
            )
        if reader == "review":
            return _same(reviewed(out), made.reviewed)
        return _same(scored(out, made.truth), made.scores)
    except AssayError as error:
        return _line(error)


def digest_of_tables(out: Path) -> dict[str, str]:
    return {name: value for name, value in digest(out).items() if name.startswith("tables")}


def _same(here: Any, there: Any) -> str:
    return "as undamaged" if here == there else "WRONG: other numbers"


def _line(error: AssayError) -> str:
    text = str(error)
    return f"said: {text}" if text and "\n" not in text else f"WRONG: not one line: {text!r}"


def summary(cases: list[dict[str, str]]) -> str:
    """One line per kind, and the cases that ended badly."""
    counts: dict[str, list[int]] = {}
    for case in cases:
        row = counts.setdefault(case["kind"], [0, 0, 0, 0])
        row[0] += 1
        row[1] += case["named"] == "yes"
        row[2] += case["end"] == "as undamaged"
        row[3] += not is_well(case)
    lines = [
        f"{kind:34} {n:5} cases, {named:5} named, {same:5} as undamaged, {bad} bad"
        for kind, (n, named, same, bad) in counts.items()
    ]
    return "\n".join([*lines, *(json.dumps(case) for case in cases if not is_well(case))])
