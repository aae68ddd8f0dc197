"""The same job as a lab's own script does it: scikit-image, one frame after the other, no network.

    python -m benchmarks.plain_skimage PLATE.zarr OUT --json F

Threshold and watershed per dye, regionprops, nearest neighbours for tracks, contact by growing the effectors,
death where the dye stays above a threshold, the kill to the effector last in contact. Written straightforwardly
and not slowed down: it is the yardstick of `benchmarks.speed`, and knows nothing of ours but the plate's layout.
"""

import argparse
import csv
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.spatial import cKDTree
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label, regionprops_table
from skimage.morphology import remove_small_objects
from skimage.segmentation import expand_labels, watershed

from benchmarks.measuring import own_peak_bytes, processor_s

EFFECTOR, TARGET, DEATH = 0, 1, 2  # channels of the benchmark's plates
PIXEL_UM, FRAME_MIN = 0.65, 4.0
STEPS = ("read", "segment", "measure", "contacts", "link", "deaths and kills", "write")

Labels = NDArray[np.int32]


@dataclass
class Role:
    """What the script knows of one kind of cell."""

    channel: int
    smooth_px: float
    seed_px: int  # smallest distance between two cells' centres
    smallest_px: int
    max_step_um: float  # between two frames


ROLES = {
    "effector": Role(channel=EFFECTOR, smooth_px=1.0, seed_px=5, smallest_px=60, max_step_um=40.0),
    "target": Role(channel=TARGET, smooth_px=2.0, seed_px=11, smallest_px=250, max_step_um=12.0),
}


