"""The ladder of true inputs: what is ours stays ours, what is true is the truth's, on our own track ids."""

import numpy as np
import pytest

from assay.columns import TABLES, table_of_rows
from assay.io.tables import read_table, write_table
from assay.pipeline.planning import RunOptions
from assay.pipeline.run import run_plate
from assay.score import score_results
from assay.score.cells import CellCounts, FieldCells
from assay.score.matching import Identities
from benchmarks import ladder_films
from benchmarks.ladder import ladder_of, table_of
from benchmarks.ladder_films import Matched, as_tracks, make_plate
from benchmarks.ladder_rules import apply_rule
from benchmarks.ladder_truth import (
    WhoIsWho,
    credit_of_truth,
    fill_from_ours,
    our_contacts,
    our_deaths,
    table_from,
)
from tests.threshold_segmenter import make as make_threshold

FRAME_MIN = 4.0
ASKED = ("all ours", "+ true deaths", "only tracks true", "only deaths true")


def row(name, **known):
    """A row of a table; what a test does not ask is zero."""
    zero = {"text": "", "int": 0, "float": 0.0, "bool": False}
    return {
        column.name: known.get(column.name, None if column.nullable else zero[column.kind])
        for column in TABLES[name]
    }


def table(name, *rows):
    return table_of_rows(name, [row(name, **known) for known in rows])


def seen(role_tracks):
    """{"effector": {true id: {frame: our track}}} as who is who."""
    return WhoIsWho(
        {
            role: {(frame, true): track for true, at in tracks.items() for frame, track in at.items()}
            for role, tracks in role_tracks.items()
        }
    )


def contact(effector, target, first, last, contact_id=1):
    return {
        "contact_id": contact_id,
        "effector_track_id": effector,
        "target_track_id": target,
        "first_frame": first,
        "last_frame": last,
    }


def test_a_true_contact_is_several_where_our_track_of_the_effector_breaks():
    who = seen({"effector": {7: {0: 1, 1: 1, 3: 2, 4: 2}}, "target": {5: dict.fromkeys(range(5), 9)}})
    rows, last_of = our_contacts(table("contacts", contact(7, 5, 0, 4, contact_id=3)), who)
    pieces = [(r["effector_track_id"], r["target_track_id"], r["first_frame"], r["last_frame"]) for r in rows]
    assert pieces == [(1, 9, 0, 2), (2, 9, 3, 4)]  # the unseen frame 2 belongs to the track before it
    assert last_of == {3: 2}


def test_a_true_contact_of_a_cell_we_never_saw_is_none():
    who = seen({"effector": {7: {0: 1}}, "target": {}})
    assert our_contacts(table("contacts", contact(7, 5, 0, 4)), who) == ([], {})


def test_what_the_truth_does_not_say_of_a_contact_is_ours():
    ours = [
        {**contact(1, 9, 0, 3), "engaged_probability": 0.2},
        {**contact(1, 9, 4, 9), "engaged_probability": 0.7},
        {**contact(2, 9, 4, 9), "engaged_probability": 0.9},
    ]
    true = [
        {**contact(1, 9, 3, 8), "engaged_probability": float("nan"), "min_gap_um": 0.0},  # 1 and 5 frames
        {**contact(3, 9, 3, 8), "engaged_probability": None},
    ]
    filled = fill_from_ours(true, ours)
    assert [row["engaged_probability"] for row in filled] == [0.7, None]
    assert (filled[0]["first_frame"], filled[0]["last_frame"], filled[0]["min_gap_um"]) == (3, 8, 0.0)


def test_an_effector_holds_on_within_the_true_contact_only():
    held = "0-0:0.5000+2-6:0.9000+8-8:0.4000"
    ours = [{**contact(1, 9, 0, 9), "engaged_first_frame": 2, "engaged_last_frame": 6, "engagements": held}]
    true = [contact(1, 9, 0, 4), contact(1, 9, 8, 9)]
    filled = fill_from_ours(true, ours)
    assert [(r["engaged_first_frame"], r["engaged_last_frame"]) for r in filled] == [(2, 4), (None, None)]
    assert [r["engagements"] for r in filled] == ["0-0:0.5000+2-4:0.9000", "8-8:0.4000"]


