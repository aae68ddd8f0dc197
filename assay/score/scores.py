"""The scores of a run against known truth: one tree of numbers, one flat mapping, one page of text.

NaN is "nothing to ask": no such cells, deaths or wells in truth and result. It is never a zero.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

from assay.labels import CellRole


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageScores:
    """What was compared, and what RESULTS lacks."""

    fields_true: int
    fields_missing: int  # in the truth, but failed, excluded or absent in RESULTS
    missing_count: bool  # their cells and events count as missed (else they are left out on both sides)
    missing: tuple[str, ...]  # which, and why
    masked_frames: int  # frames that RESULTS masks; their true cells count as missed


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentationScores:
    """Cells of one role, pooled over all frames."""

    ap50: float  # TP / (TP + FP + FN) at IoU 0.5, as in StarDist, Cellpose and the 2018 Data Science Bowl
    ap75: float
    f1_50: float  # 2 TP / (2 TP + FP + FN)
    f1_75: float
    cells_true: int
    cells_called: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingScores:
    """Tracks of one role, pooled over all fields."""

    edge_f1: float
    det: float
    seg: float
    tra: float
    complete_tracks: float  # share of the long true tracks found as exactly one pure track
    long_tracks_true: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactScores:
    """Contacts with live targets."""

    pair_frame_precision: float
    pair_frame_recall: float
    episode_f1: float
    count_ratio: float
    episodes_true: int
    episodes_called: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeathScores:
    """Deaths of targets."""

    f1_within_1_frame: float
    f1_within_2_frames: float
    f1_within_window: float  # max(3 frames, 10 min)
    median_error_frames: float
    median_error_min: float
    n_true: int
    n_called: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KillScores:
    """Credit for the deaths of targets."""

    kill_f1: float
    top_effector_right: float
    true_killer_share: float
    caused_brier: float
    caused_ece: float
    top_effector_brier: float
    top_effector_ece: float
    end_to_end_f1: float
    n_true: int
    n_called: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WellScores:
    """Numbers of the wells in which effectors meet targets."""

    kills_bias: float
    kills_absolute_error: float
    kills_relative_error: float  # mean of |called - true| / true, over wells in which there are true kills
    kills_interval_coverage: float
    kills_n_wells: int
    kills_n_missing: int
    cytolysis_percent_bias: float  # in points
    cytolysis_percent_absolute_error: float
    cytolysis_percent_interval_coverage: float
    cytolysis_percent_n_wells: int
    cytolysis_percent_n_missing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Everything that section 6 of the contract asks."""

    coverage: CoverageScores
    segmentation: Mapping[CellRole, SegmentationScores]
    tracking: Mapping[CellRole, TrackingScores]
    contacts: ContactScores
    deaths: DeathScores
    kills: KillScores
    wells: WellScores

    def as_dict(self) -> dict[str, float | int | bool | str | None]:
        """Name -> number for JSON; None where there is nothing to ask."""
        named: dict[str, float | int | bool | str | None] = {}
        for prefix, group in self._groups():
            for field in fields(group):
                value = getattr(group, field.name)
                if isinstance(value, float) and math.isnan(value):
                    value = None
                elif isinstance(value, tuple):
                    value = "; ".join(value)
                name = field.name if field.name in UNPREFIXED else f"{prefix}_{field.name}"
                named[name] = value
        return named

    def _groups(self) -> list[tuple[str, "_Group"]]:
        groups: list[tuple[str, _Group]] = [("coverage", self.coverage)]
        groups += [(role, scores) for role, scores in self.segmentation.items()]
        groups += [(role, scores) for role, scores in self.tracking.items()]
        groups += [("contact", self.contacts), ("death", self.deaths)]
        return [*groups, ("kill", self.kills), ("well", self.wells)]


_Group = (
    CoverageScores
    | SegmentationScores
    | TrackingScores
    | ContactScores
    | DeathScores
    | KillScores
    | WellScores
)

UNPREFIXED = ("kill_f1", "end_to_end_f1")
"""Names that the contract gives as they are."""

