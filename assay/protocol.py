"""One experiment's settings: which channel shows what, the thresholds in um and minutes, the plate map.

The only home of default values. Functions of the science take thresholds as required arguments, so that
nobody gets one lab's 5 um by accident.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from assay.errors import AssayError, ProtocolError
from assay.labels import CHANNEL_ROLES, ChannelRole
from assay.stack import well_name
from assay.toml_values import (
    LARGEST,
    nearest,
    parse_toml,
    read_text,
    refuse_unknown,
    section_values,
    toml_key,
    toml_value,
)

KINDS = ("sample", "mock", "target_only", "effector_only")
PRECISIONS = ("auto", "fp32", "bf16")


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationSettings:
    """Only to give or overrule what the images say; None leaves it to the images."""

    pixel_um: tuple[float, float] | None = None  # (y, x)
    frame_min: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackingSettings:
    """How cells are followed from frame to frame."""

    max_gap_frames: int = 2  # frames a cell may be missed and still be the same cell
    effector_max_um_per_min: float = 15.0  # no cell is linked over a longer way
    target_max_um_per_min: float = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactSettings:
    """When two cells touch. Gaps are edge to edge."""

    enter_um: float = 1.0  # gap at which a contact begins
    leave_um: float = 3.0  # and above which it ends
    bridge_frames: int = 2  # frames above leave_um that do not end it
    min_frames: int = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DeathSettings:
    """How a death is called."""

    min_probability: float = 0.5  # deaths less probable than this are not listed


@dataclass(frozen=True, slots=True, kw_only=True)
class KillSettings:
    """How a death is credited."""

    max_lag_min: float = 360.0  # longest time from contact to death onset


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """Which network looks at the images."""

    name: str = "standard"
    precision: str = "auto"  # auto | fp32 | bf16; fp32 for exact repeats across processors


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSettings:
    """What to do with imperfect input."""

    missing_chunks: str = "mask"  # mask | fail: what a plane does of which a part is gone from the disk


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Wells that were treated alike."""

    name: str
    wells: tuple[str, ...]
    kind: str = "sample"
    seeded_et_ratio: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)  # donor, dose, ...: kept, may be grouped by

    def to_toml(self) -> str:
        """Write the condition's block."""
        lines = ["[[condition]]", f"name = {toml_value(self.name)}"]
        lines += [f"wells = {toml_value(list(self.wells))}", f"kind = {toml_value(self.kind)}"]
        if self.seeded_et_ratio is not None:
            lines.append(f"seeded_et_ratio = {toml_value(self.seeded_et_ratio)}")
        lines += [f"{toml_key(key)} = {toml_value(value)}" for key, value in self.extra.items()]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """Every setting of one experiment."""

    channels: Mapping[ChannelRole, tuple[str, ...]]
    calibration: CalibrationSettings = CalibrationSettings()
    tracking: TrackingSettings = TrackingSettings()
    contact: ContactSettings = ContactSettings()
    death: DeathSettings = DeathSettings()
    kill: KillSettings = KillSettings()
    model: ModelSettings = ModelSettings()
    input: InputSettings = InputSettings()
    conditions: tuple[Condition, ...] = ()

    def condition_of(self, well: str) -> Condition | None:
        """The condition a well belongs to; None where the plate map leaves it out."""
        return next((condition for condition in self.conditions if well in condition.wells), None)

    def channel_indices(
        self, channel_names: tuple[str, ...], where: str
    ) -> dict[ChannelRole, tuple[int, ...]]:
        """Turn channel names into their numbers in an image.

        Raises:
            ProtocolError: The image has no channel of that name; the nearest name is suggested.
        """
        indices: dict[ChannelRole, tuple[int, ...]] = {}
        for role, names in self.channels.items():
            for name in names:
                if name not in channel_names:
                    raise ProtocolError(
                        f"{where}: the protocol's {role} channel {name!r} is not in the images, which have "
                        f"{', '.join(map(repr, channel_names))}.{nearest(name, channel_names)}"
                    )
                if channel_names.count(name) > 1:
                    raise ProtocolError(f"{where}: two channels are called {name!r}. Rename one of them.")
            indices[role] = tuple(channel_names.index(name) for name in names)
        return indices

    def to_toml(self) -> str:
        """Write every value that is used, so that reading it back gives the same protocol."""
        lines = ["[channels]"]
        lines += [
            f"{role} = {toml_value(list(n) if len(n) > 1 else n[0])}" for role, n in self.channels.items()
        ]
        for section in _SECTIONS:
            values = asdict(getattr(self, section))
            lines += ["", f"[{section}]"]
            lines += [f"{key} = {toml_value(value)}" for key, value in values.items() if value is not None]
        for condition in self.conditions:
            lines += ["", condition.to_toml()]
        return "\n".join(lines) + "\n"


