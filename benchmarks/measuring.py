"""Run a command as a process of its own and see what it cost: seconds, and memory of it and its children."""

import json
import os
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

SAMPLE_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one measured process reported and took."""

    report: dict[str, Any]  # what it wrote about itself
    peak_bytes: int  # largest resident memory of the process with all its children
    cpu_s: float  # processor time of the measured part, children that ended included


def measured(module: str, *arguments: object) -> Cost:
    """Run `python -m module arguments --json F` and measure it.

    Raises:
        SystemExit: The process failed; its own words are on the terminal.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        command = [sys.executable, "-m", module, *map(str, arguments), "--json", str(file)]
        process = subprocess.Popen(command)
        peak = _Peak(process.pid)
        peak.start()
        code = process.wait()
        peak.stop()
        if code:
            raise SystemExit(f"{' '.join(command)} ended with {code}")
        report = json.loads(file.read_text())
    return Cost(report=report, peak_bytes=max(peak.bytes, report["peak_bytes"]), cpu_s=report["cpu_s"])


def processor_s() -> float:
    """Processor time of this process and its ended children so far, in s."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def own_peak_bytes() -> int:
    """Largest resident memory of this process so far, from the kernel; 0 where there is no such record."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    line = next((line for line in status.read_text().splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024


class _Peak(threading.Thread):
    """Looks at a process and its children twenty times a second."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self._process = psutil.Process(pid)
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_S):
            total = 0
            try:
                family = [self._process, *self._process.children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for member in family:
                try:
                    total += member.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.bytes = max(self.bytes, total)

    def stop(self) -> None:
        self._ended.set()
        self.join()
