"""A protocol file to start from, filled from what the images say, every value with its unit and a comment.

What is guessed (a channel's role, from its name) says so; what cannot be guessed is left for the user.
"""

import re
from collections.abc import Sequence

from assay.labels import CHANNEL_ROLES, ChannelRole
from assay.protocol import (
    Condition,
    ContactSettings,
    DeathSettings,
    KillSettings,
    ModelSettings,
    TrackingSettings,
)
from assay.toml_values import toml_value
from assay.units import Calibration

# In this order: "dead_nuclei" is a death dye, "live_nuclei" is not.
_ROLE_PATTERNS: dict[ChannelRole, str] = {
    "death": r"dead|death|annexin|\bpi\b|propidium|sytox|7-?aad|draq7|caspase|cytotox|apopt|topro|to-pro",
    "brightfield": r"bright|\bbf\b|phase|\bph\b|\bdic\b|trans|tl\b|label.?free",
    "effector": r"effector|t.?cell|\bcar\b|car-?t|\bnk\b|ctdr|deep.?red|cfse|celltrace|\bctv\b|cell.?tracker",
    "nuclei": r"nuclei|nuclear|nucleus|hoechst|dapi|h2b|nuclight|sir-?dna|draq5",
    "target": r"target|tumou?r|cancer|gfp|mcherry|rfp|tdtomato|calcein",
}
_NUCLEUS_ENTER_UM, _NUCLEUS_LEAVE_UM = 8.0, 10.0


def suggest_roles(channel_names: Sequence[str]) -> dict[ChannelRole, str]:
    """Guess what each channel shows from its name; channels that say nothing are left out."""
    roles: dict[ChannelRole, str] = {}
    for name in channel_names:
        plain = re.sub(r"[_\s]+", " ", name.lower())
        role = next((role for role, pattern in _ROLE_PATTERNS.items() if re.search(pattern, plain)), None)
        if role is not None and role not in roles:
            roles[role] = name
    return {role: roles[role] for role in CHANNEL_ROLES if role in roles}


def protocol_template(
    *,
    channel_names: Sequence[str],
    calibration: Calibration | None,
    wells: Sequence[str],
    conditions: Sequence[Condition] = (),
) -> str:
    """Write the text of a protocol file for a plate.

    Args:
        channel_names: As the images name them.
        calibration: What the images say; None where they give no pixel size.
        wells: All wells of the plate.
        conditions: What is known of the plate map, empty if nothing.
    """
    roles = suggest_roles(channel_names)
    blocks = [_channels(channel_names, roles), _calibration(calibration), _contact(roles), _rest()]
    blocks.append(_conditions(wells, conditions))
    return "\n\n".join(blocks) + "\n"


def _channels(channel_names: Sequence[str], roles: dict[ChannelRole, str]) -> str:
    lines = [
        "[channels]  # what each channel shows; roles: " + ", ".join(CHANNEL_ROLES),
        "# the images have: " + ", ".join(map(toml_value, channel_names)),
    ]
    lines += [
        f"{role} = {toml_value(name)}  # guessed from its name, please check" for role, name in roles.items()
    ]
    unused = [name for name in channel_names if name not in roles.values()]
    lines += [f"# unassigned: {toml_value(name)}" for name in unused]
    if not set(roles) & {"target", "nuclei", "brightfield"}:
        lines.append('# PLEASE FILL IN: target = "..." (or nuclei, or brightfield)')
    return "\n".join(lines)


def _calibration(calibration: Calibration | None) -> str:
    if calibration is None:
        return (
            "[calibration]  # THE IMAGES GIVE NO PIXEL SIZE: fill it in\n"
            "# pixel_um = [0.65, 0.65]  # (y, x), um per pixel"
        )
    y, x = calibration.pixel_um
    lines = [
        "[calibration]  # only to overrule what the images say, which is:",
        f"# pixel_um = [{y:g}, {x:g}]  # (y, x), um per pixel",
    ]
    if calibration.frame_min is not None:
        lines.append(f"# frame_min = {calibration.frame_min:g}  # minutes from frame to frame")
    return "\n".join(lines)


def _contact(roles: dict[ChannelRole, str]) -> str:
    settings = ContactSettings()
    enter_um, leave_um, why = settings.enter_um, settings.leave_um, ""
    if "nuclei" in roles and "target" not in roles:
        enter_um, leave_um = _NUCLEUS_ENTER_UM, _NUCLEUS_LEAVE_UM
        why = (
            "# Targets show only their nucleus here, so the gap is measured to the nucleus's outline: the rim of\n"
            "# cytoplasm around it (5 to 10 um in adherent cells) is part of the gap.\n"
        )
    return (
        "[contact]  # gap between the outlines of two cells, edge to edge\n"
        f"{why}"
        f"enter_um = {enter_um:g}  # um; a contact begins at this gap\n"
        f"leave_um = {leave_um:g}  # um; and ends above this one\n"
        f"bridge_frames = {settings.bridge_frames}  # frames above leave_um that do not end it\n"
        f"min_frames = {settings.min_frames}  # frames; shorter ones are no contact"
    )


def _rest() -> str:
    tracking, death, kill, model = TrackingSettings(), DeathSettings(), KillSettings(), ModelSettings()
    return (
        "[tracking]\n"
        f"max_gap_frames = {tracking.max_gap_frames}  # frames a cell may be missed and still be the same cell\n"
        f"effector_max_um_per_min = {tracking.effector_max_um_per_min:g}  # um per min; none is faster\n"
        f"target_max_um_per_min = {tracking.target_max_um_per_min:g}  # um per min\n\n"
        "[death]\n"
        f"min_probability = {death.min_probability:g}  # deaths less probable than this are not listed\n\n"
        "[kill]\n"
        f"max_lag_min = {kill.max_lag_min:g}  # min; longest time from contact to death onset\n\n"
        "[model]\n"
        f"name = {toml_value(model.name)}  # `killassay models` lists them\n"
        f"precision = {toml_value(model.precision)}  # auto | fp32 | bf16; fp32 for exact repeats across processors"
    )


def _conditions(wells: Sequence[str], conditions: Sequence[Condition]) -> str:
    head = (
        "# The plate map: one block per condition. kind = sample | mock | target_only | effector_only.\n"
        "# target_only wells are needed for cytolysis_percent; seeded_et_ratio is what was pipetted;\n"
        '# further keys (donor = "D1", dose_nM = 10) are kept.'
    )
    if not conditions:
        listed = ", ".join(map(toml_value, wells))
        return f'{head}\n# [[condition]]\n# name = "CAR-T 1:1"\n# wells = [{listed}]\n# kind = "sample"'
    return "\n\n".join([head, *(condition.to_toml() for condition in conditions)])
