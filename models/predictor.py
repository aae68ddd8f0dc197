"""The segmenter: frames of numpy in, labels of both roles out, with a network in between.

Knows pixel sizes, tiles and batches, and sees to it that none of them changes a frame's labels.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from assay.errors import DeviceError, ImageError, ShapeError
from assay.labels import CELL_ROLES, CHANNEL_ROLES, CellRole, ChannelRole, FrameLabels
from models.decode import SETTINGS, DecodeSettings, decode, product_scores
from models.decode_torch import averaged
from models.devices import dtype_of, numerics_class, pick_precision
from models.network import (
    FOREGROUND,
    HALO_PX,
    MAPS_PER_ROLE,
    OFFSET_UNIT_PX,
    OFFSET_Y,
    STRIDE,
    SegmentationNet,
)
from models.tiling import Span, padded_length, windows

DECODE_VERSION = "1"  # raise it when labels change though the weights do not
SAME_SCALE = 0.03  # pixel sizes this near the model's own are left as they are
SEEN_BY: Mapping[CellRole, tuple[ChannelRole, ...]] = {
    "effector": ("effector", "brightfield"),
    "target": ("target", "nuclei", "brightfield"),
}
"""Without any of these channels a role cannot be seen, and has no cells."""


class Predictor:
    """A `Segmenter` with a network behind it.

    Args:
        network: Trained; it is changed for inference and belongs to the predictor from here on.
        name: Of the model, for the record.
        sha256: Of its weights.
        pixel_um: Pixel size that the network was trained at.
        device: Where it runs.
        precision: `auto`, `fp32` or `bf16`.
        batch: Windows per pass through the network; changes speed and memory, never labels.
        tile_px: Longest side of a window at the network's own pixel size.
        settings: How maps become cells, per role.
    """

    def __init__(
        self,
        network: SegmentationNet,
        *,
        name: str,
        sha256: str,
        pixel_um: float,
        device: torch.device,
        precision: str = "auto",
        batch: int = 1,
        tile_px: int = 2048,
        settings: Mapping[CellRole, DecodeSettings] = SETTINGS,
    ) -> None:
        self._precision = pick_precision(precision, device)
        self._dtype = dtype_of(self._precision)
        self._network = network.to(device).for_inference(self._dtype)
        self._device = device
        self._name, self._sha256 = name, sha256
        self._pixel_um = pixel_um
        self._batch = max(1, batch)
        self._tile_px = tile_px
        self._settings = dict(settings)

    @property
    def identity(self) -> Mapping[str, str]:
        """What the labels depend on: model, weights, decoding, and the class of machines with equal bits."""
        return {
            "model": self._name,
            "sha256": self._sha256,
            "decode": DECODE_VERSION,
            "precision": self._precision,
            "numerics": numerics_class(self._device, self._precision),
        }

    def segment(
        self,
        images: NDArray[np.float32],
        *,
        present: Sequence[bool],
        pixel_um: tuple[float, float],
    ) -> list[FrameLabels]:
        """Label effectors and targets in frames of equal size.

        A role without a channel that shows it has no cells: effectors need the effector dye or transmitted
        light, targets their dye, nuclei or transmitted light.

        Args:
            images: (N, R, Y, X) with one slot per entry of `CHANNEL_ROLES`, on the scale of `brightness`.
            present: Which slots hold an image; what stands in the others is not looked at.
            pixel_um: Pixel size (y, x); the network sees the frame at its own, the labels are at this one.

        Raises:
            ShapeError: The images are not (N, R, Y, X), or `present` has another length.
            ImageError: A present slot holds values that are no numbers.
            DeviceError: The device ran out of memory.
        """
        _check(images, present)
        if not len(images):
            return []
        shape = (images.shape[2], images.shape[3])
        found = []
        for start in range(0, len(images), self._batch):  # no more frames' maps at once than a batch needs
            some = images[start : start + self._batch]
            planes = _stacked([self._planes(frame, present, pixel_um) for frame in some])
            for maps in self._maps(planes):
                back = self._frame_maps(maps, shape, pixel_um)
                found.append(self._labels(back, present, shape, pixel_um))
        return found

    def maps(self, image: NDArray[np.float32], *, present: Sequence[bool]) -> NDArray[np.float32]:
        """The raw maps of one (R, Y, X) frame at the network's own pixel size, to look at or to score."""
        own = (self._pixel_um, self._pixel_um)
        _check(image[None], present)
        planes = self._planes(image, present, own)
        maps = self._maps(planes[None])[0]
        return maps[:, : image.shape[1], : image.shape[2]].numpy()

    def _planes(
        self, frame: NDArray[np.float32], present: Sequence[bool], pixel_um: tuple[float, float]
    ) -> Tensor:
        """(R, Y, X) frame -> (2R, Y', X') at the network's pixel size, padded to its stride."""
        slots = np.flatnonzero(present)
        image = torch.from_numpy(np.ascontiguousarray(frame[slots], dtype=np.float32))
        image = resized(image, self._own_shape(frame.shape[1:], pixel_um), smooth=True)
        height, width = (padded_length(side, stride=STRIDE) for side in image.shape[1:])
        planes = torch.zeros((2 * len(present), height, width))
        planes[slots, : image.shape[1], : image.shape[2]] = image
        planes[len(present) + slots] = 1
        return planes

    def _own_shape(self, shape: tuple[int, ...], pixel_um: tuple[float, float]) -> tuple[int, int]:
        scales = [size / self._pixel_um for size in pixel_um]
        if all(abs(scale - 1) <= SAME_SCALE for scale in scales):
            return shape[0], shape[1]
        y, x = (max(1, round(side * scale)) for side, scale in zip(shape, scales, strict=True))
        return y, x

    def _maps(self, planes: Tensor) -> Tensor:
        """(N, 2R, Y, X) -> (N, maps, Y, X), window by window, so many at a time as the batch allows."""
        grid = list(
            windows((planes.shape[2], planes.shape[3]), tile_px=self._tile_px, halo_px=HALO_PX, stride=STRIDE)
        )
        if len(grid) == 1 and len(planes) <= self._batch:
            return self._forward(planes)
        jobs = [(frame, *window) for frame in range(len(planes)) for window in grid]
        out = torch.empty((len(planes), self._network.architecture.maps, *planes.shape[2:]))
        for start in range(0, len(jobs), self._batch):
            some = jobs[start : start + self._batch]
            maps = self._forward(_stacked([planes[n, :, _all(y), _all(x)] for n, y, x in some]))
            for one, (n, y, x) in zip(maps, some, strict=True):
                out[n, :, y.keep_start : y.keep_stop, x.keep_start : x.keep_stop] = one[:, y.kept, x.kept]
        return out

    @torch.inference_mode()
    def _forward(self, planes: Tensor) -> Tensor:
        try:
            moved = planes.to(self._device, self._dtype).contiguous(memory_format=torch.channels_last)
            maps: Tensor = self._network(moved).float().cpu()
        except torch.OutOfMemoryError:
            raise DeviceError(
                f"device {self._device} ran out of memory on {len(planes)} windows of {tuple(planes.shape[2:])} "
                "pixels. Let other programs leave it, or run with `--device cpu`; what is done is kept."
            ) from None
        return maps

    def _frame_maps(self, maps: Tensor, shape: tuple[int, int], pixel_um: tuple[float, float]) -> Tensor:
        """Bring maps back to the frame's grid: logits smoothly, offsets without mixing two cells'."""
        own_shape = self._own_shape(shape, pixel_um)
        maps = maps[:, : own_shape[0], : own_shape[1]]
        if own_shape == shape:
            return maps
        maps = averaged(maps).reshape(len(CELL_ROLES), MAPS_PER_ROLE, *own_shape)
        back = maps.new_empty((*maps.shape[:2], *shape))
        for of_role, of_back in zip(maps, back, strict=True):
            of_back[:OFFSET_Y] = resized(of_role[:OFFSET_Y], shape, smooth=True)
            of_back[OFFSET_Y:] = resized(of_role[OFFSET_Y:], shape, smooth=False)
        return back.flatten(0, 1)

    def _labels(
        self, maps: Tensor, present: Sequence[bool], shape: tuple[int, int], pixel_um: tuple[float, float]
    ) -> FrameLabels:
        """Cells of both roles, from maps on the frame's grid."""
        shown = {role for role, there in zip(CHANNEL_ROLES, present, strict=True) if there}
        own_shape = self._own_shape(shape, pixel_um)
        unit_y, unit_x = (OFFSET_UNIT_PX * of / own for of, own in zip(shape, own_shape, strict=True))
        labels, scores = [], []
        for number, role in enumerate(CELL_ROLES):
            if shown.isdisjoint(SEEN_BY[role]):
                labels.append(np.zeros(shape, dtype=np.int32))
                scores.append(np.zeros(0, dtype=np.float32))
                continue
            cells = decode(
                maps[number * MAPS_PER_ROLE : (number + 1) * MAPS_PER_ROLE],
                other_foreground=maps[(1 - number) * MAPS_PER_ROLE + FOREGROUND],
                pixel_um=pixel_um,
                settings=self._settings[role],
                smooth=own_shape == shape,
                offset_unit_px=(unit_y, unit_x),
            )
            labels.append(cells.labels)
            scores.append(product_scores(cells.features, self._settings[role]))
        return FrameLabels(
            effectors=labels[0], targets=labels[1], effector_scores=scores[0], target_scores=scores[1]
        )


