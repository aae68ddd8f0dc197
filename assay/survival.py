"""From events to the numbers of wells: deaths, kills with their interval, cytolysis, survival.

Knows the events of all fields and the kinds of wells. The well is the unit; `conditions.py` compares wells.
"""

import math
import zlib
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.deaths import FEWEST_FRAMES
from assay.field_events import FieldEvents, alive_until
from assay.incidence import CAUSES, Incidence, aalen_johansen
from assay.intervals import DRAWS, Vanished, central, draw_counts
from assay.lag_model import CONTROL_KINDS, LagModel
from assay.tracks import Track

_LONG_MIN = 20.0  # a track shorter than this may be of no cell at all
_LONG_FRAMES = 5
_TOO_LATE_FRAMES = 1.5  # before the last frame of the film: a death then shows in too few frames
_END_CAUSE = {"divided": "divided", "left_field": "left", "lost": "lost"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldOutcome:
    """One field's events with everything that a summary needs."""

    events: FieldEvents
    uncredited: Mapping[int, float]  # death id -> share that nobody gets
    effectors: tuple[Track, ...]
    first_valid_frame: int
    last_valid_frame: int
    n_valid_frames: int  # masked ones left out
    dead_targets: AbstractSet[int] = frozenset()  # track ids of cells that were dead when first seen
    dead_effectors: AbstractSet[int] = frozenset()
    max_gap_frames: int = 0  # frames in which a cell may be missed and still be followed

    @property
    def shows_deaths(self) -> bool:
        """Whether the film is long enough to tell the living from the dying; else its deaths are unknown, not 0."""
        return shows_deaths(self.n_valid_frames)


def shows_deaths(n_valid_frames: int) -> bool:
    """Whether a film of so many usable frames tells the living from the dying."""
    return n_valid_frames >= FEWEST_FRAMES


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlDeaths:
    """What dies without effectors: all target-only wells together."""

    wells: tuple[str, ...]
    deaths: float
    alive: float

    @property
    def share(self) -> float:
        """d0: dead share of the targets; NaN where there was none."""
        total = self.deaths + self.alive
        return self.deaths / total if total > 0 else math.nan


def control_deaths(outcomes: Sequence[FieldOutcome]) -> ControlDeaths | None:
    """Pool the target-only wells of a plate; None where there is none with a target and a film of some length."""
    mine = [each for each in outcomes if each.events.kind == "target_only" and each.shows_deaths]
    return pool_controls(
        [
            ControlDeaths(wells=(each.events.well,), deaths=_deaths(each), alive=_alive_at_end(each))
            for each in mine
        ]
    )


def pool_controls(parts: Sequence[ControlDeaths]) -> ControlDeaths | None:
    """Put together what is known of some wells each; None where they had no targets."""
    deaths, alive = math.fsum(part.deaths for part in parts), math.fsum(part.alive for part in parts)
    if deaths + alive <= 0:
        return None
    wells = tuple(sorted({well for part in parts for well in part.wells}))
    return ControlDeaths(wells=wells, deaths=deaths, alive=alive)


def summarise_well(
    outcomes: Sequence[FieldOutcome],
    *,
    well: str,
    condition: str | None,
    kind: str | None,
    model: LagModel,
    control: ControlDeaths | None,
    seed: int = 0,
) -> dict[str, object]:
    """Make the row of the wells table of one well from its fields that count: `count_well`, then its cytolysis.

    Args:
        outcomes: Fields of the well that count, at least one; if one is too short to show deaths, the well has
            no numbers of events.
        well: Name of the well.
        condition: Name from the protocol.
        kind: Kind of the condition.
        model: The plate's lag model.
        control: The plate's target-only wells; None without.
        seed: Of the draws; the well's name is mixed in, so that the order of wells does not matter.
    """
    counted = count_well(outcomes, well=well, condition=condition, kind=kind, model=model, seed=seed)
    return counted.row_with(control)


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedWell:
    """A well's row before its cytolysis, which alone depends on the target-only wells; the draws go on from here."""

    row: Mapping[str, object]
    deaths: float
    alive: float
    drawn_deaths: NDArray[np.float64] | None  # None: too short to show deaths
    chance: Mapping[str, Any]  # state of the source of chance
    doubt: str | None

    def row_with(self, control: ControlDeaths | None) -> dict[str, object]:
        """The whole row; the same for the same control, however often it is asked for."""
        if self.drawn_deaths is None:
            return dict(self.row)
        rng = np.random.default_rng()
        rng.bit_generator.state = dict(self.chance)
        row = {**self.row, **_cytolysis(rng, self.deaths, self.alive, self.drawn_deaths, control)}
        reasons = [str(said) for said in (row["reason"], self.doubt) if said]
        return row | {"reason": "; ".join(reasons) or None}


def count_well(
    outcomes: Sequence[FieldOutcome],
    *,
    well: str,
    condition: str | None,
    kind: str | None,
    model: LagModel,
    seed: int = 0,
) -> CountedWell:
    """Count a well's deaths and kills, with what is not known of them drawn.

    The interval of kills is meant to hold the true number of effector-caused deaths of this film. What is not
    known is drawn (`draw_counts`), missed deaths among it: `kills` itself counts the deaths found alone. The
    sampling of further cells is not in it: that is the spread between wells.

    Args:
        outcomes: Fields of the well that count, at least one; if one is too short to show deaths, the well has
            no numbers of events.
        well: Name of the well.
        condition: Name from the protocol.
        kind: Kind of the condition.
        model: The plate's lag model.
        seed: Of the draws; the well's name is mixed in, so that the order of wells does not matter.
    """
    if not all(outcome.shows_deaths for outcome in outcomes):
        row = _row(outcomes, well, condition, kind, status="no_events", reason=_TOO_SHORT)
        return CountedWell(row=row, deaths=0.0, alive=0.0, drawn_deaths=None, chance={}, doubt=None)
    probability = np.array([d.probability for o in outcomes for d in o.events.deaths])
    caused = np.array([1 - o.uncredited[d.death_id] for o in outcomes for d in o.events.deaths])
    alive = math.fsum(_alive_at_end(outcome) for outcome in outcomes)
    deaths, kills = float(probability.sum()), float((probability * caused).sum())
    rng = np.random.default_rng([seed, zlib.crc32(well.encode())])
    vanished = vanished_targets(outcomes)
    drawn = draw_counts(
        rng,
        probability,
        caused,
        vanished=vanished,
        model=model,
        well=well,
        n_targets=sum(t.track_id not in o.dead_targets for o in outcomes for t in o.events.targets),
        has_effectors=any(outcome.effectors for outcome in outcomes),
        alone=_foretold_alone(outcomes, model) if model.has_controls and kind not in CONTROL_KINDS else None,
    )
    low, high = central(drawn.kills, kills)
    row = _row(outcomes, well, condition, kind, status="ok", reason=None)
    row |= {"deaths": deaths, "kills": kills, "kills_low": low, "kills_high": high}
    row |= {"missed_deaths": vanished.missed}
    return CountedWell(
        row=row,
        deaths=deaths,
        alive=alive,
        drawn_deaths=drawn.deaths,
        chance=dict(rng.bit_generator.state),
        doubt=None if kind in CONTROL_KINDS else untold(model),
    )


def _foretold_alone(outcomes: Sequence[FieldOutcome], model: LagModel) -> float:
    """Deaths that the spontaneous hazard foretells in the minutes in which a well's targets were watched alive."""
    watched_min = 0.0
    for outcome in outcomes:
        ends = alive_until(outcome.events)
        frames = sum(max(ends[t.track_id] - t.first_frame, 0) for t in outcome.events.targets)
        watched_min += outcome.events.calibration.minutes(frames)
    return model.h0_per_min * watched_min


def untold(model: LagModel) -> str | None:
    """Why kills cannot be told from spontaneous deaths on this plate; None where they can."""
    if model.tells_h0:
        return None
    low, high = (round(100 * share) for share in model.nobody_share)
    return (
        f"kills are hardly told from spontaneous deaths without target_only or mock wells: effectors had no part in "
        f"{low} to {high} % of the deaths"
    )


_TOO_SHORT = f"a film of fewer than {FEWEST_FRAMES} usable frames shows no contacts, deaths or kills"
_UNKNOWN = (
    "missed_deaths",
    "deaths",
    "kills",
    "kills_low",
    "kills_high",
    "cytolysis_percent",
    "cytolysis_percent_low",
    "cytolysis_percent_high",
)


def _row(
    outcomes: Sequence[FieldOutcome],
    well: str,
    condition: str | None,
    kind: str | None,
    *,
    status: str,
    reason: str | None,
) -> dict[str, object]:
    targets = sum(_alive_at_start(o, o.events.targets, o.dead_targets) for o in outcomes)
    effectors = sum(_alive_at_start(o, o.effectors, o.dead_effectors) for o in outcomes)
    has_events = status == "ok"
    contacts = sum(len(_live_contacts(outcome)) for outcome in outcomes)
    return {
        "well": well,
        "condition": condition,
        "kind": kind,
        "status": status,
        "reason": reason,
        "n_fields": len(outcomes),
        "n_targets": float(targets),
        "n_effectors": float(effectors),
        "measured_et_ratio": effectors / targets if targets else None,
        "contacts": float(contacts) if has_events else None,
    } | dict.fromkeys(_UNKNOWN)


def _alive_at_start(outcome: FieldOutcome, tracks: Sequence[Track], dead: AbstractSet[int]) -> int:
    frame = outcome.first_valid_frame
    return sum(t.first_frame <= frame <= t.last_frame and t.track_id not in dead for t in tracks)


def _live_contacts(outcome: FieldOutcome) -> list[int]:
    """Contacts that began before the target's death."""
    died = {death.track_id: death.frame for death in outcome.events.deaths}
    return [
        contact.contact_id
        for contact in outcome.events.contacts
        if contact.target_track_id not in outcome.dead_targets
        and contact.first_frame <= died.get(contact.target_track_id, contact.first_frame)
    ]


def _deaths(outcome: FieldOutcome) -> float:
    return math.fsum(death.probability for death in outcome.events.deaths)


def _alive_at_end(outcome: FieldOutcome) -> float:
    """Expected targets alive in the last valid frame; one that is only missed in it still is."""
    gone = {death.track_id: death.probability for death in outcome.events.deaths}
    last = outcome.last_valid_frame
    return math.fsum(
        1.0 - gone.get(track.track_id, 0.0)
        for track in outcome.events.targets
        if track.track_id not in outcome.dead_targets
        and (track.last_frame >= last or _is_missed_at_end(track, outcome))
    )


def _is_missed_at_end(track: Track, outcome: FieldOutcome) -> bool:
    return track.end == "lost" and track.last_frame >= outcome.last_valid_frame - outcome.max_gap_frames


def vanished_targets(outcomes: Sequence[FieldOutcome]) -> Vanished:
    """Count the targets of a well that vanished without a death being called."""
    lost = returned = late = 0.0
    for outcome in outcomes:
        long = max(_LONG_FRAMES, math.ceil(_LONG_MIN / outcome.events.calibration.minutes(1)))
        gone = {death.track_id for death in outcome.events.deaths} | set(outcome.dead_targets)
        alive = [t for t in outcome.events.targets if t.last_frame - t.first_frame + 1 >= long]
        lost += sum(
            t.end == "lost" and t.track_id not in gone and not _is_missed_at_end(t, outcome) for t in alive
        )
        returned += sum(t.start == "appeared" and t.track_id not in outcome.dead_targets for t in alive)
        third = max((outcome.last_valid_frame - outcome.first_valid_frame + 1) / 3, _TOO_LATE_FRAMES)
        recent = (d for d in outcome.events.deaths if d.frame > outcome.last_valid_frame - third)
        late += math.fsum(death.probability for death in recent) * _TOO_LATE_FRAMES / third
    return Vanished(lost=lost, returned=returned, late=late)


def _cytolysis(
    rng: np.random.Generator,
    deaths: float,
    alive: float,
    drawn_deaths: NDArray[np.float64],
    control: ControlDeaths | None,
) -> dict[str, object]:
    if control is None:
        return {
            "reason": "no cytolysis_percent: the plate has no target_only well with targets to correct with"
        }
    if deaths + alive <= 0:
        return {"reason": "no cytolysis_percent: no target was dead or alive at the end"}
    if control.share >= 1:
        return {"reason": "no cytolysis_percent: all targets of the target_only wells died"}
    drawn_control = np.minimum(rng.beta(control.deaths + 0.5, control.alive + 0.5, DRAWS), 0.999)
    drawn_share = drawn_deaths / np.maximum(drawn_deaths + alive, 1e-9)  # what vanished is not alive
    value = corrected_percent(deaths / (deaths + alive), control.share)
    low, high = central(corrected_percent(drawn_share, drawn_control), float(value))
    return {
        "cytolysis_percent": float(value),
        "cytolysis_percent_low": low,
        "cytolysis_percent_high": high,
    }


def corrected_percent(
    share: float | NDArray[np.float64], control_share: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """100 (d - d0) / (1 - d0): the dead share beyond what dies anyway. Source: Abbott 1925, J Econ Entomol 18:265."""
    return np.asarray(100.0 * (np.asarray(share) - control_share) / (1.0 - np.asarray(control_share)))


def target_ends(
    outcomes: Sequence[FieldOutcome], *, censored: Sequence[str] = ("left", "lost")
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """When each target came into sight, when its life or our sight of it ended, and of what.

    A death splits by its shares into killed and spontaneous; what its probability lacks to 1 is censored there.
    A lost or left cell is censored when it was last seen. Cells dead when first seen are left out.

    Args:
        outcomes: Fields of one well.
        censored: Ends that are not events; "divided" too where only death is asked for: its daughters go on.

    Returns:
        Entry and exit in minutes, and shares per cause of `CAUSES`, (N,), (N,) and (N, 5).
    """
    entry: list[float] = []
    exits: list[float] = []
    causes: list[NDArray[np.float64]] = []
    for outcome in outcomes:
        minutes = outcome.events.calibration.minutes
        died = {death.track_id: death for death in outcome.events.deaths}
        for track in outcome.events.targets:
            death = died.get(track.track_id)
            last = track.last_frame if death is None else death.frame
            if track.track_id in outcome.dead_targets or last <= track.first_frame:
                continue
            shares = np.zeros(len(CAUSES))
            if death is not None:
                by_nobody = outcome.uncredited[death.death_id]
                shares[:2] = death.probability * (1 - by_nobody), death.probability * by_nobody
            elif (cause := _END_CAUSE.get(track.end)) is not None and cause not in censored:
                shares[CAUSES.index(cause)] = 1.0
            entry.append(minutes(track.first_frame))
            exits.append(minutes(last))
            causes.append(shares)
    table = np.stack(causes) if causes else np.zeros((0, len(CAUSES)))
    return np.array(entry), np.array(exits), table


def well_incidence(
    outcomes: Sequence[FieldOutcome], *, censored: Sequence[str] = ("left", "lost")
) -> Incidence:
    """Cumulative incidence of the ends of a well's targets, all its fields together."""
    return aalen_johansen(*target_ends(outcomes, censored=censored))
