"""Contacts cut where an effector's chance to hit changes: by its age, and by whether it holds on to its target.

Knows the events of one field. Knows no deaths.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from assay.compiled import compiled
from assay.field_events import FieldEvents, Floats, Ints

AGE_EDGES_MIN = (0.0, 4.0, 8.0, 14.0, 25.0, 50.0)
"""A contact is cut at these ages: an effector must settle before it can hit."""

UNKNOWN_AGE = len(AGE_EDGES_MIN)
"""Age bin of contacts that were there when one of the two was first seen."""

N_AGES = len(AGE_EDGES_MIN) + 1

_LONGEST_PIECE_MIN = 30.0  # older contacts are cut again, so that damage is followed within them
_PASSING_WEIGHT = 0.1  # of frames of contact in which the effector is not seen to hold on


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieces:
    """Contacts cut by age, of one field or more; everything is (pieces,)."""

    contact: Ints  # place among the contacts
    effector: Ints  # place among the effectors
    target: Ints  # place among the targets that were touched
    well: Ints  # place among the wells
    first: Ints  # frame
    last: Ints  # frame, included
    age: Ints  # age bin
    frame_min: Floats
    weight: Floats  # probability that the effector was engaged, 1 where unknown
    doubt: Floats  # gathered along the effector's track up to the piece

    @property
    def middle_min(self) -> Floats:
        """Minutes since frame 0 to the middle of each piece."""
        return np.asarray((self.first + self.last + 1) / 2 * self.frame_min)

    @property
    def minutes(self) -> Floats:
        """How long each piece lasts."""
        return np.asarray((self.last - self.first + 1) * self.frame_min)


def effectors_of(events: FieldEvents) -> list[int]:
    """Track ids of the effectors that touched a target, in the order in which they are counted."""
    return sorted({contact.effector_track_id for contact in events.contacts})


def cut_contacts(events: FieldEvents) -> Pieces:
    """Cut the contacts of one field; effectors and targets are counted from 0 in the order of their track ids."""
    contacts, frame_min = events.contacts, events.calibration.minutes(1)
    longest = max(1, round(_LONGEST_PIECE_MIN / frame_min))
    track = np.array([c.effector_track_id for c in contacts], dtype=np.int64)
    effector = np.unique(track, return_inverse=True)[1].astype(np.int64)
    targets = np.array([c.target_track_id for c in contacts], dtype=np.int64)
    target = np.unique(targets, return_inverse=True)[1].astype(np.int64)
    first = np.array([c.first_frame for c in contacts], dtype=np.int64)
    last = np.array([c.last_frame for c in contacts], dtype=np.int64)
    known = np.array([not c.starts_censored for c in contacts], dtype=np.bool_)
    lengths = last - first + 1
    age_min = (np.arange(lengths.max(initial=0)) + 0.5) * frame_min
    age_of = np.searchsorted(AGE_EDGES_MIN, age_min, side="right") - 1
    asked = events.engagements is not None
    holds = _holds_of(events)
    table, weight = _cut(first, last, known, asked, *holds, age_of, longest)
    place = table[:, 0]
    return Pieces(
        contact=place,
        effector=effector[place],
        target=target[place],
        well=np.zeros(len(table), dtype=np.int64),
        first=table[:, 1],
        last=table[:, 2],
        age=table[:, 3],
        frame_min=np.full(len(table), frame_min),
        weight=weight,
        doubt=_doubts(events, track[place], table),
    )


def _holds_of(events: FieldEvents) -> tuple[Ints, Ints, Ints, Floats]:
    """From where on the holds are of each contact, and first frame, last frame and probability of each."""
    mine = [(events.engagements or {}).get(c.contact_id, ()) for c in events.contacts]
    begin = np.cumsum([0, *(len(each) for each in mine)])
    holds = np.array([hold for each in mine for hold in each], dtype=np.float64).reshape(-1, 3)
    return begin, holds[:, 0].astype(np.int64), holds[:, 1].astype(np.int64), holds[:, 2].copy()


@compiled
def _cut(
    first: Ints, last: Ints, known: NDArray[np.bool_], asked: bool,
    hold_begin: Ints, hold_first: Ints, hold_last: Ints, hold_probability: Floats,
    age_of: Ints, longest: int,
) -> tuple[Ints, Floats]:  # fmt: skip
    """Contact, first frame, last frame and age bin of each piece, and the probability that the effector holds on."""
    room = np.sum(last - first + 1)
    table, weights = np.empty((room, 4), dtype=np.int64), np.empty(room)
    count = 0
    ages, weight = np.empty(len(age_of), dtype=np.int64), np.empty(len(age_of))
    for contact in range(len(first)):
        n_frames = last[contact] - first[contact] + 1
        for n in range(n_frames):
            ages[n] = age_of[n] if known[contact] else UNKNOWN_AGE
            weight[n] = _PASSING_WEIGHT if asked else 1.0
        for hold in range(hold_begin[contact], hold_begin[contact + 1]):
            begun = hold_first[hold] - first[contact]
            for n in range(begun, hold_last[hold] - first[contact] + 1):
                ages[n] = age_of[n - begun] if known[contact] or begun > 0 else UNKNOWN_AGE
                weight[n] = max(hold_probability[hold], _PASSING_WEIGHT)
        for n in range(n_frames):
            if n == 0 or n % longest == 0 or ages[n] != ages[n - 1] or weight[n] != weight[n - 1]:
                table[count, 0], table[count, 1], table[count, 3] = contact, first[contact] + n, ages[n]
                weights[count] = weight[n]
                count += 1
            table[count - 1, 2] = first[contact] + n
    return table[:count].copy(), weights[:count].copy()


def _doubts(events: FieldEvents, track: Ints, table: Ints) -> Floats:
    """Doubt gathered along the track of each piece's effector up to its middle."""
    known = events.link_doubts
    ids = sorted(known.keys() & set(track.tolist()))
    if not ids:
        return np.zeros(len(table))
    begin = np.cumsum([0, *(len(known[each][0]) for each in ids)])
    frames = np.concatenate([known[each][0] for each in ids]).astype(np.float64)
    doubts = np.concatenate([known[each][1] for each in ids])
    place = np.searchsorted(ids, track)
    place = np.where(np.isin(track, ids), place, -1)
    return _between(place, (table[:, 1] + table[:, 2]) / 2, begin, frames, doubts)


@compiled
def _between(place: Ints, frame: Floats, begin: Ints, frames: Floats, doubts: Floats) -> Floats:
    """Of each piece the doubt between the frames in which its track was linked; 0 where its place is -1."""
    found = np.zeros(len(place))
    for n in range(len(place)):
        if place[n] < 0:
            continue
        a, b = begin[place[n]], begin[place[n] + 1]
        after = a + np.searchsorted(frames[a:b], frame[n], side="right")
        if after == a:
            found[n] = doubts[a]
        elif after == b:
            found[n] = doubts[b - 1]
        else:
            slope = (doubts[after] - doubts[after - 1]) / (frames[after] - frames[after - 1])
            found[n] = slope * (frame[n] - frames[after - 1]) + doubts[after - 1]
    return found
