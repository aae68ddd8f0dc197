from rich.console import Console

from assay.report.console import summary_text, well_table, well_text


def printed(cases, case, width: int) -> str:
    console = Console(width=width, color_system=None, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(well_table(case.tables))
    console.file.close()
    return console.export_text()


def test_wells_are_aligned_with_units_and_intervals(cases):
    lines = well_text(cases.six_wells().tables).splitlines()
    assert (
        lines[0]
        == "well  condition     targets   E:T  deaths      kills (90 %)       kills / 100       cytolysis, %"
    )
    assert (
        lines[1]
        == "B02   CAR-T 1:1          80  1.00    26.0  24.0 (20.0-28.4)  30.0 (25.0-35.5)   28.0 (21.0-35.0)"
    )


def test_a_failed_well_shows_its_reason_and_no_number(cases):
    line = well_text(cases.six_wells().tables).splitlines()[4]
    assert line.split(maxsplit=9) == [
        "B05", "mock", "T", "-", "-", "-", "-", "-", "-",
        "failed: the film has no pixel size, so distances in um cannot be measured",
    ]  # fmt: skip


def test_an_interval_below_zero_is_written_with_to(cases):
    assert "3.9 (-0.6 to 8.8)" in well_text(cases.six_wells().tables)


def test_a_single_frame_has_no_events(cases):
    case = cases.one_frame()
    assert "too few frames for events" in well_text(case.tables)
    assert "unknown here, not zero" in summary_text(case.tables)


def test_a_narrow_terminal_loses_columns_but_never_digits(cases):
    text = printed(cases, cases.six_wells(), 80)
    assert "24.0 (20.0-28.4)" in text
    assert "3.9 (-0.6 to 8.8)" in text
    assert "E:T" not in text
    assert "B05 failed: the film has no pixel size, so distances in um cannot be measured" in text


def test_the_terminal_table_says_the_same_as_the_text(cases):
    case = cases.six_wells()
    shown = [line.rstrip() for line in printed(cases, case, 200).splitlines()]
    assert shown == well_text(case.tables).splitlines()


def test_names_cannot_colour_or_break_the_terminal(cases):
    case = cases.six_wells()
    case.tables["wells"]["condition"][0] = "[red]CAR[/red]\x1b[2J\n"
    assert "[red]CAR[/red] [2J " in printed(cases, case, 200)
    assert "\x1b" not in well_text(case.tables)
    assert len(well_text(case.tables).splitlines()) == 7
