"""How well contacts are found: pair-frames, episodes, their number.

Only contacts with live targets count, on both sides: rows with `target_dead` (begun after the death, by the
truth's deaths there, by the called deaths here) are left out. So a contact that a missed death makes look
alive is a false one.
"""

from dataclasses import dataclass

import numpy as np

from assay.columns import Table, take
from assay.score.cells import ratio
from assay.score.matching import Identities

EPISODE_IOU = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """A contact, with the true ids of its two cells; None where a cell is nobody in particular."""

    effector: int | None
    target: int | None
    first_frame: int
    last_frame: int  # included

    def time_iou(self, other: "Episode") -> float:
        """Frames that both last, over frames that either lasts."""
        both = min(self.last_frame, other.last_frame) - max(self.first_frame, other.first_frame) + 1
        either = (
            (self.last_frame - self.first_frame) + (other.last_frame - other.first_frame) + 2 - max(both, 0)
        )
        return max(both, 0) / either


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactCounts:
    """Contacts of one field, right and wrong."""

    pair_frames_true: int
    pair_frames_called: int
    pair_frames_right: int
    episodes_true: int
    episodes_called: int
    episodes_right: int

    @property
    def precision(self) -> float:
        """Share of the called pair-frames that are true."""
        return ratio(self.pair_frames_right, self.pair_frames_called)

    @property
    def recall(self) -> float:
        """Share of the true pair-frames that are called."""
        return ratio(self.pair_frames_right, self.pair_frames_true)

    @property
    def episode_f1(self) -> float:
        """2 TP / (2 TP + FP + FN) over episodes."""
        return ratio(2 * self.episodes_right, self.episodes_true + self.episodes_called)

    @property
    def count_ratio(self) -> float:
        """Called episodes over true ones; 1 is right, whoever they are."""
        return ratio(self.episodes_called, self.episodes_true)


def count_contacts(
    true: Table, called: Table, *, effectors: Identities, targets: Identities
) -> ContactCounts:
    """Compare the contacts of one field.

    A pair-frame is one effector in contact with one target in one frame, the bridged frames of a contact
    included. An episode is right when it shares a pair and at least half of its time (IoU of the two runs of
    frames) with a true one; one to one, the best overlap first.

    Args:
        true: The contacts table's rows of this field.
        called: The same from RESULTS.
        effectors: Who the called effectors are.
        targets: Who the called targets are.
    """
    true_episodes = [
        Episode(effector=effector, target=target, first_frame=first, last_frame=last)
        for effector, target, first, last in _rows(true)
    ]
    called_episodes = [
        Episode(
            effector=effectors.during(effector, first, last),
            target=targets.during(target, first, last),
            first_frame=first,
            last_frame=last,
        )
        for effector, target, first, last in _rows(called)
    ]
    true_frames, _ = _pair_frames(true_episodes)
    called_frames, nobody = _pair_frames(called_episodes)
    return ContactCounts(
        pair_frames_true=len(true_frames),
        pair_frames_called=len(called_frames) + nobody,
        pair_frames_right=len(true_frames & called_frames),
        episodes_true=len(true_episodes),
        episodes_called=len(called_episodes),
        episodes_right=_shared_episodes(true_episodes, called_episodes),
    )


def _rows(table: Table) -> list[tuple[int, int, int, int]]:
    live = take(table, ~table["target_dead"].astype(np.bool_))
    names = ("effector_track_id", "target_track_id", "first_frame", "last_frame")
    return list(zip(*(live[name].tolist() for name in names), strict=True))


def _pair_frames(episodes: list[Episode]) -> tuple[set[tuple[int, int, int]], int]:
    """The pair-frames of known pairs, each once, and the number of those of unknown cells."""
    known: set[tuple[int, int, int]] = set()
    nobody = 0
    for episode in episodes:
        frames = range(episode.first_frame, episode.last_frame + 1)
        if episode.effector is None or episode.target is None:
            nobody += len(frames)
        else:
            known.update((episode.effector, episode.target, frame) for frame in frames)
    return known, nobody


def _shared_episodes(true: list[Episode], called: list[Episode]) -> int:
    by_pair: dict[tuple[int | None, int | None], list[int]] = {}
    for number, episode in enumerate(true):
        by_pair.setdefault((episode.effector, episode.target), []).append(number)
    overlaps = [
        (-iou, number, other)
        for other, episode in enumerate(called)
        for number in by_pair.get((episode.effector, episode.target), [])
        if (iou := true[number].time_iou(episode)) >= EPISODE_IOU
    ]
    used_true: set[int] = set()
    used_called: set[int] = set()
    for _, number, other in sorted(overlaps):
        if number not in used_true and other not in used_called:
            used_true.add(number)
            used_called.add(other)
    return len(used_true)
