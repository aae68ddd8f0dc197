from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from assay.columns import Table
from assay.errors import ResultsError, StorageError
from assay.review.sitting import MemoryJournal, Sitting
from assay.stack import FieldId
from napari_plugin.corrections import Corrections, RenamedFilm, in_words
from napari_plugin.lazy import FrameCache, FrameStore
from tests.assay.review.small_reviews import events_of

B02 = FieldId("B02", 0)
N_FRAMES = 6
# track -> frames in which it is seen
SEEN = {1: range(6), 2: range(3), 3: range(3, 6), 4: range(6)}


@pytest.fixture
def cells() -> Table:
    rows = [(track, frame) for track, frames in SEEN.items() for frame in frames]
    track, frame = np.array(rows).T
    n = len(rows)
    return {
        "well": np.array(["B02"] * n, dtype=object),
        "field": np.zeros(n, np.int64),
        "role": np.array(["target"] * n, dtype=object),
        "track_id": track,
        "frame": frame,
    }


@pytest.fixture
def labels() -> NDArray[np.uint32]:
    film = np.zeros((N_FRAMES, 12, 20), np.uint32)
    for track, frames in SEEN.items():
        for frame in frames:
            film[frame, 2:8, 5 * track - 5 : 5 * track - 1] = track
    return film


@pytest.fixture
def corrections(cells: Table, labels: NDArray[np.uint32], tmp_path: Any) -> Corrections:
    return corrections_of(Sitting(events_of(), MemoryJournal(), reader="ana"), cells, labels, tmp_path)


def corrections_of(sitting: Sitting, cells: Table, labels: NDArray[np.uint32], folder: Any) -> Corrections:
    def read(frames: Any) -> NDArray[np.uint32]:
        return labels[list(frames)]

    film = FrameCache(read, shape=labels.shape, dtype=np.uint32, store=FrameStore())
    images: Any = SimpleNamespace(of=lambda field: SimpleNamespace(labels={"target": film}))
    return Corrections(sitting, images, cells, folder=folder)


def test_a_cut_gives_what_followed_a_number_of_its_own(corrections: Corrections):
    decision = corrections.cut(B02, "target", 1, last_frame=2)
    assert dict(decision.values) == {
        "well": "B02",
        "field": 0,
        "role": "target",
        "frame": 3,
        "track_id": 1,
        "new_track_id": 5,
    }
    assert corrections.frames_of(B02, "target", 1).tolist() == [0, 1, 2]
    assert corrections.frames_of(B02, "target", 5).tolist() == [3, 4, 5]
    assert [corrections.track_at(B02, "target", 1, frame) for frame in (2, 3)] == [1, 5]
    assert corrections.next_track(B02, "target") == 6
    assert in_words(decision) == "target 1 cut after frame 2; then 5"


def test_a_track_is_not_cut_where_it_ends_or_is_not_seen(corrections: Corrections):
    with pytest.raises(ResultsError, match="target 2 is seen in frames 0 to 2"):
        corrections.cut(B02, "target", 2, last_frame=2)
    with pytest.raises(ResultsError, match="target 99 is seen in no frame"):
        corrections.cut(B02, "target", 99, last_frame=2)


def test_two_tracks_that_follow_one_another_become_the_earlier_one(corrections: Corrections):
    decision = corrections.join(B02, "target", 3, 2, frame=3)
    assert (decision.values["track_id"], decision.values["other_track_id"]) == (2, 3)
    assert corrections.frames_of(B02, "target", 2).tolist() == list(range(6))
    assert corrections.track_at(B02, "target", 3, 4) == 2
    assert corrections.names_in(B02, "target", 4) == {3: 2}


def test_tracks_that_are_seen_together_are_not_joined(corrections: Corrections):
    with pytest.raises(ResultsError, match="both are seen in frame 0"):
        corrections.join(B02, "target", 1, 2, frame=0)
    with pytest.raises(ResultsError, match="one track"):
        corrections.join(B02, "target", 1, 1, frame=0)
    with pytest.raises(ResultsError, match="seen in no frame"):
        corrections.join(B02, "target", 1, 77, frame=0)


def test_swapped_cells_change_names_from_the_frame_on(corrections: Corrections):
    corrections.swap(B02, "target", 1, 4, frame=4)
    assert corrections.names_in(B02, "target", 3) == {}
    assert corrections.names_in(B02, "target", 4) == {1: 4, 4: 1}
    assert corrections.frames_of(B02, "target", 1).tolist() == list(range(6))
    with pytest.raises(ResultsError, match="neither is seen from frame 9 on"):
        corrections.swap(B02, "target", 1, 4, frame=9)


def test_corrections_build_on_one_another(corrections: Corrections):
    corrections.cut(B02, "target", 1, last_frame=2)  # 1 | 5
    corrections.join(B02, "target", 2, 5, frame=3)  # 2 goes on as what was 5
    assert corrections.frames_of(B02, "target", 2).tolist() == list(range(6))
    assert corrections.track_at(B02, "target", 1, 4) == 2
    assert corrections.track_at(B02, "target", 1, 1) == 1


