import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assay.errors import ResultsError
from assay.pipeline.event_films import BEFORE, write_event_films
from assay.report.event_films import EventFilm, FilmFrame, gif, picture
from tests.assay.pipeline.test_run import run
from tests.small_plates import film, write_small_plate

DEATH_EDGE = [77, 228, 255]


class Told:
    """Counts films."""

    def __init__(self) -> None:
        self.done = self.total = 0

    def begin(self, step: str, total: int, done: int = 0) -> None:
        self.total = total

    def advance(self) -> None:
        self.done += 1

    def say(self, line: str) -> None: ...


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    run(write_small_plate(folder / "small.zarr", {"B02": film(20)}), folder / "results")
    return folder / "results"


def test_a_film_shows_the_death_and_the_frames_before_and_after(results: Path, tmp_path: Path):
    told = Told()
    (path,) = write_event_films(results, tmp_path, progress=told)
    assert path.name == "B02_0_d1.gif"
    assert (told.done, told.total) == (1, 1)
    with Image.open(path) as opened:
        # the death is at frame 12 of 20, the contact is there from frame 8 on or earlier: from 0 to the end at 19
        assert opened.n_frames == 20 - max(0, 12 - BEFORE)
        opened.seek(12)
        assert opened.info["duration"] == 900
        corner = np.asarray(opened.convert("RGB"))[46, 12].astype(int)  # the frame around the picture
        assert np.abs(corner - DEATH_EDGE).max() < 30
        opened.seek(11)
        assert np.asarray(opened.convert("RGB"))[46, 12].max() < 60


def test_films_need_the_raw_images_and_say_where_they_are_looked_for(results: Path, tmp_path: Path):
    plate = results.parent / "small.zarr"
    plate.rename(plate.with_name("elsewhere.zarr"))
    try:
        with pytest.raises(
            ResultsError, match=r"films need the raw images, and the plate is not at .*small.zarr"
        ):
            write_event_films(results, tmp_path, progress=Told())
    finally:
        plate.with_name("elsewhere.zarr").rename(plate)


def _drawn(*, effector: bool = True) -> EventFilm:
    square = (np.array([[0.25, 0.25], [0.25, 0.75], [0.75, 0.75], [0.75, 0.25], [0.25, 0.25]]),)
    frames = tuple(
        FilmFrame(
            frame=n,
            clock=f"0:{n:02d} h",
            from_death=f"{n - 2} min",
            composite=np.zeros((40, 40, 3), np.uint8),
            death_dye=None,
            target_outline=square,
            effector_outline=square if effector else (),
        )
        for n in range(4)
    )
    return EventFilm(title="B02", subtitle="", crop_um=50.0, death_frame=2, contact=(1, 2), frames=frames)


def test_the_scale_bar_is_ten_micrometres_of_the_crop():
    shown = picture(_drawn(), 0)
    bar = (shown[44 + 300 - 10, 10:310] > 200).all(axis=-1)
    assert np.count_nonzero(bar) == pytest.approx(300 * 10 / 50, abs=2)


def test_the_pair_is_outlined_in_its_colours_and_nobody_has_no_yellow():
    with_pair, alone = picture(_drawn(), 0), picture(_drawn(effector=False), 0)
    inside = (slice(44 + 60, 44 + 240), slice(10 + 60, 10 + 240))  # clear of clock, words and scale bar

    def has(shown: np.ndarray, color: tuple[int, int, int]) -> bool:
        return bool((np.abs(shown[inside].astype(int) - color).max(axis=-1) < 40).any())

    assert has(with_pair, (255, 217, 26))
    assert not has(alone, (255, 217, 26))
    assert has(alone, (255, 74, 84))


def test_a_film_is_the_same_bytes_each_time_and_runs_for_ever():
    first = gif(_drawn())
    assert first == gif(_drawn())
    with Image.open(io.BytesIO(first)) as opened:
        assert opened.info["loop"] == 0
        assert opened.n_frames == 4
