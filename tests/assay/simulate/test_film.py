import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy._core._multiarray_umath import __cpu_dispatch__

from assay.errors import ProtocolError
from assay.labels import CELL_ROLES
from assay.simulate.film import simulate_film
from assay.simulate.scenario import SCENARIOS, for_kind, scenario_named
from assay.simulate.truth_tables import TruthRecorder
from assay.stack import FieldId

QUICK = replace(
    scenario_named("adherent_standard"),
    shape_px=(190, 170),
    pixel_um=(0.9, 1.0),
    frame_min=5.0,
    n_frames=48,
    effectors=replace(scenario_named("adherent_standard").effectors, hits_per_h=9.0, et_ratio=1.5),
)
TINY = replace(QUICK, shape_px=(70, 90), margin_um=25.0, n_frames=6)


def tables_of(film):
    recorder = TruthRecorder(film, FieldId("B02", 0))
    for frame in range(film.n_frames):
        recorder.add(frame, film.images(frame), film.truth(frame))
    return recorder.tables()


@pytest.fixture(scope="module")
def film():
    return simulate_film(QUICK, seed=3)


@pytest.fixture(scope="module")
def tables(film):
    return tables_of(film)


def digest(film):
    digest = hashlib.sha256()
    for frame in range(film.n_frames):
        truth = film.truth(frame)
        digest.update(film.images(frame).tobytes() + truth.effectors.tobytes() + truth.targets.tobytes())
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_film_and_another_seed_another():
    first = digest(simulate_film(TINY, seed=1))
    assert digest(simulate_film(TINY, seed=1)) == first
    assert digest(simulate_film(TINY, seed=2)) != first


def test_a_processor_without_wide_vectors_makes_the_same_bytes():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import importlib.util as u\n"
        "spec = u.spec_from_file_location('here', sys.argv[2]); m = u.module_from_spec(spec)\n"
        "spec.loader.exec_module(m)\n"
        "from numpy._core._multiarray_umath import __cpu_features__ as f, __cpu_dispatch__ as d\n"
        "print(m.digest(m.simulate_film(m.TINY, seed=1)), any(f[name] for name in d))"
    )
    narrow = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(Path.cwd()), __file__],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(__cpu_dispatch__)},
    )
    assert narrow.stdout.split() == [digest(simulate_film(TINY, seed=1)), "False"]


def test_a_frame_does_not_depend_on_the_order_of_asking():
    forwards, backwards = simulate_film(TINY, seed=1), simulate_film(TINY, seed=1)
    frames = [backwards.images(frame) for frame in reversed(range(6))][::-1]
    for frame in range(6):
        np.testing.assert_array_equal(forwards.images(frame), frames[frame])


def test_a_longer_film_begins_like_a_shorter_one():
    short, long = simulate_film(TINY, seed=1, n_frames=2), simulate_film(TINY, seed=1, n_frames=6)
    np.testing.assert_array_equal(short.images(1)[1], long.images(1)[1])


def test_the_film_says_what_it_is(film):
    assert film.shape == (48, 4, 190, 170)
    assert film.channel_names == ("CTDR", "GFP", "PI", "Phase")
    assert film.roles == {"effector": "CTDR", "target": "GFP", "death": "PI", "brightfield": "Phase"}
    assert film.calibration.pixel_um == (0.9, 1.0)
    assert film.images(0).dtype == np.uint16


def test_labels_and_tables_tell_of_the_same_cells(film, tables):
    cells, tracks = tables["cells"], tables["tracks"]
    for frame in (0, 17, 47):
        for role in CELL_ROLES:
            here = (cells["frame"] == frame) & (cells["role"] == role)
            labels = film.truth(frame).of(role)
            assert set(cells["track_id"][here]) == set(np.unique(labels)) - {0}
    for role in CELL_ROLES:
        own = tracks["role"] == role
        assert list(tracks["track_id"][own]) == list(range(1, own.sum() + 1))
        for track_id in tracks["track_id"][own]:
            frames = cells["frame"][(cells["role"] == role) & (cells["track_id"] == track_id)]
            row = own & (tracks["track_id"] == track_id)
            assert (frames.min(), frames.max()) == (tracks["first_frame"][row], tracks["last_frame"][row])


