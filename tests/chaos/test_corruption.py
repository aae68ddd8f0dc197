"""A thousand files damaged by seed: each is named, and none changes a number in silence."""

from pathlib import Path

import pytest

from tests.chaos.corruption import in_plate, in_results, is_well, make, summary

N_CASES = 1000


def cases(folder: Path, seeds: range) -> list[dict[str, str]]:
    """Seven in ten in RESULTS, the others in a plate that we wrote."""
    made = make(folder)
    return [
        (in_plate if seed % 10 >= 7 else in_results)(made, folder / f"case_{seed}", seed) for seed in seeds
    ]


@pytest.mark.slow
def test_of_a_thousand_damaged_files_none_changes_a_number_in_silence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    found = cases(tmp_path, range(N_CASES))
    print(summary(found))  # noqa: T201
    assert not [case for case in found if not is_well(case)], summary(found)
