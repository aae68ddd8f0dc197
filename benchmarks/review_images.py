"""Figures of the viewer: opening a plate of 50 GB, scrolling for an hour, a stamp of the brush, a join of tracks.

    python -m benchmarks.review_images [--gb 50] [--jumps 3000] [--json F]

Without a window (napari's own viewer model), so that it runs anywhere; what the window's drawing adds depends on the
graphics card. Nothing of the plate is in napari's hands but frames of the store.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from assay.review.events import EVENT_COLUMNS
from assay.review.sitting import MemoryJournal, Sitting
from benchmarks.review_opening import counted_reads, make_results

Figures = dict[str, float]


def opening(results: Path) -> Figures:
    """Seconds and planes read until the plate is usable, and for the first click on a well."""
    from napari.components import ViewerModel

    from napari_plugin.layers import Images, show_field

    started = time.perf_counter()
    warm = ViewerModel()  # what napari needs for its first layers, whatever is in them
    warm.add_image(np.zeros((2, 8, 8), np.uint16))
    warm.add_labels(np.zeros((2, 8, 8), np.uint32))
    napari_s = time.perf_counter() - started
    with counted_reads() as counted:
        viewer = ViewerModel()
        started = time.perf_counter()
        images = Images.open(results)
        opened, before = time.perf_counter() - started, counted.planes
        started = time.perf_counter()
        show_field(viewer, images, images.fields[len(images.fields) // 2])
        figures = {
            "napari_s": napari_s,
            "open_s": opened,
            "planes_before_click": before,
            "click_s": time.perf_counter() - started,
            "planes_of_click": counted.planes - before,
        }
        images.close()
    return figures


def scrolling(results: Path, jumps: int) -> Figures:
    """Memory of the process over random jumps, runs of frames and changes of well."""
    from napari.components import ViewerModel

    from napari_plugin.layers import Images, show_field

    process = psutil.Process(os.getpid())
    rng = np.random.Generator(np.random.PCG64(7))
    viewer, images = ViewerModel(), Images.open(results)
    show_field(viewer, images, images.fields[0])
    n_frames = images.of(images.fields[0]).shape[0]
    most, blocked = 0, []
    for jump in range(jumps):
        if jump % 100 == 99:
            show_field(viewer, images, images.fields[int(rng.integers(len(images.fields)))])
        now = int(viewer.dims.current_step[0])
        scroll = jump % 4 > 0
        frame = min(now + 1, n_frames - 1) if scroll else int(rng.integers(n_frames))
        started = time.perf_counter()
        viewer.dims.set_current_step(0, frame)
        blocked.append(time.perf_counter() - started)
        most = max(most, process.memory_info().rss)
    figures = {
        "jumps": jumps,
        "rss_most_mb": most / 1e6,
        "rss_end_mb": process.memory_info().rss / 1e6,
        "kept_mb": images.store.nbytes / 1e6,
        "blocked_ms_median": 1e3 * float(np.median(blocked)),
        "blocked_ms_p95": 1e3 * float(np.percentile(blocked, 95)),
    }
    images.close()
    return figures


def painting(results: Path, stamps: int = 200) -> Figures:
    """A stamp of the brush by napari's own paint on the overlay, and the other tools; after the first of the frame."""
    from napari.components import ViewerModel

    from napari_plugin.layers import Images, show_field
    from napari_plugin.overlay import LabelOverlay

    viewer, images = ViewerModel(), Images.open(results)
    field = images.fields[0]
    layer = show_field(viewer, images, field)["targets"]
    overlay = LabelOverlay(images.of(field).labels["target"], new_label=100_000)
    layer.data = overlay
    layer.n_edit_dimensions, layer.brush_size, layer.selected_label = 2, 20, 100_000
    size = overlay.shape[1]
    rng = np.random.Generator(np.random.PCG64(3))
    took, busy = [], []
    for place in rng.integers(30, size - 30, (stamps + 1, 2)):
        started, before = time.perf_counter(), time.thread_time()
        layer.paint((0, *place), 100_000)
        took.append(time.perf_counter() - started)
        busy.append(time.thread_time() - before)
    figures = {
        "first_stamp_ms": 1e3 * took[0],
        "stamp_ms_median": 1e3 * float(np.median(took[1:])),
        "stamp_ms_p95": 1e3 * float(np.percentile(took[1:], 95)),
        "stamp_cpu_ms_median": 1e3 * float(np.median(busy[1:])),
    }
    cell = np.argwhere(overlay.frame(1) == 40)
    for name, act in (
        ("split_ms", lambda: overlay.split(1, tuple(cell[3]), tuple(cell[-3]))),
        ("undo_ms", overlay.undo),
        ("fill_ms", lambda: overlay.fill(1, tuple(cell[3]), 7)),
        ("patch_ms", lambda: overlay.patch(1)),
    ):
        started = time.perf_counter()
        act()
        figures[name] = 1e3 * (time.perf_counter() - started)
    images.close()
    return figures


