"""A film of four times the frames: four times the time, the same memory.

    python -m benchmarks.length [--frames 32] [--times 4] [--size 512 512] [--device cpu] [--json F]

Each length runs in a process of its own, which first runs a short film, so that imports, the model and the first
pass through it are in neither figure. Time is the processor time of the steps and their wall time; memory is the
peak of the process.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measuring import measured
from benchmarks.mosaic import write_plate

WARM_FRAMES = 16
MEGA = 1e6


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=32, help="of the shorter film")
    parser.add_argument("--times", type=int, default=4, help="how much longer the longer one is")
    parser.add_argument("--size", type=int, nargs=2, default=(512, 512), metavar=("Y", "X"))
    parser.add_argument("--model", default="standard", help="name, or the path of a model's card")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="killassay-length-"))
    try:
        figures = compare(folder, given)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(page(figures))
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


def compare(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Run both lengths, and a much shorter film that tells what a run costs whatever its length."""
    size = (given.size[0], given.size[1])
    warm = folder / "warm.zarr"
    write_plate(warm, wells=1, fields=1, frames=WARM_FRAMES, size_px=size)
    figures: dict[str, Any] = {"size_px": size, "times": given.times, "lengths": []}
    for frames in (max(4, given.frames // 6), given.frames, given.times * given.frames):
        plate = folder / f"film{frames}.zarr"
        protocol = write_plate(plate, wells=1, fields=1, frames=frames, size_px=size)
        cost = measured(
            "benchmarks.main_job", plate, protocol, folder / f"results{frames}", "--model", given.model, "--device", given.device,
            "--warm", warm,
        )  # fmt: skip
        figures["lengths"].append({"frames": frames, **cost.report, "peak_bytes": cost.peak_bytes})
    return figures


def page(figures: dict[str, Any]) -> str:
    """The figures as text."""
    least, short, long = figures["lengths"]
    lines = [
        f"one field of {figures['size_px'][0]} x {figures['size_px'][1]} px",
        f"{'':<14}{short['frames']:>7} frames{long['frames']:>7} frames{'ratio':>9}",
    ]
    for step in short["steps_s"]:
        lines.append(_row(f"{step}, s", short["steps_s"][step], long["steps_s"][step]))
    lines.append(_row("all, wall s", short["wall_s"], long["wall_s"]))
    lines.append(_row("processor s", short["cpu_s"], long["cpu_s"]))
    lines.append(_row("memory MB", short["peak_bytes"] / MEGA, long["peak_bytes"] / MEGA))
    per_frame = [
        (b["cpu_s"] - a["cpu_s"]) / (b["frames"] - a["frames"]) for a, b in ((least, short), (short, long))
    ]
    lines.append(
        f"a further frame costs {per_frame[0]:.3f} s up to {short['frames']} frames and {per_frame[1]:.3f} s beyond: "
        f"off by {100 * abs(per_frame[1] / per_frame[0] - 1):.0f} %; opening, credit and report cost "
        f"{short['cpu_s'] - per_frame[1] * short['frames']:.1f} s whatever the length"
    )
    time_off = abs(long["cpu_s"] / short["cpu_s"] / figures["times"] - 1)
    memory_off = abs(long["peak_bytes"] / short["peak_bytes"] - 1)
    lines.append(
        f"{figures['times']} times the frames: processor time off by {100 * time_off:.0f} %, memory by "
        f"{100 * memory_off:.0f} % (10 % is allowed)"
    )
    return "\n".join(lines)


def _row(name: str, short: float, long: float) -> str:
    ratio = f"{long / short:>9.2f}" if short > 0 else f"{'-':>9}"
    return f"{name:<14}{short:>14.2f}{long:>14.2f}{ratio}"


if __name__ == "__main__":
    main()
