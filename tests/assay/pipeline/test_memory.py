"""Too little memory: frames that no memory holds are refused first; a run that finds none stops, and goes on later."""

from pathlib import Path

import pytest

from assay.errors import DeviceError, ImageError
from assay.pipeline.check import check_plate
from assay.pipeline.planning import RunOptions, plan_run, require_workable_frames
from assay.pipeline.run import run_plate
from assay.protocol import parse_protocol
from assay.stack import FieldId
from tests.small_plates import PROTOCOL, film, write_small_plate
from tests.threshold_segmenter import ThresholdSegmenter, make

PLACE = FieldId("B02", 0)


class Silent:
    def begin(self, step: str, total: int, done: int = 0) -> None: ...

    def advance(self) -> None: ...

    def say(self, line: str) -> None: ...


class Hungry(ThresholdSegmenter):
    """Finds no memory from its third batch on."""

    calls = 0

    def segment(self, images, **options):
        Hungry.calls += 1
        if Hungry.calls > 2:
            raise MemoryError
        return super().segment(images, **options)


def hungry() -> Hungry:
    return Hungry()


@pytest.fixture
def plate(tmp_path: Path) -> Path:
    return write_small_plate(tmp_path / "small.zarr", {"B02": film(36)})  # shards of 16, 16 and 4 frames


def test_full_memory_stops_the_run_keeps_what_is_done_and_is_mended_by_running_again(
    plate: Path, tmp_path: Path
):
    options = RunOptions(batch_frames=16)
    plan = plan_run(plate, tmp_path / "out", protocol=parse_protocol(PROTOCOL), options=options)
    plan = plan.with_segmenter(make().identity)

    def run(segmenter):
        return run_plate(plan, make_segmenter=segmenter, provenance={}, options=options, progress=Silent())

    with pytest.raises(
        DeviceError,
        match=r"^B02_0_000032: not enough memory\. Run with fewer workers, .*what is done is kept\.$",
    ):
        run(hungry)
    kept = sorted(record.stem for record in (tmp_path / "out" / "ledger" / "pixels").iterdir())
    assert [name for name in kept if name.startswith("B02_0")] == ["B02_0_000000", "B02_0_000016"]
    outcome = run(make)
    assert outcome.complete
    assert not outcome.failed


@pytest.mark.parametrize("shape", [(1, 1, 65_537, 8192), (40, 3, 100, 70_000)])
def test_frames_whose_rows_no_memory_holds_say_what_to_do(shape: tuple[int, ...]):
    with pytest.raises(ImageError, match=r"well B02, field 0: its frames of ") as caught:
        require_workable_frames(shape, PLACE)
    assert str(caught.value) == (
        f"well B02, field 0: its frames of {shape[2]} x {shape[3]} pixels are too large, expected at most 65536 on a side. Cut "
        "them into smaller fields, each a field of its well, and run those."
    )
    require_workable_frames((1000, 5, 30_000, 30_000), PLACE)


def test_label_images_of_another_program_are_held_as_a_whole_and_refused_where_no_memory_does():
    with pytest.raises(ImageError, match=r"frames of 8193 x 8192 pixels are too large for --labels"):
        require_workable_frames((1, 1, 8193, 8192), PLACE, given_labels=True)
    require_workable_frames((1, 1, 8192, 8192), PLACE, given_labels=True)


def test_run_and_check_both_refuse_them_before_any_pixel_is_read(
    plate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("assay.pipeline.frame_sizes.LONGEST_SIDE_PX", 95)
    protocol = parse_protocol(PROTOCOL)
    with pytest.raises(ImageError, match="its frames of 72 x 96 pixels are too large"):
        plan_run(plate, tmp_path / "out", protocol=protocol, options=RunOptions())
    problems, _ = check_plate(plate, protocol)
    assert len(problems) == 1
    assert "its frames of 72 x 96 pixels are too large" in problems[0]
