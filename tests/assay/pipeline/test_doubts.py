"""What a model doubts reaches the fields table; what it cannot see is said before a run."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from assay.io.tables import read_table
from assay.labels import Doubt
from assay.pipeline.check import check_plate
from assay.pipeline.run import RunOptions, plan_run, run_plate
from assay.protocol import parse_protocol
from tests.small_plates import PROTOCOL, film, write_small_plate
from tests.threshold_segmenter import ThresholdSegmenter


class Doubting(ThresholdSegmenter):
    """Doubts every frame, and finds the channels swapped where the effector channel is the brighter one."""

    asked = 0

    def segment(self, images, *, present, pixel_um):
        doubt = Doubt(about="wrong", of="target", value=0.6, least=0.0, most=0.25)
        return [
            replace(cells, doubts=(doubt,))
            for cells in super().segment(images, present=present, pixel_um=pixel_um)
        ]

    def swap_doubts(self, read, *, shape, present, pixel_um):
        Doubting.asked += 1
        image = read(*(slice(0, side) for side in shape))
        gain = 0.2 if np.count_nonzero(image[0] > 0.3) > np.count_nonzero(image[1] > 0.3) else -0.2
        return (Doubt(about="swap", of="effector target", value=gain, least=-1.0, most=0.04),)


class TwoDyes(ThresholdSegmenter):
    """Sees targets in the target or the death channel, whichever shows them."""

    def segment(self, images, *, present, pixel_um):
        both = images.copy()
        both[:, 1] = np.maximum(images[:, 1], images[:, 3])
        return super().segment(both, present=present, pixel_um=pixel_um)


class Silent:
    def begin(self, step, total, done=0): ...

    def advance(self): ...

    def say(self, line): ...


def warnings_of(folder: Path, protocol_text: str, segmenter=Doubting) -> list[str]:
    plate = write_small_plate(folder / "plate.zarr", {"B02": film(20)})
    protocol, options = parse_protocol(protocol_text), RunOptions()
    plan = plan_run(plate, folder / "out", protocol=protocol, options=options)
    run_plate(
        plan.with_segmenter(segmenter().identity),
        make_segmenter=segmenter,
        provenance={"model": dict(segmenter().identity)},
        options=options,
        progress=Silent(),
    )
    [warning] = read_table(folder / "out" / "tables", "fields")["warning"].tolist()
    return (warning or "").split("; ")


def test_doubts_of_the_model_stand_in_the_fields_table(tmp_path):
    Doubting.asked = 0
    said = warnings_of(tmp_path, PROTOCOL)
    assert (
        "the model doubts itself: about 60 % of what it takes for targets is probably wrong (at most 25 % expected): check "
        in ("; ".join(said))
    )
    assert not any("swapped" in text for text in said)
    assert Doubting.asked == 2  # the first and the middle of the sampled frames


def test_swapped_channels_are_said(tmp_path):
    text = PROTOCOL.replace("CTDR", "GFP*").replace('"GFP"', '"CTDR"').replace("GFP*", "GFP")
    assert any(
        said.startswith("the effector and target channels look swapped")
        for said in warnings_of(tmp_path, text)
    )


def test_a_death_dye_brighter_than_the_target_dye_from_the_start_is_said(tmp_path):
    said = "in 100 % of targets of the first frame the death dye is brighter than the target dye"
    right, swapped = tmp_path / "right", tmp_path / "swapped"
    assert not any("death dye is brighter" in text for text in warnings_of(right, PROTOCOL, TwoDyes))
    text = PROTOCOL.replace('target = "GFP"', 'target = "PI"').replace('death = "PI"', 'death = "GFP"')
    assert any(text.startswith(said) for text in warnings_of(swapped, text, TwoDyes))


def test_a_segmenter_without_doubts_gives_no_warning(tmp_path):
    assert not any("doubts" in said for said in warnings_of(tmp_path, PROTOCOL, ThresholdSegmenter))


def test_a_check_says_what_no_channel_shows_and_what_no_role_uses(tmp_path):
    plate = write_small_plate(tmp_path / "plate.zarr", {"B02": film(4)})
    _, lines = check_plate(plate, parse_protocol('[channels]\ntarget = "GFP"\ndeath = "PI"\n'))
    warned = [line for line in lines if line.startswith("WARNING") and "channel" in line]
    assert warned == [
        "WARNING no channel shows effectors: none will be found; that takes an effector dye or brightfield",
        "WARNING channels without a role: CTDR (roles without a channel: effector, nuclei, brightfield)",
    ]
