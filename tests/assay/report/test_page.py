import re
from html.parser import HTMLParser

import numpy as np
import pytest

from assay.report.findings import NO_EVENTS
from assay.report.page import render_report, write_report

NAMES = ("six_wells", "ninety_six_wells", "one_frame", "no_controls", "all_failed", "hostile")


class Page(HTMLParser):
    """Elements, attributes and rows of text of a page, as a browser would see them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.rows: list[list[str]] = []
        self.words: list[str] = []
        self._in_row = False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag == "tr":
            self.rows.append([])
            self._in_row = True

    def handle_endtag(self, tag):
        self._in_row = self._in_row and tag != "tr"

    def handle_data(self, data):
        self.words.append(data)
        if self._in_row and data.strip():
            self.rows[-1].append(data.strip())

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def render(case, **more) -> str:
    return render_report(
        title=case.title,
        tables=case.tables,
        protocol=case.protocol,
        provenance=case.provenance,
        curves=case.curves,
        **more,
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_page_needs_nothing_from_anywhere_and_runs_nothing(cases, name):
    page = Page(render(getattr(cases, name)()))
    assert not {"script", "link", "iframe", "object", "embed", "base", "form", "img"} & set(page.tags)
    for tag, attribute, value in page.attributes:
        assert not attribute.startswith("on"), (tag, attribute)
        if attribute in ("src", "href", "xlink:href", "action", "data", "srcset"):
            assert value.startswith(("#", "data:image/png;base64,")), (tag, attribute, value)


@pytest.mark.parametrize("name", NAMES)
def test_the_style_sheet_fetches_nothing(cases, name):
    style = re.search(r"<style>(.*?)</style>", render(getattr(cases, name)()), re.S)[1]
    assert "@import" not in style
    assert set(re.findall(r"url\((.*?)\)", style)) == {"#hatch"}


def test_a_content_security_policy_forbids_the_rest(cases):
    page = Page(render(cases.six_wells()))
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
    )
    assert ("meta", "content", policy) in page.attributes


def test_hostile_names_are_shown_as_they_are_and_never_become_markup(cases):
    text = render(cases.hostile())
    page = Page(text)
    assert "<script" not in text.lower()
    assert "<img" not in text.lower()
    assert cases.HOSTILE in page.text  # in words, with the braces not computed
    assert "{{ 7*7 }}" in page.text


@pytest.mark.parametrize("name", NAMES)
def test_the_same_results_give_the_same_bytes(cases, name):
    assert render(getattr(cases, name)()) == render(getattr(cases, name)())


def test_a_failed_well_shows_its_reason_and_no_number(cases):
    page = Page(render(cases.six_wells()))
    row = next(row for row in page.rows if row[0] == "B05")
    assert row == [
        "B05",
        "B",
        "mock T",
        "failed",
        "the film has no pixel size, so distances in um cannot be measured",
    ]


def test_nothing_is_ever_zero_where_everything_failed(cases):
    case = cases.all_failed()
    page = Page(render(case))
    assert "No result: none of the 2 wells could be used." in page.text
    wells = [row for row in page.rows if row[0] in ("B02", "B03")]
    assert len(wells) == 2
    assert all("0" not in cell and "0.0" not in cell for row in wells for cell in row[2:])
    condition = next(row for row in page.rows if "CAR-T" in row and "no usable well" in row)
    assert condition[-3:] == ["–", "–", "–"]  # kills, more than mock, cytolysis


def test_films_of_one_frame_have_no_events_rather_than_zeros(cases):
    page = Page(render(cases.one_frame()))
    assert NO_EVENTS in page.text
    row = next(row for row in page.rows if row[0] == "A01")
    assert row == ["A01", "A", "with effectors", "48", "21", "0.44", "too few frames for events"]
    assert "Killing over time" not in page.text
    assert "From contact to death" not in page.text


def test_the_headline_says_the_kills_their_interval_and_the_difference_to_mock(cases):
    page = Page(render(cases.six_wells()))
    expected = (
        "With CAR-T 1:1, effectors killed 31.2 of 100 targets (90 % interval 26.0 to 36.8), "
        "27.1 more than in the mock wells (21.0 to 33.0)."
    )
    assert expected in page.text


def test_without_controls_the_page_says_what_cannot_be_said(cases):
    case = cases.no_controls()
    case.tables["wells"]["kind"] = np.array(["sample", "sample"], dtype=object)
    page = Page(render(case))
    assert "no usable mock wells" in page.text
    assert "no cytolysis in percent is given" in page.text


def test_a_target_only_well_full_of_effectors_is_doubted(cases):
    case = cases.six_wells()
    assert "Check the plate map" not in Page(render(case)).text
    case.tables["wells"]["n_effectors"][4:] = [38.0, 5.0]  # of 80 and 91 targets
    expected = (
        "Effectors were counted in wells that the protocol calls targets only: B06 (38). Check the plate map"
    )
    assert expected in Page(render(case)).text


def test_what_was_left_out_is_said_once_with_its_reason(cases):
    page = Page(render(cases.six_wells()))
    assert [
        "well B05",
        "failed",
        "the film has no pixel size, so distances in um cannot be measured",
    ] in page.rows
    assert ["B03 field 0", "masked", "4 frames of 60 without a usable image: 3,7-9"] in page.rows
    case = cases.six_wells()
    case.tables["fields"]["n_invalid_planes"][[0, 1]] = 3, 4
    case.tables["fields"]["invalid_planes"][[0, 1]] = "PI: dark 3-5", "GFP: lost on the disk 3,7-9"
    rows = Page(render(case)).rows
    assert [
        "B02 field 0",
        "masked",
        "3 images not read, cells are followed all the same (PI: dark 3-5)",
    ] in rows
    told = "4 frames of 60 without a usable image: 3,7-9 (GFP: lost on the disk 3,7-9)"
    assert ["B03 field 0", "masked", told] in rows
    assert ["well B08", "missing", "named in the protocol (targets only), but not analysed"] in page.rows
    # its field is in the quality table, and not a second time among what was left out
    assert len([row for row in page.rows if row[0] == "B05 field 0"]) == 1


def test_wells_that_failed_alike_stand_together(cases):
    page = Page(render(cases.ninety_six_wells()))
    assert ["wells C04, F09", "failed", "frame 12, channel GFP: chunk (0, 1) is missing"] in page.rows


def test_every_figure_has_words_for_those_who_cannot_see_it(cases):
    page = Page(render(cases.six_wells()))
    labels = [value for tag, name, value in page.attributes if tag == "svg" and name == "aria-label"]
    assert len(labels) == page.tags.count("svg") > 5
    assert all(labels)
    assert (
        "Targets killed by effectors at the end of the film: CAR-T 1:1 30.4 %; mock T 3.8 %; targets only 0.3 %"
        in labels
    )


def test_long_lists_are_folded_on_the_screen_and_open_on_paper(cases):
    case = cases.ninety_six_wells()
    assert "<details>" in render(case)
    assert "<details>" not in render(case, for_print=True)


def test_every_value_of_protocol_and_provenance_is_in_the_page(cases):
    case = cases.six_wells()
    page = Page(render(case))
    assert "enter_um = 1.0" in page.text
    assert "max_lag_min = 360.0" in page.text
    assert case.provenance["model"]["sha256"] in page.text
    assert "2026-11-22T10:12:04+00:00" in page.text


def test_long_provenance_is_shortened_and_points_to_its_file(cases):
    case = cases.six_wells()
    case.provenance = {
        "fields": {f"B{n:02d}/0": {"status": "ok"} for n in range(1, 20)},
        "wells": [f"B{n:02d}" for n in range(1, 16)],
    }
    page = Page(render(case))
    assert "19 entries, in provenance.json" in page.text
    assert "B12 and 3 more" in page.text


def test_the_page_is_written_as_one_utf8_file(cases, tmp_path):
    case = cases.six_wells()
    path = tmp_path / "report.html"
    write_report(
        path, title="µ-plate", tables=case.tables, protocol=case.protocol, provenance={}, curves=case.curves
    )
    assert path.read_bytes().startswith(b"<!DOCTYPE html>")
    assert "µ-plate" in path.read_text(encoding="utf-8")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
