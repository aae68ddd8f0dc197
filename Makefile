# Two commands on a fresh machine: `make demo` (the main job on data/sample) and `make test`.
PY ?= python3
VENV ?= .venv
# CPU build by default, so that nobody downloads gigabytes of CUDA by accident.
# GPU users: make demo TORCH=torch
TORCH ?= torch==2.13.0
EXTRAS ?= dev,conformance
BIN := $(VENV)/bin
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)

.PHONY: demo test env bench sample lint
env: $(VENV)/.ok
demo: $(VENV)/.ok
	$(BIN)/killassay demo
test: $(VENV)/.ok
	$(BIN)/python -m pytest -q -n 2 --dist worksteal
lint: $(VENV)/.ok
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
bench: $(VENV)/.ok
	$(BIN)/python -m benchmarks.speed

$(VENV)/.ok: pyproject.toml
	$(PY) -m venv $(VENV)
	$(BIN)/python -m pip install -q uv
	$(BIN)/uv pip install -q --python $(BIN)/python "$(TORCH)"
	$(BIN)/uv pip install -q --python $(BIN)/python "$(TORCH)" -e ".[$(EXTRAS)]"
	touch $@
