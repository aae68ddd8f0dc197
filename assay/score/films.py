"""One field's film against its truth, and the fields of a plate put together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from typing import Any, TypeVar

from assay.columns import Table, take
from assay.labels import CELL_ROLES, CellRole
from assay.score.cells import CellCounts, FieldCells
from assay.score.contacts import ContactCounts, count_contacts
from assay.score.deaths import DeathCounts, count_deaths, pair_deaths
from assay.score.kills import KillCounts, brier, count_kills, ece
from assay.score.matching import Identities
from assay.score.scores import (
    ContactScores,
    CoverageScores,
    DeathScores,
    KillScores,
    Scores,
    SegmentationScores,
    TrackingScores,
    WellScores,
)
from assay.score.tracking import TrackCounts, count_tracks, seg
from assay.score.wells import NumberScores

Counts = TypeVar("Counts", CellCounts, TrackCounts, ContactCounts, DeathCounts, KillCounts)


@dataclass(frozen=True, slots=True, kw_only=True)
class FilmCounts:
    """Everything that was right and wrong in one field."""

    cells: Mapping[CellRole, CellCounts]
    tracks: Mapping[CellRole, TrackCounts]
    contacts: ContactCounts
    deaths: DeathCounts
    kills: KillCounts


def count_film(
    cells: Mapping[CellRole, FieldCells],
    true: Mapping[str, Table],
    called: Mapping[str, Table],
    *,
    n_frames: int,
    frame_min: float | None,
) -> FilmCounts:
    """Compare one field.

    Args:
        cells: Of each role, the matched cells of all frames.
        true: The truth's tables "tracks", "contacts", "deaths" and "kills", rows of this field only.
        called: The same from RESULTS.
        n_frames: Length of the film.
        frame_min: Frame interval; None where it is not known.
    """
    who = {
        role: Identities(cells[role].match_frames, cells[role].match_true, cells[role].match_called)
        for role in CELL_ROLES
    }
    true_deaths, called_deaths = _of_role(true["deaths"], "target"), _of_role(called["deaths"], "target")
    pairs = pair_deaths(true_deaths, called_deaths, targets=who["target"])
    return FilmCounts(
        cells={role: cells[role].counts for role in CELL_ROLES},
        tracks={
            role: count_tracks(
                cells[role],
                true_parents=_parents(_of_role(true["tracks"], role)),
                called_parents=_parents(_of_role(called["tracks"], role)),
                n_frames=n_frames,
            )
            for role in CELL_ROLES
        },
        contacts=count_contacts(
            true["contacts"], called["contacts"], effectors=who["effector"], targets=who["target"]
        ),
        deaths=count_deaths(
            pairs, n_true=len(true_deaths["frame"]), n_called=len(called_deaths["frame"]), frame_min=frame_min
        ),
        kills=count_kills(
            true_deaths,
            called_deaths,
            true["kills"],
            called["kills"],
            called["contacts"],
            pairs=pairs,
            effectors=who["effector"],
            frame_min=frame_min,
        ),
    )


def _of_role(table: Table, role: CellRole) -> Table:
    return take(table, table["role"] == role)


def _parents(tracks: Table) -> dict[int, int]:
    """Child -> parent; the column is NaN where there is none."""
    pairs = zip(tracks["track_id"].tolist(), tracks["parent_track_id"].tolist(), strict=True)
    return {child: int(parent) for child, parent in pairs if parent == parent}


def pool(
    films: Sequence[FilmCounts], *, coverage: CoverageScores, kills: NumberScores, cytolysis: NumberScores
) -> Scores:
    """Put the fields of a plate together: counts are added, then divided.

    Args:
        films: At least one field.
        coverage: What was compared.
        kills: The wells' kills against the truth.
        cytolysis: The wells' cytolysis_percent against the truth.
    """
    contacts = total([film.contacts for film in films])
    cells = {role: total([film.cells[role] for film in films]) for role in CELL_ROLES}
    return Scores(
        coverage=coverage,
        segmentation={role: _segmentation(cells[role]) for role in CELL_ROLES},
        tracking={
            role: _tracking(total([film.tracks[role] for film in films]), cells[role]) for role in CELL_ROLES
        },
        contacts=ContactScores(
            pair_frame_precision=contacts.precision,
            pair_frame_recall=contacts.recall,
            episode_f1=contacts.episode_f1,
            count_ratio=contacts.count_ratio,
            episodes_true=contacts.episodes_true,
            episodes_called=contacts.episodes_called,
        ),
        deaths=_deaths(total([film.deaths for film in films])),
        kills=_kills(total([film.kills for film in films])),
        wells=_wells(kills, cytolysis),
    )


def total(counts: Sequence[Counts]) -> Counts:
    """Add counts name by name; what is listed per event is put one behind the other."""
    kind = type(counts[0])
    added: dict[str, Any] = {}
    for field in fields(kind):
        values = [getattr(entry, field.name) for entry in counts]
        added[field.name] = tuple(chain(*values)) if isinstance(values[0], tuple) else sum(values)
    return kind(**added)


def _segmentation(cells: CellCounts) -> SegmentationScores:
    return SegmentationScores(
        ap50=cells.ap(cells.found_50),
        ap75=cells.ap(cells.found_75),
        f1_50=cells.f1(cells.found_50),
        f1_75=cells.f1(cells.found_75),
        cells_true=cells.n_true,
        cells_called=cells.n_called,
    )


def _tracking(tracks: TrackCounts, cells: CellCounts) -> TrackingScores:
    return TrackingScores(
        edge_f1=tracks.edge_f1,
        det=tracks.det,
        seg=seg(cells),
        tra=tracks.tra,
        complete_tracks=tracks.complete_fraction,
        long_tracks_true=tracks.long_tracks,
    )


def _deaths(deaths: DeathCounts) -> DeathScores:
    return DeathScores(
        f1_within_1_frame=deaths.f1(1),
        f1_within_2_frames=deaths.f1(2),
        f1_within_window=deaths.window_f1,
        median_error_frames=deaths.median_error_frames,
        median_error_min=deaths.median_error_min,
        n_true=deaths.n_true,
        n_called=deaths.n_called,
    )


def _kills(kills: KillCounts) -> KillScores:
    return KillScores(
        kill_f1=kills.kill_f1,
        top_effector_right=kills.top_effector_right,
        true_killer_share=kills.killer_share,
        caused_brier=brier(kills.caused),
        caused_ece=ece(kills.caused),
        top_effector_brier=brier(kills.top),
        top_effector_ece=ece(kills.top),
        end_to_end_f1=kills.end_to_end_f1,
        n_true=kills.n_true,
        n_called=kills.n_called,
    )


def _wells(kills: NumberScores, cytolysis: NumberScores) -> WellScores:
    return WellScores(
        kills_bias=kills.bias,
        kills_absolute_error=kills.absolute_error,
        kills_relative_error=kills.relative_error,
        kills_interval_coverage=kills.coverage,
        kills_n_wells=kills.n_wells,
        kills_n_missing=kills.n_missing,
        cytolysis_percent_bias=cytolysis.bias,
        cytolysis_percent_absolute_error=cytolysis.absolute_error,
        cytolysis_percent_interval_coverage=cytolysis.coverage,
        cytolysis_percent_n_wells=cytolysis.n_wells,
        cytolysis_percent_n_missing=cytolysis.n_missing,
    )