class Clock:
    """Seconds of each step."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STEPS, 0.0)
        self._last = time.perf_counter()

    def lap(self, step: str) -> None:
        """Everything since the last lap was this step."""
        now = time.perf_counter()
        self.seconds[step] += now - self._last
        self._last = now


def segment(image: NDArray[Any], role: Role) -> Labels:
    """Otsu's threshold on log counts, and a watershed on the distance to the edge."""
    smooth = gaussian(image.astype(np.float32), role.smooth_px)
    smooth = np.log(np.maximum(smooth, 1.0))  # dim and bright cells alike: Otsu on counts loses the dim half
    mask = remove_small_objects(smooth > threshold_otsu(smooth), max_size=role.smallest_px)
    mask = ndi.binary_fill_holes(mask)
    distance = gaussian(ndi.distance_transform_edt(mask), 1.0)
    peaks = peak_local_max(distance, min_distance=role.seed_px, labels=label(mask), exclude_border=False)
    seeds = np.zeros(mask.shape, dtype=np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return watershed(-distance, seeds, mask=mask).astype(np.int32)


def measure(labels: Labels, image: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Area, centre and mean of every channel of each cell; `image` is (C, Y, X)."""
    wanted = ("label", "area", "centroid", "eccentricity", "mean_intensity")
    return regionprops_table(labels, np.moveaxis(image, 0, -1), properties=wanted)


def touching(effectors: Labels, targets: Labels, reach_px: float) -> set[tuple[int, int]]:
    """Pairs of cells where the grown effector reaches the target."""
    grown = expand_labels(effectors, reach_px)
    both = (grown > 0) & (targets > 0)
    return set(zip(grown[both].tolist(), targets[both].tolist(), strict=True))


def link(frames: list[dict[str, NDArray[Any]]], max_step_px: float) -> list[NDArray[np.int64]]:
    """Track ids of the cells of every frame: mutual nearest neighbours of successive frames."""
    ids: list[NDArray[np.int64]] = []
    following = 1
    for number, cells in enumerate(frames):
        mine = np.zeros(len(cells["label"]), dtype=np.int64)
        if number and len(mine) and len(ids[-1]):
            here, before = places(cells), places(frames[number - 1])
            distance, nearest = cKDTree(before).query(here, distance_upper_bound=max_step_px)
            _, back = cKDTree(here).query(before)
            for cell in np.flatnonzero(np.isfinite(distance)):
                if back[nearest[cell]] == cell:
                    mine[cell] = ids[-1][nearest[cell]]
        new = mine == 0
        mine[new] = np.arange(following, following + new.sum())
        following += int(new.sum())
        ids.append(mine)
    return ids


def places(cells: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Centres, (n, 2) in pixels."""
    return np.stack([cells["centroid-0"], cells["centroid-1"]], axis=1)


def find_deaths(targets: list[dict[str, NDArray[Any]]], ids: list[NDArray[np.int64]]) -> dict[int, int]:
    """Track -> frame where the death dye rises above the threshold for three frames in a row."""
    key = f"mean_intensity-{DEATH}"
    first = np.concatenate([cells[key] for cells in targets[:3]])
    middle = np.median(first)
    limit = middle + 5 * 1.4826 * np.median(np.abs(first - middle))
    above: dict[int, int] = {}
    deaths: dict[int, int] = {}
    for frame, (cells, tracks) in enumerate(zip(targets, ids, strict=True)):
        for track, mean in zip(tracks.tolist(), cells[key].tolist(), strict=True):
            above[track] = above.get(track, 0) + 1 if mean > limit else 0
            if above[track] == 3 and track not in deaths:
                deaths[track] = frame - 2
    return deaths


def find_kills(deaths: dict[int, int], contacts: dict[tuple[int, int], list[int]]) -> dict[int, int]:
    """Dead target -> the effector that was in contact last, within an hour before the death."""
    last: dict[int, tuple[int, int]] = {}
    for (effector, target), frames in contacts.items():
        death = deaths.get(target)
        before = [frame for frame in frames if death is not None and death - 60 / FRAME_MIN <= frame <= death]
        if before:
            last[target] = max(last.get(target, (-1, 0)), (before[-1], effector))
    return {target: effector for target, (_, effector) in last.items()}


def run_field(images: Any, out: Path, clock: Clock) -> dict[str, int]:
    """One film: labels and tables on disk."""
    n_frames = images.shape[0]
    labels = {name: np.zeros((n_frames, *images.shape[2:]), dtype=np.int32) for name in ROLES}
    cells: dict[str, list[dict[str, NDArray[Any]]]] = {name: [] for name in ROLES}
    pairs: list[set[tuple[int, int]]] = []
    for frame in range(n_frames):
        image = images[frame]
        clock.lap("read")
        for name, role in ROLES.items():
            labels[name][frame] = segment(image[role.channel], role)
        clock.lap("segment")
        for name in ROLES:
            cells[name].append(measure(labels[name][frame], image))
        clock.lap("measure")
        pairs.append(touching(labels["effector"][frame], labels["target"][frame], 1.0 / PIXEL_UM))
        clock.lap("contacts")
    ids = {name: link(cells[name], role.max_step_um / PIXEL_UM) for name, role in ROLES.items()}
    clock.lap("link")
    contacts = contacts_of(pairs, ids)
    deaths = find_deaths(cells["target"], ids["target"])
    kills = find_kills(deaths, contacts)
    clock.lap("deaths and kills")
    write_field(out, labels, cells, ids, contacts, deaths, kills)
    clock.lap("write")
    return {"contacts": len(contacts), "deaths": len(deaths), "kills": len(kills)}


def contacts_of(
    pairs: list[set[tuple[int, int]]], ids: dict[str, list[NDArray[np.int64]]]
) -> dict[tuple[int, int], list[int]]:
    """(effector track, target track) -> frames in contact; labels run from 1 in every frame."""
    contacts: dict[tuple[int, int], list[int]] = {}
    for frame, touched in enumerate(pairs):
        for effector, target in sorted(touched):
            tracks = (int(ids["effector"][frame][effector - 1]), int(ids["target"][frame][target - 1]))
            contacts.setdefault(tracks, []).append(frame)
    return contacts


def write_field(
    out: Path,
    labels: dict[str, Labels],
    cells: dict[str, list[dict[str, NDArray[Any]]]],
    ids: dict[str, list[NDArray[np.int64]]],
    contacts: dict[tuple[int, int], list[int]],
    deaths: dict[int, int],
    kills: dict[int, int],
) -> None:
    """Tracked label images as compressed TIFF, the rest as CSV."""
    out.mkdir(parents=True)
    for name in ROLES:
        for frame, tracks in enumerate(ids[name]):
            labels[name][frame] = np.concatenate([[0], tracks])[labels[name][frame]]
        tifffile.imwrite(out / f"{name}s.tif", labels[name], compression="zlib", photometric="minisblack")
        with (out / f"{name}s.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["frame", "track", *cells[name][0]])
            for frame, (table, tracks) in enumerate(zip(cells[name], ids[name], strict=True)):
                columns = [column.tolist() for column in table.values()]
                writer.writerows([frame, *row] for row in zip(tracks.tolist(), *columns, strict=True))
    with (out / "contacts.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [*pair, frames[0], frames[-1], len(frames)] for pair, frames in contacts.items()
        )
    with (out / "deaths.csv").open("w", newline="") as file:
        csv.writer(file).writerows([track, frame, kills.get(track, "")] for track, frame in deaths.items())


def run_plate(plate: Path, out: Path) -> dict[str, Any]:
    """All fields of an OME-Zarr plate."""
    clock = Clock()
    group = zarr.open_group(plate, mode="r")
    found: list[dict[str, int]] = []
    started, spent = time.perf_counter(), processor_s()
    for well in group.attrs["ome"]["plate"]["wells"]:
        for image in group[well["path"]].attrs["ome"]["well"]["images"]:
            place = f"{well['path']}/{image['path']}"
            found.append(run_field(group[f"{place}/0"], out / place, clock))
    return {
        "wall_s": time.perf_counter() - started,
        "cpu_s": processor_s() - spent,
        "steps_s": clock.seconds,
        "found": {name: sum(field[name] for field in found) for name in found[0]},
        "peak_bytes": own_peak_bytes(),
    }


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plate", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    given = parser.parse_args()
    given.json.write_text(json.dumps(run_plate(given.plate, given.out), indent=1))


if __name__ == "__main__":
    main()
