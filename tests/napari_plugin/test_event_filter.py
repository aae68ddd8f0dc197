import numpy as np
import pytest

from napari_plugin.event_filter import Columns, FilterError, Numbers, Words, parse_filter
from napari_plugin.event_list import NAMES

COLUMNS: Columns = {
    "probability": Numbers(np.array([0.2, 0.9, np.nan, 0.5])),
    "killer": Numbers(np.array([31.0, np.nan, 7.0, 31.0]), "nobody"),
    "well": Words.of(["B03", "B04", "C03", "B03"]),
    "status": Words(np.array([0, 1, 0, 0]), ("pending", "accepted")),
    "flags": Words.of(["", "two killers", "", "doubtful death, two killers"]),
}


def kept(text: str) -> list[int]:
    return np.flatnonzero(parse_filter(text, NAMES)(COLUMNS)).tolist()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("", [0, 1, 2, 3]),
        ("p<0.5", [0]),
        ("p>=.5", [1, 3]),
        ("p:0.2..0.5", [0, 3]),
        ("p:unknown", [2]),
        ("killer:nobody", [1]),
        ("killer:31,7", [0, 2, 3]),
        ("killer!=31", [1, 2]),
        ("well:B03,B04", [0, 1, 3]),
        ("well:b*", [0, 1, 3]),
        ("-well:B*", [2]),
        ("status:pending p<0.6", [0, 3]),
        ("flag:yes", [1, 3]),
        ("flag:no", [0, 2]),
        ("flag:doubtful", [3]),
        ("two", [1, 3]),
        ('"two killers" conf<0.6', [3]),
        ("-two", [0, 2]),
    ],
)
def test_a_filter_keeps_the_rows_that_its_words_say(text: str, rows: list[int]):
    assert kept(text) == rows


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("q<0.5", 'there is no column "q"'),
        ("p<much", 'after < comes a number, got "much"'),
        ("well<3", "well holds words: write well:B03"),
        ('"two', "quotation mark is not closed"),
        ("p:some", "expected a number or a range"),
        ("<0.5", 'write a column|"<0.5" is not understood'),
    ],
)
def test_a_filter_that_is_not_understood_says_what_would_be(text: str, message: str):
    with pytest.raises(FilterError, match=message):
        kept(text)