def test_a_true_death_lies_on_the_track_that_shows_the_cell_then():
    who = seen({"effector": {}, "target": {5: {0: 1, 8: 2, 30: 3}}})
    deaths = table(
        "deaths",
        {"death_id": 1, "role": "target", "track_id": 5, "frame": 6, "uncredited_share": 1.0},
        {"death_id": 2, "role": "target", "track_id": 6, "frame": 6, "uncredited_share": 1.0},
    )
    [found] = our_deaths(deaths, who)  # the other cell was never seen
    assert (found["track_id"], found["frame"]) == (2, 6)


def test_the_credit_of_the_truth_goes_to_our_track_of_the_killer():
    who = seen(
        {
            "effector": {7: dict.fromkeys(range(9), 1), 8: dict.fromkeys(range(9), 4)},
            "target": {5: dict.fromkeys(range(9), 9)},
        }
    )
    true = {
        "contacts": table("contacts", contact(7, 5, 0, 3, 1), contact(8, 5, 2, 5, 2)),
        "deaths": table("deaths", {"death_id": 1, "role": "target", "track_id": 5, "frame": 6}),
        "kills": table(
            "kills",
            {"death_id": 1, "effector_track_id": 7, "contact_id": 1, "share": 0.25},
            {"death_id": 1, "effector_track_id": 8, "contact_id": 2, "share": 0.75},
        ),
    }
    called = table(
        "deaths",
        {"death_id": 11, "role": "target", "track_id": 9, "frame": 7},
        {"death_id": 12, "role": "target", "track_id": 10, "frame": 7},  # there is no such death
    )
    frames = np.arange(9)
    targets = Identities(frames, np.full(9, 5), np.full(9, 9))
    _, kills, uncredited = credit_of_truth(
        true, {"deaths": called}, who, targets=targets, frame_min=FRAME_MIN
    )
    assert [(k["death_id"], k["effector_track_id"], k["share"]) for k in kills] == [
        (11, 1, 0.25),
        (11, 4, 0.75),
    ]
    assert uncredited == {11: 0.0, 12: 1.0}


def test_a_cell_without_a_track_is_not_called():
    ids, frames = np.array([1, 2]), np.array([0, 0])
    cells = FieldCells(
        counts=CellCounts(n_true=2, n_called=2, found_50=2, found_75=2, seg_sum=2.0),
        true_frames=frames, true_ids=ids, called_frames=frames, called_ids=np.array([5, 6]),
        match_frames=frames, match_true=ids, match_called=np.array([5, 6]),
        cover_frames=frames, cover_true=ids, cover_called=np.array([5, 6]),
    )  # fmt: skip
    matched = Matched(cells=cells, who_frame=frames, who_true=ids, who_label=np.array([5, 6]))
    rows = {"frame": np.array([0]), "label": np.array([6]), "track_id": np.array([40])}
    tracked = as_tracks(matched, rows)
    assert tracked.called_ids.tolist() == tracked.match_called.tolist() == [40]
    assert tracked.match_true.tolist() == [2]


