"""Which effector killed whom, by shares, and which share nobody gets.

Knows contacts and deaths of all fields of a plate. Knows nothing of pixels.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """One effector's share in one death. The shares of a death and its uncredited share sum to 1."""

    death_id: int
    target_track_id: int
    effector_track_id: int
    contact_id: int
    share: float
    lag_min: float
