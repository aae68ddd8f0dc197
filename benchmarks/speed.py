"""How fast the main job is, step by step, beside a plain scikit-image script doing the same job.

    python -m benchmarks.speed [--wells 2] [--fields 1] [--frames 48] [--size 1024 1024]
                               [--device cpu] [--workers 1] [--work DIR] [--json F]

Makes a plate, runs `killassay`'s main job on it and then the script, each in a process of its own, one after the
other on the same machine. Frames per second count frames of all channels, megapixels per second pixels of all
channels. Start-up (imports, loading the model) is not in the rates: the main job first runs a few small frames in
the same process, the script imports everything before its clock starts. Memory is that of the process and its
children together, at its peak.
"""

import argparse
import json
import os
import platform
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measuring import Cost, measured
from benchmarks.mosaic import write_plate

N_CHANNELS = 4
MEGA = 1e6
WARM_FRAMES, WARM_PX = 3, 256

# (name, what it is, where its seconds are)
ROWS = (
    ("brightness", "scale of each channel from a sample of frames", ("steps_s", "brightness")),
    ("read", "raw frames from the plate", ("pixels_s", "read")),
    ("network", "segmentation: network and cells from its maps", ("pixels_s", "network")),
    ("measure", "measures, light, touching pairs", ("pixels_s", "measure")),
    ("write", "frame labels and tables", ("pixels_s", "write")),
    ("track", "tracks", ("steps_s", "link")),
    ("label images", "labels.zarr with previews", ("steps_s", "labels")),
    ("events", "contacts and deaths", ("steps_s", "events")),
)


def main() -> None:
    """Entry point."""
    given = _arguments()
    folder = given.work or Path(tempfile.mkdtemp(prefix="killassay-speed-"))
    try:
        figures = benchmark(folder, given)
    finally:
        if given.work is None:
            shutil.rmtree(folder, ignore_errors=True)
    print(page(figures))
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


def benchmark(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Make the plate, run both, and put the figures together."""
    size = (given.size[0], given.size[1])
    plate = folder / "speed.zarr"
    protocol = write_plate(plate, wells=given.wells, fields=given.fields, frames=given.frames, size_px=size)
    warm = folder / "warm.zarr"
    write_plate(warm, wells=1, fields=1, frames=WARM_FRAMES, size_px=(WARM_PX, WARM_PX))
    ours = measured(
        "benchmarks.main_job", plate, protocol, folder / "results", "--model", given.model, "--device", given.device,
        "--workers", given.workers, "--warm", warm,
    )  # fmt: skip
    plain = measured("benchmarks.plain_skimage", plate, folder / "plain") if given.plain else None
    frames = given.wells * given.fields * given.frames
    return {
        "plate": {"wells": given.wells, "fields": given.fields, "frames": given.frames, "size_px": size},
        "machine": {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine(),
                    "load": os.getloadavg()[0]},
        "device": given.device,
        "workers": given.workers,
        "frames": frames,
        "megapixels": frames * N_CHANNELS * size[0] * size[1] / MEGA,
        "killassay": _figures(ours),
        "plain_skimage": None if plain is None else _figures(plain),
    }  # fmt: skip


def page(figures: dict[str, Any]) -> str:
    """The figures as text."""
    plate, ours, plain = figures["plate"], figures["killassay"], figures["plain_skimage"]
    frames, pixels, workers = figures["frames"], figures["megapixels"], figures["workers"]
    lines = [
        f"{plate['wells']} wells x {plate['fields']} fields x {plate['frames']} frames of {plate['size_px'][0]} x "
        f"{plate['size_px'][1]} px, {N_CHANNELS} channels: {frames} frames, {pixels:.0f} megapixels",
        f"device {figures['device']}, {workers} workers, {figures['machine']['cores']} cores, load at the end "
        f"{figures['machine']['load']:.1f}; model {ours['model']['model']}, {ours['model']['precision']}",
        "",
        f"{'step':<14}{'seconds':>10}{'frames/s':>10}{'MP/s':>10}{'share':>8}   (seconds of all workers together)",
    ]
    known = {name: ours[group].get(key, 0.0) for name, _, (group, key) in ROWS}
    rest = max(0.0, ours["wall_s"] * workers - sum(known.values())) if workers == 1 else None
    busy = ours["wall_s"] if rest is not None else sum(known.values())
    for name, meaning, _ in ROWS:
        lines.append(_row(name, known[name], frames, pixels, busy, meaning))
    if rest is not None:
        lines.append(_row("rest", rest, frames, pixels, busy, "credit, wells, report, ledger"))
    lines.append(_row("all, wall", ours["wall_s"], frames, pixels, ours["wall_s"], "start-up not in it"))
    if workers == 1:
        lines.append(
            f"inside the network's forward passes: {ours['forward_s']:.1f} s, {100 * ours['forward_s'] / busy:.0f} % "
            "of the wall time"
        )
    lines.append(f"processor {ours['cpu_s']:.1f} s, peak memory {_mb(ours)}")
    return "\n".join(lines + _comparison(ours, plain, frames, pixels))


def _comparison(ours: dict[str, Any], plain: dict[str, Any] | None, frames: int, pixels: float) -> list[str]:
    if plain is None:
        return []
    lines = ["", "plain scikit-image script, one process"]
    lines += [
        _row(name, seconds, frames, pixels, plain["wall_s"], "") for name, seconds in plain["steps_s"].items()
    ]
    lines.append(_row("all, wall", plain["wall_s"], frames, pixels, plain["wall_s"], ""))
    lines.append(f"processor {plain['cpu_s']:.1f} s, peak memory {_mb(plain)}")
    lines += [
        "",
        f"killassay is {plain['wall_s'] / ours['wall_s']:.2f} times as fast as the script by the clock, "
        f"{plain['cpu_s'] / ours['cpu_s']:.2f} times by processor time, and takes "
        f"{ours['peak_bytes'] / plain['peak_bytes']:.2f} times its memory.",
    ]
    return lines


def _row(name: str, seconds: float, frames: int, pixels: float, whole: float, meaning: str) -> str:
    rate = f"{frames / seconds:>10.1f}{pixels / seconds:>10.1f}" if seconds > 0 else f"{'-':>10}{'-':>10}"
    return f"{name:<14}{seconds:>10.2f}{rate}{100 * seconds / whole:>7.1f}%   {meaning}".rstrip()


def _figures(cost: Cost) -> dict[str, Any]:
    return {**cost.report, "cpu_s": cost.cpu_s, "peak_bytes": cost.peak_bytes}


def _mb(figures: dict[str, Any]) -> str:
    return f"{figures['peak_bytes'] / MEGA:.0f} MB"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--wells", type=int, default=2)
    parser.add_argument("--fields", type=int, default=1, help="fields per well")
    parser.add_argument("--frames", type=int, default=48, help="frames per film")
    parser.add_argument("--size", type=int, nargs=2, default=(1024, 1024), metavar=("Y", "X"))
    parser.add_argument("--model", default="standard", help="name, or the path of a model's card")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument(
        "--no-plain", dest="plain", action="store_false", help="without the scikit-image script"
    )
    parser.add_argument("--work", type=Path, help="folder for plate and results, kept; must be empty")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    return parser.parse_args()


if __name__ == "__main__":
    main()
