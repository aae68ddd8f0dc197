"""A film with known truth, made frame by frame.

`simulate_film` runs the cells' behaviour first (small tables), then any frame can be photographed in any
order: a frame's noise has a seed of its own, and no more than one frame of pixels is ever held.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from assay.labels import CELL_ROLES, CellRole, ChannelRole
from assay.simulate.behaviour import TrueKill, World, simulate_world
from assay.simulate.cells import Cells, Floats
from assay.simulate.clutter import Debris, draw_debris
from assay.simulate.masks import MIN_VISIBLE_UM2, role_owner
from assay.simulate.optics import expose
from assay.simulate.paint import Canvas, paint
from assay.simulate.scenario import Scenario, WellKind, for_kind
from assay.simulate.scene import Scene
from assay.simulate.shapes import Looks, looks_at, with_contours, without_contours
from assay.simulate.truth import Sighting, TrueTracks, follow
from assay.units import Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueLabels:
    """Label images of one frame whose values are the true ids; the two roles may overlap."""

    effectors: NDArray[np.uint32]
    targets: NDArray[np.uint32]

    def of(self, role: CellRole) -> NDArray[np.uint32]:
        """Label image of one role."""
        return self.effectors if role == "effector" else self.targets


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What every cell of the world looked like at one frame."""

    targets: Looks
    effectors: Looks
    origin_um: tuple[float, float]  # world position of pixel (0, 0): the stage

    def looks(self, role: CellRole) -> Looks:
        """The cells of one role."""
        return self.effectors if role == "effector" else self.targets


def seeded(*seeds: int) -> np.random.Generator:
    """A generator of numbers that depend on the seeds alone."""
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(list(seeds))))


def moment_of(world: World, origin_um: tuple[float, float]) -> Moment:
    """Keep a moment of the world."""
    t = world.time_min
    kept = [looks_at(c, np.flatnonzero(c.present(t)), t) for c in (world.targets, world.effectors)]
    return Moment(targets=kept[0], effectors=kept[1], origin_um=origin_um)


def paint_moment(
    scenario: Scenario, moment: Moment, targets: Cells, effectors: Cells
) -> tuple[Canvas, Canvas]:
    """Both roles on one frame."""
    view = {"shape_px": scenario.shape_px, "pixel_um": scenario.pixel_um, "origin_um": moment.origin_um}
    plates = scenario.hardships.stain.plates
    painted_targets = paint(
        targets,
        moment.targets,
        adherent=scenario.targets.adherent,
        plates=plates,
        **view,  # type: ignore[arg-type]
    )
    painted_effectors = paint(effectors, moment.effectors, adherent=False, **view)  # type: ignore[arg-type]
    return painted_targets, painted_effectors


