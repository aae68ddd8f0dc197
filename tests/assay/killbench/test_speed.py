from assay.killbench.speed import Cost, speed_text


def test_costs_are_lines_with_a_dash_where_there_is_no_plain_way():
    text = speed_text(
        [
            Cost(step="link", ours_ms=1.234, plain_ms=5.0, per="frame of 400 cells"),
            Cost(step="contacts", ours_ms=0.5, plain_ms=None, per="frame of 400 cells"),
        ]
    )
    _, link, contacts = text.splitlines()
    assert link.split() == ["link", "1.23", "5.00", "frame", "of", "400", "cells"]
    assert contacts.split()[:3] == ["contacts", "0.50", "-"]
