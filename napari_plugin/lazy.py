"""Films that napari scrolls through without holding them: a frame is read when it is shown, and kept while there is room.

Knows arrays and threads; no window, no files, no dask (its graph costs more than the reading). All films of a viewer
share one store, so that its memory has one limit in bytes however many layers there are.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from itertools import count
from threading import Lock
from typing import Any, SupportsIndex, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from assay.errors import AssayError, ImageError

ReadFrames = Callable[[Sequence[int]], NDArray[Any]]
"""Frame numbers -> (t, Y, X)."""

MAX_BYTES = 600_000_000  # the window, its textures and Python need as much again, of 2 GB in all
_AHEAD = 4  # frames that are read before they are asked for
_FARTHEST_STEP = 3  # a longer jump is no scrolling

_NAMES = count()
_Key = tuple[Hashable, int]


class FrameStore:
    """The frames that were read last, of all films of a viewer, up to a number of bytes; and two threads that read ahead.

    Frames are handed out read-only. After `close` films can still be read, but nothing is kept or read ahead.
    """

    def __init__(self, *, max_bytes: int = MAX_BYTES, threads: int = 2) -> None:
        self.max_bytes = max_bytes
        self.reads = 0  # frames read from the disk since the beginning, ahead or not
        self._frames: OrderedDict[_Key, NDArray[Any]] = OrderedDict()
        self._pending: dict[_Key, Future[NDArray[Any]]] = {}
        self._nbytes = 0
        self._lock = Lock()
        self._pool: ThreadPoolExecutor | None = ThreadPoolExecutor(
            threads, thread_name_prefix="killassay-frames"
        )

    @property
    def nbytes(self) -> int:
        """Bytes of the frames that are kept."""
        return self._nbytes

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._pool is None

    def has(self, key: _Key) -> bool:
        """Whether a frame is kept."""
        return key in self._frames

    def get(self, key: _Key, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """A frame: kept, on its way, or read now.

        Raises:
            ImageError: It is damaged or was never written.
        """
        with self._lock:
            kept = self._frames.get(key)
            if kept is not None:
                self._frames.move_to_end(key)
                return kept
            on_its_way = self._pending.get(key)
        if (
            on_its_way is not None and not on_its_way.cancel()
        ):  # one that did not begin yet is faster read here
            try:
                return on_its_way.result()
            except (AssayError, CancelledError):
                pass  # read again below, where the error has somebody to hear it
        return self._read(key, read)

    def read_ahead(self, film: Hashable, wanted: Iterable[tuple[int, Callable[[], NDArray[Any]]]]) -> None:
        """Begin to read frames of a film; what was wanted of it before and did not begin is dropped."""
        pool = self._pool
        if pool is None:
            return
        coming = {(film, number): read for number, read in wanted}
        with self._lock:
            stale = [key for key in self._pending if key[0] == film and key not in coming]
            futures = [self._pending[key] for key in stale]
            new = [key for key in coming if key not in self._frames and key not in self._pending]
        for future in futures:
            future.cancel()
        for key in new:
            future = pool.submit(self._read, key, coming[key])
            with self._lock:
                self._pending[key] = future
            future.add_done_callback(lambda done, key=key: self._forget_pending(key, done))

    def forget(self, film: Hashable) -> None:
        """Drop all frames of one film."""
        self.read_ahead(film, ())
        with self._lock:
            for key in [key for key in self._frames if key[0] == film]:
                self._nbytes -= self._frames.pop(key).nbytes

    def close(self) -> None:
        """Stop the threads and let go of all frames; waits for reads that have begun."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)
        with self._lock:
            self._frames.clear()
            self._nbytes = 0

    def _read(self, key: _Key, read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        frame = read()
        frame.flags.writeable = False  # the layers share it
        with self._lock:
            self.reads += 1
            if self._pool is not None and key not in self._frames:
                self._frames[key] = frame
                self._nbytes += frame.nbytes
                while self._nbytes > self.max_bytes and len(self._frames) > 1:
                    self._nbytes -= self._frames.popitem(last=False)[1].nbytes
        return frame

    def _forget_pending(self, key: _Key, done: Future[NDArray[Any]]) -> None:
        with self._lock:
            if self._pending.get(key) is done:
                del self._pending[key]


class FrameCache:
    """A film (T, Y, X) that looks like an array to napari and reads one frame at a time.

    Args:
        read: Reads the frames that it is asked for.
        shape: (T, Y, X).
        dtype: Of its pixels.
        store: Keeps its frames; shared with the other films of the viewer.
    """

    def __init__(
        self, read: ReadFrames, *, shape: tuple[int, ...], dtype: DTypeLike, store: FrameStore
    ) -> None:
        self.shape = tuple(shape)
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.ndim = len(self.shape)
        self.size = int(np.prod(self.shape))
        self._read, self._store = read, store
        self._name = next(_NAMES)  # never used again, unlike an id()
        self._last: int | None = None

    def __len__(self) -> int:
        return self.shape[0]

    def has(self, number: int) -> bool:
        """Whether a frame lies in memory."""
        return self._store.has((self._name, number))

    def frame(self, number: int) -> NDArray[Any]:
        """One frame (Y, X), read-only.

        Raises:
            ImageError: It is damaged or was never written.
        """
        return self._store.get((self._name, number), self._reader(number))

    def forget(self) -> None:
        """Let go of the frames that are kept."""
        self._store.forget(self._name)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        first, *rest = whole_key(key, self.ndim)
        if isinstance(first, SupportsIndex) and np.ndim(cast(Any, first)) == 0:
            number = range(len(self))[first]
            frame = self.frame(number)
            self._follow(number)
            picked: NDArray[Any] = frame[tuple(rest)]
            return picked
        if isinstance(first, slice):
            numbers = range(len(self))[first]
            part = np.broadcast_to(self.dtype.type(0), self.shape[1:])[tuple(rest)]
            self._require_fitting(len(numbers), part.size)
            film = np.empty((len(numbers), *part.shape), self.dtype)
            for place, number in enumerate(numbers):
                film[place] = self.frame(number)[tuple(rest)]
            return film
        return self._pick(first, rest)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        if copy is False:
            raise ValueError("a film that is read frame by frame cannot become an array without a copy.")
        return np.asarray(self[:], dtype=dtype)

    def _pick(self, first: Any, rest: Sequence[Any]) -> NDArray[Any]:
        """Single pixels, by one array of places per axis, as numpy does."""
        places = np.broadcast_arrays(first, *rest)
        values = np.empty(places[0].shape, self.dtype)
        for number in np.unique(places[0]):
            here = places[0] == number
            values[here] = self.frame(int(number))[tuple(place[here] for place in places[1:])]
        return values

    def _follow(self, number: int) -> None:
        """Read ahead in the direction of scrolling; a jump reads nothing but itself."""
        last, self._last = self._last, number
        step = 0 if last is None else number - last
        if step == 0:
            return
        coming = (
            range(number + step, number + step * (_AHEAD + 1), step) if abs(step) <= _FARTHEST_STEP else ()
        )
        self._store.read_ahead(self._name, [(n, self._reader(n)) for n in coming if 0 <= n < len(self)])

    def _reader(self, number: int) -> Callable[[], NDArray[Any]]:
        read = self._read
        return lambda: np.ascontiguousarray(read([number])[0])

    def _require_fitting(self, n_frames: int, pixels: int) -> None:
        needed = n_frames * pixels * self.dtype.itemsize
        if needed > self._store.max_bytes:
            raise ImageError(
                f"{n_frames} frames at once are {needed / 1e9:.1f} GB, more than the viewer may hold "
                f"({self._store.max_bytes / 1e9:.1f} GB). Look at the film frame by frame (2D)."
            )


def whole_key(key: Any, ndim: int) -> list[Any]:
    """An index as one entry per axis."""
    parts = list(key) if isinstance(key, tuple) else [key]
    at = next((place for place, part in enumerate(parts) if part is Ellipsis), len(parts))
    missing = ndim - len([part for part in parts if part is not Ellipsis])
    if missing < 0:
        raise IndexError(f"too many indices: a film has {ndim} axes, {len(parts)} were indexed.")
    return [*parts[:at], *[slice(None)] * missing, *parts[at + 1 :]]
