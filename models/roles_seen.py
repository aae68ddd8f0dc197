"""Which channels show which cells, and at which pixel sizes."""

from collections.abc import Mapping, Sequence

from assay.labels import CELL_ROLES, CHANNEL_ROLES, CellRole, ChannelRole

SAME_SCALE = 0.03  # pixel sizes this near the model's own are left as they are
SEEN_BY: Mapping[CellRole, tuple[ChannelRole, ...]] = {
    "effector": ("effector", "brightfield"),
    "target": ("target", "nuclei", "brightfield"),
}
"""Without any of these channels a role cannot be seen, and has no cells."""


def roles_seen(present: Sequence[bool]) -> list[CellRole]:
    """The cell roles that some channel shows, one flag per entry of `CHANNEL_ROLES`."""
    shown = {role for role, there in zip(CHANNEL_ROLES, present, strict=True) if there}
    return [role for role in CELL_ROLES if not shown.isdisjoint(SEEN_BY[role])]
