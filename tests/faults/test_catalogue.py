"""Every fault of the catalogue: exit code, one clear line, everything else as ever, and all of it once it is mended."""

import re
from collections.abc import Callable, Mapping

import pytest

from tests.faults.bench import OTHER, Bench, digest, rows_of_well
from tests.faults.catalogue import FAULTS
from tests.faults.fault import OK, REFUSED, SOME_FAILED, Fault

Command = Callable[..., tuple[int, str, str]]
_WRITES_RESULTS = ("run", "report", "review")
_TELLS_WHAT_TO_DO = re.compile(
    r"\b([Ee]xpected|[Gg]ive|[Cc]hoose|[Rr]estore|[Rr]un|[Ff]etch|[Ee]xport|[Ww]rite|[Ww]ait|[Dd]elete|[Uu]se|[Ss]ave"
    r"|[Mm]ake|[Tt]ake|[Cc]opy|[Ff]ree|[Pp]roject|[Ll]eave|[Dd]id you mean|[Rr]ename|[Ss]tart|[Cc]heck|[Ff]ilm|[Jj]oin"
    r"|[Pp]ut back|[Ii]nstall|--help|[Aa]sk|[Ss]ay|[Tt]rain|[Oo]pen|[Ee]xclude|[Cc]ut|[Kk]nown are|is given by|each becomes|[Ii]t has)\b|--\w+"
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(fault: Fault, bench: Bench, killassay: Command):
    if fault.breaks is not None:
        fault.breaks(bench)
    words = bench.words(fault.words)
    before = bench.snapshot()
    code, out, err = killassay(*words, real_model=fault.real_model)
    said = f"\n{out}\n{err}"
    assert code == fault.code, said
    assert "Traceback" not in said
    assert "this is our bug" not in said
    _require_lines(fault, out, err)
    _require_untouched(words[0], bench, before)
    if fault.words[0] == "run" and code != REFUSED:
        _require_others(fault, bench)
    if fault.holds is not None:
        fault.holds(bench)
    if fault.mends and fault.words[0] == "run" and bench.out.exists():  # else there is nothing to go on from
        bench.repair()
        if fault.anew:
            bench.out = bench.root / "out_2"
        code, _, err = killassay(*bench.words(fault.words))
        assert code == OK, err
        assert not _differing(digest(bench.out), bench.templates.clean())


def _differing(ours: Mapping[str, object], clean: Mapping[str, object]) -> list[str]:
    return sorted(name for name in ours.keys() | clean.keys() if ours.get(name) != clean.get(name))


def _require_lines(fault: Fault, out: str, err: str) -> None:
    """One line that says what, where and what to do; none where nothing failed."""
    errors = [line for line in err.splitlines() if line.startswith("killassay: ")]
    assert not re.search(r"tifffile|>>>", err), err  # what libraries tell themselves
    failed = [line for line in out.splitlines() if line.startswith("FAILED ")]
    if fault.code == OK:
        assert (errors, failed) == ([], []), (out, err)
        assert re.search(fault.says, out + err), (out, err)
        return
    lines = errors if fault.code == REFUSED else failed
    others = failed if fault.code == REFUSED else errors
    assert len(lines) == 1 or (fault.words[0] == "check" and lines), (out, err)
    assert not others, (out, err)
    assert re.search(fault.says, lines[0]), lines[0]
    if fault.code == REFUSED:
        assert _TELLS_WHAT_TO_DO.search(lines[0]), lines[0]
        assert len(lines[0]) < 900, lines[0]


def _require_untouched(command: str, bench: Bench, before: dict[str, tuple[int, int]]) -> None:
    """Nothing but the outputs was written, and nothing was taken away."""
    after = bench.snapshot()
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    outputs = ("out", "made", *(["results"] if command in _WRITES_RESULTS else []))
    assert not [name for name in changed if name.split("/")[0].split(".")[0] not in outputs], changed


def _require_others(fault: Fault, bench: Bench) -> None:
    if fault.is_clean:
        assert not _differing(digest(bench.out), bench.templates.clean())
    elif fault.keeps_others:
        clean = rows_of_well(bench.templates.results(), OTHER)
        assert not _differing(rows_of_well(bench.out, OTHER), clean)
    if fault.code == SOME_FAILED:
        row = bench.well("B03")
        assert row["status"] == "failed"
        assert row["kills"] != row["kills"], "a failed well is no zero"
