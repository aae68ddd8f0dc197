"""Real images with masks: which of them are never learned from."""

import hashlib

_ONE_IN = 3


def is_held_out(name: str) -> bool:
    """Whether an image of a public set is kept for scoring, by its name alone: one in three is.

    Args:
        name: File name without folder and suffixes, for instance `003cee89357d`.
    """
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % _ONE_IN == 0
