"""RESULTS whose tables say that many targets die, so that a review has something to do."""

import shutil
from pathlib import Path

import numpy as np

from assay.columns import Table, table_of_rows
from assay.io.results import Results
from assay.io.tables import read_table, write_table


def results_with_events(results: Path, copy: Path, *, n: int) -> Path:
    """Copy RESULTS and put `n` deaths into its tables: of its own targets in turn, each touched by two effectors.

    Death k lies in frame 2 + k mod (T - 4), has probability (k + 1) / (n + 1), and gives 0.6 to the first effector of
    its well and 0.3 to the second.
    """
    shutil.copytree(results, copy, ignore=shutil.ignore_patterns("review"))
    cells = read_table(copy / "tables", "cells")
    n_frames = int(cells["frame"].max()) + 1
    wells = sorted(set(cells["well"].tolist()))
    targets = {well: _tracks(cells, well, "target") for well in wells}
    effectors = {well: _tracks(cells, well, "effector") for well in wells}
    deaths, kills, contacts = [], [], []
    for k in range(n):
        well = wells[k % len(wells)]
        target, frame = targets[well][k % len(targets[well])], 2 + k % (n_frames - 4)
        where = {"well": well, "field": 0}
        deaths.append({
            **where, "death_id": k + 1, "role": "target", "track_id": target, "frame": frame,
            "first_possible_frame": frame - 1, "last_possible_frame": frame, "time_min": frame * 4.0,
            "probability": (k + 1) / (n + 1), "evidence": "dye", "uncredited_share": 0.1,
        })  # fmt: skip
        for number, share in enumerate((0.6, 0.3)):
            effector = effectors[well][number]
            contacts.append({
                **where, "contact_id": 2 * k + number + 1, "effector_track_id": effector, "target_track_id": target,
                "first_frame": 0, "last_frame": frame, "duration_min": 4.0 * (frame + 1), "min_gap_um": 0.0,
                "mean_interface_um": 3.0, "starts_censored": True, "ends_censored": False, "target_dead": False,
            })  # fmt: skip
            kills.append({
                **where, "death_id": k + 1, "target_track_id": target, "effector_track_id": effector,
                "contact_id": 2 * k + number + 1, "share": share, "lag_min": 4.0 * frame,
            })  # fmt: skip
    for name, rows in (("deaths", deaths), ("kills", kills), ("contacts", contacts)):
        _record_again(copy, write_table(copy / "tables", name, table_of_rows(name, rows)))
    return copy


def with_uncalled(results: Path, *, target: int, frame: int) -> Path:
    """Let one target of well B02 be listed as too doubtful to be called dead, at a probability of 0.4."""
    row = {
        "well": "B02", "field": 0, "target_track_id": target, "frame": frame, "first_possible_frame": frame - 1,
        "last_possible_frame": frame, "time_min": frame * 4.0, "probability": 0.4, "evidence": "vanished",
        "uncredited_share": 0.9, "effector_track_id": None, "share": None, "lag_min": None,
    }  # fmt: skip
    _record_again(
        results, write_table(results / "tables", "doubtful_deaths", table_of_rows("doubtful_deaths", [row]))
    )
    return results


def _record_again(results: Path, file: Path) -> None:
    """Let the ledger vouch for a table that was written by hand."""
    ledger, path = Results.open(results).ledger, file.relative_to(results).as_posix()
    steps = [folder.name for folder in sorted((results / "ledger").iterdir()) if folder.is_dir()]
    for record in [record for step in steps for record in ledger.records(step)]:
        if path in [output.path for output in record.outputs]:
            files = [results / output.path for output in record.outputs]
            ledger.commit(record.step, record.unit, record.key, files, seconds=0.0, facts=record.facts)


def _tracks(cells: Table, well: str, role: str) -> list[int]:
    here = (cells["well"] == well) & (cells["role"] == role)
    return [int(one) for one in np.unique(cells["track_id"][here])]
