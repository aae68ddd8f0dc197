# Two commands on a fresh machine: `make demo` (the main job on data/sample) and `make test`.
PY ?= python3
VENV ?= .venv
# CPU build by default, so that nobody downloads gigabytes of CUDA by accident.
# GPU users: make demo TORCH=torch
TORCH ?= torch==2.13.0
EXTRAS ?= dev,conformance,napari
BIN := $(VENV)/bin
GUI := -q tests/napari_plugin/gui
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)

.PHONY: chaos demo test test-gui test-qt tour env bench sample lint
env: $(VENV)/.ok
demo: $(VENV)/.ok
	$(BIN)/killassay demo
test: $(VENV)/.ok
	$(BIN)/python -m pytest -q -n 2 --dist worksteal
	$(BIN)/python -m pytest $(GUI)
# Windows on a screen in memory (Xvfb); without one they skip and say what to install.
test-gui: $(VENV)/.ok
	$(BIN)/python -m pytest $(GUI)
test-qt: $(VENV)/.ok
	$(BIN)/uv pip install -q --python $(BIN)/python "$(TORCH)" -e ".[$(EXTRAS),test-qt]"
	QT_API=pyside6 $(BIN)/python -m pytest $(GUI)
	QT_API=pyqt6 $(BIN)/python -m pytest $(GUI)
tour: $(VENV)/.ok
	$(BIN)/python -m tools.tour
# The heavy faults, against a real Slurm among others: as root, on a machine that may be disturbed and has nothing else to do.
# Without root or Slurm the tests that need them skip and say so.
chaos: $(VENV)/.ok
	test "$$(id -u)" != 0 || { command -v slurmctld && command -v ip && command -v mkfs.ext4; } >/dev/null || \
	    apt-get install -y --no-install-recommends slurm-wlm munge iproute2 e2fsprogs
	$(BIN)/uv pip install -q --python $(BIN)/python "$(TORCH)" -e ".[$(EXTRAS),cluster]"
	$(BIN)/python -m pytest -q tests/chaos
lint: $(VENV)/.ok
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
bench: $(VENV)/.ok
	$(BIN)/python -m benchmarks.speed

# Compiled here once, or every process compiles torch and the rest anew where Python may not keep what it compiled.
$(VENV)/.ok: pyproject.toml
	$(PY) -m venv $(VENV)
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip install -q --python $(BIN)/python "$(TORCH)"
	$(BIN)/uv pip install -q --compile-bytecode --python $(BIN)/python "$(TORCH)" -e ".[$(EXTRAS)]"
	touch $@