class Film:
    """One simulated field of view."""

    def __init__(self, scenario: Scenario, *, seed: int, kind: WellKind, n_frames: int) -> None:
        self.scenario = for_kind(scenario, kind)
        self.seed = seed
        self.kind = kind
        self.n_frames = n_frames
        self._moments: list[Moment] = []
        origins = self._stage()
        for frame, world in enumerate(simulate_world(self.scenario, seeded(seed, 1), n_frames)):
            self._moments.append(_slim(moment_of(world, origins[frame])))
        self.target_cells: Cells = world.targets
        self.effector_cells: Cells = world.effectors
        self.true_kills: list[TrueKill] = world.kills
        self._debris: Debris = draw_debris(self.scenario, seeded(seed, 3), world.size_um)

    @property
    def calibration(self) -> Calibration:
        """Pixel size and frame interval."""
        return self.scenario.calibration

    @property
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels, in order of C."""
        return self.scenario.channel_names

    @property
    def roles(self) -> dict[ChannelRole, str]:
        """Role -> channel name."""
        return self.scenario.roles

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, C, Y, X)."""
        return self.n_frames, len(self.scenario.channels), *self.scenario.shape_px

    def images(self, frame: int) -> NDArray[np.uint16]:
        """Photograph one frame: (C, Y, X)."""
        moment = self._moment(frame)
        targets, effectors = paint_moment(self.scenario, moment, self.target_cells, self.effector_cells)
        scene = Scene(
            targets=targets,
            effectors=effectors,
            target_cells=self.target_cells,
            effector_cells=self.effector_cells,
            target_looks=moment.targets,
            effector_looks=moment.effectors,
            debris=self._debris,
        )
        return expose(
            scene, self.scenario, frame=frame, origin_um=moment.origin_um, rng=seeded(self.seed, 2, frame)
        )

    def cells(self, role: CellRole) -> Cells:
        """All cells of a role that ever lived in the world."""
        return self.effector_cells if role == "effector" else self.target_cells

    @cached_property
    def tracks(self) -> dict[CellRole, TrueTracks]:
        """Who is seen when: the first use looks at the outlines of every frame."""
        sightings: dict[CellRole, list[Sighting]] = {role: [] for role in CELL_ROLES}
        for frame in range(self.n_frames):
            moment = self._moment(frame)
            for role in CELL_ROLES:
                sightings[role].append(self._sighting(moment, role))
        return {
            role: follow(
                sightings[role],
                self.cells(role),
                role=role,
                calibration=self.calibration,
                visible_um2=MIN_VISIBLE_UM2,
            )
            for role in CELL_ROLES
        }

    def truth(self, frame: int) -> TrueLabels:
        """True label images of one frame; the values are track ids."""
        moment = self._moment(frame)
        shown = {role: self._labels(frame, moment, role) for role in CELL_ROLES}
        return TrueLabels(effectors=shown["effector"], targets=shown["target"])

    def _moment(self, frame: int) -> Moment:
        """One frame with its outlines, which are not kept."""
        kept = self._moments[frame]
        return Moment(
            targets=with_contours(self.target_cells, kept.targets),
            effectors=with_contours(self.effector_cells, kept.effectors),
            origin_um=kept.origin_um,
        )

    def _labels(self, frame: int, moment: Moment, role: CellRole) -> NDArray[np.uint32]:
        looks = moment.looks(role)
        ids = self.tracks[role].ids[frame]
        table = np.array([0, *(ids.get(int(row), 0) for row in looks.row)], dtype=np.uint32)
        result: NDArray[np.uint32] = table[self._owner(moment, role)]
        return result

    def _owner(self, moment: Moment, role: CellRole) -> NDArray[np.int32]:
        canvas = paint(
            self.cells(role),
            moment.looks(role),
            shape_px=self.scenario.shape_px,
            pixel_um=self.scenario.pixel_um,
            origin_um=moment.origin_um,
            adherent=self.scenario.targets.adherent and role == "target",
            outline_only=self.scenario.target_mask == "cell" or role == "effector",
        )
        return role_owner(canvas, self.scenario, role)

    def _sighting(self, moment: Moment, role: CellRole) -> Sighting:
        looks = moment.looks(role)
        pixels = np.bincount(self._owner(moment, role).ravel(), minlength=len(looks.row) + 1)[1:]
        places = np.stack([looks.y_um, looks.x_um], axis=1) - np.array(moment.origin_um)
        field = np.array(self.scenario.shape_px) * np.array(self.scenario.pixel_um)
        inside = ((places >= 0) & (places < field)).all(axis=1)
        area_um2 = pixels.astype(np.float64) * self.calibration.pixel_area_um2
        return Sighting(row=looks.row, area_um2=area_um2, inside=inside)

    def _stage(self) -> list[tuple[float, float]]:
        """Where the stage stood: slow drift and a jitter at every frame."""
        optics, rng = self.scenario.optics, seeded(self.seed, 4)
        angle = rng.uniform(0, 2 * np.pi)
        minutes = np.arange(self.n_frames) * self.scenario.frame_min
        drift = optics.drift_um_per_h * minutes / 60
        jitter = rng.normal(0, optics.jitter_um, (self.n_frames, 2))
        jitter[0] = 0
        places: Floats = np.stack([np.sin(angle) * drift, np.cos(angle) * drift], axis=1) + jitter
        places = np.round((places + self.scenario.margin_um) * 1024) / 1024
        return [(float(y), float(x)) for y, x in places]


def _slim(moment: Moment) -> Moment:
    return Moment(
        targets=without_contours(moment.targets),
        effectors=without_contours(moment.effectors),
        origin_um=moment.origin_um,
    )


def simulate_film(
    scenario: Scenario, *, seed: int, kind: WellKind = "sample", n_frames: int | None = None
) -> Film:
    """Simulate one field of view with known truth.

    Args:
        scenario: What is filmed; see `scenario_named`.
        seed: The same seed gives the same bytes on every machine.
        kind: "sample", or a control: "mock" effectors never kill, "target_only" has none.
        n_frames: Length of the film; the scenario's own when None.
    """
    return Film(scenario, seed=seed, kind=kind, n_frames=scenario.n_frames if n_frames is None else n_frames)