def test_the_film_shows_tracks_as_they_stand(corrections: Corrections, labels: NDArray[np.uint32]):
    corrections.swap(B02, "target", 1, 4, frame=4)
    film = RenamedFilm(
        corrections.overlay(B02, "target"), lambda frame: corrections.names_in(B02, "target", frame)
    )
    assert film[3].tolist() == labels[3].tolist()
    assert [film[4][3, x] for x in (0, 15)] == [4, 1]
    assert film.shape == labels.shape


def test_committed_outlines_are_one_decision_a_frame_and_stand_in_the_next_sitting(
    corrections: Corrections, cells: Table, labels: NDArray[np.uint32], tmp_path: Any
):
    overlay = corrections.overlay(B02, "target")
    overlay.fill(1, (3, 0), 0)
    overlay.fill(4, (3, 0), 9)
    decisions = corrections.commit(B02, "target")
    assert [(one.verb, one.values["frame"]) for one in decisions] == [("labels", 1), ("labels", 4)]
    assert corrections.commit(B02, "target") == []
    assert corrections.overlay(B02, "target") is overlay
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(
        one.values["patch"] for one in decisions
    )
    later = Sitting(events_of(), MemoryJournal(), reader="ben", earlier=decisions)
    again = corrections_of(later, cells, labels, tmp_path).overlay(B02, "target")
    assert not again.frame(1)[3, 0]
    assert again.frame(4)[3, 0] == 9
    assert labels[1, 3, 0] == 1


def test_an_undone_correction_of_outlines_is_gone_from_the_picture(
    cells: Table, labels: NDArray[np.uint32], tmp_path: Any
):
    sitting = Sitting(events_of(), MemoryJournal(), reader="ana")
    corrections = corrections_of(sitting, cells, labels, tmp_path)
    corrections.overlay(B02, "target").fill(1, (3, 0), 0)
    corrections.commit(B02, "target")
    sitting.undo()
    assert corrections.overlay(B02, "target").frame(1).tolist() == labels[1].tolist()
    sitting.redo()
    assert not corrections.overlay(B02, "target").frame(1)[3, 0]


def test_a_new_cell_gets_a_number_that_neither_a_track_nor_a_drawn_cell_has(corrections: Corrections):
    corrections.cut(B02, "target", 1, last_frame=2)  # gives 5 away
    overlay = corrections.overlay(B02, "target")
    assert overlay.new_label() == 6
    overlay.fill(0, (3, 0), 6)
    corrections.commit(B02, "target")
    assert corrections.next_track(B02, "target") == 7


def test_a_patch_that_was_altered_is_left_out_and_named(
    corrections: Corrections, cells: Table, labels: NDArray[np.uint32], tmp_path: Any
):
    corrections.overlay(B02, "target").fill(1, (3, 0), 0)
    (decision,) = corrections.commit(B02, "target")
    (tmp_path / decision.values["patch"]).write_bytes(b"torn")
    later = corrections_of(
        Sitting(events_of(), MemoryJournal(), reader="ben", earlier=[decision]), cells, labels, tmp_path
    )
    assert later.overlay(B02, "target").frame(1).tolist() == labels[1].tolist()
    assert "was altered" in later.problems[0]


def test_what_the_disk_refused_is_still_there_to_be_committed_again(
    cells: Table, labels: NDArray[np.uint32], tmp_path: Any
):
    class Disk(MemoryJournal):
        full = False

        def append(self, record: Any) -> None:
            if self.full:
                raise StorageError("the disk is full")
            super().append(record)

    disk = Disk()
    sitting = Sitting(events_of(), disk, reader="ana")
    corrections = corrections_of(sitting, cells, labels, tmp_path)
    sitting.changed.append(lambda names: corrections.overlay(B02, "target").frame(4))  # as the window does
    overlay = corrections.overlay(B02, "target")
    overlay.fill(1, (3, 0), 0)
    overlay.fill(4, (3, 0), 9)
    disk.full = True
    with pytest.raises(StorageError, match="full"):
        corrections.commit(B02, "target")
    assert overlay.edited_frames == (1, 4)
    disk.full = False
    assert len(corrections.commit(B02, "target")) == 2
    assert corrections.overlay(B02, "target") is overlay


def test_a_field_without_cells_of_a_role_has_nothing_to_correct(corrections: Corrections):
    assert corrections.next_track(B02, "effector") == 1
    assert corrections.frames_of(B02, "effector", 1).tolist() == []
    assert corrections.next_track(FieldId("C05", 3), "target") == 1


def test_a_cell_drawn_and_a_track_cut_off_never_get_the_same_number(corrections: Corrections):
    overlay = corrections.overlay(B02, "target")
    assert corrections.cut(B02, "target", 1, last_frame=2).values["new_track_id"] == 5
    assert corrections.overlay(B02, "target").split(0, (3, 0), (6, 3)) == (1, 6)
    assert corrections.overlay(B02, "target") is overlay
    assert (
        corrections.cut(B02, "target", 4, last_frame=2).values["new_track_id"] == 7
    )  # 6 is drawn, not committed
