import json
from dataclasses import replace

import numpy as np
import pytest

from assay.contacts import Contact
from assay.deaths import Death
from assay.field_events import FieldEvents
from assay.killbench.levels import LEVELS
from assay.killbench.ours import Credit
from assay.killbench.scene import Scene
from assay.killbench.scoring import SceneCounts, count_scene, pooled
from assay.killbench.world import TrueContact, TrueDeath, World
from assay.kills import Kill
from assay.labels import CellMeasures
from assay.tracks import Track, Tracks
from assay.units import Calibration

FRAMES, FRAME_MIN = 10, 3.0
CALIBRATION = Calibration(pixel_um=(0.65, 0.65), frame_min=FRAME_MIN)
TARGETS, EFFECTORS = (1, 2, 3), (4, 5)


def cells(role: str, n_cells: int) -> CellMeasures:
    count = FRAMES * n_cells
    return CellMeasures(
        role=role,
        frame=np.repeat(np.arange(FRAMES), n_cells).astype(np.int32),
        label=np.tile(np.arange(1, n_cells + 1), FRAMES).astype(np.int32),
        y_um=np.zeros(count),
        x_um=np.zeros(count),
        area_um2=np.ones(count),
        eccentricity=np.zeros(count),
        covered=np.zeros(count),
        at_border=np.zeros(count, dtype=bool),
        score=np.ones(count),
    )


def true_death(target: int, time_min: float, frame: int, shares: dict[int, float], bound: tuple) -> TrueDeath:
    return TrueDeath(target=target, time_min=time_min, frame=frame, shares=shares, bound=bound, lysed=False)


def small_scene() -> Scene:
    """Three targets, two effectors, all seen in every frame; 4 kills 1 while 5 is bound too, 2 dies alone."""
    nothing = np.zeros(0)
    world = World(
        settings=replace(LEVELS["medium"], n_targets=3),
        target_yx_um=nothing, effector_yx_um=nothing, effector_id=nothing.astype(np.int64), bound=nothing > 0,
        target_radius_um=nothing, effector_radius_um=nothing, target_death_min=nothing,
        effector_death_min=nothing, target_gone_min=nothing, effector_gone_min=nothing,
        target_lysed=nothing > 0, effector_lysed=nothing > 0,
        deaths=(true_death(1, 14.0, 5, {4: 1.0}, (4, 5)), true_death(2, 18.0, 6, {}, ())),
        contacts=(
            TrueContact(effector=4, target=1, first_frame=2, last_frame=5),
            TrueContact(effector=5, target=3, first_frame=1, last_frame=1),
        ),
    )  # fmt: skip
    return Scene(
        level="medium", seed=0, kind="sample", well="B02", calibration=CALIBRATION, field_shape=(10, 10),
        n_frames=FRAMES, measures={"target": cells("target", 3), "effector": cells("effector", 2)}, background={},
        true_id={"target": np.tile(TARGETS, FRAMES), "effector": np.tile(EFFECTORS, FRAMES)}, world=world,
    )  # fmt: skip


def tracks_of(scene: Scene, *, times: int) -> dict[str, Tracks]:
    """Perfect tracks whose ids are ten times the true ones, or other."""
    return {
        role: Tracks(
            role=role,
            track_id=ids * times,
            tracks=tuple(
                Track(
                    track_id=cell * times, first_frame=0, last_frame=FRAMES - 1, parent_track_id=None,
                    start="movie_start", end="movie_end",
                )
                for cell in sorted(set(ids.tolist()))
            ),
        )
        for role, ids in scene.true_id.items()
    }  # fmt: skip


def contact(number: int, effector: int, target: int, first: int, last: int) -> Contact:
    return Contact(
        contact_id=number, effector_track_id=effector, target_track_id=target, first_frame=first, last_frame=last,
        min_gap_um=0.0, mean_interface_um=1.0, starts_censored=False, ends_censored=False,
    )  # fmt: skip


def death(number: int, track_id: int, frame: int, probability: float) -> Death:
    return Death(
        death_id=number, role="target", track_id=track_id, frame=frame, first_possible_frame=frame,
        last_possible_frame=frame, probability=probability, evidence=("dye",),
    )  # fmt: skip


def kill(death_id: int, target: int, effector: int, contact_id: int, share: float) -> Kill:
    return Kill(
        death_id=death_id, target_track_id=target, effector_track_id=effector, contact_id=contact_id, share=share,
        lag_min=0.0,
    )  # fmt: skip


