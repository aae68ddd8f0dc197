r"""The public images that the shipped model learned from, as folders for `killassay train --annotated`.

    python -m benchmarks.annotated_sets OUT [--data FOLDER]
    killassay train --out standard --steps 6000 --tiles 2800 \
        --annotated nuclei=OUT/nuclei --annotated brightfield=OUT/phase

Nuclei: the two thirds of DSB2018's fluorescence images that are not held out (CC0) and six frames of nuclei from
laptrack's examples (BSD-3-Clause). Phase: ten frames of C2C12 (CC BY 4.0, Ker 2018). None of them shows effectors:
in phase contrast that is known, among nuclei it is not asked.
"""

import argparse
import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from assay.labels import CHANNEL_ROLES
from benchmarks.real_sets import DATA_VARIABLE, DSB_LEARNED, SETS, RealImage

_NUCLEUS_UM = 13.0  # wide: what outlined nuclei of unknown scale are taken to be


def main() -> None:
    """Write the folders."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get(DATA_VARIABLE, "")))
    given = parser.parse_args()
    nuclei = [*DSB_LEARNED.images(given.data), *SETS["nuclei6f"].images(given.data)]
    write_folder(given.out / "nuclei", ((image, outlined_pixel_um(image.frame.targets)) for image in nuclei))
    phase = [(image, image.pixel_um) for image in SETS["c2c12"].images(given.data)]
    write_folder(given.out / "phase", phase)
    for image, _ in phase:
        empty = np.zeros(image.frame.targets.shape, dtype=np.uint16)
        tifffile.imwrite(given.out / "phase" / f"{image.name}_effectors.tif", empty)


def outlined_pixel_um(nuclei: NDArray[np.integer]) -> float:
    """Pixel size at which the median outlined nucleus is as wide as nuclei are taken to be."""
    area = np.bincount(nuclei.ravel())[1:]
    return float(_NUCLEUS_UM / (2 * np.sqrt(np.median(area[area > 0]) / np.pi)))


def write_folder(folder: Path, images: Iterable[tuple[RealImage, float]]) -> None:
    """Images, masks, and an index with the pixel sizes."""
    folder.mkdir(parents=True, exist_ok=True)
    index = []
    for image, pixel_um in images:
        [slot] = np.flatnonzero(image.frame.present)
        tifffile.imwrite(folder / f"{image.name}.tif", image.frame.slots[slot].astype(np.float32))
        tifffile.imwrite(folder / f"{image.name}_targets.tif", image.frame.targets.astype(np.uint16))
        index.append({"name": image.name, "pixel_um": pixel_um, "channels": [CHANNEL_ROLES[slot]]})
    (folder / "index.json").write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
