"""Names come from files, and files from anywhere: no name becomes a formula, a tag, a command of the terminal or a secret."""

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from assay.cli.progress import plain
from assay.io.results import Results
from assay.io.tables import read_arrays, write_arrays, write_csv
from assay.protocol_template import protocol_template
from assay.redaction import without_secrets
from assay.toml_values import parse_toml
from tests.security.conftest import Command
from tests.security.hostile_files import edit

FORMULAS = ["=cmd|' /C calc'!A0", "+1+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1"]
MARKUP = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><svg onload=alert(1)>",
    "{{ 7*7 }}",
]
ESCAPES = ["\x1b[2J\x1b]0;owned\x07", "a\nkillassay: all is well", "\u202egnp.exe", "\x00\x08\x7f"]


@pytest.mark.parametrize("name", FORMULAS)
def test_a_name_that_is_a_formula_is_text_in_csv_and_itself_in_parquet(tmp_path: Path, name: str):
    table = {"condition": np.array([name], dtype=object), "kills": np.array([-1.5])}
    with write_csv(tmp_path / "t.csv", table).open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[1][0].startswith("'")
    assert rows[1][1] == "-1.5"  # numbers are numbers
    assert read_arrays(write_arrays(tmp_path / "t.parquet", table))["condition"].tolist() == [name]


@pytest.mark.parametrize("name", ESCAPES)
def test_a_name_commands_no_terminal_and_makes_no_line_of_its_own(name: str):
    shown = plain(name).replace("\n", " ")
    assert all(letter.isprintable() for letter in shown)


@pytest.mark.parametrize("name", [*MARKUP, *ESCAPES, *FORMULAS, 'x"\n[model]\nname = "evil'])
def test_a_channel_of_any_name_makes_no_setting_of_its_own(name: str):
    text = protocol_template(channel_names=(name, "GFP"), calibration=None, wells=["B02"], conditions=())
    values = parse_toml("\n".join(line for line in text.splitlines() if "pixel_um" not in line), "protocol")
    assert "evil" not in json.dumps(values.get("model", {}))


@pytest.mark.parametrize("name", [*MARKUP, *ESCAPES])
def test_check_prints_names_of_a_plate_as_plain_text(place: Path, killassay: Command, name: str):
    image = place / "in/v3.zarr/B/02/0/zarr.json"
    edit(image, lambda v: v["attributes"]["ome"]["omero"]["channels"][0].update(label=name))
    _, out, err = killassay("check", place / "in/v3.zarr")
    assert all(letter.isprintable() or letter == "\n" for letter in out + err)
    assert not any(line.startswith("killassay: all is well") for line in (out + err).splitlines())


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def test_a_page_of_hostile_names_has_no_script_no_handler_and_no_address_of_another_machine():
    from assay.report.page import render_report
    from tests.fixtures.report_case import hostile

    case = hostile()
    page = render_report(
        title=case.title,
        tables=case.tables,
        protocol=case.protocol,
        provenance=case.provenance,
        curves=case.curves,
    )
    tags = _Tags()
    tags.feed(page)
    assert {"script", "iframe", "object", "embed", "img", "link", "form"}.isdisjoint(
        {tag for tag, _ in tags.seen}
    )
    for tag, attributes in tags.seen:
        assert not any(name.startswith("on") for name in attributes), tag
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    policy = next(a["content"] for tag, a in tags.seen if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert not re.search(r"https?:", policy)


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("killassay run https://ann:hunter2@host/p.zarr", "killassay run https://***@host/p.zarr"),
        ("run s3://b/p?X-Amz-Signature=abc&x=1", "run s3://b/p?X-Amz-Signature=***&x=1"),
        ("run --token abc123 --out r", "run --token *** --out r"),
        ("API_KEY='a b' killassay run", "API_KEY=*** killassay run"),
        ("Authorization: Bearer abcdefghijk", "Authorization: Bearer ***"),
        ("killassay run tokens/p.zarr --protocol P.toml", "killassay run tokens/p.zarr --protocol P.toml"),
    ],
)
def test_passwords_and_tokens_are_not_written_down(said: str, kept: str):
    assert without_secrets(said) == kept


def test_provenance_holds_no_secret_and_no_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    results = Results.create_or_open(tmp_path / "r", plate_name="p", plate_identity="0" * 64)
    results.write_provenance(
        {"command": "run --password hunter2", "nested": [{"url": "https://a:hunter2@b"}]}
    )
    assert "hunter2" not in results.provenance_file.read_text()
    assert "run --password ***" in results.provenance_file.read_text()
