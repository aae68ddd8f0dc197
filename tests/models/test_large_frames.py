"""A frame that is made into cells block by block has the cells of the whole frame, to the last bit."""

import dataclasses

import numpy as np
import pytest
import torch

from assay.errors import ImageError
from assay.labels import CELL_ROLES, CHANNEL_ROLES
from models.decode import SETTINGS, CellFeatures, decode
from models.large_frames import BlockFinder, labels_of
from models.network import OFFSET_Y
from models.training.targets import role_truth
from models.weights import load_model

OWN = (0.65, 0.65)


def painted(runs, shape):
    """The label image that runs stand for."""
    image = np.zeros(shape, dtype=np.int32)
    for row, start, stop, label in runs.tolist():
        assert (image[row, start:stop] == 0).all()
        image[row, start:stop] = label
    return image


def said_of(shape, *, n, radius, seed):
    """Maps of a network that is nearly right about cells drawn at random, which touch and have two warm places."""
    generator = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype=np.int32)
    y, x = np.mgrid[: shape[0], : shape[1]]
    for number in range(1, n + 1):
        cy, cx, own = *(generator.uniform(0, side) for side in shape), radius * generator.uniform(0.7, 1.3)
        labels[((y - cy) ** 2 / 1.6 + (x - cx) ** 2 <= own**2) & (labels == 0)] = number
    maps = role_truth(labels)
    maps[:OFFSET_Y] = torch.from_numpy(maps[:OFFSET_Y]).logit(eps=1e-3).numpy()
    return maps + generator.normal(0, 0.25, maps.shape).astype(np.float32)


@pytest.fixture(scope="module")
def maps():
    shape = (330, 420)
    roles = [said_of(shape, n=150, radius=7, seed=1), said_of(shape, n=60, radius=15, seed=2)]
    return torch.from_numpy(np.concatenate(roles))


def in_blocks(maps, *, block_px=64, margin_px=96, asked=None):
    def maps_of(rows, columns):
        if asked is not None:
            asked.append((rows, columns))
        return maps[:, rows, columns]

    finder = BlockFinder(
        maps_of,
        shape=tuple(maps.shape[1:]),
        settings=SETTINGS,
        pixel_um=OWN,
        block_px=block_px,
        margin_px=margin_px,
    )
    return finder.find()


def whole(maps, role):
    start = 4 * CELL_ROLES.index(role)
    return decode(
        maps[start : start + 4], other_foreground=maps[4 - start], pixel_um=OWN, settings=SETTINGS[role]
    )


@pytest.mark.parametrize("block_px", [64, 128, 512])
def test_blocks_find_the_cells_of_the_whole_frame(maps, block_px):
    found = in_blocks(maps, block_px=block_px)
    for role in CELL_ROLES:
        once, cells = whole(maps, role), found[role]
        assert once.labels.max() > 30
        assert np.array_equal(painted(cells.runs, once.labels.shape), once.labels)
        for field in dataclasses.fields(CellFeatures):
            ours = getattr(cells.found.cells.features, field.name)
            assert np.array_equal(ours, getattr(once.features, field.name)), field.name
        assert cells.found.foreground_px == once.foreground_px
        assert cells.found.inside_px == np.count_nonzero(once.labels)


def test_runs_come_in_row_order(maps):
    for role in CELL_ROLES:
        runs = in_blocks(maps)[role].runs
        assert (np.diff(runs[:, 0].astype(np.int64) * maps.shape[2] + runs[:, 1]) > 0).all()


def test_a_cell_as_long_as_the_wider_margin_is_refused_and_never_cut():
    """The bar is 300 px long and its seed lies in the middle; the wider margin is 32 + 64 / 4 = 48 px."""
    labels = np.zeros((96, 420), dtype=np.int32)
    labels[40:52, 60:360] = 1
    maps = role_truth(labels)
    maps[:OFFSET_Y] = torch.from_numpy(maps[:OFFSET_Y]).logit(eps=1e-3).numpy()
    both = torch.from_numpy(np.concatenate([maps, maps]))
    with pytest.raises(ImageError, match=r"column 2\d\d and what it touches reach further than 48 pixels"):
        in_blocks(both, margin_px=32)


