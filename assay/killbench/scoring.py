"""How well the events of one scene are read, counted as `killassay score` counts, and pooled over scenes.

Knows scenes, and what a way of reading made of them.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table
from assay.contacts import Contact
from assay.killbench.ours import Credit
from assay.killbench.scene import Scene
from assay.labels import CELL_ROLES, CellRole
from assay.score.cells import ratio
from assay.score.contacts import ContactCounts, count_contacts
from assay.score.deaths import DeathCounts, DeathPairs, count_deaths, median, pair_deaths
from assay.score.kills import KillCounts, brier, count_kills, ece
from assay.score.matching import Identities
from assay.tracks import Tracks

LONG_CONTACT_FRAMES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneCounts:
    """What one way of reading got right and wrong in one scene."""

    level: str
    seed: int
    way: str
    n_targets: int
    contacts: ContactCounts
    holds: ContactCounts | None  # times in which an effector holds on, if the way tells them
    long_contacts_true: int  # seen bound in two frames or more
    deaths: DeathCounts
    kills: KillCounts
    kills_expected: float  # sum of probability x (1 - uncredited share)
    onset_errors_min: tuple[
        float, ...
    ]  # of each pair: middle of the called frame's interval to the true onset
    ceilings: tuple[float, ...]  # per true kill, the chance of who picks at random among those bound
    interval_held: tuple[bool, ...]  # of the well's kills, if there is one
    interval_width: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """For a line of JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "SceneCounts":
        """Read such a line back."""
        known = dict(values)
        known["contacts"] = ContactCounts(**known["contacts"])
        known["holds"] = None if known["holds"] is None else ContactCounts(**known["holds"])
        known["deaths"] = DeathCounts(**_tuples(known["deaths"]))
        known["kills"] = KillCounts(**_tuples(known["kills"]))
        return cls(**_tuples(known))


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: tuple(tuple(item) if isinstance(item, list) else item for item in value)
        if isinstance(value, (list, tuple))
        else value
        for key, value in values.items()
    }


def count_scene(
    scene: Scene,
    way: str,
    tracks: Mapping[CellRole, Tracks],
    credit: Credit,
) -> SceneCounts:
    """Compare what was made of a scene with what truly happened in it.

    A cell is the true cell that its detection shows, so no overlap of masks is asked. Contacts that begin after
    the target's called death are left out; true ones never begin after the true death.

    Args:
        scene: With its truth.
        way: Name of the way of reading.
        tracks: Of both roles.
        credit: Contacts, deaths and shares.
    """
    identities = {role: identities_of(scene, tracks[role], role) for role in CELL_ROLES}
    frame_min = scene.calibration.frame_min
    true_deaths, true_kills = _true_deaths(scene), _true_kills(scene)
    called_deaths, called_kills = _called_deaths(credit), _called_kills(credit)
    died = {death.track_id: death.frame for death in credit.events.deaths}
    died |= dict.fromkeys(credit.dead_from_start, -1)
    contacts = _contact_table(credit.events.contacts, died)
    pairs = pair_deaths(true_deaths, called_deaths, targets=identities["target"])
    kills = count_kills(
        true_deaths,
        called_deaths,
        true_kills,
        called_kills,
        contacts,
        pairs=pairs,
        effectors=identities["effector"],
        frame_min=frame_min,
    )
    n_true, interval = kills.n_true, credit.interval
    return SceneCounts(
        level=scene.level,
        seed=scene.seed,
        way=way,
        n_targets=scene.world.settings.n_targets,
        contacts=_count_contacts(scene, contacts, identities),
        holds=None
        if credit.holds is None
        else _count_contacts(scene, _contact_table(credit.holds, died), identities),
        long_contacts_true=sum(
            c.last_frame - c.first_frame + 1 >= LONG_CONTACT_FRAMES for c in scene.world.contacts
        ),
        deaths=count_deaths(
            pairs,
            n_true=len(true_deaths["track_id"]),
            n_called=len(called_deaths["track_id"]),
            frame_min=frame_min,
        ),
        kills=kills,
        onset_errors_min=_onset_errors_min(scene, credit, pairs),
        kills_expected=math.fsum(
            death.probability * (1 - credit.uncredited[death.death_id]) for death in credit.events.deaths
        ),
        ceilings=_ceilings(scene),
        interval_held=() if interval is None else (interval[0] <= n_true <= interval[1],),
        interval_width=() if interval is None else (interval[1] - interval[0],),
    )


