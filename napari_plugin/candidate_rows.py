"""Which of the effectors that touched a target are offered to the reader. Knows columns only."""

import numpy as np

from assay.columns import Table, length, take


def with_killer(found: Table, killer: float, *, most: int) -> Table:
    """The first few candidates, and the killer that stands among them.

    Args:
        found: Candidates, the most credited first.
        killer: Track of the effector that stands as the killer; NaN for nobody.
        most: How many to offer.
    """
    effectors = found["effector_track_id"].tolist()
    order = list(range(length(found)))[:most]
    if np.isnan(killer) or killer in [effectors[place] for place in order]:
        return take(found, np.array(order, dtype=np.int64))
    if killer not in effectors:  # chosen by a reader who saw a contact that the pipeline did not
        found = {
            name: np.append(column, int(killer) if name == "effector_track_id" else np.nan)
            for name, column in found.items()
        }
    last = effectors.index(killer) if killer in effectors else len(effectors)
    return take(found, np.array([*order[: most - 1], last], dtype=np.int64))
