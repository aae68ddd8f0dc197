"""What a run will do: the fields, how each is cut into units of work, and what every unit depends on."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from dataclasses import field as dataclass_field
from pathlib import Path
from typing import Any

from assay.io.label_films import GivenLabels
from assay.labels import CELL_ROLES, CellRole, ChannelRole
from assay.protocol import Protocol
from assay.stack import FieldId
from assay.units import Calibration

# Raise a step's number when its code gives other results: exactly what depends on it is done again.
_REVISIONS = {
    "brightness": 3,
    "pixels": 2,
    "pairs": 1,
    "link": 6,
    "labels": 1,
    "events": 11,
    "credit": 5,
    "summary": 10,
    "label images": 1,
    "labels plate": 1,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldPlan:
    """All that a worker needs to know of one field: paths and small values."""

    plate: Path
    results: Path
    field: FieldId
    shape: tuple[int, int, int, int]  # (T, C, Y, X)
    dtype: str
    calibration: Calibration
    channel_names: tuple[str, ...]
    roles: Mapping[ChannelRole, tuple[int, ...]]  # role -> channel numbers
    missing_frames: frozenset[int]
    identity: str  # of the raw images
    run_frames: int  # frames of one unit of work: one shard of the label images
    protocol: Protocol
    segmenter: Mapping[str, str]  # identity of the model; empty where labels are given for both roles
    given: Mapping[CellRole, GivenLabels] = dataclass_field(default_factory=dict)  # of another program

    def runs(self) -> list[tuple[int, int]]:
        """(first, last + 1) of each run of frames."""
        n = self.shape[0]
        return [(first, min(first + self.run_frames, n)) for first in range(0, n, self.run_frames)]

    def steady_channels(self) -> tuple[int, ...]:
        """Channels that show cells all the time; the death dye is dark until cells die."""
        return tuple(
            channel for role, channels in self.roles.items() if role != "death" for channel in channels
        )

    def used_channels(self) -> tuple[int, ...]:
        """Channels that any role uses, in order."""
        return tuple(sorted({channel for channels in self.roles.values() for channel in channels}))

    def preview_channels(self) -> tuple[str, ...]:
        """One channel per role, for the small preview beside the label images."""
        return tuple(self.channel_names[channels[0]] for channels in self.roles.values())

    def names_of(self, *roles: ChannelRole) -> tuple[str, ...]:
        """Names of the channels that show these roles."""
        return tuple(self.channel_names[channel] for role in roles for channel in self.roles.get(role, ()))

    def masks_lost_planes(self) -> bool:
        """Whether the field goes on without a plane that is gone for good."""
        return self.protocol.input.missing_chunks == "mask"

    # What each step depends on, as a hash. A changed threshold never reaches the steps on pixels.

    def brightness_key(self) -> str:
        """Raw images and which frames are known to be missing."""
        return _hash("brightness", self.identity, sorted(self.missing_frames))

    def pixels_key(self) -> str:
        """The above, what each channel shows, the model, the labels given and the pixel size."""
        roles = {role: list(channels) for role, channels in sorted(self.roles.items())}
        parts = (
            self.brightness_key(),
            roles,
            dict(self.segmenter),
            self.calibration.pixel_um,
            self.channel_names,
        )
        given = {role: labels.identity for role, labels in sorted(self.given.items())}
        return _hash("pixels", *parts, *([given] if given else []))

    def pairs_key(self) -> str:
        """Labels, and how near is near."""
        contact = self.protocol.contact
        return _hash("pairs", self.pixels_key(), contact.enter_um, contact.leave_um)

    def link_key(self) -> str:
        """Labels, frame interval and how cells are followed, or the divisions of those that were tracked already.

        And whether planes may be lost: where they may not, a field that lacks one fails.
        """
        given = {
            role: sorted(labels.parents.items()) for role, labels in self.given.items() if labels.tracked
        }
        parts = (self.pixels_key(), self.calibration.frame_min, asdict(self.protocol.tracking))
        strict = [] if self.masks_lost_planes() else ["fail"]
        return _hash("link", *parts, *([given] if given else []), *strict)

    def labels_key(self) -> str:
        """Tracks."""
        return _hash("labels", self.link_key())

    def events_key(self) -> str:
        """Tracks, pairs, and what a contact and a death are."""
        protocol = self.protocol
        return _hash(
            "events", self.link_key(), self.pairs_key(), asdict(protocol.contact), asdict(protocol.death)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """The fields of a run, and those that cannot be run with the reason why."""

    plate: Path
    plate_name: str
    plate_identity: str
    results: Path
    protocol: Protocol
    all_fields: tuple[FieldPlan, ...]  # of the plate, as far as they can be run
    wells: tuple[str, ...] = ()  # only these are asked for; empty for all
    refused: Mapping[FieldId, str] = dataclass_field(default_factory=dict)
    labels: Mapping[str, Any] = dataclass_field(default_factory=dict)  # of another program: what and where

    def with_segmenter(self, identity: Mapping[str, str]) -> "RunPlan":
        """The same with the model's identity, on which every label depends."""
        fields = tuple(replace(plan, segmenter=dict(identity)) for plan in self.all_fields)
        return replace(self, all_fields=fields)

    @property
    def needs_model(self) -> bool:
        """Whether the model has to find any role."""
        return not set(CELL_ROLES) <= set(self.labels.get("roles", ()))

    @property
    def fields(self) -> tuple[FieldPlan, ...]:
        """The fields that are asked for."""
        return tuple(plan for plan in self.all_fields if not self.wells or plan.field.well in self.wells)

    def channel_names(self) -> tuple[str, ...]:
        """Names of all fields' channels, in order of first appearance."""
        return tuple(dict.fromkeys(name for plan in self.fields for name in plan.channel_names))

    def label_images_key(self) -> str:
        """Sizes and preview channels of every field of the plate."""
        fields = [(plan.field.path, plan.shape, plan.preview_channels()) for plan in self.all_fields]
        return _hash("label images", fields)

    def labels_plate_key(self) -> str:
        """The above and the calibration, which viewers read from it."""
        sizes = [(plan.calibration.pixel_um, plan.calibration.frame_min) for plan in self.all_fields]
        return _hash("labels plate", self.label_images_key(), sizes)

    def credit_key(self) -> str:
        """Events of every field, kinds of wells, and how deaths are credited."""
        kinds = [(plan.field.path, self._kind(plan.field.well), plan.events_key()) for plan in self.fields]
        return _hash("credit", kinds, asdict(self.protocol.kill))

    def summary_key(self, failed: Mapping[FieldId, str]) -> str:
        """Credits, the plate map and what failed."""
        failures = sorted((f.path, reason) for f, reason in {**self.refused, **failed}.items())
        return _hash("summary", self.credit_key(), self.protocol.to_toml(), failures)

    def _kind(self, well: str) -> str:
        condition = self.protocol.condition_of(well)
        return condition.kind if condition else "sample"


def _hash(step: str, *parts: Any) -> str:
    text = json.dumps([step, _REVISIONS[step], *parts], sort_keys=True, default=list)
    return hashlib.sha256(text.encode()).hexdigest()
