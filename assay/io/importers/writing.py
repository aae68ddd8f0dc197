"""A plan becomes a plate: planes are read and written a shard at a time."""

import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import tifffile
from numpy.typing import NDArray

from assay.errors import ImageError
from assay.io import chunks
from assay.io.importers.plans import FieldPlan, ImportPlan, Progress
from assay.io.importers.tiff_pages import PlaneSource, TiffPages, read_plane, scan_pages
from assay.io.metadata import BLOCK, Ngff
from assay.io.ome_zarr import PlateWriter
from assay.labels import ChannelRole

_OPEN_FILES = 32
_HASH_BYTES = 1 << 20


def run_import(
    plan: ImportPlan,
    path: Path,
    *,
    ngff: Ngff = "0.5",
    channel_roles: dict[str, ChannelRole] | None = None,
    progress: Progress | None = None,
) -> None:
    """Read every plane of the plan and write the plate.

    A plane of a missing frame is written as zeros, and its frame stands in the plate as missing. Of each source
    file the name, size and sha256 are kept with its field. At most one shard of frames, all channels, is in memory.

    Args:
        plan: From `plan_import`.
        path: The plate to make; must not exist.
        ngff: OME-Zarr version.
        channel_roles: Channel name -> role, for colours.
        progress: Told how many frames were written.

    Raises:
        ImageError: A plane cannot be read, a file changed since the plan was made, or `path` exists. The
            unfinished plate keeps its mark and is refused on reading.
        StorageError: The disk refuses.
    """
    with (
        _Reader() as reader,
        PlateWriter.create(
            path,
            fields=[entry.field for entry in plan.fields],
            shapes={entry.field: entry.shape for entry in plan.fields},
            dtype=plan.dtype,
            channel_names=plan.channel_names,
            calibration={entry.field: entry.calibration for entry in plan.fields},
            channel_roles=channel_roles,
            missing_frames={entry.field: entry.missing_frames for entry in plan.fields},
            source_files={entry.field: [name for name, _ in entry.files] for entry in plan.fields},
            ngff=ngff,
        ) as writer,
    ):
        if progress is not None:
            progress.begin("importing frames", sum(entry.shape[0] for entry in plan.fields))
        for entry in plan.fields:
            step = writer.shard_frames(entry.field)
            for first in writer.shard_starts(entry.field):
                block = _read_block(entry, plan.dtype, first, step, reader)
                writer.write(entry.field, first, block)
                if progress is not None:
                    for _ in block:
                        progress.advance()
            _record_sources(path, entry, reader)
        _record_import(path, plan)


def _read_block(
    entry: FieldPlan, dtype: np.dtype[Any], first: int, step: int, reader: "_Reader"
) -> NDArray[Any]:
    frames, channels, height, width = entry.shape
    block = np.zeros((min(step, frames - first), channels, height, width), dtype)
    for frame in range(len(block)):
        for channel in range(channels):
            source = entry.planes.get((first + frame, channel))
            if source is not None:
                block[frame, channel] = reader.read(entry, source)
    return block


def _record_sources(path: Path, entry: FieldPlan, reader: "_Reader") -> None:
    group = entry.field.path
    attributes = chunks.attributes_of(path, group)
    attributes[BLOCK]["sources"] = [reader.identity(name, file) for name, file in entry.files]
    chunks.set_attributes(path, group, attributes)


def _record_import(path: Path, plan: ImportPlan) -> None:
    attributes = chunks.attributes_of(path, "")
    attributes[BLOCK]["import"] = {
        "source": plan.source.name,
        "read_as": plan.read_as,
        "warnings": list(plan.warnings),
        "conditions": [
            {
                "name": condition.name,
                "wells": list(condition.wells),
                "kind": condition.kind,
                "seeded_et_ratio": condition.seeded_et_ratio,
                "extra": dict(condition.extra),
            }
            for condition in plan.conditions
        ],
    }
    chunks.set_attributes(path, "", attributes)


class _Reader:
    """Keeps a few files open between planes."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, tuple[TiffPages, tifffile.TiffFile]] = OrderedDict()
        self._identities: dict[Path, dict[str, str | int]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(list(self._open))

    def read(self, entry: FieldPlan, source: PlaneSource) -> NDArray[Any]:
        """Read one plane."""
        pages, tiff = self._file(source.path)
        if pages.shape != entry.shape[2:] or source.page not in range(len(tiff.pages)):
            raise ImageError(
                f"{entry.field}: {source.path.name} changed while it was imported. Import again."
            )
        try:
            return read_plane(source, pages, tiff)
        except ImageError as error:
            raise ImageError(f"{entry.field}: {error}") from error

    def identity(self, name: str, path: Path) -> dict[str, str | int]:
        """Name, size and sha256 of a source file."""
        if path not in self._identities:
            digest, size = hashlib.sha256(), 0
            with path.open("rb") as file:
                while piece := file.read(_HASH_BYTES):
                    digest.update(piece)
                    size += len(piece)
            self._identities[path] = {"name": name, "bytes": size, "sha256": digest.hexdigest()}
        return self._identities[path]

    def _file(self, path: Path) -> tuple[TiffPages, tifffile.TiffFile]:
        if path in self._open:
            self._open.move_to_end(path)
            return self._open[path]
        if len(self._open) >= _OPEN_FILES:
            self._close([next(iter(self._open))])
        self._open[path] = (scan_pages(path), tifffile.TiffFile(path))
        return self._open[path]

    def _close(self, paths: Sequence[Path]) -> None:
        for path in paths:
            self._open.pop(path)[1].close()
