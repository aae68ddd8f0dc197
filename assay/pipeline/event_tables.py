"""Rows of the result tables of one field, made of its tracks, contacts and deaths."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from assay.columns import Table
from assay.contacts import Contact
from assay.deaths import Death
from assay.engagements import Engagement, Engagements
from assay.labels import CELL_ROLES, CellMeasures, CellRole
from assay.pipeline.plan import FieldPlan
from assay.tracks import Track, TrackEnd, Tracks


def cells_table(
    plan: FieldPlan,
    measures: CellMeasures,
    tracks: Tracks,
    deaths: Sequence[Death],
    dead_from_start: Collection[int],
) -> Table:
    """One role's cells of all usable frames; whoever was dead when first seen is dead from frame 0."""
    frame_min = plan.calibration.frame_min
    died = {death.track_id: death.frame for death in deaths if death.role == measures.role}
    died |= dict.fromkeys(dead_from_start, 0)
    never = plan.shape[0]
    death_frame = np.array([died.get(track, never) for track in tracks.track_id.tolist()], dtype=np.int64)
    n = len(measures)
    return {
        "well": np.full(n, plan.field.well, dtype=object),
        "field": np.full(n, plan.field.field, dtype=np.int64),
        "frame": measures.frame.astype(np.int64),
        "time_min": measures.frame * (np.nan if frame_min is None else frame_min),
        "role": np.full(n, measures.role, dtype=object),
        "track_id": tracks.track_id,
        "label": measures.label.astype(np.int64),
        "y_um": measures.y_um,
        "x_um": measures.x_um,
        "area_um2": measures.area_um2,
        "eccentricity": measures.eccentricity,
        "covered": measures.covered,
        "at_border": measures.at_border,
        "score": measures.score,
        "dead": measures.frame >= death_frame,
        "link_confidence": np.full(n, np.nan) if tracks.link_confidence is None else tracks.link_confidence,
        **{f"mean_{name}": values for name, values in measures.means.items()},
    }


def sorted_cells(parts: Sequence[Table]) -> Table:
    """Both roles' cells in the order of frame, role, track."""
    keys = [np.concatenate([part[name] for part in parts]) for name in ("track_id", "role", "frame")]
    order = np.lexsort((keys[0], keys[1].astype(str), keys[2]))
    return {name: np.concatenate([part[name] for part in parts])[order] for name in parts[0]}


def track_rows(
    plan: FieldPlan, tracks: Mapping[CellRole, Tracks], deaths: Sequence[Death]
) -> Iterator[dict[str, Any]]:
    """Both roles' tracks; one that ends after its cell's death ends as died."""
    died = {(death.role, death.track_id) for death in deaths}

    def end_of(role: CellRole, track: Track) -> TrackEnd:
        return "died" if (role, track.track_id) in died and track.end != "divided" else track.end

    return (
        {
            "well": plan.field.well,
            "field": plan.field.field,
            "role": role,
            "track_id": track.track_id,
            "first_frame": track.first_frame,
            "last_frame": track.last_frame,
            "parent_track_id": track.parent_track_id,
            "start": track.start,
            "end": end_of(role, track),
            "min_link_confidence": track.min_link_confidence,
        }
        for role in CELL_ROLES
        for track in tracks[role].tracks
    )


def contact_rows(
    plan: FieldPlan,
    contacts: Sequence[Contact],
    engaged: Engagements,
    deaths: Sequence[Death],
    dead_from_start: Collection[int],
) -> Iterator[dict[str, Any]]:
    """Contacts; whether each target was dead when its contact began, of those dead when first seen too."""
    held: dict[int, list[Engagement]] = {}
    for engagement in engaged.engagements:
        held.setdefault(engagement.contact_id, []).append(engagement)
    died = {death.track_id: death.frame for death in deaths if death.role == "target"}
    died |= dict.fromkeys(dead_from_start, -1)
    return (
        {
            "well": plan.field.well,
            "field": plan.field.field,
            "contact_id": contact.contact_id,
            "effector_track_id": contact.effector_track_id,
            "target_track_id": contact.target_track_id,
            "first_frame": contact.first_frame,
            "last_frame": contact.last_frame,
            "duration_min": contact.duration_min(plan.calibration),
            "min_gap_um": contact.min_gap_um,
            "mean_interface_um": contact.mean_interface_um,
            "starts_censored": contact.starts_censored,
            "ends_censored": contact.ends_censored,
            "unseen_frames": contact.unseen_frames,
            "target_dead": contact.first_frame > died.get(contact.target_track_id, plan.shape[0]),
            "engaged_probability": float(probability),
            **_longest(held.get(contact.contact_id, [])),
        }
        for contact, probability in zip(contacts, engaged.probability, strict=True)
    )


def _longest(held: Sequence[Engagement]) -> dict[str, Any]:
    """How often an effector held on, when it did so longest (of equals the first), and each time, the doubtful ones too."""
    counted = [each for each in held if each.is_counted]
    first = last = None
    if counted:
        longest = max(counted, key=lambda each: (each.last_frame - each.first_frame, -each.first_frame))
        first, last = longest.first_frame, longest.last_frame
    return {
        "n_engagements": len(counted),
        "engaged_first_frame": first,
        "engaged_last_frame": last,
        "engagements": engagements_text(
            [(each.first_frame, each.last_frame, each.probability) for each in held]
        ),
    }


def engagements_text(held: Sequence[tuple[int, int, float]]) -> str | None:
    """Each (first frame, last frame, probability) of one contact as the contacts table has them."""
    return "+".join(f"{first}-{last}:{sure:.4f}" for first, last, sure in held) or None


def engagements_of(text: str) -> list[tuple[int, int, float]]:
    """Read `engagements_text` back; nothing of an empty text."""
    found = []
    for part in text.split("+") if text else []:
        frames, sure = part.split(":")
        first, last = frames.split("-")
        found.append((int(first), int(last), float(sure)))
    return found


def doubtful_rows(plan: FieldPlan, deaths: Sequence[Death]) -> list[dict[str, Any]]:
    """Targets' deaths that are too doubtful to be listed; `doubtful.py` says who would get them."""
    names = ("frame", "first_possible_frame", "last_possible_frame", "probability")
    return [
        {
            "well": plan.field.well,
            "field": plan.field.field,
            "target_track_id": death.track_id,
            **{name: getattr(death, name) for name in names},
            "time_min": plan.calibration.minutes(death.frame),
            "evidence": "+".join(death.evidence),
            **dict.fromkeys(("uncredited_share", "effector_track_id", "share", "lag_min")),
        }
        for death in deaths
    ]


def death_rows(plan: FieldPlan, deaths: Sequence[Death]) -> list[dict[str, Any]]:
    """Uncredited shares are 1 until `plate.py` credits the deaths; effectors have none."""
    return [
        {
            "well": plan.field.well,
            "field": plan.field.field,
            "death_id": death.death_id,
            "role": death.role,
            "track_id": death.track_id,
            "frame": death.frame,
            "first_possible_frame": death.first_possible_frame,
            "last_possible_frame": death.last_possible_frame,
            "time_min": plan.calibration.minutes(death.frame),
            "onset_min": death.onset_min,
            "probability": death.probability,
            "evidence": "+".join(death.evidence),
            "uncredited_share": 1.0 if death.role == "target" else None,
        }
        for death in deaths
    ]
