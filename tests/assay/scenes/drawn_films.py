"""Small films of drawn cells, read by the functions that a run calls: measures, links, contacts, deaths, kills."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from assay.contacts import concatenate_pairs, touching_pairs
from assay.deaths import survey_deaths
from assay.engagements import find_held_contacts
from assay.field_events import FieldEvents
from assay.kills import credit_kills, fit_lag_model
from assay.labels import CELL_ROLES, FrameLabels
from assay.measures import concatenate, measure
from assay.protocol import ContactSettings, DeathSettings, TrackingSettings
from assay.tracks import Tracks, estimate_drift, link
from assay.units import Calibration

SIDE = 200  # pixels of 1 um
Y, X = np.ogrid[:SIDE, :SIDE]
CALIBRATION = Calibration(pixel_um=(1.0, 1.0), frame_min=4.0)
CHANNELS = ("effector dye", "target dye", "PI")
BACKGROUND, DYE, PI = 100.0, 1000.0, 800.0
RISE_MIN = 12.0

Way = Callable[[int], tuple[float, float] | None]


@dataclass(kw_only=True)
class Cell:
    """One drawn cell: where it is in each frame (None: not to be seen) and when the death dye enters."""

    way: Way
    radius: float | Callable[[int], float]
    dies: int | None = None  # frame; negative: long before the film
    brightness: Callable[[int], float] = lambda frame: 1.0

    def mask(self, frame, jitter):
        """Its pixels in one frame; outlines jitter."""
        place = self.way(frame)
        if place is None:
            return np.zeros((SIDE, SIDE), bool)
        radius = self.radius(frame) if callable(self.radius) else self.radius
        return (Y - place[0] - jitter[0]) ** 2 + (X - place[1] - jitter[1]) ** 2 <= radius**2

    def dye(self, frame):
        """Death dye in it, above that of a living cell."""
        if self.dies is None or frame < self.dies:
            return 0.0
        return PI * -np.expm1(-(frame - self.dies + 0.5) * 4.0 / RISE_MIN)


def effector(way, **of):
    return Cell(way=way, radius=6.0, **of)


def target(way, **of):
    return Cell(**{"way": way, "radius": 11.0} | of)


def at(y, x):
    return lambda frame: (y, x)


def until(last, way, after):
    """One way up to and including a frame, another from then on."""
    return lambda frame: way(frame) if frame <= last else after(frame)


def away(y, x):
    """An effector that strolls in a corner, a step of 3 um there and back."""
    return lambda frame: (y + 3.0 * (frame % 2), x)


def approach(first, last, start, end):
    """An effector that rests, walks from `first` to `last` in equal steps, and rests again."""

    def way(frame):
        part = min(max((frame - first) / (last - first), 0.0), 1.0)
        return start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1])

    return way


GRID = [(y, x) for y in (30, 100, 170) for x in (30, 100, 170)]


def others(*taken):
    """Resting targets at the places of the grid that the scene leaves free."""
    return [target(at(*GRID[k])) for k in range(len(GRID)) if k not in taken]


@dataclass(kw_only=True)
class Seen:
    """What the product makes of a film."""

    tracks: dict
    contacts: list
    engagements: object
    surveys: dict
    events: FieldEvents
    track_of: Callable[[str, int, int], int | None]

    @property
    def deaths(self):
        """Of targets."""
        return self.surveys["target"].deaths

    def death_of(self, number):
        """The one death of a drawn target."""
        found = [
            d for d in self.deaths if d.track_id == self.track_of("target", number, d.last_possible_frame)
        ]
        assert len(found) == 1, self.deaths
        return found[0]

    def contacts_of(self, effector, target):
        """Contacts of two drawn cells."""
        return [
            c
            for c in self.contacts
            if c.effector_track_id == self.track_of("effector", effector, c.first_frame)
            and c.target_track_id == self.track_of("target", target, c.first_frame)
        ]

    def credit(self, *, max_lag_min=360.0, others=()):
        """Share by effector track of each death, by death id; and what nobody gets. Fitted with other fields' events."""
        model = fit_lag_model([self.events, *others], max_lag_min=max_lag_min)
        kills, uncredited = credit_kills(self.events, model)
        shares = {death_id: {} for death_id in uncredited}
        for kill in kills:
            shares[kill.death_id][kill.effector_track_id] = kill.share
        for death_id, of_death in shares.items():
            assert abs(sum(of_death.values()) + uncredited[death_id] - 1) < 1e-9
        return shares, uncredited, kills


