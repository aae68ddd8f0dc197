"""The benchmark's scenes read by the functions that a run of the product calls, and no others.

Knows scenes and every room from links to credit. Rungs of truth may take the place of links, contacts or deaths.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from assay.contacts import Contact
from assay.deaths import DeathSurvey, survey_deaths
from assay.engagements import Engagements, find_held_contacts
from assay.field_events import FieldEvents, link_doubts
from assay.killbench.scene import DYE, MARKERS, Scene
from assay.kills import Kill, credit_kills, fit_lag_model
from assay.labels import CELL_ROLES, CellMeasures, CellRole, Pairs
from assay.lag_model import LagModel
from assay.protocol import ContactSettings, DeathSettings, KillSettings, TrackingSettings
from assay.survival import FieldOutcome, summarise_well
from assay.tracks import Tracks, estimate_drift, link

_DISC = np.pi  # area over squared radius


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was made of one scene."""

    scene: Scene
    tracks: Mapping[CellRole, Tracks]
    contacts: tuple[Contact, ...]
    engaged: Engagements  # when the effector holds on in contacts
    survey: DeathSurvey  # of targets

    def events(self, kind: str) -> FieldEvents:
        """In the form that crediting takes; `kind` as the plate map tells it."""
        return FieldEvents(
            well=self.scene.well,
            field=0,
            kind=kind,
            n_frames=self.scene.n_frames,
            calibration=self.scene.calibration,
            contacts=self.contacts,
            deaths=self.survey.deaths,
            targets=self.tracks["target"].tracks,
            dead_targets=self.survey.dead_from_start,
            engagements=self._engagements(),
            link_doubts=self._link_doubts(),
        )

    def _engagements(self) -> dict[int, list[tuple[int, int, float]]] | None:
        """As the contacts table has them."""
        if not self.contacts:
            return None
        held: dict[int, list[tuple[int, int, float]]] = {}
        for each in self.engaged.engagements:
            held.setdefault(each.contact_id, []).append((each.first_frame, each.last_frame, each.probability))
        return held

    @property
    def holds(self) -> tuple[Contact, ...]:
        """The engagements that are counted, as contacts of their own."""
        contact = {each.contact_id: each for each in self.contacts}
        return tuple(
            replace(contact[each.contact_id], first_frame=each.first_frame, last_frame=each.last_frame)
            for each in self.engaged.engagements
            if each.is_counted
        )

    def _link_doubts(self) -> dict[int, tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Of effectors; none where the truth says who is who."""
        tracks = self.tracks["effector"]
        if tracks.link_confidence is None:
            return {}
        frame = self.scene.measures["effector"].frame.astype(np.int64)
        return link_doubts(tracks.track_id, frame, tracks.link_confidence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """Who is credited with the deaths of one well."""

    events: FieldEvents
    kills: tuple[Kill, ...]
    uncredited: dict[int, float]
    dead_from_start: frozenset[int] = frozenset()
    interval: tuple[float, float] | None = None  # 90 %, of the well's kills
    holds: tuple[Contact, ...] | None = None  # when effectors hold on to targets; None: the way does not say


def read_scene(scene: Scene, *, tracks: Mapping[CellRole, Tracks] | None = None) -> Reading:
    """Follow the cells of a scene, and find contacts and deaths, with the protocol's usual settings.

    Args:
        scene: What segmentation would hand on.
        tracks: Who is who, if it is known better than the linker finds out.
    """
    tracks = tracks or link_scene(scene)
    contacts, engaged = touch_scene(scene, tracks)
    return Reading(
        scene=scene,
        tracks=tracks,
        contacts=tuple(contacts),
        engaged=engaged,
        survey=survey_scene(scene, tracks),
    )


def link_scene(scene: Scene) -> dict[CellRole, Tracks]:
    """Both roles' tracks, as `pipeline.cells.link_field` makes them."""
    settings = TrackingSettings()
    drift = estimate_drift(
        list(scene.measures.values()),
        n_frames=scene.n_frames,
        masked_frames=(),
        calibration=scene.calibration,
    )
    fastest = {"effector": settings.effector_max_um_per_min, "target": settings.target_max_um_per_min}
    return {
        role: link(
            scene.measures[role],
            n_frames=scene.n_frames,
            masked_frames=(),
            calibration=scene.calibration,
            field_shape=scene.field_shape,
            max_gap_frames=settings.max_gap_frames,
            max_um_per_min=fastest[role],
            drift_um=drift,
            marker_channels=(MARKERS[role],),
        )
        for role in CELL_ROLES
    }


def touch_scene(scene: Scene, tracks: Mapping[CellRole, Tracks]) -> tuple[list[Contact], Engagements]:
    """Contacts and when effectors hold on in them, as `pipeline.cells.find_events` finds them."""
    settings = ContactSettings()
    pairs = disc_pairs(
        scene.measures["effector"],
        scene.measures["target"],
        enter_um=settings.enter_um,
        max_gap_um=settings.leave_um,
    )
    return find_held_contacts(
        pairs,
        effectors=scene.measures["effector"],
        effector_tracks=tracks["effector"],
        targets=scene.measures["target"],
        target_tracks=tracks["target"],
        masked_frames=(),
        calibration=scene.calibration,
        **asdict(settings),
    )


def disc_pairs(
    effectors: CellMeasures, targets: CellMeasures, *, enter_um: float, max_gap_um: float
) -> Pairs:
    """The pairs of all frames that are no further apart than `max_gap_um`, cells taken for discs of their area.

    The interface is the part of the effector's outline within `enter_um` of the target's.
    """
    radius = {id(cells): np.sqrt(cells.area_um2 / _DISC) for cells in (effectors, targets)}
    own, other = radius[id(effectors)], radius[id(targets)]
    if not len(own) or not len(other):
        return _pairs(effectors, targets, np.zeros((2, 0), np.int64), np.zeros(0), np.zeros(0))
    reach = own.max() + other.max() + max_gap_um
    far = 4 * reach  # frames lie this far apart in the tree, so that only cells of one frame meet
    trees = [
        cKDTree(np.stack([cells.frame * far, cells.y_um, cells.x_um], axis=1))
        for cells in (effectors, targets)
    ]
    found = trees[0].sparse_distance_matrix(trees[1], reach, output_type="ndarray")
    e, t, apart = found["i"], found["j"], found["v"]
    gap = apart - own[e] - other[t]
    kept = np.flatnonzero(gap <= max_gap_um)
    kept = kept[np.lexsort((targets.label[t[kept]], effectors.label[e[kept]], effectors.frame[e[kept]]))]
    e, t, apart, gap = e[kept], t[kept], apart[kept], gap[kept]
    cosine = (apart**2 + own[e] ** 2 - (other[t] + enter_um) ** 2) / np.maximum(2 * apart * own[e], 1e-9)
    interface = 2 * own[e] * np.arccos(np.clip(cosine, -1.0, 1.0))
    return _pairs(effectors, targets, np.stack([e, t]), np.maximum(gap, 0.0), interface)


def _pairs(
    effectors: CellMeasures,
    targets: CellMeasures,
    rows: NDArray[np.int64],
    gap_um: NDArray[np.float64],
    interface_um: NDArray[np.float64],
) -> Pairs:
    return Pairs(
        frame=effectors.frame[rows[0]],
        effector_label=effectors.label[rows[0]],
        target_label=targets.label[rows[1]],
        gap_um=gap_um,
        interface_um=interface_um,
    )


def survey_scene(scene: Scene, tracks: Mapping[CellRole, Tracks]) -> DeathSurvey:
    """Deaths of targets, as `pipeline.cells.find_events` finds them; nothing asks for those of effectors."""
    return survey_deaths(
        tracks["target"],
        scene.measures["target"],
        death_channel=(DYE,),
        marker_channels=(MARKERS["target"],),
        background=scene.background,
        n_frames=scene.n_frames,
        masked_frames=(),
        calibration=scene.calibration,
        min_probability=DeathSettings().min_probability,
        others=scene.measures["effector"],
    )


def credit_plate(readings: Sequence[Reading], *, told: bool = True) -> dict[str, Credit]:
    """Credit the deaths of a plate's wells, as `pipeline.plate` does.

    Args:
        readings: One per well.
        told: Whether the plate map says which wells are controls; else they pass for samples.

    Returns:
        By well.
    """
    events = [reading.events(reading.scene.kind if told else "sample") for reading in readings]
    model = fit_lag_model(events, max_lag_min=KillSettings().max_lag_min)
    credits: dict[str, Credit] = {}
    for reading, of in zip(readings, events, strict=True):
        kills, uncredited = credit_kills(of, model)
        credits[of.well] = Credit(
            events=of,
            kills=tuple(kills),
            uncredited=uncredited,
            dead_from_start=reading.survey.dead_from_start,
            interval=_interval(reading, of, uncredited, model),
            holds=reading.holds,
        )
    return credits


def _interval(
    reading: Reading, events: FieldEvents, uncredited: Mapping[int, float], model: LagModel
) -> tuple[float, float]:
    """The 90 % interval of the well's kills, as the wells table gives it."""
    outcome = FieldOutcome(
        events=events,
        uncredited=uncredited,
        effectors=reading.tracks["effector"].tracks,
        first_valid_frame=0,
        last_valid_frame=events.n_frames - 1,
        n_valid_frames=events.n_frames,
        dead_targets=reading.survey.dead_from_start,
        max_gap_frames=TrackingSettings().max_gap_frames,
    )
    row = summarise_well(
        [outcome], well=events.well, condition=None, kind=events.kind, model=model, control=None
    )
    return float(str(row["kills_low"])), float(str(row["kills_high"]))