_LINES: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "segmentation, {role}s",
        (
            ("AP at IoU 0.50 | 0.75", "{role}_ap50", "{role}_ap75"),
            ("F1 at IoU 0.50 | 0.75", "{role}_f1_50", "{role}_f1_75"),
            ("cells: true | called", "{role}_cells_true", "{role}_cells_called"),
        ),
    ),
    (
        "tracking, {role}s",
        (
            ("edge F1", "{role}_edge_f1", ""),
            ("DET (CTC)", "{role}_det", ""),
            ("SEG (CTC)", "{role}_seg", ""),
            ("TRA (CTC)", "{role}_tra", ""),
            ("complete tracks | of long ones", "{role}_complete_tracks", "{role}_long_tracks_true"),
        ),
    ),
    (
        "contacts",
        (
            ("pair-frames: precision | recall", "contact_pair_frame_precision", "contact_pair_frame_recall"),
            ("episode F1", "contact_episode_f1", ""),
            ("called / true episodes", "contact_count_ratio", ""),
            ("episodes: true | called", "contact_episodes_true", "contact_episodes_called"),
        ),
    ),
    (
        "deaths of targets",
        (
            ("F1 within 1 | 2 frames", "death_f1_within_1_frame", "death_f1_within_2_frames"),
            ("F1 within max(3 frames, 10 min)", "death_f1_within_window", ""),
            ("median timing error: frames | min", "death_median_error_frames", "death_median_error_min"),
            ("deaths: true | called", "death_n_true", "death_n_called"),
        ),
    ),
    (
        "kills",
        (
            ("kill F1", "kill_f1", ""),
            ("top effector right", "kill_top_effector_right", ""),
            ("mean share of the true killer", "kill_true_killer_share", ""),
            ("effector-caused: Brier | ECE", "kill_caused_brier", "kill_caused_ece"),
            ("top effector: Brier | ECE", "kill_top_effector_brier", "kill_top_effector_ece"),
            ("end-to-end F1", "end_to_end_f1", ""),
            ("kills: true | called", "kill_n_true", "kill_n_called"),
        ),
    ),
    (
        "wells",
        (
            ("kills: bias | absolute error", "well_kills_bias", "well_kills_absolute_error"),
            ("kills: relative error, where there are any", "well_kills_relative_error", ""),
            ("kills: 90 % interval holds the truth", "well_kills_interval_coverage", ""),
            ("kills: wells | without a number", "well_kills_n_wells", "well_kills_n_missing"),
            (
                "cytolysis_percent: bias | absolute error",
                "well_cytolysis_percent_bias",
                "well_cytolysis_percent_absolute_error",
            ),
            (
                "cytolysis_percent: 90 % interval holds the truth",
                "well_cytolysis_percent_interval_coverage",
                "",
            ),
            (
                "cytolysis_percent: wells | without a number",
                "well_cytolysis_percent_n_wells",
                "well_cytolysis_percent_n_missing",
            ),
        ),
    ),
)


def format_scores(scores: Scores) -> str:
    """The scores as a page of plain text, grouped as in the contract; "-" where there is nothing to ask."""
    flat = scores.as_dict()
    lines = [_coverage_line(scores.coverage)]
    lines += [f"  not in RESULTS: {missing}" for missing in scores.coverage.missing]
    for title, rows in _LINES:
        for role in scores.segmentation if "{role}" in title else ("",):
            lines += ["", title.format(role=role)]
            for label, *keys in rows:
                values = [_number(flat[key.format(role=role)]) for key in keys if key]
                lines.append(f"  {label:<50}{''.join(f'{value:>10}' for value in values)}")
    return "\n".join(lines)


def _coverage_line(coverage: CoverageScores) -> str:
    line = f"{coverage.fields_true - coverage.fields_missing} of {coverage.fields_true} fields are in RESULTS"
    if coverage.fields_missing:
        line += ", the others count as missed" if coverage.missing_count else ", the others are left out"
    if coverage.masked_frames:
        line += f"; {coverage.masked_frames} frames are masked, their cells count as missed"
    return f"{line}."


def _number(value: float | int | bool | str | None) -> str:
    if value is None:
        return "-"
    return f"{value:.4f}" if isinstance(value, float) else str(value)
