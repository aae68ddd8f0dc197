"""The benchmark itself: every way of reading, at every level, over seeds; a scene's counts are a line of JSON.

Knows scenes, baselines and ours. A file that a run has begun is gone on with, if the code is still the same.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import assay
from assay.engagements import Engagement, Engagements
from assay.errors import ResultsError
from assay.killbench.baselines import chain_scene, longest_contact, nearest_effector
from assay.killbench.levels import LEVELS, kind_of, settings_of
from assay.killbench.ours import Credit, Reading, credit_plate, read_scene
from assay.killbench.rungs import true_contacts, true_deaths, true_tracks
from assay.killbench.scene import Scene, make_scene, plate
from assay.killbench.scoring import SceneCounts, count_scene

NEAREST, NEAREST_LASTING, LONGEST, OURS = (
    "nearest effector",
    "nearest effector, 3 frames",
    "longest contact",
    "killassay",
)
NO_CONTROLS, UNTOLD = "killassay, no control wells", "killassay, mock not told"
TRUE_TRACKS, TRUE_CONTACTS, TRUE_DEATHS = "+ true tracks", "+ true contacts", "+ true deaths"
WAYS = (
    NEAREST, NEAREST_LASTING, LONGEST, OURS, NO_CONTROLS, UNTOLD, TRUE_TRACKS, TRUE_CONTACTS, TRUE_DEATHS,
)  # fmt: skip
SMALL_EDGE_UM = 450.0
KILLER_SHARES = (0.1, 0.2, 0.4)  # of the wells of a plate for intervals, in turn
WELLS_LEVEL = "wells"


@dataclass(frozen=True, slots=True)
class Job:
    """One plate to be made and read: all levels that ask about a well of it."""

    plate: str
    seed: int
    levels: tuple[str, ...]
    n_wells: int = 0  # sample wells of a plate for intervals


def jobs_of(levels: Sequence[str], seeds: Sequence[int], *, n_wells: int = 0) -> list[Job]:
    """What is to be done, seed by seed.

    Args:
        levels: Of `LEVELS`.
        seeds: One scene of each level a seed.
        n_wells: Sample wells of small fields for the coverage of intervals, spread over the seeds.

    Raises:
        ProtocolError: There is no such level.
    """
    by_plate: dict[str, list[str]] = {}
    for level in levels:
        by_plate.setdefault(settings_of(level, "sample")[0], []).append(level)
    jobs = [Job(name, seed, tuple(asked)) for seed in seeds for name, asked in by_plate.items()]
    shares = [n_wells * (k + 1) // len(seeds) - n_wells * k // len(seeds) for k in range(len(seeds))]
    return jobs + [
        Job(WELLS_LEVEL, seed, (WELLS_LEVEL,), share)
        for seed, share in zip(seeds, shares, strict=True)
        if share
    ]


def run_job(job: Job, *, rungs: bool) -> list[SceneCounts]:
    """Make one plate, read it in every way, and count.

    Args:
        job: What to make.
        rungs: Also ours on true tracks, on true contacts too, and on true deaths too, and without controls.
    """
    if job.plate == WELLS_LEVEL:
        readings = [read_scene(scene) for scene in _plate_of_small_fields(job)]
        credits = credit_plate(readings)
        return [
            count_scene(r.scene, OURS, r.tracks, credits[r.scene.well])
            for r in readings
            if r.scene.kind == "sample"
        ]
    scenes = plate(job.plate, job.seed)
    asked = {kind_of(level): level for level in job.levels}
    read = [read_scene(scene) for scene in scenes]
    counts = _count(read, credit_plate(read), OURS, asked)
    counts += _count(read, {r.scene.well: longest_contact(r) for r in read}, LONGEST, asked)
    counts += [each for scene in scenes for each in _nearest(scene, asked)]
    if rungs:
        counts += _rungs(read, asked)
    return counts


def _count(
    readings: Sequence[Reading], credits: dict[str, Credit], way: str, asked: dict[Any, str]
) -> list[SceneCounts]:
    return [
        count_scene(replace(r.scene, level=asked[r.scene.kind]), way, r.tracks, credits[r.scene.well])
        for r in readings
        if r.scene.kind in asked
    ]


def _nearest(scene: Scene, asked: dict[Any, str]) -> Iterator[SceneCounts]:
    if scene.kind not in asked:
        return
    tracks = chain_scene(scene)
    for way, frames in ((NEAREST, 1), (NEAREST_LASTING, 3)):
        credit = nearest_effector(scene, tracks, lasting_frames=frames)
        yield count_scene(replace(scene, level=asked[scene.kind]), way, tracks, credit)


def _rungs(readings: Sequence[Reading], asked: dict[Any, str]) -> list[SceneCounts]:
    """Ours with less than a run knows, and with more."""
    counts: list[SceneCounts] = []
    for reading in readings:
        only = [reading]
        if reading.scene.kind == "sample":
            counts += _count(only, credit_plate(only), NO_CONTROLS, asked)
    mocks = {kind: level for kind, level in asked.items() if kind == "mock"}
    counts += _count(readings, credit_plate(readings, told=False), UNTOLD, mocks)
    known = [read_scene(r.scene, tracks=true_tracks(r.scene)) for r in readings]
    counts += _count(known, credit_plate(known), TRUE_TRACKS, asked)
    known = [_touched(r) for r in known]
    counts += _count(known, credit_plate(known), TRUE_CONTACTS, asked)
    known = [replace(r, survey=true_deaths(r.scene, r.tracks["target"])) for r in known]
    return counts + _count(known, credit_plate(known), TRUE_DEATHS, asked)


def _touched(reading: Reading) -> Reading:
    """With the true contacts, in which effectors hold on all the time."""
    contacts = tuple(true_contacts(reading.scene))
    held = tuple(
        Engagement(
            contact_id=c.contact_id, first_frame=c.first_frame, last_frame=c.last_frame, probability=1.0
        )
        for c in contacts
    )
    engaged = Engagements(engagements=held, probability=np.ones(len(contacts)))
    return replace(reading, contacts=contacts, engaged=engaged)


def _plate_of_small_fields(job: Job) -> list[Scene]:
    """A plate of small fields: sample wells whose effectors kill more or less, a mock and a target-only well."""
    smaller = (SMALL_EDGE_UM / LEVELS["medium"].edge_um) ** 2
    base = replace(
        LEVELS["medium"], n_targets=round(LEVELS["medium"].n_targets * smaller), edge_um=SMALL_EDGE_UM
    )
    scenes = []
    for number in range(job.n_wells):
        settings = replace(base, killer_share=KILLER_SHARES[number % len(KILLER_SHARES)])
        name = f"{WELLS_LEVEL}/{number}"
        scenes.append(
            make_scene(name, job.seed, settings, level=WELLS_LEVEL, kind="sample", well=f"C{number + 1:02d}")
        )
    mock, alone = replace(base, killer_share=0.0), replace(base, et_ratio=0.0)
    scenes.append(
        make_scene(f"{WELLS_LEVEL}/mock", job.seed, mock, level=WELLS_LEVEL, kind="mock", well="D01")
    )
    scenes.append(
        make_scene(f"{WELLS_LEVEL}/alone", job.seed, alone, level=WELLS_LEVEL, kind="target_only", well="D02")
    )
    return scenes


def run_bench(jobs: Sequence[Job], *, rungs: bool, kept: Path | None) -> Iterator[list[SceneCounts]]:
    """Do the jobs one after the other, and hand on the counts of each as it ends.

    Args:
        jobs: From `jobs_of`.
        rungs: As for `run_job`.
        kept: File of JSON lines, one per scene and way, written as the jobs end; jobs in it are not done again.

    Raises:
        ResultsError: `kept` is no such file, or was written by other code.
    """
    code = code_sha()
    done = _read(kept, code) if kept is not None and kept.exists() else {}
    for job in jobs:
        key = _key(job, rungs)
        if key not in done:
            done[key] = run_job(job, rungs=rungs)
            if kept is not None:
                with kept.open("a", encoding="utf-8") as file:
                    file.write(_lines(key, code, done[key]))
        yield done[key]


def _key(job: Job, rungs: bool) -> str:
    return f"{'+'.join(job.levels)}/{job.seed}/{job.n_wells}/{'rungs' if rungs else 'plain'}"


def _lines(key: str, code: str, counts: Sequence[SceneCounts]) -> str:
    """All lines of a job in one write, so that a file holds whole jobs; the last says how many there are."""
    rows = [{"job": key, "code": code, "of": len(counts)} | each.as_dict() for each in counts]
    return "".join(json.dumps(row) + "\n" for row in rows)


def _read(kept: Path, code: str) -> dict[str, list[SceneCounts]]:
    found: dict[str, list[SceneCounts]] = {}
    expected: dict[str, int] = {}
    for number, line in enumerate(kept.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            key, made_by, expected_here = row.pop("job"), row.pop("code"), row.pop("of")
            counts = SceneCounts.from_dict(row)
        except (ValueError, KeyError, TypeError):
            raise ResultsError(
                f"{kept}, line {number}: expected counts of a scene, as this command writes them. Give another file, "
                "or delete that line if the run was cut there."
            ) from None
        if made_by != code:
            raise ResultsError(
                f"{kept}: was written by other code ({made_by}, this is {code}), so its counts do not belong with "
                "new ones. Give another file."
            )
        expected[key] = expected_here
        found.setdefault(key, []).append(counts)
    return {key: counts for key, counts in found.items() if len(counts) == expected[key]}


def code_sha() -> str:
    """Which code reads and scores: the sources of all rooms that take part."""
    root = Path(assay.__file__).parent
    sources = [*root.glob("*.py"), *root.glob("killbench/*.py"), *root.glob("score/*.py")]
    digest = hashlib.sha256()
    for source in sorted(sources):
        digest.update(source.relative_to(root).as_posix().encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:12]