def test_a_cell_longer_than_the_margin_is_found_with_a_wider_one():
    """The bar's seed at column 260 lies in the block from 256 on, which sees 96 px to the left: up to column 160.

    The bar begins at 180, and decoding looks at more than 20 px around it. With 96 + 128 / 4 px all of it is seen.
    """
    labels = np.zeros((96, 640), dtype=np.int32)
    labels[40:52, 180:340] = 1
    maps = role_truth(labels)
    maps[:OFFSET_Y] = torch.from_numpy(maps[:OFFSET_Y]).logit(eps=1e-3).numpy()
    both = torch.from_numpy(np.concatenate([maps, maps]))
    asked = []
    found = in_blocks(both, block_px=128, margin_px=96, asked=asked)
    assert len(asked) > 5  # blocks of 128 px in 640, so one of them was looked at again
    for role in CELL_ROLES:
        assert np.array_equal(painted(found[role].runs, labels.shape), whole(both, role).labels)


def test_cells_below_the_least_score_leave_no_hole_in_the_numbers(maps):
    found = in_blocks(maps)
    scores = {role: np.linspace(0, 1, len(found[role].found.cells.features)) for role in CELL_ROLES}
    labels = labels_of(found, scores, shape=tuple(maps.shape[1:]), least=0.5, doubts=())
    for role in CELL_ROLES:
        runs, kept = labels.of(role)
        n = len(scores[role])
        assert len(kept) == n - n // 2  # of evenly spaced scores the upper half
        assert np.unique(runs[:, 3]).tolist() == list(range(1, len(kept) + 1))
        image, before = painted(runs, labels.shape), painted(found[role].runs, labels.shape)
        assert np.array_equal(image, np.where(before > n // 2, before - n // 2, 0))


def test_the_shipped_model_says_the_same_of_a_frame_read_in_blocks(monkeypatch):
    from assay.brightness import measure_brightness, role_slots
    from assay.simulate.film import simulate_film
    from assay.simulate.scenario import scenario_named

    monkeypatch.setattr("models.predictor.BlockFinder", _small_blocks)
    scenario = dataclasses.replace(scenario_named("adherent_standard"), shape_px=(300, 480))
    film = simulate_film(scenario, seed=504, n_frames=1)
    roles = {role: [number] for number, (role, _) in enumerate(scenario.channels)}
    [slots], present = role_slots(film.images(0)[None], measure_brightness([film.images(0)]), roles)
    model = load_model("standard", device="cpu")
    [once] = model.segment(slots[None], present=present, pixel_um=OWN)
    asked = []

    def read(rows, columns):
        asked.append((rows, columns))
        return slots[:, rows, columns]

    found = model.segment_large(read, shape=(300, 480), present=present, pixel_um=OWN)
    assert len(asked) >= 4
    for role in CELL_ROLES:
        image, scores = once.of(role)
        assert image.max() > 10
        assert np.array_equal(painted(found.of(role)[0], found.shape), image)
        assert np.array_equal(found.of(role)[1], scores)
    assert found.doubts == once.doubts


def _small_blocks(maps_of, **how):
    return BlockFinder(maps_of, **how, block_px=256, margin_px=128)


@pytest.mark.parametrize(
    ("pixel_um", "shown", "said"),
    [
        (
            (0.5, 0.5),
            ("effector", "target"),
            r"pixels of 0.5 x 0.5 um is too large: expected pixels of the model",
        ),
        (OWN, ("brightfield",), "seen in one channel; expected a dye for each"),
    ],
)
def test_what_blocks_cannot_do_is_refused_before_a_pixel_is_read(pixel_um, shown, said):
    model = load_model("standard", device="cpu")
    present = [role in shown for role in CHANNEL_ROLES]
    with pytest.raises(ImageError, match=said):
        model.segment_large(
            lambda rows, columns: 1 / 0, shape=(9000, 9000), present=present, pixel_um=pixel_um
        )
