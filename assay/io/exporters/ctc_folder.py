"""A film of tracked cells as a folder of the Cell Tracking Challenge: mask000.tif, ..., res_track.txt.

The challenge wants a track in every frame from its first to its last, so tracks are cut at gaps: each piece has a label
of its own, its parent is the piece before. `pieces.csv` says which pieces are one track, so nothing is lost on the way
back; programs that do not know it leave it alone.
Source: Maska 2023, doi:10.1038/s41592-023-01879-y; naming conventions at celltrackingchallenge.net.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from assay.errors import ImageError
from assay.io.durable import made_whole
from assay.io.lineage_films import LineageFilm
from assay.io.lineages import CTC_NAMES, PIECES_NAME, ctc_table_text, pieces_text
from assay.track_pieces import LARGEST_UINT16, Piece, cut_at_gaps

_FEW_FRAMES = 1000  # names have three digits, or four from here on


def write_ctc(film: LineageFilm, folder: Path, *, advance: Callable[[], None]) -> list[str]:
    """Write a folder that does not exist yet; it is there whole or not at all.

    Args:
        film: The cells and their tracks.
        folder: Of the masks and the table.
        advance: Called after each frame.

    Returns:
        What a person should know.

    Raises:
        ImageError: The film has no outlines, or an image is damaged.
        ResultsError: Label images and tables are of two runs.
        StorageError: The disk refuses.
    """
    if film.film is None:
        raise ImageError(
            f"{film.name}: there are no outlines, only positions. The format of the Cell Tracking Challenge needs masks; use "
            "--format geff."
        )
    pieces = cut_at_gaps(film.cells["frame"], film.cells["track_id"], film.parents)
    largest = max((piece.label for piece in pieces), default=0)
    dtype = np.dtype(np.uint16 if largest <= LARGEST_UINT16 else np.uint32)
    digits = 3 if film.shape[0] <= _FEW_FRAMES else 4
    table = _Table(pieces)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with made_whole(folder) as making:
        making.mkdir()
        for frame, image in film.images():
            tifffile.imwrite(
                making / f"mask{frame:0{digits}d}.tif",
                table.labels_in(frame)[image].astype(dtype),
                compression="zlib",
                metadata=None,
                software=False,
            )
            advance()
        (making / CTC_NAMES[0]).write_text(ctc_table_text(pieces), encoding="ascii")
        (making / PIECES_NAME).write_text(pieces_text(pieces), encoding="ascii")
    return _words(film, pieces, dtype)


class _Table:
    """Pieces by frame."""

    def __init__(self, pieces: list[Piece]) -> None:
        columns = np.array(
            [(p.label, p.track_id, p.first_frame, p.last_frame) for p in pieces], dtype=np.int64
        )
        self._label, self._track, self._first, self._last = columns.reshape(-1, 4).T

    def labels_in(self, frame: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Track id -> label in one frame, as a list that begins with 0."""
        here = (self._first <= frame) & (frame <= self._last)
        labels = np.zeros(int(self._track[here].max(initial=0)) + 1, dtype=np.int64)
        labels[self._track[here]] = self._label[here]
        return labels


def _words(film: LineageFilm, pieces: list[Piece], dtype: np.dtype[np.generic]) -> list[str]:
    said = []
    if dtype.itemsize > 2:
        said.append(
            f"{film.name}: {len(pieces)} pieces of tracks do not fit 16 bits, the masks are uint32. Some programs of the "
            "challenge read only uint16"
        )
    elif any(piece.label != piece.track_id and not piece.parent for piece in pieces):
        said.append(
            f"{film.name}: track ids above {LARGEST_UINT16} were numbered anew; {PIECES_NAME} has both"
        )
    return said