@pytest.fixture
def tables(tmp_path):
    """Target 9 dies in frame 30; effector 1 touched it long ago and long, 2 for 5 frames, 3 for 3 and after."""
    place = {"well": "B02", "role": "target"}
    made = {
        "deaths": table(
            "deaths",
            {**place, "death_id": 1, "track_id": 9, "frame": 30, "probability": 1.0, "uncredited_share": 0.5},
            {**place, "death_id": 2, "track_id": 8, "frame": 30, "probability": 1.0, "uncredited_share": 0.5},
        ),
        "contacts": table(
            "contacts",
            *(
                {"well": "B02", **contact(*of)}
                for of in ((1, 9, 0, 6, 1), (2, 9, 20, 24, 2), (3, 9, 28, 40, 3))
            ),
        ),
        "cells": table(
            "cells",
            {**place, "frame": 30, "track_id": 9, "y_um": 50.0, "x_um": 50.0},
            {"well": "B02", "role": "effector", "frame": 30, "track_id": 3, "y_um": 50.0, "x_um": 60.0},
            {"well": "B02", "role": "effector", "frame": 29, "track_id": 2, "y_um": 50.0, "x_um": 51.0},
            {**place, "frame": 30, "track_id": 8, "y_um": 0.0, "x_um": 0.0},
        ),
        "wells": table("wells", {"well": "B02", "kills": 7.0, "kills_low": 1.0, "kills_high": 9.0}),
    }
    for name, each in made.items():
        write_table(tmp_path, name, each)
    return tmp_path


@pytest.mark.parametrize(("rule", "killer"), [("longest", 2), ("nearest", 3)])
def test_a_rule_gives_a_death_to_one_effector_or_to_nobody(tables, rule, killer):
    apply_rule(tables, rule, frame_min=FRAME_MIN)
    kills, wells = read_table(tables, "kills"), read_table(tables, "wells")
    assert kills["effector_track_id"].tolist() == [killer]  # 7 frames of 1 ended 96 min before the death
    assert kills["contact_id"].tolist() == [killer]
    assert read_table(tables, "deaths")["uncredited_share"].tolist() == [0.0, 1.0]  # nobody near the other
    assert wells["kills"].tolist() == [1.0]
    assert np.isnan(wells["kills_low"]).all()


def test_columns_that_the_truth_lacks_are_empty():
    made = table_from("kills", [{"well": "B02", "field": 0, "death_id": 1, "share": 0.5}])
    assert made["share"].tolist() == [0.5]
    assert np.isnan(made["lag_min"]).all()


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A short film of the small scenario, its ladder, and its plain run; outlines by a threshold."""
    folder = tmp_path_factory.mktemp("ladder")
    identity = dict(make_threshold().identity)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder_films, "model_for", lambda settings, device: (make_threshold, identity))
        scores = ladder_of(folder, scenario="sample", seed=502, n_frames=9, only=ASKED)
    plate = make_plate(folder, scenario="sample", seed=502, replicates=1, n_frames=9)
    run_plate(
        plate.plan("ours", folder / "run").with_segmenter(identity),
        make_segmenter=make_threshold,
        provenance={"model": identity},
        options=RunOptions(),
        progress=Quiet(),
    )
    return scores, score_results(folder / "run", plate.truth).as_dict()


class Quiet:
    def begin(self, step, total, done=0):
        """Nobody listens."""

    def advance(self):
        """Nobody listens."""

    def say(self, line):
        """Nobody listens."""


def test_the_lowest_rung_is_what_a_run_and_its_score_give(small):
    scores, run = small
    assert {name: scores["all ours"][name] for name in run} == run


def test_with_true_outlines_tracks_contacts_and_deaths_only_credit_is_ours(small):
    top = small[0]["+ true deaths"]
    names = (
        "effector_ap50",
        "target_ap50",
        "effector_edge_f1",
        "contact_episode_f1",
        "death_f1_within_1_frame",
    )
    assert [top[name] for name in names] == [1.0] * 5
    # a mother of whom one daughter is seen has not divided, for the product
    assert top["target_edge_f1"] == pytest.approx(1.0, abs=0.01)


def test_a_single_true_input_mends_its_own_score(small):
    scores, _ = small
    assert (
        scores["only deaths true"]["death_f1_within_1_frame"] > scores["all ours"]["death_f1_within_1_frame"]
    )
    assert scores["only tracks true"]["effector_edge_f1"] > scores["all ours"]["effector_edge_f1"]


def test_the_table_has_a_line_for_every_rung(small):
    lines = table_of(small[0]).splitlines()
    assert len(lines) == 2 + len(small[0])
    assert lines[2].startswith("| all ours |")
