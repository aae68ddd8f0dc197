"""The truth of a film as the tables of a result, frame by frame so that no film of images is held."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from assay.columns import Table, table_of_rows
from assay.contacts import Contact, concatenate_pairs, find_contacts, touching_pairs
from assay.labels import CELL_ROLES, CellMeasures, CellRole, FrameLabels, Pairs
from assay.measures import concatenate, measure
from assay.protocol import ContactSettings
from assay.simulate.film import Film, TrueLabels
from assay.simulate.scenario import Scenario
from assay.stack import FieldId


def true_contact_settings(scenario: Scenario) -> ContactSettings:
    """How a true contact is defined; seen from the nucleus only, the outline of the cell lies further out."""
    if scenario.target_mask == "nucleus":
        return ContactSettings(enter_um=8.0, leave_um=10.0, bridge_frames=2, min_frames=2)
    return ContactSettings(enter_um=1.0, leave_um=3.0, bridge_frames=2, min_frames=2)


class TruthRecorder:
    """Takes a film's frames in order and gives its true tables at the end."""

    def __init__(self, film: Film, field: FieldId) -> None:
        self._film = film
        self._field = field
        self._contact_settings = true_contact_settings(film.scenario)
        self._pairs: list[Pairs] = []
        self._measures: dict[CellRole, list[CellMeasures]] = {role: [] for role in CELL_ROLES}

    def add(self, frame: int, images: NDArray[Any], labels: TrueLabels) -> None:
        """Take one frame: its images (C, Y, X) and its true labels."""
        calibration = self._film.calibration
        ones = {role: np.ones(int(labels.of(role).max(initial=0)), np.float32) for role in CELL_ROLES}
        seen = FrameLabels(
            effectors=labels.effectors.astype(np.int32),
            targets=labels.targets.astype(np.int32),
            effector_scores=ones["effector"],
            target_scores=ones["target"],
        )
        measured = measure(
            seen,
            frame=frame,
            channels=images,
            channel_names=self._film.channel_names,
            calibration=calibration,
        )
        for role in CELL_ROLES:
            self._measures[role].append(measured[role])
        self._pairs.append(
            touching_pairs(
                seen.effectors,
                seen.targets,
                frame=frame,
                calibration=calibration,
                max_gap_um=self._contact_settings.leave_um,
                enter_um=self._contact_settings.enter_um,
            )
        )

    def tables(self) -> dict[str, Table]:
        """Tables "cells", "tracks", "contacts", "deaths" and "kills" of this field."""
        contacts = self._contacts()
        deaths, kills = self._deaths_and_kills(contacts)
        return {
            "cells": self._cells(),
            "tracks": table_of_rows("tracks", self._tracks()),
            "contacts": table_of_rows("contacts", [self._contact(contact) for contact in contacts]),
            "deaths": table_of_rows("deaths", deaths),
            "kills": table_of_rows("kills", kills),
        }

    @property
    def _keys(self) -> dict[str, Any]:
        return {"well": self._field.well, "field": self._field.field}

    def _joined(self, role: CellRole) -> CellMeasures:
        return concatenate(self._measures[role])

    def _contacts(self) -> list[Contact]:
        effectors, targets = self._joined("effector"), self._joined("target")
        tracks = self._film.tracks
        return find_contacts(
            concatenate_pairs(self._pairs),
            effectors=effectors,
            effector_tracks=tracks["effector"].for_table(effectors.label.astype(np.int64)),
            targets=targets,
            target_tracks=tracks["target"].for_table(targets.label.astype(np.int64)),
            masked_frames=(),
            enter_um=self._contact_settings.enter_um,
            leave_um=self._contact_settings.leave_um,
            bridge_frames=self._contact_settings.bridge_frames,
            min_frames=self._contact_settings.min_frames,
        )

    def _contact(self, contact: Contact) -> dict[str, Any]:
        row = {name: getattr(contact, name) for name in contact.__dataclass_fields__}
        return {
            **self._keys,
            **row,
            "duration_min": contact.duration_min(self._film.calibration),
            "target_dead": self._began_after_death(contact),
        }

    def _began_after_death(self, contact: Contact) -> bool:
        tracks, index = self._film.tracks["target"], contact.target_track_id - 1
        frame = tracks.death_frame(index, self._film.target_cells, self._film.calibration)
        if frame is not None:
            return contact.first_frame > frame
        began = contact.first_frame * self._film.scenario.frame_min
        return began >= self._onset_min("target", contact.target_track_id)

    def _onset_min(self, role: CellRole, track_id: int) -> float:
        return float(self._film.cells(role).onset_min[self._film.tracks[role].rows[track_id - 1]])

    def _tracks(self) -> list[dict[str, Any]]:
        return [
            {**self._keys, "role": role, **{n: getattr(t, n) for n in t.__dataclass_fields__}}
            for role in CELL_ROLES
            for t in self._film.tracks[role].tracks
        ]

    def _cells(self) -> Table:
        rows: list[dict[str, Any]] = []
        minutes = self._film.scenario.frame_min
        for role in CELL_ROLES:
            m = self._joined(role)
            for i in range(len(m)):
                label, time_min = int(m.label[i]), float(m.frame[i] * minutes)
                rows.append(
                    {
                        **self._keys,
                        "frame": int(m.frame[i]),
                        "time_min": time_min,
                        "role": role,
                        "track_id": label,
                        "label": label,
                        "y_um": m.y_um[i],
                        "x_um": m.x_um[i],
                        "area_um2": m.area_um2[i],
                        "eccentricity": m.eccentricity[i],
                        "covered": m.covered[i],
                        "at_border": m.at_border[i],
                        "score": 1.0,
                        "dead": time_min >= self._onset_min(role, label),
                        **{f"mean_{name}": values[i] for name, values in m.means.items()},
                    }
                )
        return table_of_rows("cells", rows, channel_names=self._film.channel_names)

    def _deaths_and_kills(self, contacts: list[Contact]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        found = []
        for role in CELL_ROLES:
            tracks, cells = self._film.tracks[role], self._film.cells(role)
            for index, track in enumerate(tracks.tracks):
                frame = tracks.death_frame(index, cells, self._film.calibration)
                if frame is not None:
                    found.append((frame, role, track.track_id))
        deaths, kills = [], []
        for number, (frame, role, track_id) in enumerate(sorted(found), start=1):
            credits = self._credits(track_id, frame, number, contacts) if role == "target" else []
            kills += credits
            given = sum(row["share"] for row in credits)
            uncredited = max(0.0, 1.0 - given) if role == "target" else None
            if uncredited is not None and uncredited < 1e-9:
                uncredited = 0.0
            deaths.append(
                {
                    **self._keys,
                    "death_id": number,
                    "role": role,
                    "track_id": track_id,
                    "frame": frame,
                    "first_possible_frame": frame,
                    "last_possible_frame": frame,
                    "time_min": frame * self._film.scenario.frame_min,
                    "probability": 1.0,
                    "evidence": "truth",
                    "uncredited_share": uncredited,
                }
            )
        return deaths, kills

    def _credits(
        self, track_id: int, frame: int, number: int, contacts: list[Contact]
    ) -> list[dict[str, Any]]:
        """The shares of those whose contact before the lethal hit was seen; the rest stays with nobody."""
        film = self._film
        row = int(film.tracks["target"].rows[track_id - 1])
        kill = next((kill for kill in film.true_kills if kill.target == row), None)
        if kill is None:
            return []
        credits = []
        for effector, share in sorted(kill.shares.items()):
            before = [
                contact
                for contact in contacts
                if contact.target_track_id == track_id
                and film.tracks["effector"].rows[contact.effector_track_id - 1] == effector
                and (contact.first_frame - 1) * film.scenario.frame_min <= kill.commit_min
            ]
            if before:
                last = max(before, key=lambda contact: contact.first_frame)
                credits.append(
                    {
                        **self._keys,
                        "death_id": number,
                        "target_track_id": track_id,
                        "effector_track_id": last.effector_track_id,
                        "contact_id": last.contact_id,
                        "share": share,
                        "lag_min": (frame - last.first_frame) * film.scenario.frame_min,
                    }
                )
        return credits
