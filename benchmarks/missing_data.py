"""What faults of single planes do to deaths and kills: the same simulated film whole, and with one kind of fault each.

python -m benchmarks.missing_data --seeds 501 502 [--frames 60] [--side 288] [--json F]

Each film is a plate whose wells show the same film, one of them untouched; the shipped model looks at each. A death
of a spoilt well is the untouched well's where it lies at the same place and time; any other that the truth does not
know either was made by the fault.
"""

import argparse
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from assay.cli.model_commands import model_for
from assay.columns import Table
from assay.io.ome_zarr import PlateWriter
from assay.io.tables import read_table
from assay.labels import FrameLabels, Segmenter
from assay.pipeline.run import RunOptions, plan_run, run_plate
from assay.protocol import Protocol
from assay.simulate.film import Film, simulate_film
from assay.simulate.scenario import scenario_named
from assay.stack import FieldId
from benchmarks.main_job import Quiet

SHARE = 0.05  # of the frames are spoilt
SAME_UM = 10.0  # a death further away is another cell's
JUMP_PX = (60, 40)
SAME_FRAMES = 3  # beyond the interval of either

Images = NDArray[np.uint16]
Spoil = Callable[[Images, list[int], np.random.Generator, Mapping[str, int]], None]


def _black(*roles: str) -> Spoil:
    def spoil(images: Images, frames: list[int], _: np.random.Generator, at: Mapping[str, int]) -> None:
        images[np.ix_(frames, [at[role] for role in roles or at])] = 0

    return spoil


def _saturated(images: Images, frames: list[int], _: np.random.Generator, at: Mapping[str, int]) -> None:
    images[frames, at["death"]] = 65535


def _shutter(role: str) -> Spoil:
    def spoil(images: Images, frames: list[int], rng: np.random.Generator, at: Mapping[str, int]) -> None:
        for frame in frames:
            level = np.percentile(images[frame, at[role]], 1)
            dark = rng.normal(level, 4.0, images.shape[2:])
            images[frame, at[role]] = np.clip(np.rint(dark), 0, 65535)

    return spoil


def _frozen(*roles: str) -> Spoil:
    def spoil(images: Images, frames: list[int], _: np.random.Generator, at: Mapping[str, int]) -> None:
        for frame in frames:
            for role in roles or at:
                images[frame, at[role]] = images[frame - 1, at[role]]

    return spoil


def _brighter(image: Images, gain: float, rng: np.random.Generator) -> Images:
    """More light through the same optics; its noise grows as the root of it."""
    level = float(np.percentile(image, 0.1))
    light = gain * (image - level) + level
    noisy = light + rng.normal(0, np.sqrt(np.maximum(light - level, 0) * max(gain - 1, 0)), image.shape)
    return np.clip(np.rint(noisy), 0, 65535).astype(np.uint16)


def _flash(images: Images, frames: list[int], rng: np.random.Generator, at: Mapping[str, int]) -> None:
    for frame in frames:
        for channel in at.values():
            images[frame, channel] = _brighter(images[frame, channel], 10.0, rng)


