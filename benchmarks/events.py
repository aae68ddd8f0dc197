"""How well deaths and kills are called where the truth is known, with naive rules beside ours.

    python -m benchmarks.events deaths --seeds 100-109
    python -m benchmarks.events kills --levels easy,medium,hard --seeds 100-104
    python -m benchmarks.events films --scenario adherent_standard --seeds 100 --frames 120

Seeds 0-9 are for development; nothing was tuned on 100 and above.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from assay.deaths import Death, find_deaths
from assay.kills import Kill, credit_kills, fit_lag_model
from assay.lag_model import FieldEvents
from assay.survival import FieldOutcome, summarise_well
from assay.traces import lay_out
from benchmarks.death_traces import CLEAN, HARD, STANDARD, TraceField, TraceSettings, make_field
from benchmarks.event_worlds import LEVELS, World, make_world

FIELDS = {"clean": CLEAN, "standard": STANDARD, "hard": HARD}
MAX_LAG_MIN = 360.0
Credits = tuple[list[Kill], dict[int, float]]


def ece(forecasts: np.ndarray, came: np.ndarray) -> float:
    """Calibration error over ten bins of equal width."""
    bins = np.minimum((forecasts * 10).astype(int), 9)
    return float(
        sum(
            np.mean(bins == b) * abs(forecasts[bins == b].mean() - came[bins == b].mean())
            for b in range(10)
            if (bins == b).any()
        )
    )


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
        scores["ece"] = ece(np.array(self.forecasts), np.array(self.came)) if self.came else np.nan
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
    return find_deaths(
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


# --- kills --------------------------------------------------------------------------------------------


def last_contact(events: FieldEvents, *, window_frames: int | None) -> Credits:
    """The effector that touched last before the death gets all; nobody where none did within the window."""
    kills: list[Kill] = []
    uncredited = {}
    for death in events.deaths:
        earliest = 0 if window_frames is None else death.frame - window_frames
        mine = [
            c
            for c in events.contacts
            if c.target_track_id == death.track_id
            and c.first_frame <= death.frame
            and c.last_frame >= earliest
        ]
        uncredited[death.death_id] = 0.0 if mine else 1.0
        if mine:
            best = max(mine, key=lambda c: (min(c.last_frame, death.frame), c.first_frame))
            kills.append(
                Kill(
                    death_id=death.death_id, target_track_id=death.track_id,
                    effector_track_id=best.effector_track_id, contact_id=best.contact_id, share=1.0, lag_min=0.0,
                )
            )  # fmt: skip
    return kills, uncredited


@dataclass(slots=True)
class KillTally:
    """Counts over fields."""

    right: int = 0  # targets rightly called killed
    false: int = 0
    missed: int = 0
    top: list[bool] = field(default_factory=list)
    given: list[float] = field(default_factory=list)
    killed_forecast: list[float] = field(default_factory=list)
    killed: list[bool] = field(default_factory=list)
    top_forecast: list[float] = field(default_factory=list)
    top_came: list[bool] = field(default_factory=list)
    sums: list[tuple[float, int, int]] = field(default_factory=list)  # kills called, true, targets
    inside: list[bool] = field(default_factory=list)
    widths: list[float] = field(default_factory=list)

    def add(self, world: World, credits: Credits) -> None:
        """Count one field."""
        kills, uncredited = credits
        shares: dict[int, dict[int, float]] = {}
        for kill in kills:
            shares.setdefault(kill.death_id, {})[kill.effector_track_id] = kill.share
        called = set()
        for death in world.events.deaths:
            true, mine = world.who.get(death.track_id, {}), shares.get(death.death_id, {})
            by_effector = 1 - uncredited[death.death_id]
            if by_effector > 0.5:
                called.add(death.track_id)
            if death.track_id in world.onset:
                self.killed_forecast.append(by_effector)
                self.killed.append(bool(true))
            best = max(mine, key=lambda e: (mine[e], -e)) if mine else None
            rightly = best is not None and bool(true) and best == max(true, key=lambda e: (true[e], -e))
            if true:
                self.top.append(rightly)
                self.given.append(sum(share * mine.get(e, 0.0) for e, share in true.items()))
            if best is not None:
                self.top_forecast.append(mine[best])
                self.top_came.append(rightly)
        self.right += len(called & set(world.who))
        self.false += len(called - set(world.who))
        self.missed += len(set(world.who) - called)
        expected = sum(d.probability * (1 - uncredited[d.death_id]) for d in world.events.deaths)
        self.sums.append((expected, len(world.who), len(world.events.targets)))

    def report(self) -> dict[str, float]:
        """Scores of the contract's section 6 for kills, and of wells."""
        forecasts, came = np.array(self.killed_forecast), np.array(self.killed, dtype=float)
        top, right = np.array(self.top_forecast), np.array(self.top_came, dtype=float)
        bias = np.array([100 * (called - true) / targets for called, true, targets in self.sums])
        return {
            "kill_f1": 2 * self.right / max(2 * self.right + self.false + self.missed, 1),
            "top_1": float(np.mean(self.top)) if self.top else np.nan,
            "true_killer_share": float(np.mean(self.given)) if self.given else np.nan,
            "brier": float(np.mean((forecasts - came) ** 2)),
            "ece": ece(forecasts, came),
            "brier_top": float(np.mean((top - right) ** 2)) if len(top) else np.nan,
            "ece_top": ece(top, right) if len(top) else np.nan,
            "bias_per_100": float(bias.mean()),
            "interval_holds": float(np.mean(self.inside)) if self.inside else np.nan,
            "interval_width": float(np.mean(self.widths)) if self.widths else np.nan,
        }


