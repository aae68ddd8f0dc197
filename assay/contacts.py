"""Which effector touches which target, from when to when.

Knows label images, tracks and calibration. Knows nothing of killing.
"""

from dataclasses import dataclass

from assay.units import Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """One uninterrupted contact; seen in a single frame it lasts one frame interval."""

    contact_id: int
    effector_track_id: int
    target_track_id: int
    first_frame: int
    last_frame: int  # included
    min_gap_um: float
    mean_interface_um: float
    starts_censored: bool
    ends_censored: bool

    def duration_min(self, calibration: Calibration) -> float:
        """Time in contact, in minutes."""
        return calibration.minutes(self.last_frame - self.first_frame + 1)
