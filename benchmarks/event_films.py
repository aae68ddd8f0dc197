"""Deaths and kills on simulated films with true outlines, tracks and contacts: what the event model itself errs.

Images are photographed and measured, so dyes bleed, cells round up for mitosis, effectors lie on targets; only
segmentation and tracking are taken from the truth. `killassay score` has the numbers of the whole road.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from assay.deaths import survey_deaths
from assay.labels import CELL_ROLES, CellMeasures, CellRole, FrameLabels
from assay.measures import concatenate, measure
from assay.simulate.film import Film, simulate_film
from assay.simulate.scenario import scenario_named

MARKERS: dict[CellRole, tuple[str, ...]] = {"target": ("target", "nuclei"), "effector": ("effector",)}
OTHER: dict[CellRole, CellRole] = {"target": "effector", "effector": "target"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredFilm:
    """A film measured within its true outlines."""

    film: Film
    measures: dict[CellRole, CellMeasures]
    background: dict[str, np.ndarray]


def measured_film(scenario: str, seed: int, n_frames: int) -> MeasuredFilm:
    """Photograph and measure every frame."""
    film = simulate_film(scenario_named(scenario), seed=seed, n_frames=n_frames)
    parts: dict[CellRole, list[CellMeasures]] = {role: [] for role in CELL_ROLES}
    background = {name: np.zeros(n_frames) for name in film.channel_names}
    for frame in range(n_frames):
        images, truth = film.images(frame), film.truth(frame)
        shown = {role: truth.of(role).astype(np.int32) for role in CELL_ROLES}
        labels = FrameLabels(
            effectors=shown["effector"],
            targets=shown["target"],
            effector_scores=np.ones(int(shown["effector"].max(initial=0)), np.float32),
            target_scores=np.ones(int(shown["target"].max(initial=0)), np.float32),
        )
        found = measure(
            labels,
            frame=frame,
            channels=images,
            channel_names=film.channel_names,
            calibration=film.calibration,
        )
        free = (shown["effector"] == 0) & (shown["target"] == 0)
        for role in CELL_ROLES:
            parts[role].append(found[role])
        for channel, name in enumerate(film.channel_names):
            background[name][frame] = np.median(images[channel][free])
    return MeasuredFilm(
        film=film, measures={role: concatenate(parts[role]) for role in CELL_ROLES}, background=background
    )


def bench_films(seeds: Sequence[int], *, scenario: str, n_frames: int) -> dict[str, dict[str, float]]:
    """Deaths of both roles, with the death dye and without it."""
    from benchmarks.events import DeathTally

    tallies: dict[str, DeathTally] = {}
    for seed in seeds:
        made = measured_film(scenario, seed, n_frames)
        for role in CELL_ROLES:
            tracks = made.film.tracks[role]
            onsets = {}
            for index, track in enumerate(tracks.tracks):
                frame = tracks.death_frame(index, made.film.cells(role), made.film.calibration)
                if frame is not None:
                    onsets[track.track_id] = frame
            for dye in (True, False):
                roles = made.film.roles
                survey = survey_deaths(
                    tracks.for_table(made.measures[role].label.astype(np.int64)),
                    made.measures[role],
                    death_channel=(roles["death"],) if dye and "death" in roles else (),
                    marker_channels=tuple(roles[name] for name in MARKERS[role] if name in roles),  # type: ignore[index]
                    background=made.background,
                    n_frames=n_frames,
                    masked_frames=(),
                    calibration=made.film.calibration,
                    min_probability=0.02,
                    others=made.measures[OTHER[role]],
                )
                way = f"{scenario}, {role}s{'' if dye else ', no dye'}"
                tallies.setdefault(way, DeathTally()).add(onsets, survey.deaths)
    return {way: tally.report() for way, tally in tallies.items()}
