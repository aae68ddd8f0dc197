"""Figures of the viewer: opening a plate of 50 GB, scrolling for an hour, a stamp of the brush, a join of tracks.

    python -m benchmarks.review_images [--gb 50] [--jumps 3000] [--only opening,painting,joining,scrolling] [--json F]
    python -m tools.virtual_screen .venv/bin/python -m benchmarks.review_images --window ...

Without `--window` on napari's own viewer model, so that it runs anywhere; with it opening and scrolling are those of the
whole napari window, every frame painted. Nothing of the plate is in napari's hands but frames of the store.
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
PARTS = ("opening", "painting", "joining", "scrolling")
_LOOK = 50  # moves between two looks at the memory


def _viewer(*, window: bool) -> Any:
    if not window:
        from napari.components import ViewerModel

        return ViewerModel()
    import napari

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1600, 1000)
    return viewer


def _paint(*, window: bool) -> None:
    """Let the window draw what changed."""
    if window:
        from qtpy.QtWidgets import QApplication

        for _ in range(3):  # slicing, then the canvas, then the window
            QApplication.processEvents()


def opening(results: Path, *, window: bool) -> Figures:
    """Seconds and planes read until the plate is usable, and for the first click on a well."""
    from napari_plugin.layers import Images, show_field

    started = time.perf_counter()
    warm = _viewer(window=window)  # what napari needs for its first layers, whatever is in them
    warm.add_image(np.zeros((2, 8, 8), np.uint16))
    warm.add_labels(np.zeros((2, 8, 8), np.uint32))
    _paint(window=window)
    warm.layers.clear()
    napari_s = time.perf_counter() - started
    with counted_reads() as counted:
        viewer = warm if window else _viewer(window=False)
        started = time.perf_counter()
        images = Images.open(results)
        _paint(window=window)
        opened, before = time.perf_counter() - started, counted.planes
        started = time.perf_counter()
        show_field(viewer, images, images.fields[len(images.fields) // 2])
        _paint(window=window)
        figures = {
            "napari_s": napari_s,
            "open_s": opened,
            "planes_before_click": before,
            "click_s": time.perf_counter() - started,
            "planes_of_click": counted.planes - before,
        }
        images.close()
    return figures


def scrolling(results: Path, jumps: int, *, window: bool, log: Path | None = None) -> Figures:
    """Memory of the process over random jumps, runs of frames and changes of well.

    It is flat when the last third of the moves needs no more than the second: the median of each is given.
    """
    from napari_plugin.layers import Images, show_field

    process = psutil.Process(os.getpid())
    rng = np.random.Generator(np.random.PCG64(7))
    viewer, images = _viewer(window=window), Images.open(results)
    show_field(viewer, images, images.fields[0])
    n_frames = images.of(images.fields[0]).shape[0]
    most, blocked, looks, begun = 0, [], [], time.perf_counter()
    for jump in range(jumps):
        if jump % 100 == 99:
            show_field(viewer, images, images.fields[int(rng.integers(len(images.fields)))])
        now = int(viewer.dims.current_step[0])
        scroll = jump % 4 > 0
        frame = min(now + 1, n_frames - 1) if scroll else int(rng.integers(n_frames))
        started = time.perf_counter()
        viewer.dims.set_current_step(0, frame)
        _paint(window=window)
        blocked.append(time.perf_counter() - started)
        rss = process.memory_info().rss
        most = max(most, rss)
        if jump % _LOOK == _LOOK - 1:
            looks.append(rss)
            _log(log, f"{jump + 1} {(time.perf_counter() - begun) / 60:.2f} {rss / 1e6:.0f}")
    thirds = [float(np.median(part)) / 1e6 for part in np.array_split(np.array(looks), 3) if len(part)]
    figures = {
        "jumps": jumps,
        "minutes": (time.perf_counter() - begun) / 60,
        **{f"rss_third_{number}_mb": value for number, value in enumerate(thirds, start=1)},
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
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--window", action="store_true", help="The whole window, not only napari's model.")
    parser.add_argument("--log", type=Path, help="Moves, minutes and MB, a line every 50 moves.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    only, figures = options.only.split(","), dict[str, Figures]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if "opening" in only:
            many, n_fields = make_results(folder / "many", gb=options.gb, size_px=1024, n_frames=32)
            figures["opening"] = {
                "gb": options.gb, "fields": n_fields, **opening(many, window=options.window)
            }  # fmt: skip
            _say(figures)
        large, _ = make_results(folder / "large", gb=options.gb / 5, size_px=2048, n_frames=96)
        if "painting" in only:
            figures["painting"] = painting(large)
        if "joining" in only:
            figures["joining"] = joining(large, folder)
        _say(figures)
        if "scrolling" in only:
            with get_context("spawn").Pool(
                1
            ) as fresh:  # making the plate took memory that is not the viewer's
                settings = {"window": options.window, "log": options.log}
                figures["scrolling"] = fresh.apply(scrolling, (large, options.jumps), settings)
    _say(figures)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def _log(file: Path | None, line: str) -> None:
    if file is not None:
        with file.open("a") as out:
            out.write(line + "\n")


def _say(figures: dict[str, Figures]) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