_SECTIONS: dict[str, type] = {
    "calibration": CalibrationSettings,
    "tracking": TrackingSettings,
    "contact": ContactSettings,
    "death": DeathSettings,
    "kill": KillSettings,
    "model": ModelSettings,
    "input": InputSettings,
}


def read_protocol(path: Path) -> Protocol:
    """Read a protocol file.

    Raises:
        ProtocolError: The file is missing, is not TOML, or holds an unknown key or an impossible value.
    """
    hint = "Expected a TOML file; `killassay protocol PLATE.zarr -o P.toml` writes one."
    text = read_text(path, "protocol", hint=hint)
    try:
        return parse_protocol(text)
    except AssayError as error:
        raise ProtocolError(f"protocol {path}: {error}") from error


def parse_protocol(text: str) -> Protocol:
    """Read a protocol from the text of its TOML file."""
    values = parse_toml(text, "protocol")
    refuse_unknown("the protocol", values, ["channels", "condition", *_SECTIONS])
    sections = {name: _section(name, kind, values.get(name, {})) for name, kind in _SECTIONS.items()}
    protocol = Protocol(
        channels=_channels(values.get("channels", {})),
        conditions=_conditions(values.get("condition", [])),
        **sections,
    )
    _check_values(protocol)
    return protocol


def with_calibration(protocol: Protocol, **values: Any) -> Protocol:
    """The same protocol with calibration values given by hand."""
    return replace(protocol, calibration=replace(protocol.calibration, **values))


def _channels(values: Any) -> dict[ChannelRole, tuple[str, ...]]:
    if not isinstance(values, dict) or not values:
        raise ProtocolError(
            'section [channels] is missing. Expected at least one line such as target = "GFP"; roles are '
            f"{', '.join(CHANNEL_ROLES)}."
        )
    refuse_unknown("[channels]", values, list(get_args(ChannelRole)))
    channels: dict[ChannelRole, tuple[str, ...]] = {}
    for role in CHANNEL_ROLES:
        if role not in values:
            continue
        names = [values[role]] if isinstance(values[role], str) else values[role]
        if (
            not isinstance(names, list)
            or not names
            or not all(isinstance(name, str) and name for name in names)
        ):
            raise ProtocolError(
                f"[channels] {role} = {values[role]!r}: expected a channel name or a list of names."
            )
        channels[role] = tuple(names)
    if not set(channels) & {"target", "nuclei", "brightfield"}:
        raise ProtocolError(
            f"[channels] names only {', '.join(channels)}: no channel shows the targets. "
            "Give at least one of target, nuclei or brightfield."
        )
    return channels


def _section(name: str, kind: type, values: Any) -> Any:
    given = section_values(name, kind, values)
    if isinstance(given.get("frame_min"), list):
        raise ProtocolError(
            f"[calibration] frame_min = {values['frame_min']!r}: expected a number of minutes."
        )
    if given.get("pixel_um") is not None:
        given["pixel_um"] = _pair("[calibration] pixel_um", values["pixel_um"])
    return kind(**given)


def _pair(where: str, value: Any) -> tuple[float, float]:
    if isinstance(value, int | float):
        value = [value, value]
    if len(value) != 2 or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        raise ProtocolError(f"{where} = {value!r}: expected [y, x] in um, e.g. [0.65, 0.65].")
    return float(value[0]), float(value[1])


