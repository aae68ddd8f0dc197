"""Read the next piece of work while this one is computed: one piece ahead, in order, no more."""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Piece = TypeVar("Piece")
Read = TypeVar("Read")


def read_ahead(read: Callable[[Piece], Read], pieces: Sequence[Piece]) -> Generator[Read, None, None]:
    """Give what `read` gives of each piece, in order; a thread reads one piece ahead.

    An error comes out where its piece would have come, after all that precede it. Close the iterator when leaving
    early (`contextlib.closing`): it waits for the piece that is being read, and reads no other.
    """
    if not pieces:
        return
    reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead")
    try:
        coming = reader.submit(read, pieces[0])
        for piece in pieces[1:]:
            here = coming.result()
            coming = reader.submit(read, piece)
            yield here
            del here  # so that no more than two pieces are held
        yield coming.result()
    finally:
        reader.shutdown(wait=True, cancel_futures=True)
