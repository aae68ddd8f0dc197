"""What review is worth: a made plate with planted errors, an oracle that answers, the queue's order against chance.

Worlds of killbench (level medium, development seeds) give who touched whom, who died and who did it. The product fits
its lag model and credits. Then errors are planted: 10 % of the deaths credited to a wrong effector or to nobody (or,
where nobody did it, to an effector), 5 % false deaths, 5 % of the true deaths missed, which is to say of a probability
below one half: not called, and listed among the doubtful deaths. Two kinds of plate:

    doubtful    a calibrated pipeline's: of the events of probability p, p are true, and so for shares. A planted error
                of doubt brings the right events of the same doubt with it: about three for each, and for each missed
                death two or three live targets that are listed as improbable deaths
    sure        errors are as sure as right events: no queue can tell them, and review is worth what chance gives

    nice -n 10 python -m benchmarks.review_value --seeds 0 1 2 [--wells-each 6] --out FOLDER
"""

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from assay.columns import Table, table_of_rows
from assay.contacts import Contact
from assay.deaths import Death
from assay.field_events import FieldEvents
from assay.killbench.levels import LEVELS
from assay.killbench.world import World, make_world
from assay.kills import Kill
from assay.pipeline.doubtful import DOUBTFUL_DEATHS, doubtful_table
from assay.pipeline.event_tables import doubtful_rows
from assay.pipeline.reviewed import ReviewedPlate
from assay.pipeline.reviewed_base import BasePlate
from assay.pipeline.reviewed_events import Lives
from assay.protocol import Protocol, parse_protocol
from assay.review.events import review_events
from assay.review.queue import review_order
from assay.review.sitting import MemoryJournal, Sitting
from assay.review.state import PENDING
from assay.stack import FieldId
from assay.tracks import Track
from assay.units import Calibration
from benchmarks.made_results import Credit, make_base

WRONG_KILLERS, FALSE_DEATHS, MISSED_DEATHS = 0.10, 0.05, 0.05
KILLER_SHARES = {"many killers": 0.4, "some killers": 0.2, "few killers": 0.1}
WELLS_EACH = 3
CALLED = 0.5
KINDS = ("doubtful", "sure")
TITLES = {
    "doubtful": "Error of the headline, kills per 100 targets",
    "sure": "Errors as sure as right events",
}
LOOKS = tuple(range(0, 301, 10))
LABEL_AT = {"queue": 60, "random": 120}
STEP = 10  # decisions between two looks at the numbers
EDGE_UM = 480.0
SAME_FRAMES = 3
SURE = 0.995  # probability of a death that nobody would doubt
NAMES_KILLER_BELOW = 0.9  # share of the shown killer below which the oracle says who it was


@dataclass(frozen=True, slots=True)
class Curve:
    """Error of the headline after so many decisions."""

    decisions: list[int]
    error: list[float]  # kills per 100 targets, mean over conditions of |reviewed - true|


@dataclass(frozen=True, slots=True)
class Well:
    """One made well with its truth."""

    name: str
    kind: str
    world: World


def run_seed(seed: int, kind: str, *, wells_each: int = WELLS_EACH) -> dict[str, Curve]:
    """One plate, read in the queue's order and in random order."""
    wells = list(_wells(seed, wells_each))
    base, true_kills = _plate(wells, np.random.default_rng([seed, 77]), kind)
    truth = {well.name: {death.target: death for death in well.world.deaths} for well in wells}
    return {order: _review(base, truth, true_kills, order, seed) for order in ("queue", "random")}


def _wells(seed: int, wells_each: int) -> Iterator[Well]:
    medium = LEVELS["medium"]
    base = replace(
        medium, n_targets=round(medium.n_targets * (EDGE_UM / medium.edge_um) ** 2), edge_um=EDGE_UM
    )
    for row, (name, share) in zip("BCD", KILLER_SHARES.items(), strict=True):
        for number in range(wells_each):
            world = make_world(f"review/{name}/{number}", seed, replace(base, killer_share=share))
            yield Well(f"{row}{number + 2:02d}", "sample", world)
    yield Well("E02", "mock", make_world("review/mock", seed, replace(base, killer_share=0.0)))
    yield Well("E03", "target_only", make_world("review/alone", seed, replace(base, et_ratio=0.0)))


