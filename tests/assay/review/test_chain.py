import json

import pytest

from assay.review.chain import MAX_LINE_BYTES, START, canonical, chained_line, read_chain, verify_chain

RECORDS = [
    {"reader": "ana", "n": 0},
    {"verb": "accept", "n": 1},
    {"verb": "reject", "note": "Müll é", "n": 2},
]


def log_of(records=RECORDS) -> bytes:
    data, prev = b"", START
    for record in records:
        line, prev = chained_line(record, prev)
        data += line
    return data


def test_a_log_reads_back_as_it_was_written():
    read = read_chain(log_of())
    assert list(read.records) == RECORDS
    assert read.bad is None
    assert not read.torn
    assert verify_chain(log_of().splitlines(keepends=True)) is None


def test_every_altered_byte_anywhere_is_found_and_its_line_named():
    """Every byte of the log, each turned into eight others: one bit flipped each time."""
    data = log_of()
    ends = [i for i, byte in enumerate(data) if byte == 10]
    for place in range(len(data)):
        line = 1 + sum(end < place for end in ends)
        for bit in range(8):
            altered = bytearray(data)
            altered[place] ^= 1 << bit
            bad = read_chain(bytes(altered)).bad
            assert bad is not None, f"byte {place} ({data[place : place + 1]!r}), bit {bit}"
            assert bad.line <= line, f"byte {place}: line {bad.line}, expected {line}"
            assert bad.line >= line - (data[place] == 10)


def test_lines_that_change_places_are_found():
    first, second, third = log_of().splitlines(keepends=True)
    assert read_chain(first + third + second).bad.line == 2


def test_a_line_that_is_gone_is_found_at_the_next_one():
    first, _, third = log_of().splitlines(keepends=True)
    bad = read_chain(first + third).bad
    assert bad.line == 2
    assert "the line before it is missing" in bad.why


def test_a_last_line_that_was_never_finished_is_left_out_and_is_no_fault():
    data = log_of()
    last = data.rstrip(b"\n").rindex(b"\n") + 1
    for end in range(last + 1, len(data) - 1):
        read = read_chain(data[:end])
        assert read.bad is None, data[last:end]
        assert read.torn
        assert len(read.records) == 2


def test_a_last_line_that_lacks_only_its_end_counts():
    read = read_chain(log_of()[:-1])
    assert len(read.records) == 3
    assert not read.torn


def test_an_empty_log_says_nothing():
    assert read_chain(b"").records == ()


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"a":NaN,"hash":"x","prev":"y"}', "not readable JSON"),
        (b"\xff\xfe{}", "not readable JSON"),
        (b"[1,2]", "no record of a review"),
        (b'{"hash":1}', "no record of a review"),
        (b"[" * 50_000, "not readable JSON"),
        (b'{"a":"' + b"x" * MAX_LINE_BYTES + b'"}', "more than any decision"),
        (b'{"a":"\\ud800","hash":"x"}', "changed after it was written"),
        (b"", "not readable JSON"),
        (b"9" * 5000, "not readable JSON"),
    ],
)
def test_hostile_lines_are_refused(line, why):
    bad = read_chain(line + b"\n").bad
    assert bad.line == 1
    assert why in bad.why


def test_a_second_spelling_of_the_same_record_is_an_alteration():
    line = log_of().splitlines()[0]
    spaced = json.dumps(json.loads(line), sort_keys=True).encode()
    assert read_chain(spaced + b"\n").bad.line == 1


def test_what_is_not_finite_is_not_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"x": float("nan")})
