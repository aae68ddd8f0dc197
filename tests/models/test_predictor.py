import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from assay.errors import DeviceError, ImageError, ShapeError
from assay.labels import CELL_ROLES, CHANNEL_ROLES, FrameLabels
from models.confidence import CURVES, NUMBERS, Confidence, Curve, Usual
from models.decode import DYELESS_EFFECTOR_RADIUS_UM, DecodeSettings
from models.network import OFFSET_Y, Architecture
from models.predictor import Predictor
from models.training.initial import fresh_network

CPU = torch.device("cpu")
OWN = (0.65, 0.65)
ALL = [True] * 5


def predictor(*, precision="fp32", batch=1, tile_px=2048, seed=1, confidence=None, **settings):
    """A network that has learned nothing, and is made to see cells everywhere."""
    network = fresh_network(Architecture(slots=5, cell_roles=2, widths=(8, 16, 16, 16)), seed=seed)
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        network.head.weight.copy_(
            torch.from_numpy(0.3 * generator.standard_normal(network.head.weight.shape))
        )
        network.head.weight.view(2, 4, 4, 8)[:, OFFSET_Y:] *= 0.05  # so that votes land near
        network.head.bias.zero_()
        for module in network.train().modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = None  # take the mean of what comes next, and nothing else
        network(torch.from_numpy(generator.uniform(0, 1, (2, 10, 64, 64)).astype(np.float32)))
    return Predictor(
        network,
        name="random",
        sha256="0",
        pixel_um=0.65,
        device=CPU,
        precision=precision,
        batch=batch,
        tile_px=tile_px,
        settings=dict.fromkeys(
            CELL_ROLES, replace(DecodeSettings(min_area_um2=1.0, min_heat=0.2), **settings)
        ),
        confidence=confidence,
    )


def by_area(*, steepness):
    """A confidence that knows the area alone: 0.5 at 10 um2 (the number is its logarithm)."""
    at = [0.0] * (1 + len(NUMBERS) + len(NUMBERS) * (len(NUMBERS) + 1) // 2)
    at[1 + NUMBERS.index("area")] = steepness
    centre = tuple(math.log(10.0) if name == "area" else 0.0 for name in NUMBERS)
    curve = Curve(centre=centre, spread=(1.0,) * len(NUMBERS), weights=tuple(at))
    usual = Usual(least_area_um2=1.0, most_area_um2=1000.0, most_stray=1.0)
    return Confidence(curves=dict.fromkeys(CURVES, curve), usual=dict.fromkeys(CURVES, usual), frames=1)


def test_cells_that_are_far_more_likely_wrong_than_right_are_not_called():
    [image] = frames(1, 128, 160)
    [everything] = predictor().segment(image[None], present=ALL, pixel_um=OWN)
    model = predictor(confidence=by_area(steepness=4.0))
    [called] = model.segment(image[None], present=ALL, pixel_um=OWN)
    # 1 / (1 + exp(-4 ln(area / 10))) >= 0.3 means area >= 10 (3 / 7)^(1/4) = 8.09 um2
    for role in CELL_ROLES:
        area_um2 = np.bincount(everything.of(role)[0].ravel())[1:] * 0.65**2
        labels, scores = called.of(role)
        assert 0 < (area_um2 < 8.09).sum() < len(area_um2)
        assert labels.max() == len(scores) == (area_um2 >= 8.09).sum()
        assert (scores >= 0.3).all()
        numbered = np.cumsum(area_um2 >= 8.09) * (area_um2 >= 8.09)
        assert np.array_equal(labels, np.concatenate([[0], numbered])[everything.of(role)[0]])


@pytest.mark.parametrize(
    ("roles", "joined"), [(("target",), True), (("target", "nuclei"), True), (("nuclei",), False)]
)
def test_pieces_of_spread_cells_are_joined_and_nuclei_never(roles, joined):
    images, present = frames(1, 128, 160), [role in roles for role in CHANNEL_ROLES]
    [apart] = predictor().segment(images, present=present, pixel_um=OWN)
    [together] = predictor(most_jump=1e9).segment(images, present=present, pixel_um=OWN)
    assert bool(together.targets.max() < apart.targets.max()) is joined
    assert np.array_equal(together.targets, apart.targets) is not joined


@pytest.mark.parametrize(
    ("roles", "further"),
    [(("brightfield",), True), (("target", "brightfield"), True), (("effector",), False)],
)
def test_centres_of_effectors_are_further_apart_where_their_dye_lacks(roles, further):
    images, present = frames(1, 128, 160), [role in roles for role in CHANNEL_ROLES]
    [found] = predictor().segment(images, present=present, pixel_um=OWN)
    [apart] = predictor(seed_radius_um=DYELESS_EFFECTOR_RADIUS_UM).segment(
        images, present=present, pixel_um=OWN
    )
    assert found.effectors.any()
    assert np.array_equal(found.effectors, apart.effectors) is further


def frames(n, height, width, seed=0):
    generator = np.random.default_rng(seed)
    return generator.uniform(0, 1, (n, 5, height, width)).astype(np.float32)


def same(one: FrameLabels, other: FrameLabels) -> bool:
    names = ("effectors", "targets", "effector_scores", "target_scores")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_tiled_and_whole_give_the_same_bits(precision):
    images = frames(1, 310, 423)
    [whole] = predictor(precision=precision).segment(images, present=ALL, pixel_um=OWN)
    [tiled] = predictor(precision=precision, tile_px=256).segment(images, present=ALL, pixel_um=OWN)
    assert min(whole.effectors.max(), whole.targets.max()) > 50
    assert same(whole, tiled)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_batch_of_one_and_of_eight_give_the_same_bits(precision):
    images = frames(8, 100, 68)
    single = predictor(precision=precision, batch=1)
    one = [single.segment(image[None], present=ALL, pixel_um=OWN)[0] for image in images]
    eight = predictor(precision=precision, batch=8).segment(images, present=ALL, pixel_um=OWN)
    assert one[0].targets.max() > 3
    assert all(same(a, b) for a, b in zip(one, eight, strict=True))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (17, 3), (33, 47)])
