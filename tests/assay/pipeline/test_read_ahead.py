"""One piece ahead, in order; errors where they belong; nothing left behind."""

import threading
import time
from contextlib import closing

import pytest

from assay.errors import ImageError
from assay.pipeline.read_ahead import read_ahead


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_pieces_come_in_order_and_one_ahead_at_most():
    read: list[int] = []

    def slowly(piece: int) -> int:
        read.append(piece)
        return 10 * piece

    given = []
    for number, value in enumerate(read_ahead(slowly, [1, 2, 3, 4, 5])):
        time.sleep(0.02)  # long enough for the thread to run ahead, if it would
        given.append(value)
        assert len(read) <= number + 2
    assert given == [10, 20, 30, 40, 50]
    assert read == [1, 2, 3, 4, 5]
    assert threads() == []


def test_the_next_piece_is_read_while_this_one_is_worked_on():
    second_read = threading.Event()

    def read(piece: int) -> int:
        if piece == 2:
            second_read.set()
        return piece

    with closing(read_ahead(read, [1, 2])) as pieces:
        assert next(pieces) == 1
        assert second_read.wait(5)


def test_an_error_comes_where_its_piece_would_have_come():
    def read(piece: int) -> int:
        if piece == 3:
            raise ImageError("well B02, field 0: frame 3 is torn.")
        return piece

    given = []
    with pytest.raises(ImageError, match="frame 3 is torn"):
        for piece in read_ahead(read, [1, 2, 3, 4]):
            given.append(piece)
    assert given == [1, 2]
    assert threads() == []


def test_leaving_early_reads_no_further_and_leaves_no_thread():
    read: list[int] = []
    with closing(read_ahead(lambda piece: read.append(piece), range(100))) as pieces:
        next(pieces)
    assert len(read) <= 2
    assert threads() == []


def test_an_interrupt_while_it_waits_is_not_lost():
    def interrupted(piece: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        list(read_ahead(interrupted, [1]))
    assert threads() == []


def test_nothing_to_read_is_nothing():
    assert list(read_ahead(str, [])) == []
