"""Real images with outlined cells, as frames for a model: which channel shows what, and how large a pixel is.

The folders are not part of the project: `--data` or the environment variable `KILLASSAY_DATA` says where they lie,
docs/accuracy.md where they come from.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import gaussian, threshold_otsu

from assay.brightness import measure_brightness, role_slots
from assay.labels import CELL_ROLES, ChannelRole
from models.training.annotated import is_held_out
from models.training.dataset import TrainingFrame

DATA_VARIABLE = "KILLASSAY_DATA"
UNKNOWN_PIXEL_UM = 0.65  # where the images do not say: taken to be the model's own
C2C12_PIXEL_UM = 1.3  # Ker 2018, doi:10.1038/sdata.2018.237
# How wide nuclei of unknown scale are taken to be; with 13 um the model overlooks more of those it learned from.
NUCLEUS_UM = 15.5
_DEPTH_PER_RADIUS = 0.845  # smoothing and Otsu's threshold take this much; from the learned images of DSB2018

_ADCC_ROLES: Mapping[str, ChannelRole] = {
    "live_nuclei_channel": "nuclei",
    "dead_nuclei_channel": "death",
    "effector_fluo_channel": "effector",
    "brightfield_channel": "brightfield",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RealImage:
    """One image with the targets in it; what the effectors are is not known."""

    name: str
    group: str  # images of one group were taken alike: they stay together
    frame: TrainingFrame  # at its own pixel size
    pixel_um: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RealSet:
    """Where a set lies below the data folder, how to read it, and what is scored of it."""

    folder: str
    read: Callable[[Path], Iterator[RealImage]]
    scored: str  # in words

    def images(self, data: Path) -> list[RealImage]:
        """The images that are scored, in the order of their names."""
        return list(self.read(data / self.folder))


def real_image(
    name: str,
    planes: NDArray[Any],
    roles: Mapping[ChannelRole, int],
    targets: NDArray[np.integer],
    *,
    pixel_um: float,
    group: str = "",
) -> RealImage:
    """Put one (C, Y, X) image into slots, on the brightness of this image alone."""
    channels = {role: [channel] for role, channel in roles.items()}
    slots, present = role_slots(planes[None], measure_brightness([planes]), channels)
    known = np.stack([np.full(targets.shape, role == "target") for role in CELL_ROLES])
    frame = TrainingFrame(
        slots=slots[0],
        present=np.array(present),
        effectors=np.zeros(targets.shape, dtype=np.int32),
        targets=np.asarray(targets, dtype=np.int32),
        known=known,
    )
    return RealImage(name=name, group=group or name, frame=frame, pixel_um=pixel_um)


def raw_image(folder: Path, name: str) -> NDArray[Any]:
    """An image as it lies on disk."""
    image: NDArray[Any] = tifffile.imread(folder / f"{name}.tif")
    return image


def _adcc(folder: Path) -> Iterator[RealImage]:
    entries = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    for entry in sorted(entries, key=lambda entry: str(entry["name"])):
        roles = {_ADCC_ROLES[channel]: place for place, channel in enumerate(entry["channels"])}
        yield real_image(
            entry["name"],
            raw_image(folder, entry["name"]),
            roles,
            tifffile.imread(folder / f"{entry['name']}_labels.tif"),
            pixel_um=entry["um_per_px"],
            group=entry["experiment"],
        )


def guessed_pixel_um(nuclei: NDArray[Any]) -> float:
    """Pixel size at which the typical bright object of an image is as wide as a nucleus.

    Otsu's objects, their radii from the distance transform (so that clumps do not count as one), weighted by
    area. On the images of DSB2018 that are learned from, half of the guesses are within 10 % of the outlines.
    """
    low, high = np.percentile(nuclei, [5, 99.7])
    smooth = gaussian(np.clip((nuclei - low) / max(high - low, 1e-6), -0.2, 1.5), 1)
    depth = gaussian(ndimage.distance_transform_edt(smooth > threshold_otsu(smooth)), 1)
    peaks = peak_local_max(depth, min_distance=3, threshold_abs=1.5, exclude_border=False)
    if not len(peaks):
        return UNKNOWN_PIXEL_UM
    radius = np.sort(depth[tuple(peaks.T)])
    areas = np.cumsum(radius**2)
    diameter_px = 2 * radius[np.searchsorted(areas, areas[-1] / 2)] / _DEPTH_PER_RADIUS
    return float(NUCLEUS_UM / diameter_px)


def _pairs(folder: Path) -> Iterator[tuple[str, NDArray[Any], NDArray[np.integer]]]:
    for path in sorted(folder.glob("*_labels.tif")):
        name = path.name.removesuffix("_labels.tif")
        yield name, tifffile.imread(folder / f"{name}.tif"), tifffile.imread(path)


def _dsb(folder: Path, *, held_out: bool) -> Iterator[RealImage]:
    for name, image, targets in _pairs(folder):
        if is_held_out(name) == held_out:
            pixel_um = guessed_pixel_um(image)
            yield real_image(name, image[None], {"nuclei": 0}, targets, pixel_um=pixel_um)


def _dsb_held_out(folder: Path) -> Iterator[RealImage]:
    return _dsb(folder, held_out=True)


def _dsb_learned(folder: Path) -> Iterator[RealImage]:
    return _dsb(folder, held_out=False)


def _t98g(folder: Path) -> Iterator[RealImage]:
    for name, image, targets in _pairs(folder):
        yield real_image(name, image[None], {"brightfield": 0}, targets, pixel_um=UNKNOWN_PIXEL_UM)


def _c2c12(folder: Path) -> Iterator[RealImage]:
    with np.load(folder / "c2c12_phase_10f.npz") as file:
        films = (file["images"], file["labels"])
    return _film("c2c12", *films, role="brightfield", pixel_um=C2C12_PIXEL_UM)


def _nuclei6f(folder: Path) -> Iterator[RealImage]:
    images = tifffile.imread(folder / "nuclei6f_example_images.tif")
    labels = tifffile.imread(folder / "nuclei6f_example_label.tif")
    return _film("nuclei6f", images, labels, role="nuclei", pixel_um=UNKNOWN_PIXEL_UM)


def _film(
    name: str, images: NDArray[Any], labels: NDArray[np.integer], *, role: ChannelRole, pixel_um: float
) -> Iterator[RealImage]:
    for frame, (image, truth) in enumerate(zip(images, labels, strict=True)):
        yield real_image(f"{name}_{frame}", image[None], {role: 0}, truth, pixel_um=pixel_um, group=name)


_IN_TRAINING = "one film, which the shipped model has learned from"  # its figures are no test

SETS: Mapping[str, RealSet] = {
    "adcc_mcf7": RealSet(folder="adcc_mcf7", read=_adcc, scored="all images, none of them ever learned from"),
    "dsb2018_fluo": RealSet(folder="dsb2018_fluo", read=_dsb_held_out, scored="the third that is held out"),
    "t98g_phase": RealSet(folder="t98g_phase", read=_t98g, scored="all images"),
    "c2c12": RealSet(folder="c2c12_and_nuclei_small", read=_c2c12, scored=_IN_TRAINING),
    "nuclei6f": RealSet(folder="c2c12_and_nuclei_small", read=_nuclei6f, scored=_IN_TRAINING),
}
DSB_LEARNED = RealSet(
    folder="dsb2018_fluo", read=_dsb_learned, scored="the two thirds that may be learned from"
)


def folds_of(images: list[RealImage], n_folds: int) -> list[list[RealImage]]:
    """Whole groups dealt into folds of about equal size: the largest first, into the emptiest fold."""
    groups: dict[str, list[RealImage]] = {}
    for image in images:
        groups.setdefault(image.group, []).append(image)
    folds: list[list[RealImage]] = [[] for _ in range(min(n_folds, len(groups)))]
    for name in sorted(groups, key=lambda name: (-len(groups[name]), name)):
        min(folds, key=len).extend(groups[name])
    return folds


def digest(images: list[RealImage]) -> str:
    """Of names, pixel sizes and masks: tells whether results on disk belong to these images."""
    sums = hashlib.sha256()
    for image in images:
        sums.update(f"{image.name} {image.pixel_um:.6f}".encode())
        sums.update(image.frame.targets.tobytes())
    return sums.hexdigest()[:16]