def _protocol(wells: Sequence[Well]) -> Protocol:
    lines = ['[channels]\neffector = "E"\ntarget = "T"\ndeath = "D"']
    for row, name in zip("BCD", KILLER_SHARES, strict=True):
        named = [well.name for well in wells if well.name[0] == row]
        lines.append(f'[[condition]]\nname = "{name}"\nwells = {json.dumps(named)}')
    lines.append('[[condition]]\nname = "mock"\nwells = ["E02"]\nkind = "mock"')
    lines.append('[[condition]]\nname = "alone"\nwells = ["E03"]\nkind = "target_only"')
    return parse_protocol("\n".join(lines))


def _plate(wells: Sequence[Well], rng: np.random.Generator, kind: str) -> tuple[BasePlate, dict[str, int]]:
    listed = [_with_wrong_deaths(_events(well, rng), rng, kind) for well in wells]
    events = [
        replace(of, deaths=tuple(death for death in of.deaths if death.probability >= CALLED))
        for of in listed
    ]
    by_name = {well.name: well for well in wells}
    base = make_base(
        events,
        {well.name: _effectors(well.world) for well in wells},
        _protocol(wells),
        mistake=lambda of, credit: _with_wrong_killers(of, credit, by_name[of.well].world, rng, kind),
    )
    parts = {(of.well, of.field): _uncalled(of) for of in listed}
    base.tables = {**base.tables, DOUBTFUL_DEATHS: doubtful_table(parts, events, base.model)}
    ends = {of.well: {track.track_id: track.end for track in of.targets} for of in events}
    base.lives_of = lambda place: Lives(ends=lambda: ends[place.well], later=dict, doubts=dict)
    return base, {well.name: sum(bool(d.shares) for d in well.world.deaths) for well in wells}


def _uncalled(of: FieldEvents) -> Table:
    at = SimpleNamespace(field=FieldId(of.well, of.field), calibration=of.calibration)
    rows = doubtful_rows(at, [death for death in of.deaths if death.probability < CALLED])  # type: ignore[arg-type]
    return table_of_rows(DOUBTFUL_DEATHS, rows)


