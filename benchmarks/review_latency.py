"""How long a reader waits: key to painted, and how long one key keeps the window from answering.

    python -m tools.virtual_screen .venv/bin/python -m benchmarks.review_latency RESULTS [--keys 60] [--json F]

Works on a copy. Wall time is what a reader feels; CPU time of the window's own thread is given beside it, as on a
machine that does other things wall time says little. Both with the whole napari window drawn by software.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from assay.columns import Table
from assay.review.state import ReviewState
from napari_plugin.event_list import EventList

N_ROWS = 100_000
_PATIENCE_S = 120.0


def time_table(n_rows: int = N_ROWS) -> dict[str, float]:
    """Slowest sort and slowest filter of a long table, in ms of CPU."""
    events = EventList(ReviewState(made_events(n_rows)))
    sorts, filters = [], []
    for column in [c.name for c in events.columns]:
        for descending in (False, True):
            sorts.append(_cpu_ms(lambda c=column, d=descending: events.sort_by(c, descending=d)))
    for text in (
        "p<0.5 well:B03 status:pending flag:yes",
        "killer:nobody",
        "-well:C*",
        "two",
        "time>60 contact<20 p>0.2",
    ):
        filters.append(_cpu_ms(lambda t=text: events.filter_by(t)))
    return {"rows": n_rows, "slowest_sort_ms": max(sorts), "slowest_filter_ms": max(filters)}


def time_keys(results: Path, *, n_keys: int) -> dict[str, Any]:
    """Accept one event after the other, and look when it is all painted."""
    from napari.qt import get_qapp
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    from napari_plugin.sessions import session_of
    from napari_plugin.start import open_viewer
    from napari_plugin.widgets.review import ReviewWidget

    viewer = open_viewer(results, reader="benchmark")
    application, session = get_qapp(), session_of(viewer)
    widget = next(one for one in QApplication.allWidgets() if isinstance(one, ReviewWidget))
    viewer.window.resize(1760, 1120)
    rows: list[tuple[float, float, float, float, float]] = []
    for _ in range(n_keys):
        _settle(application, session, widget)
        wall, cpu, longest, was_drawn = time.perf_counter(), time.thread_time(), 0.0, False
        QTest.keyClick(widget.parts.table, Qt.Key.Key_A)
        handler = time.thread_time() - cpu
        while True:
            one = time.thread_time()
            application.processEvents()
            longest = max(longest, time.thread_time() - one)
            if was_drawn:  # one turn more: what was drawn last is on the screen
                break
            was_drawn = not widget.is_busy
        rows.append((time.perf_counter() - wall, time.thread_time() - cpu, handler, longest, 0.0))
    viewer.close()
    table = np.array(rows[2:]) * 1000
    names = ("painted_wall_ms", "painted_cpu_ms", "key_handler_cpu_ms", "longest_block_cpu_ms")
    return {
        "keys": len(table),
        **{f"{name}_p50": float(np.percentile(table[:, n], 50)) for n, name in enumerate(names)},
        **{f"{name}_p95": float(np.percentile(table[:, n], 95)) for n, name in enumerate(names)},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--keys", type=int, default=30)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "results"
        shutil.copytree(given.results, copy, ignore=shutil.ignore_patterns("review"))
        found = {"table": time_table(), "keys": time_keys(copy, n_keys=given.keys)}
    for part, values in found.items():
        print(part, ", ".join(f"{name} {value:.0f}" for name, value in values.items()))
    if given.json is not None:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


def _settle(application: Any, session: Any, widget: Any) -> None:
    """Wait until the next clips are made, as they are while a reader looks."""
    limit = time.monotonic() + _PATIENCE_S
    while time.monotonic() < limit and (widget.is_busy or not session.is_ahead):
        application.processEvents()
        time.sleep(0.01)


def _cpu_ms(act: Any) -> float:
    begin = time.thread_time()
    act()
    return (time.thread_time() - begin) * 1000


def made_events(n: int) -> Table:
    """Events of a plate that was never filmed."""
    draw = np.random.default_rng(0)
    wells = np.array([f"{row}{column:02d}" for row in "ABCDEFGH" for column in range(1, 13)], dtype=object)
    flags = np.array(["", "", "two killers", "doubtful death", "doubtful death, two killers"], dtype=object)
    table: Table = {
        "event": np.array([f"B02/0/d{number}" for number in range(n)], dtype=object),
        "well": wells[draw.integers(0, len(wells), n)],
        "field": draw.integers(0, 4, n),
        "death_id": np.arange(1, n + 1),
        "target_track_id": draw.integers(1, 5000, n),
        "frame": draw.integers(0, 400, n),
        "evidence": np.full(n, "dye", dtype=object),
        "condition": np.full(n, "CAR-T", dtype=object),
        "flags": flags[draw.integers(0, len(flags), n)],
        "n_candidates": draw.integers(0, 6, n),
    }
    table["first_possible_frame"], table["last_possible_frame"] = table["frame"] - 1, table["frame"]
    for name in ("probability", "killer_share", "uncredited_share", "y_um", "x_um"):
        table[name] = draw.random(n)
    table["time_min"] = table["frame"] * 4.0
    table["lag_min"], table["contact_min"] = draw.random(n) * 200, draw.random(n) * 90
    table["killer_track_id"] = np.where(draw.random(n) < 0.1, np.nan, draw.integers(1, 5000, n))
    return table


if __name__ == "__main__":
    main()
