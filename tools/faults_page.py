"""Write `docs/faults.md` from the fault catalogue: `python -m tools.faults_page`."""

from pathlib import Path

from tests.faults.catalogue import ROOMS
from tests.faults.fault import OK, REFUSED, SOME_FAILED, Fault

PAGE = Path(__file__).parents[1] / "docs" / "faults.md"
_COMES = {
    OK: "it goes on",
    REFUSED: "refused, exit code 2",
    SOME_FAILED: "this field fails, exit code 3",
}
_HEAD = """# What can be wrong, and what comes of it

{n} faults, each of them a test (`tests/faults`), made from that table by `python -m tools.faults_page`. For every one of
them the tests hold the exit code, one clear line that names file, well or field and what to do, no traceback, inputs that
are not touched, all other wells as in an unharmed run, and, where a run was harmed, the results of an unharmed one once the
fault is mended and the same command is run again.

- **refused**: nothing was begun. One line on stderr says what was expected, what came and what to do; exit code 2.
- **this field fails**: all other fields are done. The report and `killassay status` name it with the reason; it is never a
  zero; exit code 3.
- **it goes on**: what looks like a fault is none, or is put right; exit code 0.
"""


def page() -> str:
    """The page's text."""
    parts = [_HEAD.format(n=sum(map(len, ROOMS.values())))]
    for room, faults in ROOMS.items():
        parts.append(
            f"\n## {room}\n\n| what is wrong | what comes of it | what to do |\n| --- | --- | --- |\n"
        )
        parts += [_row(fault) for fault in faults]
    return "".join(parts)


def _row(fault: Fault) -> str:
    return f"| {_cell(fault.broken)} | {_COMES[fault.code]} | {_cell(fault.todo)} |\n"


def _cell(text: str) -> str:
    for mark in "\\|<>":
        text = text.replace(mark, f"\\{mark}")
    return "".join(c for c in text if c.isprintable())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