def test_the_shares_of_a_death_and_what_nobody_gets_sum_to_one(tables):
    deaths, kills = tables["deaths"], tables["kills"]
    targets = deaths["role"] == "target"
    assert targets.sum() >= 8
    for death_id, uncredited in zip(
        deaths["death_id"][targets], deaths["uncredited_share"][targets], strict=True
    ):
        shares = kills["share"][kills["death_id"] == death_id]
        assert shares.sum() + uncredited == pytest.approx(1.0, abs=1e-9)
    assert np.isnan(deaths["uncredited_share"][~targets]).all()


def test_a_death_lies_within_its_track_after_the_cell_was_seen_alive(tables):
    tracks, deaths = tables["tracks"], tables["deaths"]
    for role, track_id, frame in zip(deaths["role"], deaths["track_id"], deaths["frame"], strict=True):
        row = (tracks["role"] == role) & (tracks["track_id"] == track_id)
        assert tracks["first_frame"][row][0] < frame <= tracks["last_frame"][row][0]


def test_every_kill_has_a_contact_that_began_before_the_death(tables):
    contacts, kills, deaths = tables["contacts"], tables["kills"], tables["deaths"]
    frame_of = dict(zip(deaths["death_id"], deaths["frame"], strict=True))
    assert len(kills["death_id"]) >= 8
    for i in range(len(kills["death_id"])):
        row = np.flatnonzero(contacts["contact_id"] == kills["contact_id"][i])[0]
        assert contacts["effector_track_id"][row] == kills["effector_track_id"][i]
        assert contacts["target_track_id"][row] == kills["target_track_id"][i]
        assert not contacts["target_dead"][row]
        lag = frame_of[kills["death_id"][i]] - contacts["first_frame"][row]
        assert lag >= 0
        assert kills["lag_min"][i] == lag * 5.0


def test_the_dye_enters_at_the_true_death_and_not_before(film, tables):
    cells, deaths = tables["cells"], tables["deaths"]
    rises = []
    for track_id, frame in zip(deaths["track_id"], deaths["frame"], strict=True):
        own = (cells["role"] == "target") & (cells["track_id"] == track_id) & (cells["covered"] < 0.35)
        trace = dict(zip(cells["frame"][own], cells["mean_PI"][own], strict=True))
        if {frame - 4, frame - 1, frame + 4} <= set(trace):
            rises.append((trace[frame - 1] - trace[frame - 4], trace[frame + 4] - trace[frame - 1]))
    before, after = np.array(rises).T
    assert len(rises) >= 4
    assert np.median(before) < 25  # counts
    assert np.median(after) > 60


def test_dying_targets_shrink(tables):
    cells, deaths = tables["cells"], tables["deaths"]
    ratios = []
    for track_id, frame in zip(deaths["track_id"], deaths["frame"], strict=True):
        own = (cells["role"] == "target") & (cells["track_id"] == track_id) & ~cells["at_border"]
        area = dict(zip(cells["frame"][own], cells["area_um2"][own], strict=True))
        if {frame - 7, frame + 6} <= set(area):
            ratios.append(area[frame + 6] / area[frame - 7])
    assert 0.2 < np.median(ratios) < 0.75


def test_daughters_begin_where_their_parent_ends(film, tables):
    tracks = tables["tracks"]
    children = np.flatnonzero(tracks["start"] == "divided")
    assert len(children) >= 2
    for child in children:
        parent = (tracks["role"] == tracks["role"][child]) & (
            tracks["track_id"] == tracks["parent_track_id"][child]
        )
        assert tracks["end"][parent][0] == "divided"
        assert tracks["last_frame"][parent][0] == tracks["first_frame"][child] - 1


