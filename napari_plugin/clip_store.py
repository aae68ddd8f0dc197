"""Clips made ahead of the reader, in one thread: the one that is looked at first, then the next few.

Knows how to wait and what to forget. Knows no window: whoever listens hears it in the worker's thread.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from assay.errors import AssayError
from napari_plugin.clips import Clip, ClipKey, MakeClip

MAX_BYTES = 200_000_000


class ClipStore:
    """Makes clips in the order in which they are wanted, and keeps the latest."""

    def __init__(
        self,
        make: MakeClip,
        *,
        ready: Callable[[ClipKey], None],
        max_bytes: int = MAX_BYTES,
    ) -> None:
        """Start the thread.

        Args:
            make: Makes one clip; called in the thread.
            ready: Called in the thread when a clip was made, or could not be.
            max_bytes: Of pixels to keep.
        """
        self._make, self._ready, self._max_bytes = make, ready, max_bytes
        self._clips: OrderedDict[ClipKey, Clip | AssayError] = OrderedDict()
        self._wanted: list[ClipKey] = []
        self._making: ClipKey | None = None
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="killassay-clips", daemon=True)
        self._thread.start()

    def want(self, keys: Sequence[ClipKey]) -> None:
        """Make these, the first one first; what was wanted before and not begun is forgotten."""
        with self._changed:
            self._wanted = [key for key in keys if key not in self._clips and key != self._making]
            for key in reversed(keys):
                if key in self._clips:
                    self._clips.move_to_end(key)
            self._changed.notify()

    def get(self, key: ClipKey) -> Clip | None:
        """The clip, or None where it is not made yet.

        Raises:
            AssayError: It could not be made.
        """
        with self._changed:
            found = self._clips.get(key)
        if isinstance(found, AssayError):
            raise found
        return found

    def has(self, keys: Sequence[ClipKey]) -> bool:
        """Whether all of these are made, or could not be."""
        with self._changed:
            return all(key in self._clips for key in keys)

    def forget(self) -> None:
        """Make all anew: labels or tracks were corrected."""
        with self._changed:
            self._clips.clear()

    def close(self) -> None:
        """Stop the thread; nothing is heard of it after this returns."""
        with self._changed:
            self._closed = True
            self._wanted = []
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._clips.clear()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._wanted and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                key = self._making = self._wanted.pop(0)
            try:
                made: Clip | AssayError = self._make(key)
            except AssayError as error:
                made = error
            with self._changed:
                self._making = None
                if self._closed:
                    return
                self._clips[key] = made
                self._drop()
            self._ready(key)

    def _drop(self) -> None:
        total = sum(clip.nbytes for clip in self._clips.values() if isinstance(clip, Clip))
        while total > self._max_bytes and len(self._clips) > 1:
            _, old = self._clips.popitem(last=False)
            total -= old.nbytes if isinstance(old, Clip) else 0