def _lamp_jump(images: Images, _: list[int], rng: np.random.Generator, at: Mapping[str, int]) -> None:
    for frame in range(len(images) // 2, len(images)):
        images[frame, at["target"]] = _brighter(images[frame, at["target"]], 10.0, rng)


def _out_of_focus(images: Images, frames: list[int], rng: np.random.Generator, at: Mapping[str, int]) -> None:
    for frame in frames:
        for channel in at.values():
            noise = rng.normal(0, 4.0, images.shape[2:])
            blurred = gaussian_filter(images[frame, channel].astype(np.float64), 9) + noise
            images[frame, channel] = np.clip(np.rint(blurred), 0, 65535)


def _partly_blank(images: Images, frames: list[int], _: np.random.Generator, at: Mapping[str, int]) -> None:
    height = images.shape[2]
    for frame in frames:
        images[frame, at["target"], : height // 3] = 0


def _swapped(images: Images, frames: list[int], _: np.random.Generator, __: Mapping[str, int]) -> None:
    for frame in frames:
        images[[frame - 1, frame]] = images[[frame, frame - 1]]


def _stage_jump(images: Images, frames: list[int], _: np.random.Generator, __: Mapping[str, int]) -> None:
    images[frames[0] :] = np.roll(images[frames[0] :], JUMP_PX, axis=(2, 3))


FAULTS: dict[str, Spoil | None] = {
    "whole": None,
    "death dye black": _black("death"),
    "death dye without light": _shutter("death"),
    "death dye saturated": _saturated,
    "death dye frozen": _frozen("death"),
    "effector dye black": _black("effector"),
    "effector dye without light": _shutter("effector"),
    "target dye black": _black("target"),
    "brightfield black": _black("brightfield"),
    "all channels black": _black(),
    "all channels frozen": _frozen(),
    "flash, 10 times": _flash,
    "out of focus": _out_of_focus,
    "a third of the target dye blank": _partly_blank,
    "frames in swapped order": _swapped,
    "stage jumps by 47 um for good": _stage_jump,
    "target lamp 10 times brighter for good": _lamp_jump,
}


@dataclass(slots=True)
class Remembering:
    """A segmenter that looks at each frame once: most frames of the wells are the same."""

    inner: Segmenter
    seen: dict[bytes, FrameLabels]

    @property
    def identity(self) -> Mapping[str, str]:
        """Of the model."""
        return self.inner.identity

    def segment(
        self, images: NDArray[np.float32], *, present: Sequence[bool], pixel_um: tuple[float, float]
    ) -> list[FrameLabels]:
        """Labels of each frame, from memory where it was looked at before."""
        found = []
        for image in images:
            key = hashlib.sha256(image.tobytes() + bytes(present)).digest()
            if key not in self.seen:
                [self.seen[key]] = self.inner.segment(image[None], present=present, pixel_um=pixel_um)
            found.append(self.seen[key])
        return found


def bench_film(
    seed: int, *, scenario: str, n_frames: int, side_px: int, faults: Sequence[str] = tuple(FAULTS)
) -> dict[str, dict[str, float]]:
    """One film with each fault, the first of which is none: what became of its deaths and kills."""
    made = replace(scenario_named(scenario), shape_px=(side_px, side_px))
    film = simulate_film(made, seed=seed, n_frames=n_frames)
    images = np.stack([film.images(frame) for frame in range(n_frames)])
    at = {role: film.channel_names.index(name) for role, name in film.roles.items()}
    rng = np.random.default_rng(seed)
    count = max(1, round(SHARE * n_frames))
    frames = sorted((4 + rng.choice((n_frames - 8) // 2, count, replace=False) * 2).tolist())
    wells = {f"{'ABCDEFGH'[n // 12]}{n % 12 + 1:02d}": fault for n, fault in enumerate(faults)}
    with tempfile.TemporaryDirectory(prefix="missing_data") as folder:
        plate, out = Path(folder) / "plate.zarr", Path(folder) / "results"
        _write(plate, film, images, wells, frames, at, seed)
        protocol = Protocol(channels={role: (name,) for role, name in film.roles.items()})
        make, identity = model_for(protocol.model, "cpu")
        model = Remembering(make(), {})
        options = RunOptions(batch_frames=1)
        plan = plan_run(plate, out, protocol=protocol, options=options).with_segmenter(identity)
        outcome = run_plate(
            plan,
            make_segmenter=lambda: model,
            provenance={"model": identity},
            options=options,
            progress=Quiet(),
        )
        assert not outcome.failed, outcome.failed
        names = ("cells", "deaths", "kills", "fields", "wells")
        tables = {name: read_table(out / "tables", name) for name in names}
    return {fault: _compared(tables, well, fault, film, frames[0]) for well, fault in wells.items()}


def _write(
    path: Path,
    film: Film,
    images: Images,
    wells: Mapping[str, str],
    frames: list[int],
    at: Mapping[str, int],
    seed: int,
) -> None:
    fields = [FieldId(well, 0) for well in wells]
    with PlateWriter.create(
        path,
        fields=fields,
        shapes=dict.fromkeys(fields, images.shape),
        dtype=np.uint16,
        channel_names=film.channel_names,
        channel_roles={name: role for role, name in film.roles.items()},
        calibration=film.calibration,
    ) as writer:
        for field, fault in zip(fields, wells.values(), strict=True):
            shown, spoil = images.copy(), FAULTS[fault]
            if spoil is not None:
                spoil(shown, frames, np.random.default_rng(seed), at)
            for first in writer.shard_starts(field):
                writer.write(field, first, shown[first : first + writer.shard_frames(field)])


def _deaths_of(tables: Mapping[str, Table], well: str) -> list[dict[str, float]]:
    """Target deaths of a well with place, interval and the part of effectors in them."""
    deaths, cells = tables["deaths"], tables["cells"]
    mine = (cells["well"] == well) & (cells["role"] == "target")
    found = []
    for row in np.flatnonzero((deaths["well"] == well) & (deaths["role"] == "target")).tolist():
        sights = np.flatnonzero(mine & (cells["track_id"] == deaths["track_id"][row]))
        near = sights[np.argmin(np.abs(cells["frame"][sights] - deaths["frame"][row]))]
        caused = 1.0 - float(deaths["uncredited_share"][row])
        found.append(
            {
                "y": float(cells["y_um"][near]),
                "x": float(cells["x_um"][near]),
                "seen": float(cells["frame"][near]),
                "first": float(deaths["first_possible_frame"][row]),
                "last": float(deaths["last_possible_frame"][row]),
                "caused": caused * float(deaths["probability"][row]),
            }
        )
    return found


def _is_true(death: Mapping[str, float], film: Film, shift: tuple[int, int]) -> bool:
    """Whether the truth has a target at the place of a death that dies then."""
    tracks, pixel = film.tracks["target"], film.calibration.pixel_um
    dies = {
        track.track_id: tracks.death_frame(index, film.cells("target"), film.calibration)
        for index, track in enumerate(tracks.tracks)
    }
    image = film.truth(int(death["seen"])).of("target")
    y, x = (round(death[axis] / size) for axis, size in zip(("y", "x"), pixel, strict=True))
    around = round(SAME_UM / pixel[0] / 2)
    rows = (np.arange(y - around, y + around + 1) - shift[0]) % image.shape[0]
    columns = (np.arange(x - around, x + around + 1) - shift[1]) % image.shape[1]
    here = set(np.unique(image[np.ix_(rows, columns)]).tolist()) - {0}
    frames = [dies[number] for number in here if dies.get(number) is not None]
    return any(death["first"] - SAME_FRAMES <= frame <= death["last"] + SAME_FRAMES for frame in frames)


def _is_same(one: Mapping[str, float], other: Mapping[str, float], *, anywhere: bool) -> bool:
    """Whether two deaths are one by time and place; by time alone where the stage was moved."""
    in_time = one["first"] - SAME_FRAMES <= other["last"] and other["first"] <= one["last"] + SAME_FRAMES
    near = anywhere or np.hypot(one["y"] - other["y"], one["x"] - other["x"]) <= SAME_UM
    return bool(in_time and near)


def _compared(
    tables: Mapping[str, Table], well: str, fault: str, film: Film, first_spoilt: int
) -> dict[str, float]:
    """What is the same as in the untouched well, what is not, and how much of that no truth explains."""
    here, whole = _deaths_of(tables, well), _deaths_of(tables, "A01")
    moved = FAULTS[fault] is _stage_jump
    left = list(whole)
    new, wider = [], []
    for death in here:
        same = next((other for other in left if _is_same(death, other, anywhere=moved)), None)
        if same is None:
            new.append(death)
            continue
        left.remove(same)
        wider.append((death["last"] - death["first"]) - (same["last"] - same["first"]))
    made = [
        death
        for death in new
        if not _is_true(death, film, JUMP_PX if moved and death["seen"] >= first_spoilt else (0, 0))
    ]
    row = np.flatnonzero(tables["wells"]["well"] == well)[0]
    return {
        "deaths": len(here),
        "kills": float(tables["wells"]["kills"][row]),
        "lost_deaths": len(left),
        "new_deaths": len(new),
        "made_kills": float(sum(death["caused"] for death in made)),
        "widened_frames": float(np.mean(wider)) if wider else float("nan"),
        "invalid_planes": float(tables["fields"]["n_invalid_planes"][row]),
    }


def lines_of(films: Sequence[Mapping[str, Mapping[str, float]]]) -> list[str]:
    """A Markdown table over all films."""
    lines = [
        "| fault | planes named | deaths | kills | deaths lost | deaths new | kills made | interval wider, frames |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for fault in films[0]:
        rows = [film[fault] for film in films]
        total = {name: sum(row[name] for row in rows) for name in rows[0]}
        wider = np.nanmean([row["widened_frames"] for row in rows])
        lines.append(
            f"| {fault} | {total['invalid_planes']:.0f} | {total['deaths']:.0f} | {total['kills']:.2f} | "
            f"{total['lost_deaths']:.0f} | {total['new_deaths']:.0f} | {total['made_kills']:.2f} | {wider:.1f} |"
        )
    return lines


def main(words: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[501, 502])
    parser.add_argument("--scenario", default="et5")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--side", type=int, default=288)
    parser.add_argument("--faults", nargs="+", default=list(FAULTS), choices=list(FAULTS))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(words)
    films: list[dict[str, Any]] = []
    for seed in given.seeds:
        films.append(
            bench_film(
                seed, scenario=given.scenario, n_frames=given.frames, side_px=given.side, faults=given.faults
            )
        )
        if given.json:
            given.json.write_text(json.dumps(dict(zip(map(str, given.seeds), films, strict=False)), indent=1))
    print("\n".join(lines_of(films)))


if __name__ == "__main__":
    main()