@pytest.mark.parametrize("pixel_um", [OWN, (0.3112, 0.3112), (1.3, 0.5)])
def test_any_size_of_frame_and_pixel_gives_labels_of_that_size(shape, pixel_um):
    [found] = predictor().segment(frames(1, *shape), present=ALL, pixel_um=pixel_um)
    for labels, scores in (found.of("effector"), found.of("target")):
        assert labels.shape == shape
        assert np.array_equal(np.unique(labels[labels > 0]), np.arange(1, len(scores) + 1))
        assert ((scores >= 0) & (scores <= 1)).all()


def test_no_frames_give_no_labels():
    assert predictor().segment(frames(0, 16, 16), present=ALL, pixel_um=OWN) == []


def test_what_stands_in_an_absent_slot_is_not_looked_at():
    images = frames(1, 64, 64)
    garbage = images.copy()
    garbage[:, 2] = np.nan
    present = [True, True, False, True, True]
    [one] = predictor().segment(images, present=present, pixel_um=OWN)
    [other] = predictor().segment(garbage, present=present, pixel_um=OWN)
    assert same(one, other)


def test_an_absent_channel_is_not_a_black_channel():
    images = frames(1, 64, 64)
    images[:, 2] = 0
    black = predictor().maps(images[0], present=ALL)
    absent = predictor().maps(images[0], present=[True, True, False, True, True])
    assert not np.array_equal(black, absent)


def test_a_role_that_no_channel_shows_has_no_cells():
    images = frames(1, 64, 64)
    only_target_dye = [False, True, False, True, False]
    [found] = predictor().segment(images, present=only_target_dye, pixel_um=OWN)
    assert not found.effectors.any()
    assert found.targets.any()
    only_effector_dye = [True, False, False, True, False]
    [found] = predictor().segment(images, present=only_effector_dye, pixel_um=OWN)
    assert found.effectors.any()
    assert not found.targets.any()


