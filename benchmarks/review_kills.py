"""Kill the viewer while somebody reviews: no decision that was acknowledged may be lost, and an altered byte must show.

    .venv/bin/python -m benchmarks.review_kills RESULTS [--kills 20] [--json F]

Works on a copy. Every sitting is the whole napari window with the review dock, and keys pressed in it as fast as it takes
them; at a random moment it gets `kill -9`. A decision is acknowledged when the window hears that it counts.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from assay.io.results import Results
from assay.io.review_checks import verify_logs
from assay.io.review_logs import log_files, read_logs
from tools.virtual_screen import use_virtual_screen

LONGEST_S = 4.0  # from the first decision to the kill
_STARTS_S = 180.0
_Said = tuple[str, ...]


def review_without_end(results: Path, seed: int) -> None:
    """Press random keys in a review window for ever, and say each decision once it counts."""
    use_virtual_screen()  # of its own, as a screen goes with its last window
    from napari.qt import get_qapp
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    from napari_plugin.sessions import session_of
    from napari_plugin.start import open_viewer
    from napari_plugin.widgets.review import ReviewWidget

    viewer = open_viewer(results, reader="killed")
    application, session = get_qapp(), session_of(viewer)
    widget = next(one for one in QApplication.allWidgets() if isinstance(one, ReviewWidget))

    def acknowledge(_names: Any) -> None:
        one = session.state.decisions[-1]
        sys.stdout.write(f"{one.sitting} {one.number} {one.verb} {one.event}\n")
        sys.stdout.flush()

    session.sitting.changed.append(acknowledge)
    draw, key = random.Random(seed), Qt.Key
    control = Qt.KeyboardModifier.ControlModifier
    while True:
        pressed = draw.choice([key.Key_A, key.Key_R, key.Key_U, key.Key_T, key.Key_2, key.Key_0, key.Key_Z])
        if pressed == key.Key_Z:
            QTest.keyClick(widget.parts.table, pressed, control)
        else:
            QTest.keyClick(widget.parts.table, pressed)
        if pressed == key.Key_R:
            QTest.keyClick(widget.parts.table, draw.choice([key.Key_1, key.Key_4]))
        for _ in range(draw.randrange(3)):
            application.processEvents()


def kill_one(results: Path, seed: int) -> list[_Said]:
    """What one viewer acknowledged before it was killed."""
    words = [sys.executable, "-m", "benchmarks.review_kills", str(results), "--until-killed", str(seed)]
    started = subprocess.Popen(words, stdout=subprocess.PIPE, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    assert started.stdout is not None
    first = started.stdout.readline()
    if not first:
        raise SystemExit(f"the viewer ended by itself (exit code {started.wait()}).")
    time.sleep(random.Random(seed).uniform(0, LONGEST_S))
    started.send_signal(signal.SIGKILL)
    rest, _ = started.communicate(timeout=_STARTS_S)
    said = (first + rest).decode().split("\n")[:-1]  # a last line without its end was not said in full
    return [tuple(line.split(" ")) for line in said]


def kill_viewers(results: Path, kills: int) -> dict[str, int]:
    """Kill one viewer after the other, each in a new sitting over the same logs."""
    acknowledged: list[_Said] = []
    problems = 0
    for seed in range(kills):
        acknowledged += kill_one(results, seed)
        problems += len(verify_logs(results / "review"))
    kept = {(d.sitting, str(d.number), d.verb, d.event) for d in read_logs(Results.open(results))}
    return {
        "kills": kills,
        "acknowledged": len(acknowledged),
        "lost": len(set(acknowledged) - kept),
        "kept": len(kept),
        "damaged_logs": problems,
    }


def alter_bytes(results: Path, times: int) -> dict[str, int]:
    """Alter one byte of one log at a time, ask `killassay verify`, and put it back."""
    draw, found = random.Random(7), 0
    logs = log_files(results / "review")
    for _ in range(times):
        path = draw.choice(logs)
        whole = path.read_bytes()
        place = draw.randrange(len(whole))
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ (1 << draw.randrange(8))]) + whole[place + 1 :]
        )
        words = [sys.executable, "-m", "assay", "verify", str(results)]
        said = subprocess.run(words, capture_output=True, text=True, check=False)
        found += said.returncode == 2 and path.name in said.stdout + said.stderr
        path.write_bytes(whole)
    return {"altered": times, "found": found}


def main() -> None:
    """Kill, alter, and say what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--bytes", type=int, default=10)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--until-killed", type=int, help="Seed; be the viewer that is killed.")
    given = parser.parse_args()
    if given.until_killed is not None:
        review_without_end(given.results, given.until_killed)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "results"
        shutil.copytree(given.results, copy, ignore=shutil.ignore_patterns("review"))
        found = {"kills": kill_viewers(copy, given.kills), "bytes": alter_bytes(copy, given.bytes)}
    text = json.dumps(found, indent=1) + "\n"
    sys.stdout.write(text)
    if given.json is not None:
        given.json.write_text(text)


if __name__ == "__main__":
    main()