def _conditions(values: Any) -> tuple[Condition, ...]:
    if not isinstance(values, list) or not all(isinstance(block, dict) for block in values):
        raise ProtocolError("expected conditions as [[condition]], with two brackets, one block each.")
    conditions = []
    owner: dict[str, str] = {}
    for block in values:
        name, wells = block.get("name"), block.get("wells")
        if not isinstance(name, str) or not name:
            raise ProtocolError('a [[condition]] has no name. Expected e.g. name = "CAR-T 1:1".')
        if not isinstance(wells, list) or not wells or not all(isinstance(well, str) for well in wells):
            raise ProtocolError(f'condition {name!r} has no wells. Expected e.g. wells = ["B02", "B03"].')
        kind = block.get("kind", "sample")
        if kind not in KINDS:
            raise ProtocolError(
                f"condition {name!r}: kind = {kind!r}, expected one of {', '.join(KINDS)}.{nearest(kind, KINDS)}"
            )
        ratio = block.get("seeded_et_ratio")
        if ratio is not None and (
            isinstance(ratio, bool) or not isinstance(ratio, int | float) or not 0 <= ratio < LARGEST
        ):
            raise ProtocolError(f"condition {name!r}: seeded_et_ratio = {ratio!r}, expected 0 or more.")
        named = tuple(well_name(well) for well in wells)
        for well in named:
            if well in owner:
                raise ProtocolError(
                    f"well {well} stands in two conditions, {owner[well]!r} and {name!r}. Leave it in one."
                )
            owner[well] = name
        extra = {k: v for k, v in block.items() if k not in ("name", "wells", "kind", "seeded_et_ratio")}
        ratio = None if ratio is None else float(ratio)
        conditions.append(Condition(name=name, wells=named, kind=kind, seeded_et_ratio=ratio, extra=extra))
    names = [condition.name for condition in conditions]
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise ProtocolError(f"two conditions are called {doubled!r}. Join their wells, or rename one.")
    return tuple(conditions)


def _check_values(protocol: Protocol) -> None:
    contact, tracking = protocol.contact, protocol.tracking
    rules = (
        (contact.enter_um >= 0, f"[contact] enter_um = {contact.enter_um}: expected 0 or more."),
        (
            contact.leave_um >= contact.enter_um,
            f"[contact] leave_um = {contact.leave_um} is below enter_um = {contact.enter_um}: "
            "a contact would end before it begins. Give leave_um at least enter_um.",
        ),
        (
            contact.bridge_frames >= 0,
            f"[contact] bridge_frames = {contact.bridge_frames}: expected 0 or more.",
        ),
        (contact.min_frames >= 1, f"[contact] min_frames = {contact.min_frames}: expected 1 or more."),
        (
            tracking.max_gap_frames >= 0,
            f"[tracking] max_gap_frames = {tracking.max_gap_frames}: expected 0 or more.",
        ),
        (
            min(tracking.effector_max_um_per_min, tracking.target_max_um_per_min) > 0,
            "[tracking] speeds: expected more than 0 um per min.",
        ),
        (
            0 < protocol.death.min_probability < 1,
            f"[death] min_probability = {protocol.death.min_probability}: expected between 0 and 1.",
        ),
        (
            protocol.kill.max_lag_min > 0,
            f"[kill] max_lag_min = {protocol.kill.max_lag_min}: expected more than 0.",
        ),
        (
            protocol.model.precision in PRECISIONS,
            f"[model] precision = {protocol.model.precision!r}: expected one of {', '.join(PRECISIONS)}.",
        ),
        (
            protocol.input.missing_chunks in ("fail", "mask"),
            f"[input] missing_chunks = {protocol.input.missing_chunks!r}: expected fail or mask.",
        ),
    )
    for holds, message in rules:
        if not holds:
            raise ProtocolError(message)
    for section in _SECTIONS:
        for key, value in asdict(getattr(protocol, section)).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ProtocolError(f"[{section}] {key} = {value}: expected a finite number.")
