import numpy as np
import pytest

from assay.errors import ResultsError
from assay.review.filters import matching
from tests.assay.review.small_reviews import events_of, sitting_of

EVENTS = events_of(4)
EVENTS["probability"] = np.array([0.2, 0.4, 0.6, 0.8])
EVENTS["well"] = np.array(["B02", "B02", "B03", "C03"], dtype=object)
EVENTS["flags"] = np.array(["two killers", "", "wide onset", "two killers, wide onset"], dtype=object)


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", [0, 1, 2, 3]),
        ("conf<0.5", [0, 1]),
        ("conf>=0.4 conf<=0.6", [1, 2]),
        ("well:b02", [0, 1]),
        ("well:B03,C03", [2, 3]),
        ("-well:B02", [2, 3]),
        ('"two killers"', [0, 3]),
        ("flag:wide -flag:killers", [2]),
        ("WIDE", [2, 3]),
        ("b02/0/d2", [1]),
        ("frame=40", [3]),
        ('"two', [0, 3]),
        ("status:pending", [2, 3]),
        ("status:acc,rej", [0, 1]),
        ("is:retimed", [0]),
        ("is:flagged", [3]),
        ("-is:reviewed", [2, 3]),
        ("frame=17", [0]),
    ],
)
def test_every_term_must_hold(text, rows):
    sitting = sitting_of(EVENTS)
    names = EVENTS["event"].tolist()
    sitting.decide("retime", names[0], frame=17)
    sitting.decide("reject", names[1], reason="debris")
    sitting.decide("flag", names[3], flag=True)
    found = np.flatnonzero(matching(EVENTS, sitting.state, text)).tolist()
    assert found == rows


def test_an_added_event_is_found_and_once_withdrawn_not_shown():
    sitting = sitting_of(EVENTS)
    sitting.decide("add", well="B02", field=0, target_track_id=77, frame=5)
    assert np.flatnonzero(matching(sitting.state.events, sitting.state, "is:added")).tolist() == [4]
    sitting.undo()
    assert len(np.flatnonzero(matching(sitting.state.events, sitting.state, ""))) == 4


@pytest.mark.parametrize("text", ["colour:red", "conf<many", "size>3", "status:dead", "conf<1.2.3"])
def test_what_is_not_understood_is_said(text):
    with pytest.raises(ResultsError, match=r"expected one of|is no number"):
        matching(EVENTS, sitting_of(EVENTS).state, text)