def joining(results: Path, folder: Path, joins: int = 30) -> Figures:
    """A join of two tracks, from the call to layers that show it: decision, layers sliced again, outline of the pair."""
    from napari.components import ViewerModel

    from napari_plugin.correcting import Correcting
    from napari_plugin.corrections import Corrections
    from napari_plugin.layers import Images, show_field

    viewer, images = ViewerModel(), Images.open(results)
    field = images.fields[0]
    show_field(viewer, images, field)
    n_frames = images.of(field).shape[0]
    half = n_frames // 2
    tracks = np.arange(1, 2001)
    frames = [np.arange(half) if track % 2 else np.arange(half, n_frames) for track in tracks]
    n = sum(map(len, frames))
    cells: dict[str, Any] = {
        "well": np.full(n, field.well, dtype=object),
        "field": np.zeros(n, np.int64),
        "role": np.full(n, "target", dtype=object),
        "track_id": np.repeat(tracks, [len(of) for of in frames]),
        "frame": np.concatenate(frames),
    }
    nothing = {name: np.zeros(0, dtype=object if name in _TEXT else np.float64) for name in EVENT_COLUMNS}
    sitting = Sitting(nothing, MemoryJournal(), reader="bench")
    corrections = Corrections(sitting, images, cells, folder=folder)
    correcting = Correcting(viewer, images, corrections)
    took, busy = [], []
    for number in range(joins):
        correcting.picked = [2 * number + 1, 2 * number + 2]
        correcting.refresh()
        started, before = time.perf_counter(), time.thread_time()
        corrections.join(field, "target", *correcting.picked, frame=half)
        correcting.refresh()
        took.append(time.perf_counter() - started)
        busy.append(time.thread_time() - before)
    correcting.close()
    images.close()
    return {
        "join_ms_median": 1e3 * float(np.median(took)),
        "join_ms_most": 1e3 * max(took),
        "join_cpu_ms_median": 1e3 * float(np.median(busy)),
        "join_cpu_ms_most": 1e3 * max(busy),
    }


_TEXT = ("event", "well", "evidence", "flags", "condition")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gb", type=float, default=50.0)
    parser.add_argument("--jumps", type=int, default=3000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    figures: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        many, n_fields = make_results(folder / "many", gb=options.gb, size_px=1024, n_frames=32)
        figures["opening"] = {"gb": options.gb, "fields": n_fields, **opening(many)}
        _say(figures)
        large, _ = make_results(folder / "large", gb=options.gb / 5, size_px=2048, n_frames=96)
        figures["painting"] = painting(large)
        figures["joining"] = joining(large, folder)
        _say(figures)
        with get_context("spawn").Pool(1) as fresh:  # making the plate took memory that is not the viewer's
            figures["scrolling"] = fresh.apply(scrolling, (large, options.jumps))
    _say(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def _say(figures: dict[str, Figures]) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
