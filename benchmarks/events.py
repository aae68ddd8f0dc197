"""How well deaths are called on made traces and on films with true outlines, with naive rules beside ours.

    python -m benchmarks.events deaths --seeds 100-109
    python -m benchmarks.events films --scenario adherent_standard --seeds 100 --frames 120

Seeds 0-9 are for development; nothing was tuned on 100 and above. Kills have `killassay bench events`.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from assay.cli.bench import seeds_of
from assay.deaths import Death, survey_deaths
from assay.score.kills import ece
from assay.traces import lay_out
from benchmarks.death_traces import CLEAN, HARD, STANDARD, TraceField, TraceSettings, make_field

FIELDS = {"clean": CLEAN, "standard": STANDARD, "hard": HARD}

# --- deaths -------------------------------------------------------------------------------------------


@dataclass(slots=True)
class DeathTally:
    """Counts over fields."""

    true: int = 0
    called: int = 0
    errors: list[int] = field(default_factory=list)
    held: list[bool] = field(default_factory=list)
    forecasts: list[float] = field(default_factory=list)
    came: list[bool] = field(default_factory=list)

    def add(self, onsets: Mapping[int, int], deaths: Iterable[Death]) -> None:
        """Count one field; `onsets`: track id -> first frame at or after the onset."""
        self.true += len(onsets)
        for death in deaths:
            self.forecasts.append(death.probability)
            self.came.append(death.track_id in onsets)
            if death.probability < 0.5:
                continue
            self.called += 1
            if death.track_id in onsets:
                frame = onsets[death.track_id]
                self.errors.append(death.frame - frame)
                self.held.append(death.first_possible_frame <= frame <= death.last_possible_frame)

    def report(self) -> dict[str, float]:
        """F1 within frames, timing, calibration."""
        errors = np.array(self.errors)
        scores = {"true": self.true, "called": self.called}
        for window in (1, 2, 3):
            hit = int((np.abs(errors) <= window).sum())
            scores[f"f1_{window}"] = 2 * hit / max(self.true + self.called, 1)
        scores["bias_frames"] = float(errors.mean()) if len(errors) else np.nan
        scores["median_abs_frames"] = float(np.median(np.abs(errors))) if len(errors) else np.nan
        scores["interval_holds"] = float(np.mean(self.held)) if self.held else np.nan
        scores["ece"] = ece(tuple(zip(self.forecasts, self.came, strict=True)))
        return scores


def naive_deaths(made: TraceField, *, persistent: bool = False) -> list[Death]:
    """First frame (of three in a row) above median + 5 MAD of the dye in the first five frames."""
    table = lay_out(
        made.tracks,
        made.measures,
        made.measures.means["PI"],
        n_frames=made.settings.n_frames,
        masked_frames=made.settings.masked,
    )
    early = table[:, :5][np.isfinite(table[:, :5])]
    limit = np.median(early) + 5 * 1.4826 * np.median(np.abs(early - np.median(early)))
    deaths = []
    for row, track in zip(table, made.tracks.tracks, strict=True):
        seen = np.flatnonzero(np.isfinite(row))
        above = row[seen] > limit
        if persistent:
            above = above & np.append(above[1:], False) & np.append(above[2:], [False, False])
        hits = seen[above]
        if len(hits) and hits[0] > seen[0]:
            frame = int(hits[0])
            deaths.append(
                Death(
                    death_id=len(deaths) + 1, role="target", track_id=track.track_id, frame=frame,
                    first_possible_frame=frame, last_possible_frame=frame, probability=1.0, evidence=("dye",),
                )
            )  # fmt: skip
    return deaths


def our_deaths(made: TraceField, *, dye: bool = True) -> list[Death]:
    """As the product calls them, down to improbable ones."""
    survey = survey_deaths(
        made.tracks,
        made.measures,
        death_channel=("PI",) if dye else (),
        marker_channels=("GFP",),
        background=made.background,
        n_frames=made.settings.n_frames,
        masked_frames=made.settings.masked,
        calibration=made.calibration,
        min_probability=0.02,
    )
    return list(survey.deaths)


def bench_deaths(
    seeds: Sequence[int], levels: Mapping[str, TraceSettings] = FIELDS
) -> dict[str, dict[str, float]]:
    """Made traces: a naive threshold, three frames above it, ours, ours without the dye."""
    ways: dict[str, Callable[[TraceField], list[Death]]] = {
        "threshold": naive_deaths,
        "threshold x3": lambda made: naive_deaths(made, persistent=True),
        "killassay": our_deaths,
        "killassay, no dye": lambda made: our_deaths(made, dye=False),
    }
    results = {}
    for level, settings in levels.items():
        tallies = {way: DeathTally() for way in ways}
        for seed in seeds:
            made = make_field(seed, settings)
            onsets = {track: int(np.ceil(onset)) for track, onset in made.onsets.items()}
            for way, call in ways.items():
                tallies[way].add(onsets, call(made))
        results |= {f"{level}: {way}": tally.report() for way, tally in tallies.items()}
    return results


# --- the command --------------------------------------------------------------------------------------


def show(results: Mapping[str, Mapping[str, float]]) -> None:
    """Print one line per way, numbers to three places."""
    if not results:
        return
    names = list(next(iter(results.values())))
    width = max(map(len, results))
    print(" " * width, *(f"{name:>18}" for name in names))
    for way, scores in results.items():
        print(f"{way:<{width}}", *(f"{scores[name]:>18.3f}" for name in names))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one benchmark and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.events", description=__doc__)
    parser.add_argument("what", choices=("deaths", "films"))
    parser.add_argument("--seeds", default="100-102")
    parser.add_argument("--scenario", default="adherent_standard")
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    seeds = seeds_of(options.seeds)
    if options.what == "deaths":
        results = bench_deaths(seeds)
    else:
        from benchmarks.event_films import bench_films

        results = bench_films(seeds, scenario=options.scenario, n_frames=options.frames)
    show(results)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
