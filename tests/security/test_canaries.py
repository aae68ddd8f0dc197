"""Whatever somebody sends runs nothing, leads nowhere, and is refused in one line."""

import json
import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.security.conftest import Command, seen
from tests.security.hostile_cases import CASES, Case
from tests.security.hostile_files import pickled


def test_there_are_at_least_forty_canaries():
    assert len(CASES) >= 40
    assert len({case.name for case in CASES}) == len(CASES)


def test_a_canary_fires_where_somebody_is_careless(tmp_path: Path):
    pickle.loads(pickled(tmp_path / "canary"))  # noqa: S301 - the one place where it is to fire
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_no_canary_fires(case: Case, place: Path, killassay: Command):
    canary = place / "CANARY"
    words = case.make(place, canary)
    before = seen(place)
    code, out, err = killassay(*words)
    assert not canary.exists(), "the canary fired"
    assert seen(place) == before, "something outside of --out was changed"
    said = out + err
    assert "Traceback" not in said, said[-2000:]
    assert "do not print" not in said
    assert code == case.code, said[-2000:]
    assert re.search(case.says, said), said[-2000:]
    if code == 2:
        assert len([line for line in err.splitlines() if line.startswith("killassay: ")]) >= 1


def test_every_canary_speaks_of_something_that_happens(place: Path, killassay: Command):
    """The honest files of which the hostile ones are made are taken."""
    code, _, err = killassay("check", place / "in/v3.zarr")
    assert (code, err) == (0, "")
    code, _, err = killassay("check", place / "in/v2.zarr", "--protocol", place / "in/P.toml")
    assert (code, err) == (0, "")


@pytest.mark.parametrize("name", ["zarr.json", "B/02/zarr.json", "B/02/0/zarr.json", "B/02/0/0/zarr.json"])
@pytest.mark.parametrize("change", [lambda v: v.update(attributes={"ome": "; touch x"}), lambda v: v.clear()])
def test_spoilt_metadata_is_refused_in_one_line(
    place: Path, killassay: Command, name: str, change: Callable[[dict], None]
):
    file = place / "in/v3.zarr" / name
    values = json.loads(file.read_text())
    change(values)
    file.write_text(json.dumps(values))
    code, _, err = killassay("check", place / "in/v3.zarr")
    if name == "B/02/0/0/zarr.json" and values.get("attributes"):
        assert code == 0  # what an array says of itself besides its sizes is nobody's business
        return
    assert code == 2
    assert "Traceback" not in err
