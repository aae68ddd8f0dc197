"""Review logs that somebody edited, cut, renamed or lost."""

import shutil
from pathlib import Path
from typing import Any

from assay.io.results import Results
from assay.io.review_logs import open_log
from assay.io.tables import read_table
from assay.review.events import review_events
from assay.review.sitting import Sitting
from tests.faults.bench import Bench
from tests.faults.fault import Fault, refused, survived

_AGREE = ("review", "{results}", "--agreement")
_VERIFY = ("verify", "{results}")
_REPORT = ("report", "{results}")
_COPY = "put back an unharmed copy of the log"
_LINE = r"ana-\w+-\w+\.jsonl, line {}: .*"


def _decide(bench: Bench, reader: str = "ana", verbs: str = "aar") -> Path:
    """A sitting of one reader: a accepts, r rejects, over and over the events there are."""
    results = Results.open(bench.results)
    tables = {name: read_table(results.tables, name) for name in ("deaths", "kills", "contacts")}
    events = review_events(tables)
    log = open_log(results, reader=reader)
    sitting = Sitting(events, log, reader=reader)
    names = events["event"].tolist()
    for number, letter in enumerate(verbs):
        verb = "accept" if letter == "a" else "reject"
        sitting.decide(verb, names[number % len(names)], reason="" if letter == "a" else "debris")
    log.close()
    return log.path


def _lines(act: Any) -> Any:
    """Change the lines of a log of three decisions."""

    def change(bench: Bench) -> None:
        path = _decide(bench)
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(act(lines)))

    return change


def _altered(lines: list[bytes]) -> list[bytes]:
    changed = lines[3].replace(b'"reject"', b'"accept"')
    assert changed != lines[3]
    return [*lines[:3], changed]


def _renamed(bench: Bench) -> None:
    path = _decide(bench)
    path.rename(path.with_name("eve-20260101T000000Z-00000000.jsonl"))


def _linked(bench: Bench) -> None:
    path = _decide(bench)
    away = bench.root / path.name
    path.rename(away)
    path.symlink_to(away)


def _two_readers(bench: Bench) -> None:
    _decide(bench)
    _decide(bench, "ben", "rrr")


def _of_another_plate(bench: Bench) -> None:
    import json

    _decide(bench)
    mark = bench.results / "results.json"
    values = json.loads(mark.read_text())
    values["plate"]["identity"] = "f" * 64
    mark.write_text(json.dumps(values))


def _lost(bench: Bench) -> None:
    path = _decide(bench)
    _decide(bench, "ben", "a")
    path.unlink()


def _shortened(bench: Bench) -> None:
    path = _decide(bench)
    _decide(bench, "ben", "a")
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:2]))


def _no_folder(bench: Bench) -> None:
    shutil.rmtree(bench.results / "review")


def _escapes(bench: Bench) -> None:
    _decide(bench, "\x1b[31mana\x1b[0m", "a")


FAULTS: list[Fault] = [
    refused(
        "log-line-altered",
        108,
        "A decision in a review log was changed by hand",
        _lines(_altered),
        _LINE.format(4) + "changed after it was written",
        _COPY,
        words=_VERIFY,
    ),
    refused(
        "log-line-deleted",
        108,
        "A decision was deleted from a review log",
        _lines(lambda lines: [*lines[:2], lines[3]]),
        _LINE.format(3) + "the line before it is missing",
        _COPY,
        words=_VERIFY,
    ),
    refused(
        "log-lines-swapped",
        108,
        "Two decisions of a review log change places",
        _lines(lambda lines: [lines[0], lines[2], lines[1], lines[3]]),
        _LINE.format(2),
        _COPY,
        words=_VERIFY,
    ),
    refused(
        "log-header-missing",
        108,
        "A review log lacks its first line",
        _lines(lambda lines: lines[1:]),
        _LINE.format(1),
        _COPY,
        words=_VERIFY,
    ),
    refused(
        "log-is-no-text",
        108,
        "A review log holds bytes that are no text",
        _lines(lambda lines: [lines[0], b"\xff\xfe\x00\n", *lines[1:]]),
        _LINE.format(2) + "not readable JSON",
        _COPY,
        words=_VERIFY,
    ),
    refused(
        "log-renamed",
        108,
        "A review log was renamed",
        _renamed,
        r"eve-20260101T000000Z-00000000\.jsonl, line 1: .*renamed or copied",
        _COPY,
        words=_VERIFY,
    ),
    refused(
        "log-is-a-link",
        94,
        "A review log is a link",
        _linked,
        r"ana-\w+-\w+\.jsonl: it is a link|ana.*link",
        _COPY,
        words=_VERIFY,
    ),
    refused(
        "log-lost",
        108,
        "A review log was taken away; a later sitting had seen it",
        _lost,
        r"ana-\w+-\w+\.jsonl: missing; ben-.* saw it",
        _COPY,
        words=_VERIFY,
    ),
    refused(
        "log-shortened",
        108,
        "The last lines of a review log were cut off; a later sitting had seen them",
        _shortened,
        r"ana-\w+-\w+\.jsonl: has 2 lines; ben-.* saw 4",
        _COPY,
        words=_VERIFY,
    ),
    refused(
        "agreement-of-an-altered-log",
        108,
        "`review --agreement` where a log was changed",
        _lines(_altered),
        _LINE.format(4) + "changed after it was written",
        _COPY,
        words=_AGREE,
    ),
    refused(
        "report-of-an-altered-log",
        108,
        "`report` where a log was changed",
        _lines(_altered),
        _LINE.format(4) + "changed after it was written",
        _COPY,
        words=_REPORT,
    ),
    survived(
        "log-torn",
        109,
        "napari was killed while it wrote the last decision",
        _lines(lambda lines: [*lines[:3], lines[3][:40]]),
        words=_AGREE,
        says=r"events: \d of \d reviewed",
        todo="nothing: the unfinished line was never acknowledged",
    ),
    survived(
        "two-readers-disagree",
        105,
        "Two readers decided otherwise on the same event",
        _two_readers,
        words=_AGREE,
        says=r"disagreement.*readers: ana, ben",
        todo="settle it in the review",
    ),
    survived(
        "decisions-on-another-plate",
        107,
        "A review log of another plate",
        _of_another_plate,
        words=_AGREE,
        says=r"(another plate|lost)",
        todo="put the log where it belongs",
    ),
    survived(
        "review-folder-missing",
        112,
        "The folder of the review logs is missing",
        _no_folder,
        words=_AGREE,
        says=r"events: 0 of \d reviewed",
        todo="nothing: nothing was reviewed",
    ),
    survived(
        "reader-with-escape-codes",
        102,
        "A reader's name holds terminal codes",
        _escapes,
        words=_AGREE,
        says=r"readers: [^\x1b]*ana",
        todo="nothing: they are shown as �",
    ),
]
