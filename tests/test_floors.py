"""Imports go down the floors only, each library has one home, and `import assay` stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# The rooms in the order in which a biologist argues; a room may import those above it in this list, no other.
# One line is one floor or a part of it: rooms on one line know nothing of each other.
FLOORS: list[tuple[str, ...]] = [
    ("assay.errors", "assay._version", "assay.compiled", "assay.foreign_files", "assay.redaction"),
    ("assay.units", "assay.column_types"),
    ("assay.columns",),
    ("assay.stack",),
    ("assay.label_runs",),
    ("assay.labels", "assay.toml_values", "assay.measure_loops", "assay.touch_loops"),
    ("assay.protocol", "assay.brightness", "assay.frame_light", "assay.measures", "assay.touching"),
    ("assay.protocol_template",),
    ("assay.drift_loops", "assay.engagement_loops"),
    (
        "assay.motion",
        "assay.link_loops",
        "assay.link_odds",
        "assay.looks",
        "assay.drift",
        "assay.divisions",
        "assay.track_pieces",
    ),
    ("assay.linking", "assay.missed"),
    ("assay.link_passes",),
    ("assay.tracks",),
    ("assay.contact_times", "assay.contacts", "assay.strips"),
    ("assay.changepoints", "assay.traces", "assay.glow", "assay.vanishing"),
    ("assay.death_cues", "assay.engagements"),
    ("assay.death_odds",),
    ("assay.deaths",),
    ("assay.field_events",),
    ("assay.pieces",),
    ("assay.hits",),
    ("assay.sameness",),
    ("assay.hazards",),
    ("assay.left_out", "assay.lag_model", "assay.potency"),
    ("assay.lag_fit",),
    ("assay.kills",),
    (
        "assay.incidence",
        "assay.intervals",
        "assay.quality",
        "assay.review",
        "assay.segmentation_quality",
        "assay.serial_killing",
    ),
    ("assay.survival", "assay.conditions", "assay.invalid_planes"),
    ("assay.unseen", "assay.field_quality"),
    ("assay.report", "assay.io"),
    ("assay.simulate", "assay.score"),
    ("assay.killbench",),
    ("assay.execution",),
    ("assay.pipeline",),
    ("assay.cli",),
]
HOMES = {
    "torch": ("models/",),
    "safetensors": ("models/",),
    "zarr": ("assay/io/",),
    "numcodecs": ("assay/io/",),
    "ome_zarr_models": ("assay/io/",),
    "pyarrow": ("assay/io/",),
    "tifffile": ("assay/io/importers/", "assay/io/exporters/"),
    "distributed": ("assay/execution/",),
    "dask": ("assay/execution/", "assay/io/", "napari_plugin/"),
    "dask_jobqueue": ("assay/execution/",),
    "napari": ("napari_plugin/",),
    "qtpy": ("napari_plugin/widgets/",),
    "superqt": ("napari_plugin/widgets/",),
    "pyqtgraph": ("napari_plugin/widgets/",),
    "jinja2": ("assay/report/",),
    "PIL": ("assay/report/",),
    "typer": ("assay/cli/",),
    "numba": ("assay/compiled.py",),
}
MODELS_MAY_IMPORT = ("assay.errors", "assay.units", "assay.labels", "assay.compiled")


def source_files() -> list[Path]:
    return sorted(p for room in ("assay", "models", "napari_plugin") for p in (ROOT / room).rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise AssertionError(f"{path}: relative import; write the full name")
    return found


def room_of(module: str) -> tuple[int, str] | None:
    for floor, rooms in enumerate(FLOORS):
        for room in rooms:
            if module == room or module.startswith(room + "."):
                return floor, room
    return None


@pytest.mark.parametrize("path", source_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down_the_floors_only(path: Path):
    own = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    if own in ("assay", "assay.__main__") or not own.startswith("assay."):
        return
    here = room_of(own)
    assert here is not None, f"{own} stands on no floor: give it one in FLOORS and in docs/house.md"
    sinners = []
    for name in imports_of(path):
        there = room_of(name)
        if there is None or there[1] == here[1]:
            continue
        if there[0] >= here[0]:
            sinners.append(name)
    assert not sinners, f"{own} (floor {here[0]}) imports upwards or sideways: {sorted(sinners)}"


@pytest.mark.parametrize("path", source_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_every_library_stays_in_its_home(path: Path):
    place = path.relative_to(ROOT).as_posix()
    sinners = [
        f"{library} (home: {', '.join(homes)})"
        for library, homes in HOMES.items()
        if any(n == library or n.startswith(library + ".") for n in imports_of(path))
        and not any(place.startswith(home) for home in homes)
    ]
    assert not sinners, f"{place} imports {'; '.join(sinners)}"


@pytest.mark.parametrize("path", source_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_models_know_nothing_of_the_assay_and_only_the_command_line_knows_models(path: Path):
    place = path.relative_to(ROOT).as_posix()
    names = imports_of(path)
    if place.startswith("models/"):
        sinners = [n for n in names if n.startswith("assay") and not n.startswith(MODELS_MAY_IMPORT)]
        assert not sinners, f"{place} imports {sinners}; models may import {MODELS_MAY_IMPORT}"
    elif not place.startswith("assay/cli"):
        sinners = [n for n in names if n == "models" or n.startswith("models.")]
        assert not sinners, f"{place} imports {sinners}; only assay/cli composes the product with a model"


def test_import_assay_drags_in_nothing_heavy():
    code = (
        "import sys, assay; heavy = {'torch', 'napari', 'qtpy', 'zarr', 'dask', 'pyarrow', 'matplotlib'}"
        "; print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_files_stay_small_enough_for_one_room():
    long = [f"{p.relative_to(ROOT)}" for p in source_files() if len(p.read_text().splitlines()) > 400]
    assert not long, f"over 400 lines, a second room inside? {long}"
