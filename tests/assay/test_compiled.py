import subprocess
import sys
from pathlib import Path

import numpy as np

from assay.compiled import compiled, fetch_ahead, lent

ROOT = Path(__file__).parents[2]
LOOP = """
import numpy as np

from assay.compiled import compiled, part


@part
def twice(x):
    return 2 * x


@compiled
def double(array):
    for k in range(len(array)):
        array[k] = twice(array[k])


if __name__ == "__main__":
    array = np.arange(3)
    double(array)
    print(array.tolist(), sum(double.stats.cache_hits.values()) if hasattr(double.stats, "cache_hits") else "")
"""


def run(code, *, environment=None, file=None):
    command = [sys.executable, str(file)] if file else [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment, timeout=120
    )
    return done.stdout.strip()


def test_the_version_and_the_package_wait_for_no_compiler():
    code = (
        "import sys, assay, assay.measures\n"
        "try:\n"
        "    from assay.cli import main; sys.argv = ['killassay', '--version']; main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        "print(sorted({'numba', 'llvmlite', 'torch'} & set(sys.modules)))"
    )
    assert run(code).splitlines()[-1] == "[]"


def test_loops_run_where_their_code_can_be_kept_nowhere(tmp_path, monkeypatch):
    file = tmp_path / "loops.py"
    file.write_text(LOOP)
    (tmp_path / "__pycache__").write_text("a file where a folder is wanted")
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    for name in ("HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(blocked))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert run("", file=file).startswith("[0, 2, 4]")


def test_compiled_code_is_kept_beside_the_module_for_the_next_process(tmp_path, monkeypatch):
    file = tmp_path / "loops.py"
    file.write_text(LOOP)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert run("", file=file) == "[0, 2, 4] 0"
    assert list((tmp_path / "__pycache__").glob("loops.double*.nbi"))
    assert run("", file=file) == "[0, 2, 4] 1"


@compiled
def sum_and_mark(array):
    total = 0.0
    own = lent(array)
    for k in range(len(own)):
        fetch_ahead(own, k + 64)  # beyond its end for the last ones
        total += own[k]
    fetch_ahead(own, -1)
    own[0] = -1.0
    return total


def test_a_lent_array_is_the_array_and_what_is_asked_for_outside_of_it_does_no_harm():
    array = np.arange(100.0).reshape(10, 10)[::2, 3]
    before = sys.getrefcount(array)
    assert sum_and_mark(array) == 215.0  # 3 + 23 + 43 + 63 + 83
    assert array.tolist() == [-1.0, 23.0, 43.0, 63.0, 83.0]
    assert sys.getrefcount(array) == before
