"""RESULTS that somebody touched, that belong elsewhere, or in which somebody else works."""

import json
import os
import shutil
import socket
from typing import Any

import numpy as np

from tests.faults.bench import PROTOCOL, Bench, cut, digest, edit, flip
from tests.faults.fault import Fault, refused, survived

_STATUS = ("status", "{results}")
_REPORT = ("report", "{results}")
_VERIFY = ("verify", "{results}")
_EXPORT = ("export", "{results}", "--to", "{made}")
_AGAIN = ("run", "{plate}", "--protocol", "{protocol}", "--out", "{results}")
_RUN_AGAIN = "run the same command again"


def _file(pattern: str) -> Any:
    return lambda bench: sorted(p for p in bench.results.glob(pattern) if p.is_file())[0]


def _on(pattern: str, act: Any) -> Any:
    return lambda bench: act(_file(pattern)(bench))


def _mark(**changes: Any) -> Any:
    return lambda bench: edit(bench.results / "results.json", lambda values: values.update(changes))


def _is_clean_again(bench: Bench) -> None:
    assert digest(bench.results) == bench.templates.clean()


def _of_template(act: Any) -> Any:
    """The results' own plate lies in its place."""

    def both(bench: Bench) -> None:
        bench.plate  # noqa: B018 - makes the copy
        act(bench)

    return both


def _lock(**changes: Any) -> Any:
    def write(bench: Bench) -> None:
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": "2026-11-22T10:00:00+00:00"}
        (bench.results / ".run.lock").write_text(json.dumps(owner | changes))

    return write


def _gone(name: str) -> Any:
    return lambda bench: shutil.rmtree(bench.results / name)


def _other_plate(bench: Bench) -> None:
    bench.new_plate(B02=np.ones((12, 3, 60, 60), np.uint16))


def _threshold(bench: Bench) -> None:
    bench.add_to_protocol("[contact]\nenter_um = 4.0\nleave_um = 6.0\n")


def _as_if_fresh(bench: Bench) -> None:
    code, _, err = bench.templates.run("run", bench.plate, "--protocol", bench.protocol, "--out", bench.out)
    assert code == 0, err
    assert digest(bench.results) == digest(bench.out)
    assert digest(bench.results) != bench.templates.clean()


def _swapped(bench: Bench) -> None:
    """A film of labels of one well lies over the other's, its checksum intact."""
    one, other = (bench.results / f"labels.zarr/B/{n}/0/labels/targets/0/c/0/0/0" for n in ("02", "03"))
    shutil.copy(one, other)


def _foreign(bench: Bench) -> None:
    bench.out.mkdir()
    (bench.out / "thesis.docx").write_text("mine")


def _no_room(bench: Bench) -> None:
    import assay.io.durable as durable

    usage = shutil.disk_usage("/")
    bench.patch.setattr(durable.shutil, "disk_usage", lambda path: usage._replace(free=1000))


_TABLE = "tables/deaths.parquet"
_DAMAGED = r"results: \d+ things? (is|are) not as (it was|they were) written|results: \d+ things are not as they were written"

