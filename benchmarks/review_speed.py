"""How long one more decision takes on a plate of 100 wells and 10 000 deaths, reading included.

python -m benchmarks.review_speed [--wells 100] [--deaths 100] [--folder FOLDER]
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from assay.columns import REVIEWED_TABLES
from assay.contacts import Contact
from assay.deaths import Death
from assay.field_events import FieldEvents
from assay.io.results import Results
from assay.io.tables import write_table
from assay.pipeline.credited import write_credited
from assay.pipeline.reviewed import ReviewedPlate, reviewed_tables
from assay.pipeline.reviewed_base import BasePlate
from assay.pipeline.reviewed_events import Lives
from assay.pipeline.reviewed_rows import outcome_in
from assay.protocol import parse_protocol
from assay.review.events import review_events
from assay.review.sitting import MemoryJournal, Sitting
from assay.tracks import Track
from assay.units import Calibration
from benchmarks.made_results import make_base

N_FRAMES, CONTACTS_PER_DEATH, TARGETS_PER_DEATH = 160, 8, 3


def make_results(folder: Path, *, wells: int, deaths: int) -> BasePlate:
    """RESULTS with tables and the kept model alone, which is all that a decision reads."""
    rng = np.random.default_rng(3)
    names = [f"{'ABCDEFGHIJKLMNOP'[n // 24]}{n % 24 + 1:02d}" for n in range(wells)]
    events = [_well(name, "target_only" if n == 0 else "sample", deaths, rng) for n, name in enumerate(names)]
    protocol = parse_protocol(
        f'[channels]\neffector = "E"\ntarget = "T"\ndeath = "D"\n[[condition]]\nname = "a"\nwells = {names[1:]}\n'
        f'[[condition]]\nname = "alone"\nwells = {names[:1]}\nkind = "target_only"\n'
    )
    effectors = {of.well: [_track(n + 1) for n in range(deaths)] for of in events}
    base = make_base(events, effectors, protocol, fit_to=4)
    results = Results.create_or_open(folder, plate_name="made", plate_identity="0" * 64)
    results.write_protocol(protocol.to_toml())
    for name in (*REVIEWED_TABLES, "fields"):
        write_table(results.tables, name, base.tables[name])
    fields = [base.field(place) for place in base.films]
    outcomes = [
        outcome_in(field, base.films[place], base, place)
        for field, place in zip(fields, base.films, strict=True)
    ]
    write_credited(folder, base.model, outcomes, base.counted)
    return base


def _track(number: int) -> Track:
    return Track(
        track_id=number,
        first_frame=0,
        last_frame=N_FRAMES - 1,
        parent_track_id=None,
        start="movie_start",
        end="movie_end",
    )


def _well(name: str, kind: str, deaths: int, rng: np.random.Generator) -> FieldEvents:
    n_targets, n_contacts = (
        deaths * TARGETS_PER_DEATH,
        0 if kind == "target_only" else deaths * CONTACTS_PER_DEATH,
    )
    first = rng.integers(0, N_FRAMES - 12, n_contacts)
    contacts = tuple(
        Contact(
            contact_id=n + 1,
            effector_track_id=int(rng.integers(1, deaths + 1)),
            target_track_id=int(rng.integers(1, n_targets + 1)),
            first_frame=int(first[n]),
            last_frame=int(first[n] + rng.integers(1, 10)),
            min_gap_um=0.0,
            mean_interface_um=5.0,
            starts_censored=False,
            ends_censored=False,
        )
        for n in range(n_contacts)
    )
    frames = rng.integers(20, N_FRAMES - 5, deaths)
    return FieldEvents(
        well=name,
        field=0,
        kind=kind,
        n_frames=N_FRAMES,
        calibration=Calibration(pixel_um=(1.0, 1.0), frame_min=3.0),
        contacts=contacts,
        deaths=tuple(
            Death(
                death_id=n + 1,
                role="target",
                track_id=n + 1,
                frame=int(frames[n]),
                first_possible_frame=int(frames[n]) - 1,
                last_possible_frame=int(frames[n]) + 1,
                probability=float(rng.uniform(0.5, 1.0)),
                evidence=("dye",),
            )
            for n in range(deaths)
        ),
        targets=tuple(_track(n + 1) for n in range(n_targets)),
    )


def main() -> None:
    """Time reading and one decision of each kind, and say it in lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wells", type=int, default=100)
    parser.add_argument("--deaths", type=int, default=100)
    parser.add_argument("--folder", type=Path, help="Keep RESULTS here, and take them if they are there.")
    arguments = parser.parse_args()
    kept = arguments.folder or Path(tempfile.mkdtemp()) / "results"
    if not (kept / "work" / "credited.json").is_file():
        make_results(kept, wells=arguments.wells, deaths=arguments.deaths)
    _time(kept)
    if arguments.folder is None:
        shutil.rmtree(kept.parent)


def _time(results: Path) -> None:
    base = _clocked("read RESULTS", lambda: BasePlate.open(results))
    base.lives_of = lambda place: Lives(ends=dict, later=dict, doubts=dict)
    sitting = Sitting(review_events(base.tables), MemoryJournal(), reader="clock")
    plate = ReviewedPlate(base, results=results)
    names = sitting.state.events["event"].tolist()
    plate.update(sitting.state)
    far = len(names) // 2
    for said, verb, event, values in (
        ("accept, first in its well", "accept", names[far], {}),
        ("accept, well known already", "accept", names[far + 1], {}),
        ("retime", "retime", names[far + 2], {"frame": 60}),
        ("killer", "killer", names[far + 3], {"effector_track_id": 1}),
        ("reject in the target-only well", "reject", names[0], {"reason": "debris"}),
    ):
        sitting.decide(verb, event, **values)  # type: ignore[arg-type]
        _clocked(said, lambda: plate.update(sitting.state))
    one = Sitting(review_events(base.tables), MemoryJournal(), reader="clock")
    one.decide("accept", names[far])
    _clocked("read RESULTS and count one decision", lambda: reviewed_tables(results, one.state))


def _clocked(said: str, call):  # type: ignore[no-untyped-def]
    wall, cpu = time.perf_counter(), time.process_time()
    found = call()
    print(f"{said:40s} {time.perf_counter() - wall:6.3f} s, {time.process_time() - cpu:6.3f} s of processor")
    return found


if __name__ == "__main__":
    main()
