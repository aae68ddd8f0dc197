"""What is foretold of targets from all others: by hand on one meeting, and on films of many."""

from dataclasses import replace

import numpy as np
import pytest

from assay.contacts import Contact
from assay.deaths import Death
from assay.field_events import FieldEvents, link_doubts
from assay.hazards import Hazards, settle
from assay.hits import gather
from assay.kills import fit_lag_model
from assay.left_out import left_out_likelihood
from assay.sameness import Sameness
from assay.tracks import Track
from assay.units import Calibration

TWO_MIN = Calibration(pixel_um=(0.65, 0.65), frame_min=2.0)
FRAMES = 200


def contact(number: int, effector: int, target: int, first: int, last: int) -> Contact:
    return Contact(
        contact_id=number, effector_track_id=effector, target_track_id=target, first_frame=first, last_frame=last,
        min_gap_um=0.0, mean_interface_um=4.0, starts_censored=False, ends_censored=False,
    )  # fmt: skip


def death(number: int, target: int, frame: int) -> Death:
    return Death(
        death_id=number, role="target", track_id=target, frame=frame, first_possible_frame=frame,
        last_possible_frame=frame, probability=1.0, evidence=("dye",),
    )  # fmt: skip


def field(contacts: list[Contact], deaths: list[Death], *, targets: int, well: str = "B02") -> FieldEvents:
    tracks = tuple(
        Track(
            track_id=n, first_frame=0, last_frame=FRAMES - 1, parent_track_id=None, start="movie_start",
            end="movie_end",
        )
        for n in range(1, targets + 1)
    )  # fmt: skip
    return FieldEvents(
        well=well, field=0, kind="sample", n_frames=FRAMES, calibration=TWO_MIN, contacts=tuple(contacts),
        deaths=tuple(deaths), targets=tracks,
    )  # fmt: skip


def killers(seed: int, *, share: float, well: str, effectors: int = 40, targets: int = 120) -> FieldEvents:
    """Every target is met by three effectors for 8 frames; such a share of them kills half of whom they meet."""
    rng = np.random.default_rng(seed)
    kills = rng.random(effectors) < share
    contacts: list[Contact] = []
    deaths: list[Death] = []
    for target in range(1, targets + 1):
        first = 5
        for effector in rng.choice(effectors, 3, replace=False).tolist():
            contacts.append(contact(len(contacts) + 1, effector + 1, target, first, first + 7))
            if rng.random() < (0.5 * kills[effector] if share < 1 else 0.15):
                deaths.append(death(len(deaths) + 1, target, first + int(rng.integers(5, 11))))
                break
            first += int(rng.integers(20, 50))
    return field(contacts, deaths, targets=targets, well=well)


def test_a_plate_with_few_killers_is_told_from_one_on_which_all_kill_now_and_then():
    few = fit_lag_model([killers(n, share=0.3, well=f"B{n:02d}") for n in (1, 2)], max_lag_min=120.0)
    all_alike = fit_lag_model([killers(n, share=1.0, well=f"B{n:02d}") for n in (1, 2)], max_lag_min=120.0)
    assert few.alike <= 0.7  # of gamma with three tenths who kill, 0.3 to 0.6
    assert all_alike.alike > 1.2  # 1 would be a spread as wide as the mean
    assert few.hits_needed == all_alike.hits_needed == 1


def test_one_target_with_one_effector_is_foretold_as_worked_out_by_hand():
    one = gather(field([contact(1, 1, 1, 10, 19)], [], targets=1), np.array([0.0, 100.0]))
    hazards = Hazards(
        h0=1e-4, theta=np.array([2e-4]), widths=np.array([100.0]), potency=np.ones(1),
        readiness=np.ones(7), alike=0.5, hits_needed=1,
    )  # fmt: skip
    sameness = Sameness(one)
    shares, activity = settle(one, hazards, sameness, None, rounds=3)
    # 10 frames of contact, each followed by 50 frames within reach: 2 min x 100 min x 10 x 2e-4 = 0.4 kills at
    # activity 1; none seen elsewhere, so the chance to pass is (1 + 0.4 / 0.5)^-0.5. 199 frames at risk of h0.
    told = left_out_likelihood(one, hazards, shares, activity, sameness, None)
    assert told == pytest.approx(-0.5 * np.log(1.8) - 1e-4 * 398.0, rel=1e-9)


def test_what_an_effector_did_elsewhere_is_summed_over_its_other_targets_as_far_as_it_is_the_same_cell():
    rng = np.random.default_rng(0)
    contacts = [contact(n + 1, 1 + n % 2, 1 + int(rng.integers(1, 5)), 10 * n, 10 * n + 6) for n in range(14)]
    deaths = [death(n, n, 40 * n) for n in (2, 3, 4)]
    track = np.repeat([1, 2], FRAMES)
    doubts = link_doubts(track, np.tile(np.arange(FRAMES), 2), rng.uniform(0.9, 1.0, 2 * FRAMES))
    evidence = gather(
        replace(field(contacts, deaths, targets=5), link_doubts=doubts), np.array([0.0, 60.0, 120.0])
    )
    pieces, sameness = evidence.pieces, Sameness(evidence)
    kills = rng.uniform(0.1, 1.0, len(evidence.pair_death))
    expected = rng.uniform(0.1, 1.0, len(pieces.effector))
    found_kills, found_expected = sameness.elsewhere(kills, expected)
    by_pair = [evidence.row_pair == pair for pair in range(len(kills))]
    pair_doubt = [pieces.doubt[evidence.row_piece[rows]].mean() for rows in by_pair]
    pair_target = [pieces.target[evidence.row_piece[rows]][0] for rows in by_pair]
    for meeting in range(sameness.n_meetings):
        mine = np.flatnonzero(sameness.meeting == meeting)
        effector, target = pieces.effector[mine[0]], pieces.target[mine[0]]
        by_hand = [
            sum(
                expected[other] * np.exp(-abs(pieces.doubt[piece] - pieces.doubt[other]))
                for other in range(len(expected))
                if pieces.effector[other] == effector and pieces.target[other] != target
            )
            for piece in mine
        ]
        assert found_expected[meeting] == pytest.approx(np.mean(by_hand), rel=1e-12)
        by_hand = [
            sum(
                kills[pair] * np.exp(-abs(pieces.doubt[piece] - pair_doubt[pair]))
                for pair in range(len(kills))
                if evidence.pair_effector[pair] == effector and pair_target[pair] != target
            )
            for piece in mine
        ]
        assert found_kills[meeting] == pytest.approx(np.mean(by_hand), rel=1e-12, abs=1e-12)