def _stacked(tensors: list[Tensor]) -> Tensor:
    return tensors[0][None] if len(tensors) == 1 else torch.stack(tensors)


def _all(span: Span) -> slice:
    return slice(span.start, span.stop)


def resized(image: Tensor, shape: tuple[int, int], *, smooth: bool) -> Tensor:
    """Bring (C, Y, X) to `shape`: smoothly, averaging where it shrinks, or by the nearest pixel."""
    if tuple(image.shape[1:]) == shape or not len(image):
        return image if len(image) else image.new_zeros((0, *shape))
    if smooth:
        return functional.interpolate(image[None], shape, mode="bilinear", antialias=True)[0]
    return functional.interpolate(image[None], shape, mode="nearest-exact")[0]


def _check(images: NDArray[np.float32], present: Sequence[bool]) -> None:
    slots = len(CHANNEL_ROLES)
    if images.ndim != 4 or images.shape[1] != slots or 0 in images.shape[2:] or len(present) != slots:
        raise ShapeError(
            f"frames to segment are {images.shape} with {len(present)} presence flags, expected "
            f"(frames, {slots}, y, x) and {slots} flags: one slot per role of {', '.join(CHANNEL_ROLES)}."
        )
    for slot in np.flatnonzero(present):
        if not np.isfinite(images[:, slot]).all():
            raise ImageError(
                f"the {CHANNEL_ROLES[slot]} channel holds values that are no numbers (NaN or infinite); "
                "expected finite ones. Mend the image, or leave the frame out."
            )