def _events(well: Well, rng: np.random.Generator) -> FieldEvents:
    """What truly happened, deaths timed to a frame or so, and all of them sure."""
    world, n_frames = well.world, well.world.settings.n_frames
    frame_min = float(world.settings.frame_min)
    gone = np.minimum(world.target_gone_min // frame_min, n_frames - 1).astype(int)
    contacts = [
        Contact(
            contact_id=number,
            effector_track_id=c.effector,
            target_track_id=c.target,
            first_frame=c.first_frame,
            last_frame=c.last_frame,
            min_gap_um=0.0,
            mean_interface_um=5.0,
            starts_censored=c.first_frame == 0,
            ends_censored=c.last_frame == n_frames - 1,
        )
        for number, c in enumerate(world.contacts, start=1)
    ]
    return FieldEvents(
        well=well.name,
        field=0,
        kind=well.kind,
        n_frames=n_frames,
        calibration=Calibration(pixel_um=(1.0, 1.0), frame_min=frame_min),
        contacts=tuple(contacts),
        deaths=tuple(
            _death(
                number, death.target, min(max(death.frame + int(rng.integers(-1, 2)), 1), n_frames - 1), SURE
            )
            for number, death in enumerate(world.deaths, start=1)
        ),
        targets=tuple(_track(n + 1, 0, int(last), n_frames) for n, last in enumerate(gone.tolist())),
    )


def _effectors(world: World) -> list[Track]:
    ids, n_frames = world.effector_id, world.settings.n_frames
    seen = {int(one): np.flatnonzero((ids == one).any(axis=1)) for one in np.unique(ids)}
    return [_track(one, int(frames[0]), int(frames[-1]), n_frames) for one, frames in seen.items()]


def _track(number: int, first: int, last: int, n_frames: int) -> Track:
    return Track(
        track_id=number,
        first_frame=first,
        last_frame=last,
        parent_track_id=None,
        start="movie_start" if first == 0 else "entered",
        end="movie_end" if last == n_frames - 1 else "lost",
    )


def _death(number: int, target: int, frame: int, probability: float) -> Death:
    return Death(
        death_id=number,
        role="target",
        track_id=target,
        frame=frame,
        first_possible_frame=max(frame - 2, 0),
        last_possible_frame=frame + 2,
        probability=probability,
        evidence=("dye",),
    )


def _drawn(rng: np.random.Generator, low: float, high: float, *, true: bool) -> float:
    """A probability between two bounds, all of them equally usual, of an event that is true or false."""
    while True:
        p = float(rng.uniform(low, high))
        if rng.random() < (p if true else 1 - p):
            return p


def _with_wrong_deaths(of: FieldEvents, rng: np.random.Generator, kind: str) -> FieldEvents:
    """Some true deaths become improbable, some live targets die; the doubtful right ones that go with them too."""
    order = rng.permutation(len(of.deaths)).tolist()
    n_missed, n_false = round(MISSED_DEATHS * len(order)), round(FALSE_DEATHS * len(order))
    deaths = {death.death_id: death for death in of.deaths}
    for n in order[:n_missed]:
        deaths[of.deaths[n].death_id] = replace(of.deaths[n], probability=_drawn(rng, 0.05, 0.5, true=True))
    wrong = [SURE] * n_false
    if kind == "doubtful":
        for n in order[n_missed : n_missed + 3 * n_false]:
            deaths[of.deaths[n].death_id] = replace(
                of.deaths[n], probability=_drawn(rng, 0.5, 1.0, true=True)
            )
        wrong = [_drawn(rng, 0.5, 1.0, true=False) for _ in range(n_false)]
        wrong += [_drawn(rng, 0.05, 0.5, true=False) for _ in range(round(2.6 * n_missed))]
    died = {death.track_id for death in of.deaths}
    alive = [track for track in of.targets if track.track_id not in died and track.last_frame > 20]
    chosen = rng.permutation(len(alive)).tolist()[: len(wrong)]
    for place, probability in zip(chosen, wrong, strict=False):
        number, track = max(deaths, default=0) + 1, alive[place]
        frame = int(rng.integers(5, track.last_frame - 5))
        deaths[number] = _death(number, track.track_id, frame, probability)
    return replace(of, deaths=tuple(deaths[number] for number in sorted(deaths)))


def _with_wrong_killers(
    of: FieldEvents, credit: Credit, world: World, rng: np.random.Generator, kind: str
) -> Credit:
    """Some deaths go to another effector that touched the target, or to nobody, with a share as doubtful as it is wrong."""
    kills, nobody = list(credit[0]), dict(credit[1])
    true = {death.target: death for death in world.deaths}
    found = [death for death in of.deaths if death.track_id in true]
    order = rng.permutation(len(found)).tolist()
    n_wrong = round(WRONG_KILLERS * len(found))
    n_doubtful = 3 * n_wrong if kind == "doubtful" else 0
    for place, n in enumerate(order[: n_wrong + n_doubtful]):
        death = found[n]
        shares = true[death.track_id].shares
        right = max(shares, key=lambda effector: shares[effector]) if shares else None
        before = [
            c for c in of.contacts if c.target_track_id == death.track_id and c.first_frame <= death.frame
        ]
        others: list[int | None] = [*sorted({c.effector_track_id for c in before} - {right})]
        others += [None] if right is not None else []
        if not others:
            continue
        other = others[int(rng.integers(len(others)))]
        is_wrong = place < n_wrong
        sure = _drawn(rng, 0.5, 1.0, true=not is_wrong) if kind == "doubtful" else 0.97
        parts = {other: sure, right: 1 - sure} if is_wrong else {other: 1 - sure, right: sure}
        kills = [kill for kill in kills if kill.death_id != death.death_id]
        for contact in {c.effector_track_id: c for c in before}.values():
            who = contact.effector_track_id
            if who in parts:
                kills.append(_kill(of, death, who, contact.contact_id, contact.first_frame, parts))
        given = {kill.effector_track_id for kill in kills if kill.death_id == death.death_id}
        nobody[death.death_id] = 1.0 - math.fsum(share for who, share in parts.items() if who in given)
    return sorted(kills, key=lambda kill: (kill.death_id, kill.effector_track_id)), nobody


def _kill(
    of: FieldEvents,
    death: Death,
    effector: int,
    contact_id: int,
    begun: int,
    parts: Mapping[int | None, float],
) -> Kill:
    return Kill(
        death_id=death.death_id,
        target_track_id=death.track_id,
        effector_track_id=effector,
        contact_id=contact_id,
        share=parts[effector],
        lag_min=of.calibration.minutes(death.frame - begun),
    )


def _review(
    base: BasePlate,
    truth: Mapping[str, Mapping[int, object]],
    true_kills: Mapping[str, int],
    order: str,
    seed: int,
) -> Curve:
    events = review_events(base.tables)
    sitting, plate = Sitting(events, MemoryJournal(), reader="oracle"), ReviewedPlate(base)
    chance = np.random.default_rng([seed, 5]).permutation(len(events["event"]))
    decisions, errors, asked = [0], [_error(base.tables, true_kills)], 0
    while (sitting.state.status == PENDING).any():
        rows = review_order(events, sitting.state, wells=base.tables["wells"]) if order == "queue" else chance
        pending = [row for row in rows.tolist() if sitting.state.status[row] == PENDING][:STEP]
        for row in pending:
            asked += _answer(sitting, events, row, truth[events["well"][row]])
        decisions.append(asked)
        errors.append(_error(plate.update(sitting.state), true_kills))
    return Curve(decisions, errors)


def _answer(sitting: Sitting, events: Table, row: int, truth: Mapping[int, object]) -> int:
    """What somebody says who knows; every key that she presses counts."""
    event, death = events["event"][row], truth.get(int(events["target_track_id"][row]))
    if death is None:
        sitting.decide("reject", event, reason="other")
        return 1
    before = len(sitting.state.decisions)
    if abs(int(events["frame"][row]) - death.frame) > SAME_FRAMES:  # type: ignore[attr-defined]
        sitting.decide("retime", event, frame=int(death.frame))  # type: ignore[attr-defined]
    shares = death.shares  # type: ignore[attr-defined]
    right = max(shares, key=lambda effector: shares[effector]) if shares else None
    shown = events["killer_track_id"][row]
    is_shown = math.isnan(shown) if right is None else shown == right
    sure = events["uncredited_share"][row] if right is None else events["killer_share"][row]
    if not is_shown or sure < NAMES_KILLER_BELOW:
        sitting.decide("killer", event, effector_track_id=right)
    elif len(sitting.state.decisions) == before:
        sitting.decide("accept", event)
    return len(sitting.state.decisions) - before


def _error(tables: Mapping[str, Table], true_kills: Mapping[str, int]) -> float:
    """Kills per 100 targets, mean over conditions of the distance to the truth."""
    wells, conditions = tables["wells"], tables["conditions"]
    apart = []
    for name, called in zip(conditions["condition"], conditions["kills_per_100_targets"], strict=True):
        mine = np.flatnonzero(wells["condition"] == name)
        true = [100 * true_kills[wells["well"][row]] / wells["n_targets"][row] for row in mine]
        apart.append(abs(float(called) - float(np.mean(true))))
    return float(np.mean(apart))


def at(curve: Curve, decisions: int) -> float:
    """Error after so many decisions, between two looks in proportion."""
    return float(np.interp(decisions, curve.decisions, curve.error))


def summary(folder: Path) -> dict[str, dict[str, list[float]]]:
    """Kind of plate -> order -> mean error over the seeds in the folder, after each of `LOOKS` decisions."""
    found: dict[str, dict[str, list[float]]] = {}
    for kind in KINDS:
        files = sorted(folder.glob(f"{kind}-*.json"))
        plain = [json.loads(file.read_text()) for file in files]
        if plain:
            found[kind] = {
                order: [float(np.mean([at(Curve(**one[order]), n) for one in plain])) for n in LOOKS]
                for order in ("queue", "random")
            }
    return found


def draw(means: Mapping[str, Mapping[str, Sequence[float]]]) -> str:
    """The curves as SVG, one panel a kind of plate."""
    width, height, left, top = 420, 210, 46, 34
    most = max(max(curve) for orders in means.values() for curve in orders.values())
    ceiling = math.ceil(most * 2) / 2
    parts = []
    for panel, (kind, orders) in enumerate(means.items()):
        x0 = left + panel * (width + 60)

        def place(n: float, error: float, x0: float = x0) -> str:
            return f"{x0 + width * n / LOOKS[-1]:.1f},{top + height * (1 - error / ceiling):.1f}"

        parts.append(f'<text x="{x0}" y="18" class="head">{TITLES[kind]}</text>')
        for step in range(int(ceiling * 2) + 1):
            x, y = place(0, step / 2).split(",")
            parts.append(f'<path d="M{x} {y}h{width}" class="grid"/>')
            parts.append(f'<text x="{x0 - 8}" y="{float(y) + 4:.1f}" class="end">{step / 2:g}</text>')
        for n in range(0, LOOKS[-1] + 1, 100):
            x, y = place(n, 0).split(",")
            parts.append(f'<text x="{x}" y="{float(y) + 18:.1f}" class="mid">{n}</text>')
        for order, colour in (("random", "#8a8f98"), ("queue", "#0072b2")):
            line = " ".join(place(n, error) for n, error in zip(LOOKS, orders[order], strict=True))
            parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2.2"/>')
            n = LOOKS.index(LABEL_AT[order])
            x, y = place(LOOKS[n], orders[order][n]).split(",")
            words = "random order" if order == "random" else "the queue"
            shift = -8 if order == "random" else 16
            anchor = "start" if order == "random" else "end"
            parts.append(
                f'<text x="{x}" y="{float(y) + shift:.1f}" text-anchor="{anchor}" style="fill:{colour};font-weight:600">{words}</text>'
            )
    total = left + len(means) * (width + 60) + 120
    caption = "decisions (mean over conditions and over plates)"
    parts.append(f'<text x="{left}" y="{top + height + 42}" class="head small">{caption}</text>')
    style = (
        "text{font:12px sans-serif;fill:#555}.head{font-weight:600;fill:#222}.small{font-weight:400;fill:#555}"
        ".end{text-anchor:end}.mid{text-anchor:middle}.grid{stroke:#ddd;stroke-width:1}"
    )
    size = f'width="{total}" height="{top + height + 56}" viewBox="0 0 {total} {top + height + 56}"'
    body = "".join(parts)
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}><style>{style}</style><rect width="100%" height="100%" fill="#fff"/>{body}</svg>\n'


def main() -> None:
    """Run the seeds and write the curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--wells-each", type=int, default=WELLS_EACH, help="Sample wells of each condition.")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for kind in arguments.kinds:
        for seed in arguments.seeds:
            file = arguments.out / f"{kind}-{seed}.json"
            if file.exists():
                continue
            curves = run_seed(seed, kind, wells_each=arguments.wells_each)
            plain = {order: {"decisions": c.decisions, "error": c.error} for order, c in curves.items()}
            file.write_text(json.dumps(plain))
    means = summary(arguments.out)
    (arguments.out / "review_value.svg").write_text(draw(means), encoding="utf-8", newline="\n")
    for kind, orders in means.items():
        for order, errors in orders.items():
            shown = ", ".join(
                f"{n}: {error:.2f}" for n, error in zip(LOOKS, errors, strict=True) if n % 50 == 0
            )
            print(f"{kind:10s} {order:8s} {shown}")


if __name__ == "__main__":
    main()
