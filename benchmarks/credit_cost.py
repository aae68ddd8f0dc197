"""What the lag model of a plate costs over the size of the plate: processor time, and memory that stays one well's.

    python -m benchmarks.credit_cost [--wells 4 32 128] [--json F]

Each well is one made field of 6,000 contacts and some 250 deaths, made when it is asked for, as a run reads it from the disk.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from assay.contacts import Contact
from assay.deaths import Death
from assay.field_events import FieldEvents
from assay.lag_fit import fit_lag_model
from assay.tracks import Track
from assay.units import Calibration
from benchmarks.measuring import measured, own_peak_bytes, processor_s

TARGETS, EFFECTORS, CONTACTS, FRAMES, FRAME_MIN = 1500, 1200, 6000, 96, 4.0
KILLS = 0.05  # of the contacts lead to a death, half an hour to an hour after they began
LONGEST_LAG_MIN = 360.0
MEGA = 1e6


@dataclass(frozen=True, slots=True)
class MadeFilm:
    """A field that is made when it is asked for; an `assay.field_events.Film`."""

    well: str
    seed: int
    field: int = 0
    kind: str | None = "sample"
    n_contacts: int = CONTACTS

    def load(self) -> FieldEvents:
        """Contacts at random; the same ones whenever they are asked for."""
        rng = np.random.default_rng([17, self.seed])
        first = np.sort(rng.integers(0, FRAMES - 2, CONTACTS))
        last = np.minimum(first + rng.geometric(0.2, CONTACTS), FRAMES - 1)
        target = rng.integers(1, TARGETS + 1, CONTACTS)
        effector = rng.integers(1, EFFECTORS + 1, CONTACTS)
        kills = rng.random(CONTACTS) < KILLS
        died: dict[int, int] = {}
        for start, of in zip(first[kills].tolist(), target[kills].tolist(), strict=True):
            frame = start + int(rng.integers(30, 60) / FRAME_MIN)
            if frame < FRAMES - 1:
                died[of] = min(frame, died.get(of, frame))
        return FieldEvents(
            well=self.well,
            field=0,
            kind=self.kind,
            n_frames=FRAMES,
            calibration=Calibration(pixel_um=(0.65, 0.65), frame_min=FRAME_MIN),
            contacts=tuple(
                Contact(
                    contact_id=n, effector_track_id=e, target_track_id=t, first_frame=a, last_frame=b, min_gap_um=0.0,
                    mean_interface_um=4.0, starts_censored=False, ends_censored=False,
                )
                for n, (e, t, a, b) in enumerate(
                    zip(effector.tolist(), target.tolist(), first.tolist(), last.tolist(), strict=True), start=1
                )
            ),
            deaths=tuple(
                Death(
                    death_id=n, role="target", track_id=of, frame=frame, first_possible_frame=max(frame - 1, 0),
                    last_possible_frame=frame + 1, probability=0.95, evidence=("dye",),
                )
                for n, (of, frame) in enumerate(sorted(died.items()), start=1)
            ),
            targets=tuple(
                Track(
                    track_id=n, first_frame=0, last_frame=FRAMES - 1, parent_track_id=None, start="movie_start",
                    end="movie_end",
                )
                for n in range(1, TARGETS + 1)
            ),
        )  # fmt: skip


def fit(wells: int) -> dict[str, float]:
    """Fit a plate of so many wells, in this process."""
    films = [MadeFilm(f"W{number:03d}", number) for number in range(wells)]
    fit_lag_model([MadeFilm("W000", 0)], max_lag_min=LONGEST_LAG_MIN)  # imports and compiled code are there
    before, spent = own_peak_bytes(), processor_s()
    model = fit_lag_model(films, max_lag_min=LONGEST_LAG_MIN)
    deaths = len(films[0].load().deaths)
    return {
        "cpu_s": processor_s() - spent,
        "peak_bytes": own_peak_bytes(),
        "before_bytes": before,
        "deaths_of_a_well": deaths,
        "fitted_fields": model.fitted_fields[0],
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wells", type=int, nargs="+", default=[4, 32, 128])
    parser.add_argument("--one", type=int, help="fit a plate of so many wells here, and write what it cost")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.one is not None:
        given.json.write_text(json.dumps(fit(given.one)) + "\n")
        return
    figures = []
    print(f"{'wells':>6}{'contacts':>10}{'fitted to':>10}{'processor s':>13}{'peak MB':>9}")
    for wells in given.wells:
        cost = measured("benchmarks.credit_cost", "--one", wells)
        figures.append({"wells": wells, **cost.report})
        fitted = int(cost.report["fitted_fields"])
        print(
            f"{wells:>6}{wells * CONTACTS:>10}{fitted:>10}{cost.cpu_s:>13.1f}{cost.peak_bytes / MEGA:>9.0f}",
            flush=True,
        )
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