def test_cells_enter_and_leave_the_field(tables):
    effectors = tables["tracks"]["role"] == "effector"
    assert (tables["tracks"]["start"][effectors] == "entered").sum() > 5
    assert (tables["tracks"]["end"][effectors] == "left_field").sum() > 5


def test_mock_effectors_touch_and_never_kill():
    tables = tables_of(simulate_film(QUICK, seed=4, kind="mock", n_frames=16))
    assert len(tables["contacts"]["well"]) > 20
    assert len(tables["kills"]["well"]) == 0
    targets = tables["deaths"]["role"] == "target"
    assert (tables["deaths"]["uncredited_share"][targets] == 1).all()


def test_a_target_only_well_holds_no_effector():
    tables = tables_of(simulate_film(QUICK, seed=4, kind="target_only", n_frames=4))
    assert set(tables["cells"]["role"]) == {"target"}
    assert len(tables["contacts"]["well"]) == 0


def test_an_effector_only_well_holds_no_target():
    film = simulate_film(TINY, seed=4, kind="effector_only", n_frames=2)
    assert not film.truth(0).targets.any()
    assert film.truth(0).effectors.any()


def test_an_empty_world_is_filmed_all_the_same():
    empty = replace(
        TINY,
        targets=replace(TINY.targets, density_per_mm2=0.0),
        effectors=replace(TINY.effectors, et_ratio=0.0),
    )
    tables = tables_of(simulate_film(empty, seed=1, n_frames=2))
    assert all(len(table["well"]) == 0 for table in tables.values())


def test_effectors_lie_on_top_of_targets_where_the_scenario_says_so():
    def covered(name):
        scenario = replace(scenario_named(name), shape_px=(200, 200))
        truth = simulate_film(scenario, seed=2, n_frames=3).truth(2)
        return np.mean(truth.targets[truth.effectors > 0] > 0)

    assert covered("overlap") > covered("suspension") + 0.1


def test_where_only_nuclei_show_the_target_mask_is_the_nucleus():
    nuclei = replace(scenario_named("nuclei"), shape_px=(200, 200))
    whole = replace(nuclei, target_mask="cell")
    film, full = simulate_film(nuclei, seed=2, n_frames=1), simulate_film(whole, seed=2, n_frames=1)
    mask, cell = film.truth(0).targets > 0, full.truth(0).targets > 0
    assert not (mask & ~cell).any()
    assert 0.1 < mask.sum() / cell.sum() < 0.5
    bright = film.images(0)[0]
    assert bright[mask].mean() > 3 * bright[cell & ~mask].mean() / 2


def test_bad_frames_are_black_blurred_and_overexposed():
    optics = replace(TINY.optics, bad_frames=((1, "black"), (2, "out_of_focus"), (3, "overexposed")))
    film = simulate_film(replace(TINY, optics=optics), seed=1)
    sharp, black, soft, burnt = (film.images(frame).astype(float) for frame in range(4))
    assert not black.any()
    assert soft[1].std() < 0.6 * sharp[1].std()
    assert (burnt[3] == optics.max_counts).mean() > 0.9


def test_an_unknown_scenario_gets_the_nearest_name():
    with pytest.raises(ProtocolError, match="Did you mean 'overlap'"):
        scenario_named("overlaps")


def test_every_scenario_of_the_contract_is_there():
    wanted = [
        "suspension",
        "adherent_standard",
        "et5",
        "overlap",
        "brightfield",
        "nuclei",
        "late_death",
        "mock",
        "sample",
    ]
    assert set(wanted) <= set(SCENARIOS)
    assert [name for name, scenario in SCENARIOS.items() if scenario.name != name] == []


def test_killers_are_gone_in_the_mock_control():
    assert for_kind(QUICK, "mock").effectors.killer_fraction == 0
    assert for_kind(QUICK, "sample") == QUICK