def watch(
    effectors: Sequence[Cell],
    targets: Sequence[Cell],
    *,
    n_frames: int,
    masked: Sequence[int] = (),
    shift: Callable[[int], tuple[int, int]] = lambda frame: (0, 0),
    kind: str = "sample",
    well: str = "B02",
) -> Seen:
    """Draw a film, cell by cell, and read it as a run does. Where cells of a role overlap, the later one has the pixel.

    `shift` moves everything, as a stage does.
    """
    rng = np.random.default_rng(0)
    looks = {role: rng.uniform(0.85, 1.15, 12) for role in CELL_ROLES}
    cells = {"effector": list(effectors), "target": list(targets)}
    parts, pairs = {role: [] for role in CELL_ROLES}, []
    for frame in range(n_frames):
        if frame in masked:
            continue
        dy, dx = shift(frame)
        image = np.full((3, SIDE, SIDE), BACKGROUND)
        images = {}
        for channel, role in enumerate(CELL_ROLES):
            labels = np.zeros((SIDE, SIDE), np.int32)
            for number, cell in enumerate(cells[role], 1):
                mask = np.roll(cell.mask(frame, 0.5 * rng.standard_normal(2)), (dy, dx), (0, 1))
                labels[mask] = number
                bright = cell.brightness(frame) * looks[role][number - 1] * rng.uniform(0.96, 1.04)
                image[channel][mask] = BACKGROUND + DYE * bright
                image[2][mask] += 20.0 * bright * rng.uniform(0.9, 1.1) + cell.dye(frame)
            images[role] = labels
        image += 0.04 * image * rng.standard_normal(image.shape)
        scores = {role: np.ones(len(cells[role]), np.float32) for role in CELL_ROLES}
        seen = FrameLabels(
            effectors=images["effector"],
            targets=images["target"],
            effector_scores=scores["effector"],
            target_scores=scores["target"],
        )
        measured = measure(seen, frame=frame, channels=image, channel_names=CHANNELS, calibration=CALIBRATION)
        for role in CELL_ROLES:
            parts[role].append(measured[role])
        pairs.append(
            touching_pairs(
                images["effector"], images["target"], frame=frame, calibration=CALIBRATION, max_gap_um=3.0,
                enter_um=1.0,
            )
        )  # fmt: skip
    return _read(
        {role: concatenate(parts[role]) for role in CELL_ROLES},
        concatenate_pairs(pairs),
        n_frames=n_frames,
        masked=masked,
        kind=kind,
        well=well,
    )


def _read(measures, pairs, *, n_frames, masked, kind, well) -> Seen:
    tracking, contact = TrackingSettings(), ContactSettings()
    drift = estimate_drift(
        list(measures.values()), n_frames=n_frames, masked_frames=masked, calibration=CALIBRATION
    )
    fastest = {"effector": tracking.effector_max_um_per_min, "target": tracking.target_max_um_per_min}
    tracks: dict[str, Tracks] = {
        role: link(
            measures[role],
            n_frames=n_frames,
            masked_frames=masked,
            calibration=CALIBRATION,
            field_shape=(SIDE, SIDE),
            max_gap_frames=tracking.max_gap_frames,
            max_um_per_min=fastest[role],
            drift_um=drift,
        )
        for role in CELL_ROLES
    }
    contacts, engagements = find_held_contacts(
        pairs,
        effectors=measures["effector"],
        effector_tracks=tracks["effector"],
        targets=measures["target"],
        target_tracks=tracks["target"],
        masked_frames=masked,
        calibration=CALIBRATION,
        **asdict(contact),
    )
    background = np.full(n_frames, BACKGROUND)
    background[list(masked)] = np.nan
    surveys = {
        role: survey_deaths(
            tracks[role],
            measures[role],
            death_channel=("PI",),
            marker_channels=(f"{role} dye",),
            background=dict.fromkeys(CHANNELS, background),
            n_frames=n_frames,
            masked_frames=masked,
            calibration=CALIBRATION,
            min_probability=DeathSettings().min_probability,
            others=measures["target" if role == "effector" else "effector"],
        )
        for role in CELL_ROLES
    }
    rows = {
        (role, int(label), int(frame)): int(track)
        for role in CELL_ROLES
        for label, frame, track in zip(
            measures[role].label, measures[role].frame, tracks[role].track_id, strict=True
        )
    }

    def track_of(role, number, frame):
        return rows.get((role, number, frame))

    return Seen(
        tracks=tracks,
        contacts=contacts,
        engagements=engagements,
        surveys=surveys,
        events=FieldEvents(
            well=well,
            field=0,
            kind=kind,
            n_frames=n_frames,
            calibration=CALIBRATION,
            contacts=tuple(contacts),
            deaths=surveys["target"].deaths,
            targets=tracks["target"].tracks,
            dead_targets=surveys["target"].dead_from_start,
        ),
        track_of=track_of,
    )