def _count_contacts(scene: Scene, called: Table, identities: Mapping[CellRole, Identities]) -> ContactCounts:
    return count_contacts(
        _true_contacts(scene), called, effectors=identities["effector"], targets=identities["target"]
    )


def identities_of(scene: Scene, tracks: Tracks, role: CellRole) -> Identities:
    """Who each track truly is, by its detections."""
    true = scene.true_id[role]
    shown = true > 0
    return Identities(scene.measures[role].frame[shown].astype(np.int64), true[shown], tracks.track_id[shown])


def _onset_errors_min(scene: Scene, credit: Credit, pairs: DeathPairs) -> tuple[float, ...]:
    """A death called at a frame lies between it and the frame before: half an interval before it."""
    called, true = credit.events.deaths, scene.world.deaths
    return tuple(
        abs(scene.calibration.minutes(called[row].frame - 0.5) - true[true_row].time_min)
        for row, true_row in zip(pairs.called_rows.tolist(), pairs.true_rows.tolist(), strict=True)
    )


def _ceilings(scene: Scene) -> tuple[float, ...]:
    """One over the effectors bound at the lethal hit."""
    return tuple(1.0 / len(death.bound) for death in scene.world.deaths if death.shares)


def pooled(counts: Sequence[SceneCounts]) -> dict[str, float]:
    """Scores of one way at one level over its scenes; NaN where there is nothing to ask.

    F1, ratios, top-1 and calibration are of all scenes' deaths and contacts together; the bias is the mean over
    scenes, in points of their targets.
    """
    deaths, kills, contacts = (
        [c.deaths for c in counts],
        [c.kills for c in counts],
        [c.contacts for c in counts],
    )
    n_deaths = sum(d.n_true + d.n_called for d in deaths)
    n_kills = sum(k.n_true + k.n_called for k in kills)
    n_contacts = sum(c.episodes_true for c in contacts)
    n_called = sum(c.episodes_called for c in contacts)
    holds = [c.holds for c in counts if c.holds is not None]
    caused = tuple(f for k in kills for f in k.caused)
    top = tuple(f for k in kills for f in k.top)
    held, widths = [h for c in counts for h in c.interval_held], [w for c in counts for w in c.interval_width]
    ceilings = [each for c in counts for each in c.ceilings]
    biases = [100.0 * (c.kills_expected - c.kills.n_true) / c.n_targets for c in counts]
    return {
        "scenes": float(len(counts)),
        "death_f1": ratio(2 * sum(d.in_window for d in deaths), n_deaths),
        "death_median_error_min": median([e for d in deaths for e in d.errors_min]),
        "onset_median_error_min": median([e for c in counts for e in c.onset_errors_min]),
        "onset_mean_error_min": _mean([e for c in counts for e in c.onset_errors_min]),
        "kill_f1": ratio(2 * sum(k.both_killed for k in kills), n_kills)
        if sum(k.n_true for k in kills)
        else math.nan,
        "top_1": ratio(sum(k.top_right for k in kills), sum(k.found_killed for k in kills)),
        "ceiling": _mean(ceilings),
        "true_killer_share": _mean([s for k in kills for s in k.shares_to_killer]),
        "end_to_end_f1": ratio(2 * sum(k.end_to_end for k in kills), n_kills)
        if sum(k.n_true for k in kills)
        else math.nan,
        "caused_brier": brier(caused),
        "caused_ece": ece(caused),
        "effector_ece": ece(top),
        "kill_bias_points": _mean(biases),
        "false_kills_per_100": ratio(
            100.0 * sum(k.n_called - k.both_killed for k in kills), sum(c.n_targets for c in counts)
        ),
        "contact_count_ratio": ratio(n_called, n_contacts),
        "long_contact_count_ratio": ratio(n_called, sum(c.long_contacts_true for c in counts)),
        "contact_episode_f1": ratio(2 * sum(c.episodes_right for c in contacts), n_contacts + n_called)
        if n_contacts
        else math.nan,
        "hold_count_ratio": ratio(sum(h.episodes_called for h in holds), sum(h.episodes_true for h in holds)),
        "hold_f1": ratio(
            2 * sum(h.episodes_right for h in holds),
            sum(h.episodes_true + h.episodes_called for h in holds) if n_contacts else 0,
        ),
        "interval_coverage": _mean([float(h) for h in held]),
        "interval_width": _mean(widths),
        "deaths_true": float(sum(d.n_true for d in deaths)),
        "kills_true": float(sum(k.n_true for k in kills)),
    }