FAULTS: list[Fault] = [
    *(
        refused(
            f"{command[0]}-of-nothing",
            86,
            f"`{command[0]}` on a folder that is no RESULTS",
            None,
            r"nothing.*no RESULTS folder of killassay|nothing has no tables|nothing",
            "give a RESULTS folder",
            words=(command[0], "nothing", *command[2:]),
        )
        for command in (_STATUS, _REPORT, _VERIFY, _EXPORT, ("review", "x", "--agreement"))
    ),
    refused(
        "mark-damaged",
        86,
        "RESULTS/results.json is damaged",
        lambda b: (b.results / "results.json").write_text("{"),
        r"results\.json is missing or damaged",
        "restore the file, or run into a new folder",
        words=_STATUS,
    ),
    refused(
        "mark-of-another-format",
        86,
        "RESULTS of another version of killassay",
        _mark(format=7),
        r"another version of killassay \(format 7, expected \d+\)",
        "use that version, or another --out",
        words=_REPORT,
    ),
    refused(
        "table-deleted",
        48,
        "A table was deleted",
        _on(_TABLE, lambda f: f.unlink()),
        r"deaths\.parquet",
        _RUN_AGAIN,
        words=_VERIFY,
    ),
    refused(
        "table-cut", 50, "A table is cut off", _on(_TABLE, cut), r"deaths\.parquet", _RUN_AGAIN, words=_VERIFY
    ),
    refused(
        "table-altered",
        52,
        "One bit of a table was flipped",
        _on(_TABLE, flip),
        r"deaths\.parquet",
        _RUN_AGAIN,
        words=_VERIFY,
    ),
    refused(
        "labels-altered",
        51,
        "One bit of the label images was flipped",
        _on("labels.zarr/B/03/0/labels/targets/0/c/**/*", flip),
        r"labels\.zarr/B/03/0/labels/targets",
        _RUN_AGAIN,
        words=_VERIFY,
    ),
    refused(
        "labels-swapped",
        52,
        "Labels of another well were copied over this one's",
        _swapped,
        r"labels\.zarr/B/03/0/labels/targets",
        _RUN_AGAIN,
        words=_VERIFY,
    ),
    refused(
        "labels-deleted",
        48,
        "Label images were deleted",
        _on("labels.zarr/B/03/0/labels/targets/0/c/**/*", lambda f: f.unlink()),
        r"labels\.zarr/B/03/0/labels/targets.*(cannot be read|missing|not there)",
        _RUN_AGAIN,
        words=_VERIFY,
    ),
    refused(
        "record-torn",
        71,
        "A commit record is torn",
        _on("ledger/link/*.json", cut),
        r"ledger/link/",
        _RUN_AGAIN,
        words=_VERIFY,
    ),
    refused(
        "ledger-deleted", 48, "The ledger was deleted", _gone("ledger"), r"ledger", _RUN_AGAIN, words=_VERIFY
    ),
    refused(
        "export-of-a-damaged-table",
        50,
        "`export` of a table that is cut off",
        _on("tables/contacts.parquet", cut),
        r"contacts\.parquet",
        _RUN_AGAIN,
        words=_EXPORT,
    ),
    refused(
        "report-without-a-table",
        48,
        "`report` where the wells' events are gone",
        _gone("work"),
        r"results",
        _RUN_AGAIN,
        words=_REPORT,
    ),
    *(
        survived(
            f"run-mends-{name}",
            number,
            f"{what}; `run` again",
            _of_template(breaks),
            words=_AGAIN,
            holds=_is_clean_again,
            mends=False,
            keeps_others=False,
            says="B03",
            todo="nothing: it is made again",
        )
        for name, number, what, breaks in (
            ("a-deleted-table", 48, "A table was deleted", _on(_TABLE, lambda f: f.unlink())),
            ("a-cut-table", 50, "A table is cut off", _on(_TABLE, cut)),
            (
                "deleted-labels",
                48,
                "Label images were deleted",
                _on("labels.zarr/B/03/0/labels/targets/0/c/**/*", lambda f: f.unlink()),
            ),
            (
                "cut-labels",
                50,
                "Label images are cut off",
                _on("labels.zarr/B/03/0/labels/targets/0/c/**/*", cut),
            ),
            ("a-torn-record", 71, "A commit record is torn", _on("ledger/link/*.json", cut)),
            ("a-deleted-ledger", 48, "The ledger was deleted", _gone("ledger")),
            ("deleted-work", 48, "The working files were deleted", _gone("work")),
            ("a-dead-lock", 75, "The lock of a run that died", _lock(pid=2**22 - 3)),
            (
                "a-torn-lock",
                75,
                "A lock that is no JSON",
                lambda b: (b.results / ".run.lock").write_text("{"),
            ),
        )
    ),
    survived(
        "threshold-changed",
        82,
        "A threshold was changed between two runs",
        _of_template(_threshold),
        words=_AGAIN,
        holds=_as_if_fresh,
        mends=False,
        keeps_others=False,
        says="B03",
        todo="nothing: what depends on it is done again",
    ),
    refused(
        "channel-changed",
        82,
        "Another channel for the targets, same RESULTS",
        lambda b: (
            b.plate,
            b.set_protocol(PROTOCOL.replace('target = "GFP"', 'target = "PI"').replace('death = "PI"\n', "")),
        ),
        r"results holds results of another protocol: \[channels\] was",
        "choose another --out, or say --redo",
        words=_AGAIN,
        mends=False,
    ),
    refused(
        "results-of-another-plate",
        85,
        "RESULTS of another plate",
        lambda b: (_other_plate(b), b.results),
        r"results.*(belong|other|another).*plate|results.*plate",
        "choose another --out",
        words=_AGAIN,
        mends=False,
    ),
    refused(
        "results-in-use",
        75,
        "Another run works in the same RESULTS",
        lambda b: (b.plate, _lock()(b)),
        r"results is in use by pid \d+ on .* since",
        "wait until it ends",
        words=_AGAIN,
        mends=False,
    ),
    refused(
        "results-in-use-on-another-machine",
        75,
        "A run on another machine works in the same RESULTS",
        lambda b: (b.plate, _lock(host="node-17", pid=1)(b)),
        r"results is in use by pid 1 on node-17",
        "wait, or delete the lock if it is dead",
        words=_AGAIN,
        mends=False,
    ),
    refused(
        "out-is-a-file",
        58,
        "--out is a file",
        lambda b: b.out.write_text("x"),
        r"out.*(is a file|exists and is no RESULTS)",
        "choose another --out",
        mends=False,
    ),
    refused(
        "out-holds-other-things",
        58,
        "--out is a folder with other files",
        _foreign,
        r"out exists and is no RESULTS folder",
        "choose another --out",
        mends=False,
    ),
    refused(
        "out-in-the-plate",
        57,
        "--out lies in the plate",
        None,
        r"OME-Zarr data and is never changed",
        "choose a folder beside it",
        words=("run", "{plate}", "--protocol", "{protocol}", "--out", "{plate}/B/out"),
        mends=False,
    ),
    refused(
        "too-little-room",
        60,
        "The disk has no room for the results",
        _no_room,
        r"(needs about|free)",
        "free some space, or choose another disk",
    ),
]
