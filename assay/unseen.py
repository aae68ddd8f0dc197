"""Whom a field does not show in which frames, because a plane of its film holds no usable image.

Knows invalid planes and which channel shows what. Nothing that is counted may rest on what is unseen.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from assay.invalid_planes import Fault, InvalidPlane
from assay.labels import CELL_ROLES, CellRole, ChannelRole

_LEFT_OUT: frozenset[Fault] = frozenset({"lost", "not_numbers", "flat"})  # the model never saw these
_FLOODS: frozenset[Fault] = frozenset({"flash", "overexposed"})  # outlines are not to be believed either
_OWN: Mapping[CellRole, ChannelRole] = {"effector": "effector", "target": "target"}
_SHARED: tuple[ChannelRole, ...] = ("nuclei", "brightfield")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseen:
    """What cannot be seen in which frames of a field. Nothing may be born, die or be lost in these."""

    roles: Mapping[CellRole, Mapping[int, str]]  # role -> frame -> reason: its outlines are not to be used
    death: Mapping[int, str]  # frame -> reason: the death dye cannot be read, nor so told apart

    @property
    def frames(self) -> dict[int, str]:
        """Frames in which effectors or targets cannot be seen: nobody can be said to touch."""
        found: dict[int, str] = {}
        for of_role in self.roles.values():
            for frame, reason in of_role.items():
                found.setdefault(frame, reason)
        return dict(sorted(found.items()))


def what_is_unseen(
    planes: Iterable[InvalidPlane], roles: Mapping[ChannelRole, Sequence[int]], *, n_frames: int
) -> Unseen:
    """Say in which frames each role, and the death dye, cannot be seen.

    Where the model saw a bad image of any channel that shows cells, it may have taken one cell for another: both roles
    are unseen. Where the bad channel was left out of what it saw, only those are unseen who are shown by no other: the
    role whose dye it is, or without a dye of their own all. A flash hides everybody. The death dye is unseen where
    it is invalid, and where a role is unseen: whose dye it is can then not be told. Before the first and after the
    last frame in which all can be seen nothing can be said of deaths and kills: there everything is unseen.
    """
    by_frame: dict[int, list[InvalidPlane]] = {}
    for plane in planes:
        by_frame.setdefault(plane.frame, []).append(plane)
    blind: dict[CellRole, dict[int, str]] = {role: {} for role in CELL_ROLES}
    death: dict[int, str] = {}
    for frame, here in sorted(by_frame.items()):
        for role in CELL_ROLES:
            if (hidden := next((plane for plane in here if _hides(plane, role, roles)), None)) is not None:
                blind[role][frame] = hidden.reason
        unread = [plane.reason for plane in here if plane.channel in roles.get("death", ())]
        unread += [blind[role][frame] for role in CELL_ROLES if frame in blind[role]]
        if unread:
            death[frame] = unread[0]
    whole = [frame for frame in range(n_frames) if frame not in death]
    first, last = (whole[0], whole[-1]) if whole else (n_frames, -1)
    for frame in (*range(min(first, n_frames)), *range(max(last + 1, first), n_frames)):
        for role in CELL_ROLES:
            blind[role].setdefault(frame, death.get(frame, "nothing can be said of deaths"))
        death.setdefault(frame, "nothing can be said of deaths")
    return Unseen(
        roles={role: dict(sorted(frames.items())) for role, frames in blind.items()},
        death=dict(sorted(death.items())),
    )


def hidden_roles(
    left_out: Collection[int], roles: Mapping[ChannelRole, Sequence[int]]
) -> frozenset[CellRole]:
    """Roles that cannot be seen where the model is not shown these channels."""
    planes = [InvalidPlane(frame=0, channel=c, fault="lost", reason="") for c in sorted(left_out)]
    return frozenset(role for role in CELL_ROLES if any(_hides(plane, role, roles) for plane in planes))


def _hides(plane: InvalidPlane, role: CellRole, roles: Mapping[ChannelRole, Sequence[int]]) -> bool:
    own = roles.get(_OWN[role], ())
    if plane.channel in own or plane.fault in _FLOODS or plane.fault == "not_recorded":
        return True
    if plane.fault in _LEFT_OUT:
        return not own and any(plane.channel in roles.get(name, ()) for name in _SHARED)
    return any(plane.channel in roles.get(name, ()) for name in (*_OWN.values(), *_SHARED))