def _mean(values: Sequence[float]) -> float:
    return ratio(math.fsum(values), len(values))


def _column(values: Sequence[Any], kind: Any) -> NDArray[Any]:
    return np.array(list(values), dtype=kind)


def _true_deaths(scene: Scene) -> Table:
    deaths = scene.world.deaths
    return {
        "death_id": np.arange(1, len(deaths) + 1),
        "track_id": _column([death.target for death in deaths], np.int64),
        "frame": _column([death.frame for death in deaths], np.int64),
        "uncredited_share": _column([0.0 if death.shares else 1.0 for death in deaths], np.float64),
    }


def _true_kills(scene: Scene) -> Table:
    rows = [
        (number, effector, share)
        for number, death in enumerate(scene.world.deaths, start=1)
        for effector, share in sorted(death.shares.items())
    ]
    return {
        "death_id": _column([row[0] for row in rows], np.int64),
        "effector_track_id": _column([row[1] for row in rows], np.int64),
        "contact_id": np.zeros(len(rows), dtype=np.int64),
        "share": _column([row[2] for row in rows], np.float64),
    }


def _true_contacts(scene: Scene) -> Table:
    contacts = scene.world.contacts
    return {
        "effector_track_id": _column([c.effector for c in contacts], np.int64),
        "target_track_id": _column([c.target for c in contacts], np.int64),
        "first_frame": _column([c.first_frame for c in contacts], np.int64),
        "last_frame": _column([c.last_frame for c in contacts], np.int64),
        "target_dead": np.zeros(len(contacts), dtype=np.bool_),
    }


def _called_deaths(credit: Credit) -> Table:
    deaths = credit.events.deaths
    return {
        "well": _column([credit.events.well] * len(deaths), object),
        "field": np.zeros(len(deaths), dtype=np.int64),
        "death_id": _column([d.death_id for d in deaths], np.int64),
        "track_id": _column([d.track_id for d in deaths], np.int64),
        "frame": _column([d.frame for d in deaths], np.int64),
        "uncredited_share": _column([credit.uncredited[d.death_id] for d in deaths], np.float64),
    }


def _called_kills(credit: Credit) -> Table:
    return {
        "death_id": _column([k.death_id for k in credit.kills], np.int64),
        "effector_track_id": _column([k.effector_track_id for k in credit.kills], np.int64),
        "contact_id": _column([k.contact_id for k in credit.kills], np.int64),
        "share": _column([k.share for k in credit.kills], np.float64),
    }


def _contact_table(contacts: Sequence[Contact], died: Mapping[int, int]) -> Table:
    never = np.iinfo(np.int64).max
    return {
        "contact_id": _column([c.contact_id for c in contacts], np.int64),
        "effector_track_id": _column([c.effector_track_id for c in contacts], np.int64),
        "target_track_id": _column([c.target_track_id for c in contacts], np.int64),
        "first_frame": _column([c.first_frame for c in contacts], np.int64),
        "last_frame": _column([c.last_frame for c in contacts], np.int64),
        "target_dead": _column(
            [c.first_frame > died.get(c.target_track_id, never) for c in contacts], np.bool_
        ),
    }