def plate(seed: int, level: str) -> list[World]:
    """Two sample wells, a mock and a target-only well."""
    kinds = {"B02": "sample", "B03": "sample", "B04": "mock", "B05": "target_only"}
    return [make_world(seed, LEVELS[level], kind=kind, well=well) for well, kind in kinds.items()]


def bench_kills(seeds: Sequence[int], levels: Sequence[str]) -> dict[str, dict[str, float]]:
    """Worlds of tables: the last contact within 3 frames or ever, ours, ours without control wells."""
    results: dict[str, dict[str, float]] = {}
    for level in levels:
        tallies: dict[str, KillTally] = {}
        for seed in seeds:
            worlds = plate(seed, level)
            model = fit_lag_model([world.events for world in worlds], max_lag_min=MAX_LAG_MIN)
            alone = fit_lag_model([world.events for world in worlds[:2]], max_lag_min=MAX_LAG_MIN)
            for world in worlds[:3]:
                kind = "" if world.events.kind == "sample" else ", mock well"
                ways = {
                    "last contact, 3 frames": last_contact(world.events, window_frames=3),
                    "last contact": last_contact(world.events, window_frames=None),
                    "killassay": credit_kills(world.events, model),
                    "killassay, no controls": credit_kills(world.events, alone),
                }
                for way, credits in ways.items():
                    if kind and "no controls" in way:
                        continue
                    tally = tallies.setdefault(f"{level}{kind}: {way}", KillTally())
                    tally.add(world, credits)
                    if way == "killassay":
                        row = _well_row(world, credits, model)
                        low, high = float(str(row["kills_low"])), float(str(row["kills_high"]))
                        tally.inside.append(low <= len(world.who) <= high)
                        tally.widths.append(high - low)
        results |= {name: tally.report() for name, tally in sorted(tallies.items())}
    return results


def _well_row(world: World, credits: Credits, model: object) -> dict[str, object]:
    outcome = FieldOutcome(
        events=world.events, uncredited=credits[1], effectors=(), first_valid_frame=0,
        last_valid_frame=world.events.n_frames - 1, n_valid_frames=world.events.n_frames,
    )  # fmt: skip
    return summarise_well(
        [outcome], well=world.events.well, condition=None, kind=world.events.kind, model=model, control=None
    )  # type: ignore[arg-type]


# --- the command --------------------------------------------------------------------------------------


def seeds_of(text: str) -> list[int]:
    """Read "3", "3,5" or "100-109"."""
    seeds: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


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
    parser.add_argument("what", choices=("deaths", "kills", "films"))
    parser.add_argument("--seeds", default="100-102")
    parser.add_argument("--levels", default="easy,medium,hard,additive,solid,alike")
    parser.add_argument("--scenario", default="adherent_standard")
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    seeds = seeds_of(options.seeds)
    if options.what == "deaths":
        results = bench_deaths(seeds)
    elif options.what == "kills":
        results = bench_kills(seeds, options.levels.split(","))
    else:
        from benchmarks.event_films import bench_films

        results = bench_films(seeds, scenario=options.scenario, n_frames=options.frames)
    show(results)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