def reading(scene: Scene, **changes: object) -> Credit:
    """The kill of 1 is found a frame late, the death of 2 is missed, one of 3 is made up."""
    events = FieldEvents(
        well="B02", field=0, kind="sample", n_frames=FRAMES, calibration=CALIBRATION,
        contacts=(contact(1, 40, 10, 2, 6), contact(2, 50, 30, 3, 4)),
        deaths=(death(1, 10, 6, 0.9), death(2, 30, 4, 1.0)),
        targets=tracks_of(scene, times=10)["target"].tracks,
    )  # fmt: skip
    kills = (kill(1, 10, 40, 1, 0.8), kill(2, 30, 50, 2, 0.6))
    return Credit(events=events, kills=kills, uncredited={1: 0.2, 2: 0.4}, **changes)


def counts(*, level: str = "medium", seed: int = 0, way: str = "a way", **changes: object) -> SceneCounts:
    scene = replace(small_scene(), level=level, seed=seed)
    return count_scene(scene, way, tracks_of(scene, times=10), reading(scene, **changes))


def test_deaths_kills_and_contacts_of_a_small_scene_are_counted_as_by_hand():
    scores = pooled([counts()])
    assert scores["death_f1"] == 2 * 1 / (2 + 2)
    assert scores["death_median_error_min"] == 3.0  # frame 6 for 5
    assert scores["onset_median_error_min"] == pytest.approx(2.5)  # 5.5 x 3 min for 14
    assert scores["kill_f1"] == pytest.approx(2 / 3)  # one true, two called, one right
    assert scores["top_1"] == 1.0
    assert scores["end_to_end_f1"] == pytest.approx(2 / 3)
    assert scores["true_killer_share"] == pytest.approx(0.8)
    assert scores["caused_ece"] == pytest.approx(0.2)  # of the death found: 0.8 stated, and it is so
    assert scores["effector_ece"] == pytest.approx(0.2)
    assert scores["kill_bias_points"] == pytest.approx(100 * (0.9 * 0.8 + 1.0 * 0.6 - 1) / 3)
    assert scores["false_kills_per_100"] == pytest.approx(100 / 3)
    assert scores["contact_count_ratio"] == 1.0
    assert scores["long_contact_count_ratio"] == 2.0  # one of the true ones lasts two frames or more
    assert scores["contact_episode_f1"] == 0.5
    assert scores["ceiling"] == 0.5  # two were bound at the lethal hit


def test_the_wrong_effector_is_no_top_one_and_no_end_to_end_hit():
    scene = small_scene()
    swapped = replace(reading(scene), kills=(kill(1, 10, 50, 2, 0.8), kill(2, 30, 50, 2, 0.6)))
    scores = pooled([count_scene(scene, "a way", tracks_of(scene, times=10), swapped)])
    assert scores["top_1"] == 0.0
    assert scores["end_to_end_f1"] == 0.0
    assert scores["kill_f1"] == pytest.approx(2 / 3)


def test_contacts_with_targets_that_were_dead_from_the_start_do_not_count():
    assert counts().contacts.episodes_called == 2
    assert counts(dead_from_start=frozenset({30})).contacts.episodes_called == 1


def test_times_of_holding_on_are_counted_beside_contacts_where_a_way_tells_them():
    held = counts(holds=(contact(1, 40, 10, 2, 5), contact(2, 50, 30, 1, 1)))
    scores = pooled([held])
    assert (scores["hold_count_ratio"], scores["hold_f1"]) == (1.0, 1.0)
    assert scores["contact_episode_f1"] == 0.5
    assert np.isnan(pooled([counts()])["hold_f1"])


def test_a_wells_interval_holds_the_truth_or_not():
    assert pooled([counts(interval=(0.0, 3.0)), counts(interval=(2.0, 3.0))])["interval_coverage"] == 0.5
    assert np.isnan(pooled([counts()])["interval_coverage"])


def test_scores_of_scenes_without_a_true_kill_ask_only_for_false_ones():
    scene = small_scene()
    world = replace(scene.world, deaths=scene.world.deaths[1:])
    scene = replace(scene, world=world)
    scores = pooled([count_scene(scene, "a way", tracks_of(scene, times=10), reading(scene))])
    assert np.isnan(scores["kill_f1"])
    assert scores["false_kills_per_100"] == pytest.approx(200 / 3)


def test_counts_come_back_from_a_line_of_json_as_they_were():
    one = counts(interval=(0.0, 3.0))
    assert SceneCounts.from_dict(json.loads(json.dumps(one.as_dict()))) == one