def test_frames_are_not_changed():
    images = frames(2, 40, 40)
    before = images.copy()
    predictor().segment(images, present=ALL, pixel_um=(0.5, 0.5))
    assert np.array_equal(images, before)


def test_wrong_shape_names_what_is_expected():
    with pytest.raises(
        ShapeError, match=r"\(1, 4, 8, 8\) with 5 presence flags, expected \(frames, 5, y, x\)"
    ):
        predictor().segment(frames(1, 8, 8)[:, :4], present=ALL, pixel_um=OWN)


def test_pixels_that_are_no_numbers_are_an_error_that_names_the_channel():
    images = frames(1, 8, 8)
    images[0, 3, 2, 2] = np.nan
    with pytest.raises(ImageError, match="the death channel holds values that are no numbers"):
        predictor().segment(images, present=ALL, pixel_um=OWN)


def test_identity_tells_precision_and_class_of_machine():
    identity = predictor(precision="fp32").identity
    assert identity["model"] == "random"
    assert identity["precision"] == "fp32"
    assert identity["numerics"].startswith("cpu-fp32-")


class SmallMemory:
    """Stands for a device that holds so many windows of so many pixels; remembers what was asked of it."""

    def __init__(self, network, *, most_px, error=torch.OutOfMemoryError):
        self.network, self.most_px, self.error, self.asked = network, most_px, error, []

    def look_twice(self, planes):
        self.asked.append((len(planes), *planes.shape[2:]))
        if planes[:, 0].numel() > self.most_px:
            raise self.error("DefaultCPUAllocator: can't allocate memory")
        return self.network.look_twice(planes)


def test_out_of_memory_halves_the_batch_and_changes_no_label(monkeypatch):
    images = frames(8, 80, 96)
    whole = predictor(batch=8)
    expected = whole.segment(images, present=ALL, pixel_um=OWN)
    small = SmallMemory(whole._network, most_px=2 * 80 * 96)
    monkeypatch.setattr(whole, "_network", small)
    found = whole.segment(images, present=ALL, pixel_um=OWN)
    assert all(same(a, b) for a, b in zip(found, expected, strict=True))
    assert [asked[0] for asked in small.asked] == [8, 4, 2, 2, 2, 2]
    whole.segment(images[:2], present=ALL, pixel_um=OWN)
    assert small.asked[-1] == (2, 80, 96)  # what did not fit once is not tried again


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_out_of_memory_then_halves_the_windows_and_changes_no_label(monkeypatch, error):
    images = frames(1, 640, 656)
    model = predictor(batch=2)
    [expected] = model.segment(images, present=ALL, pixel_um=OWN)
    small = SmallMemory(model._network, most_px=512 * 512, error=error)
    monkeypatch.setattr(model, "_network", small)
    [found] = model.segment(images, present=ALL, pixel_um=OWN)
    assert same(found, expected)
    assert small.asked[0] == (1, 640, 656)  # batch 2 holds the one frame there is; then batch 1, then windows
    assert max(height * width for _, height, width in small.asked[-4:]) <= 512 * 512


def test_memory_for_not_even_one_small_window_is_an_error_that_says_what_to_do(monkeypatch):
    model = predictor(batch=4)
    monkeypatch.setattr(model, "_network", SmallMemory(model._network, most_px=0))
    with pytest.raises(
        DeviceError,
        match=r"^device cpu ran out of memory on one window of 512 x 512 pixels\. Run with fewer workers, or on a "
        r"machine with more memory; what is done is kept\.$",
    ):
        model.segment(frames(1, 640, 656), present=ALL, pixel_um=OWN)


def test_another_error_of_the_library_is_not_taken_for_lack_of_memory(monkeypatch):
    model = predictor()
    monkeypatch.setattr(model, "_network", SmallMemory(None, most_px=10**9))
    with pytest.raises(AttributeError, match="look_twice"):
        model.segment(frames(1, 16, 16), present=ALL, pixel_um=OWN)


