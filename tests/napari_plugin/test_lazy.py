import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from assay.errors import ImageError
from napari_plugin.lazy import FrameCache, FrameStore

SHAPE = (40, 4, 6)
FILM = np.arange(40 * 24, dtype=np.uint16).reshape(SHAPE)
FRAME_BYTES = 48


class Disk:
    """A film that counts what is read of it."""

    def __init__(self) -> None:
        self.read_frames: list[int] = []
        self.may_read = threading.Event()
        self.may_read.set()

    def read(self, frames: Sequence[int]) -> NDArray[np.uint16]:
        assert self.may_read.wait(10)
        self.read_frames += frames
        return FILM[list(frames)].copy()


@pytest.fixture
def store() -> Iterator[FrameStore]:
    made = FrameStore(max_bytes=10 * FRAME_BYTES)
    yield made
    made.close()


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def cached(store: FrameStore, disk: Disk) -> FrameCache:
    return FrameCache(disk.read, shape=SHAPE, dtype=np.uint16, store=store)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_it_looks_like_the_array_that_it_stands_for(cached: FrameCache):
    assert (cached.shape, cached.ndim, cached.size, cached.dtype) == (SHAPE, 3, 960, np.uint16)
    assert len(cached) == 40
    for key in (
        7,
        np.int64(7),
        -1,
        (7, slice(1, 3)),
        (7, slice(None), 2),
        (..., 2),
        (slice(3, 6), 1),
        slice(4, 4),
        (np.array([1, 1, 9]), np.array([0, 3, 2]), np.array([5, 0, 1])),
        (np.array([2]), np.array([3]), np.array([4])),
    ):
        assert cached[key].tolist() == FILM[key].tolist()


def test_a_small_film_can_become_an_array(store: FrameStore):
    disk = Disk()
    short = FrameCache(disk.read, shape=(5, 4, 6), dtype=np.uint16, store=store)
    assert np.asarray(short).tolist() == FILM[:5].tolist()
    with pytest.raises(ValueError, match="without a copy"):
        np.array(short, copy=False)


def test_more_of_a_film_than_may_be_held_is_refused(cached: FrameCache):
    with pytest.raises(ImageError, match="40 frames at once"):
        cached[:]


def test_an_axis_too_many_is_refused(cached: FrameCache):
    with pytest.raises(IndexError, match="3 axes"):
        cached[0, 0, 0, 0]


def test_only_the_frame_that_is_shown_is_read(cached: FrameCache, disk: Disk):
    assert disk.read_frames == []
    cached[12], cached[12]
    assert disk.read_frames == [12]


def test_scrolling_reads_ahead_in_its_direction(cached: FrameCache, disk: Disk):
    cached[20], cached[19]
    wait_until(lambda: len(disk.read_frames) == 6)
    assert sorted(disk.read_frames) == [15, 16, 17, 18, 19, 20]
    assert all(cached.has(frame) for frame in range(15, 21))


def test_a_jump_reads_nothing_but_itself(cached: FrameCache, disk: Disk, store: FrameStore):
    for frame in (3, 30, 8):
        cached[frame]
    store.close()  # waits for whatever was begun
    assert disk.read_frames == [3, 30, 8]


def test_the_store_stays_within_its_bytes_and_lets_go_of_what_was_seen_longest_ago(
    cached: FrameCache, store: FrameStore
):
    for frame in (
        *range(0, 40, 4),
        0,
        2,
    ):  # ten fill it; frame 0 is looked at again before the eleventh comes
        cached.frame(frame)
    assert store.nbytes == 10 * FRAME_BYTES
    assert cached.has(0)
    assert not cached.has(4)


def test_frames_cannot_be_written_into(cached: FrameCache):
    with pytest.raises(ValueError, match="read-only"):
        cached[3][0, 0] = 1


def test_films_of_one_store_share_its_bytes(store: FrameStore):
    films = [FrameCache(Disk().read, shape=SHAPE, dtype=np.uint16, store=store) for _ in range(3)]
    for film in films:
        for frame in range(0, 40, 5):
            film.frame(frame)
    assert store.nbytes == 10 * FRAME_BYTES
    films[2].forget()
    assert store.nbytes == 2 * FRAME_BYTES


def test_a_frame_that_is_on_its_way_is_not_read_twice(cached: FrameCache, disk: Disk):
    cached[0]
    disk.may_read.clear()
    waiting = threading.Thread(target=lambda: (cached.frame(1), cached.frame(1)))
    cached._follow(1)  # two threads begin with frames 2 and 3
    waiting.start()
    disk.may_read.set()
    waiting.join()
    assert cached.frame(2).tolist() == FILM[2].tolist()
    wait_until(lambda: all(cached.has(frame) for frame in range(1, 6)))
    assert sorted(disk.read_frames) == [0, 1, 2, 3, 4, 5]


def test_what_cannot_be_read_says_so_when_it_is_shown_and_not_when_it_is_read_ahead(store: FrameStore):
    def read(frames: Sequence[int]) -> NDArray[np.uint16]:
        if 2 in frames:
            raise ImageError("well B02, frame 2: the chunk is damaged")
        return FILM[list(frames)].copy()

    film = FrameCache(read, shape=SHAPE, dtype=np.uint16, store=store)
    film[0], film[1]
    wait_until(lambda: film.has(5))
    for _ in range(2):
        with pytest.raises(ImageError, match="frame 2"):
            film[2]
    assert film[3].tolist() == FILM[3].tolist()


def test_after_closing_films_can_still_be_looked_at_and_nothing_is_kept(
    cached: FrameCache, store: FrameStore
):
    cached[1], cached[2]
    store.close()
    assert cached[3].tolist() == FILM[3].tolist()
    assert store.nbytes == 0
    assert store.closed
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("killassay-frames")]
