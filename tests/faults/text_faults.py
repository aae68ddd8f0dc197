"""Names and texts that would be something else in a spreadsheet, a browser, a terminal or a shell."""

from pathlib import Path
from typing import Any

from tests.faults.bench import PROTOCOL, Bench, edit
from tests.faults.fault import Fault, survived

_HTML = "<script>alert(1)</script><img src=x onerror=alert(1)>\\\"'></script>"


def _condition(name: str) -> Any:
    return lambda bench: bench.set_protocol(PROTOCOL.replace('"CAR-T"', f'"{name}"'))


def _exported(name: str, starts: str) -> Any:
    def holds(bench: Bench) -> None:
        code, _, err = bench.templates.run("export", bench.out, "--to", bench.made, "--format", "csv")
        assert code == 0, err
        text = (bench.made / "wells.csv").read_text()
        assert starts in text
        assert f",{name}" not in text

    return holds


def _page_is_inert(bench: Bench) -> None:
    page = (bench.out / "report.html").read_text()
    assert "<img src=x" not in page
    assert "<script>alert" not in page
    assert "default-src 'none'" in page


def _outside(bench: Bench) -> None:
    """A field's path as the well's name: nothing is written outside."""
    edit(bench.plate / "zarr.json", lambda v: v["attributes"]["ome"]["plate"].update(name="../../evil"))


def _nothing_outside(bench: Bench) -> None:
    assert not list(bench.root.parent.glob("**/*evil*"))


def _moved(name: str) -> Any:
    """Plate, protocol and results under a name that needs care."""

    def move(bench: Bench) -> None:
        import shutil

        place = Path(name)
        place.mkdir(parents=True)
        shutil.copytree(bench.plate, place / "plate.zarr")
        shutil.copy2(bench.protocol, place / "assay.toml")

    return move


def _at(name: str) -> tuple[str, ...]:
    place = f"./{name}".replace("{", "{{").replace("}", "}}")
    return ("run", f"{place}/plate.zarr", "--protocol", f"{place}/assay.toml", "--out", "{out}")


def _path(name: str, what: str, place: str) -> Fault:
    return survived(
        f"path-with-{name}",
        61,
        f"A folder whose name holds {what}",
        _moved(place),
        words=_at(place),
        is_clean=True,
        mends=False,
    )


FAULTS: list[Fault] = [
    *(
        survived(
            f"condition-that-is-a-{what}",
            100,
            f"A condition named {name!r}",
            _condition(name),
            says="B03",
            holds=_exported(name, f"'{name}"),
            todo="nothing: CSV files hold it with an apostrophe",
        )
        for what, name in (("formula", "=1+1"), ("command", "@SUM(A1)"), ("minus", "-2+3"), ("plus", "+CAR"))
    ),
    survived(
        "condition-that-is-a-script",
        101,
        "A condition whose name is a script",
        _condition(_HTML),
        says="B03",
        holds=_page_is_inert,
        todo="nothing: it is shown as text",
    ),
    survived(
        "condition-with-escape-codes",
        102,
        "A condition whose name holds terminal codes",
        _condition("\\u001b[2J\\u001b[31mCAR"),
        says=r"\A[^\x1b]*\Z",
        todo="nothing: they are shown as �",
    ),
    survived(
        "plate-name-that-climbs",
        95,
        "A plate called ../../evil",
        _outside,
        says="B03",
        holds=_nothing_outside,
        todo="nothing: no file is named by it",
    ),
    _path("blanks", "blanks and brackets", "my plates (new) [2]"),
    _path("letters-of-the-world", "umlauts, Greek and an emoji", "Über µ 实验 🧬"),
    _path("quotes", "quotes", 'Ana\'s "best"'),
    _path("a-line-break", "a line break", "one\ntwo"),
    _path("a-dash-in-front", "a dash in front", "-rf"),
    _path("braces", "braces and a percent sign", "{plate}%s$HOME"),
    _path("200-letters", "200 letters", "x" * 200),
    _path("markup", "markup of the terminal", "[bold]x[/bold]"),
]
