"""Which cell died, and when.

Knows the traces of one cell. Needs no effector: who did it is asked in `kills.py`.
"""

from dataclasses import dataclass

from assay.labels import CellRole


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """The death of one cell, with the interval that holds its onset and the probability that it is one."""

    death_id: int
    role: CellRole
    track_id: int
    frame: int
    first_possible_frame: int
    last_possible_frame: int  # included
    probability: float
    evidence: tuple[str, ...]
