"""What is damaged of a run's own files is taken off the ledger, so that it is done again like anything else.

Nobody reads a damaged file by accident (`assay.io.witness`). Where somebody stumbles over one, every unit of the
field, or of the plate, is compared with its record.
"""

import re
from collections.abc import Collection

from assay.io.results import Results
from assay.io.witness import place_of
from assay.stack import FieldId

_OF_NO_RUN = ("failed", "files", "reviewed")  # written again anyway, or not by a run


def forget_damaged(results: Results, fields: Collection[FieldId] | None = None) -> list[str]:
    """Say of every unit that it is not done whose outputs are not as they were written, byte by byte.

    Args:
        results: Where to look; nobody else may be at work there.
        fields: Look at the units of these and of the whole plate; None looks at everything.

    Returns:
        What was found, one line each.
    """
    found: list[str] = []
    for step in sorted(path.name for path in (results.path / "ledger").glob("*") if path.is_dir()):
        if step in _OF_NO_RUN:
            continue
        for record in results.ledger.records(step):
            if fields is not None and _field_of(record.unit) not in {None, *fields}:
                continue
            damaged = results.ledger.damaged_outputs(record)
            if damaged:
                results.ledger.forget(step, record.unit)
                found += [f"{place_of(record.unit)}{line}" for line in damaged]
    return found


def _field_of(unit: str) -> FieldId | None:
    """The field of a unit; None for one of the whole plate."""
    parts = re.fullmatch(r"([A-Z]+\d+)_(\d+)(?:_\d+)?", unit)
    return FieldId(parts[1], int(parts[2])) if parts else None
