"""What an import wrote into its plate about the wells."""

from pathlib import Path
from typing import Any

from assay.errors import ImageError
from assay.io.image_info import group_attributes
from assay.io.metadata import BLOCK
from assay.protocol import KINDS, Condition
from assay.stack import well_name


def recorded_conditions(path: Path) -> tuple[Condition, ...]:
    """The conditions that the wells list gave when a plate was imported; none for any other plate.

    Raises:
        ImageError: They are not as an import writes them.
    """
    block: Any = group_attributes(path, str(path)).get(BLOCK)
    try:
        said = block.get("import", {}).get("conditions", []) if isinstance(block, dict) else []
        return tuple(_condition(entry) for entry in said)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ImageError(
            f"{path}: the conditions that its import recorded are damaged ({error!r:.200})."
        ) from error


def _condition(said: dict[str, Any]) -> Condition:
    name, kind, ratio, extra = said["name"], said["kind"], said["seeded_et_ratio"], said["extra"]
    if not isinstance(name, str) or kind not in KINDS or not isinstance(extra, dict):
        raise ValueError(f"{name!r:.80} is no condition")
    if ratio is not None and not isinstance(ratio, int | float):
        raise ValueError(f"{ratio!r:.80} is no ratio")
    wells = tuple(well_name(well) for well in said["wells"])
    return Condition(name=name, wells=wells, kind=kind, seeded_et_ratio=ratio, extra=extra)