@pytest.mark.parametrize("shape", [(8193, 8192), (30_000, 30_000), (1, 10**9)])
def test_a_frame_too_large_for_memory_is_refused_before_any_is_taken(shape):
    image = np.broadcast_to(np.float32(0), (1, 5, *shape))  # takes no memory
    with pytest.raises(
        ImageError, match=rf"^a frame of {shape[0]} x {shape[1]} pixels of 0\.65 x 0\.65 um is"
    ):
        predictor().segment(image, present=ALL, pixel_um=OWN)


def test_a_pixel_size_that_would_blow_the_frame_up_is_refused():
    # 400 px of 650 um are 400 000 px of 0.65 um to each side
    with pytest.raises(ImageError, match=r"at the model's 0\.65 um it has 400000 x 400000, expected at most"):
        predictor().segment(frames(1, 400, 400), present=ALL, pixel_um=(650.0, 650.0))


@pytest.mark.parametrize("shape", [(16, 16), (72, 90), (200, 130), (257, 321)])
def test_one_thread_and_two_give_the_same_bits_in_fp32(shape):
    images = frames(1, *shape)
    model, threads = predictor(), torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found += model.segment(images, present=ALL, pixel_um=OWN)
    finally:
        torch.set_num_threads(threads)
    assert same(*found)


def test_every_corner_and_border_window_gives_the_bits_of_the_whole_frame():
    images = frames(1, 529, 771, seed=1)  # neither is a multiple of anything
    [whole] = predictor().segment(images, present=ALL, pixel_um=OWN)
    for tile_px in (272, 400):
        [tiled] = predictor(tile_px=tile_px, batch=3).segment(images, present=ALL, pixel_um=OWN)
        assert same(whole, tiled)


def test_the_record_says_on_what_it_ran():
    runtime = predictor(precision="fp32").runtime
    assert runtime["runtime"] == f"torch {torch.__version__}"
    assert (runtime["device"], runtime["precision"]) == ("cpu", "fp32")
    assert runtime["chosen"] == "cpu, fp32 (as asked for); device as asked for"
    assert runtime["device_name"]


def test_identity_changes_with_every_setting_that_changes_labels():
    def made(**changes):
        network = fresh_network(Architecture(slots=5, cell_roles=2, widths=(8, 8, 8, 8)), seed=0)
        known = {"name": "a", "sha256": "1", "pixel_um": 0.65, "device": CPU, "precision": "fp32"}
        return dict(Predictor(network, **(known | changes)).identity)

    other_rules = dict.fromkeys(CELL_ROLES, DecodeSettings(min_area_um2=16.0))
    changed = [{}, {"sha256": "2"}, {"pixel_um": 0.5}, {"precision": "bf16"}, {"settings": other_rules}]
    assert len({str(made(**change)) for change in changed}) == len(changed)
    assert made(batch=8, tile_px=512) == made()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_finds_nearly_the_cells_that_the_cpu_finds():
    images = frames(2, 64, 80)
    network = fresh_network(Architecture(slots=5, cell_roles=2, widths=(8, 16, 16, 16)), seed=0)
    on_gpu = Predictor(
        network, name="random", sha256="0", pixel_um=0.65, device=torch.device("cuda:0"), precision="fp32"
    )
    again = fresh_network(Architecture(slots=5, cell_roles=2, widths=(8, 16, 16, 16)), seed=0)
    on_cpu = Predictor(again, name="random", sha256="0", pixel_um=0.65, device=CPU, precision="fp32")
    gpu, cpu = (model.maps(images[0], present=ALL) for model in (on_gpu, on_cpu))
    assert np.abs(gpu - cpu).max() < 0.05


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_bits_again_and_in_any_batch():
    images = frames(4, 310, 423)
    network = predictor()._network
    found = []
    for batch in (1, 4, None):
        model = Predictor(
            network, name="random", sha256="0", pixel_um=0.65, device="cuda:0", precision="fp32", batch=batch
        )
        found.append(model.segment(images, present=ALL, pixel_um=OWN))
    assert all(same(a, b) for a, b in zip(found[0], found[1], strict=True))
    assert all(same(a, b) for a, b in zip(found[0], found[2], strict=True))
