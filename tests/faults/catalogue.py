"""The whole catalogue, by room."""

from tests.faults import (
    chunk_faults,
    model_faults,
    picture_faults,
    plate_faults,
    results_faults,
    review_faults,
    setting_faults,
    text_faults,
    tiff_faults,
    word_faults,
)
from tests.faults.fault import Fault

ROOMS: dict[str, list[Fault]] = {
    "Images": picture_faults.FAULTS,
    "Plates": plate_faults.FAULTS,
    "Pixels on the disk": chunk_faults.FAULTS,
    "Import": tiff_faults.FAULTS,
    "Protocols, plate maps, cluster files": setting_faults.FAULTS,
    "Models and devices": model_faults.FAULTS,
    "RESULTS": results_faults.FAULTS,
    "Review logs": review_faults.FAULTS,
    "Names and texts": text_faults.FAULTS,
    "Commands": word_faults.FAULTS,
}
FAULTS = [fault for room in ROOMS.values() for fault in room]
