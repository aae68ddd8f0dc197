"""The segmenter: frames of numpy in, labels of both roles out, with a network in between.

Knows pixel sizes, tiles and batches, and sees to it that none of them changes a frame's labels.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from assay.errors import ImageError
from assay.labels import (
    CELL_ROLES,
    CHANNEL_ROLES,
    LARGEST_WHOLE_PX,
    CellRole,
    Doubt,
    FrameLabels,
    LargeFrameLabels,
    ReadSlots,
)
from models.confidence import Confidence
from models.contests import settled, shares_a_channel, without
from models.decode import (
    DYELESS_EFFECTOR_RADIUS_UM,
    SETTINGS,
    DecodeSettings,
    decode,
    product_scores,
)
from models.devices import (
    chosen_text,
    device_name,
    dtype_of,
    exact_repeats,
    numerics_class,
    pick_device,
    pick_precision,
)
from models.doubts import FoundCells, frame_doubts, swap_doubt, swapped, swaps_of
from models.frames import brought_back, middle, require_frames, require_numbers, resized
from models.large_frames import LARGE_TILE_PX, BlockFinder, labels_of, require_blocks_will_do
from models.network import (
    FOREGROUND,
    MAPS_PER_ROLE,
    OFFSET_UNIT_PX,
    STRIDE,
    SegmentationNet,
)
from models.roles_seen import SAME_SCALE, roles_seen
from models.roles_seen import SEEN_BY as SEEN_BY
from models.tiling import padded_length
from models.windowed import WindowedNetwork, is_out_of_memory, out_of_memory

DECODE_VERSION = "7"  # raise it when labels change though the weights do not
LEAST_CONFIDENCE = 0.3  # cells below are not called; from here to 0.5 AP hardly changes


class Predictor:
    """A `Segmenter` with a network behind it.

    Args:
        network: Trained; it is changed for inference and belongs to the predictor from here on.
        name: Of the model, for the record.
        sha256: Of its weights.
        pixel_um: Pixel size that the network was trained at.
        device: Where it runs: a torch device, or a name for `pick_device`.
        precision: `auto`, `fp32` or `bf16`.
        batch: Windows per pass through the network, None for what suits the device; changes speed and memory,
            never labels.
        tile_px: Longest side of a window at the network's own pixel size.
        settings: How maps become cells, per role.
        confidence: Makes scores probabilities; without, a score only orders cells, and nothing is doubted.
    """

    def __init__(
        self,
        network: SegmentationNet,
        *,
        name: str,
        sha256: str,
        pixel_um: float,
        device: torch.device | str,
        precision: str = "auto",
        batch: int | None = None,
        tile_px: int = 2048,
        settings: Mapping[CellRole, DecodeSettings] = SETTINGS,
        confidence: Confidence | None = None,
    ) -> None:
        self._device = pick_device(device) if isinstance(device, str) else device
        self._precision = pick_precision(precision, self._device)
        self._asked = (str(device), precision)
        self._dtype = dtype_of(self._precision)
        self._network = network.to(self._device).for_inference(self._dtype)
        self._name, self._sha256 = name, sha256
        self._pixel_um = pixel_um
        self._settings = dict(settings)
        self._confidence = confidence
        self._windowed = WindowedNetwork(
            self._forward,
            maps=network.architecture.maps,
            device=self._device,
            batch=batch,
            tile_px=tile_px,
        )

    @property
    def identity(self) -> Mapping[str, str]:
        """What the labels depend on: model, weights, decoding, and the class of machines with equal bits."""
        return {
            "model": self._name,
            "sha256": self._sha256,
            "pixel_um": f"{self._pixel_um:g}",
            "decode": DECODE_VERSION,
            "settings": hashlib.sha256(repr(sorted(self._settings.items())).encode()).hexdigest()[:12],
            "confidence": self._confidence.identity if self._confidence else "none",
            "precision": self._precision,
            "device": self._device.type,
            "numerics": numerics_class(self._device, self._precision),
        }

    @property
    def runtime(self) -> Mapping[str, str]:
        """On what it runs, for the record; nothing that other labels would follow from."""
        return {
            "runtime": f"torch {torch.__version__}",
            "device": str(self._device),
            "device_name": device_name(self._device),
            "precision": self._precision,
            "chosen": chosen_text(*self._asked, self._device, self._precision),
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
        shape = (images.shape[-2], images.shape[-1])
        return [
            self._frame_labels(found, present, shape, pixel_um)
            for found in self._found(images, present, pixel_um)
        ]

    def found(
        self, image: NDArray[np.float32], *, present: Sequence[bool], pixel_um: tuple[float, float]
    ) -> dict[CellRole, FoundCells]:
        """The cells of one (R, Y, X) frame with all that is known of them; roles that no channel shows lack."""
        [found] = self._found(image[None], present, pixel_um)
        return found

    def segment_large(
        self,
        read: ReadSlots,
        *,
        shape: tuple[int, int],
        present: Sequence[bool],
        pixel_um: tuple[float, float],
    ) -> LargeFrameLabels:
        """Label a frame that is too large to be held: block by block, the same cells as `segment` gives.

        Args:
            read: Rows and columns -> (R, y, x) of the frame, as `segment` takes it.
            shape: Of the frame in pixels.
            present: As for `segment`.
            pixel_um: As for `segment`.

        Raises:
            ImageError: A cell reaches too far, or the frame's pixel size or channels ask for the whole frame at once.
        """
        require_blocks_will_do(present, pixel_um=pixel_um, own_um=self._pixel_um)
        settings = {role: self._settings_of(role, present) for role in roles_seen(present)}
        self._windowed.tile_px = min(self._windowed.tile_px, LARGE_TILE_PX)

        def maps_of(rows: slice, columns: slice) -> Tensor:
            require_frames(image := read(rows, columns)[None], present)
            planes = self._planes(image, present, pixel_um)
            del image  # the network needs the room
            return self._windowed(planes)[0]

        found = BlockFinder(maps_of, shape=shape, settings=settings, pixel_um=pixel_um).find()
        large = {role: of_role.found for role, of_role in found.items()}
        scores = self._scores(large, present, shape, pixel_um)
        confidence = self._confidence
        doubts = frame_doubts(large, scores, present=present, confidence=confidence) if confidence else ()
        least = LEAST_CONFIDENCE if confidence else 0.0
        return labels_of(found, scores, shape=shape, least=least, doubts=doubts)

    def swap_doubts(
        self,
        read: ReadSlots,
        *,
        shape: tuple[int, int],
        present: Sequence[bool],
        pixel_um: tuple[float, float],
    ) -> tuple[Doubt, ...]:
        """Whether a frame's middle looks clearly better with two channels exchanged; nothing without a confidence."""
        if self._confidence is None:
            return ()
        part = read(*(middle(side, size) for side, size in zip(shape, pixel_um, strict=True)))
        given = self._all_scores(part, present, pixel_um)
        return tuple(
            swap_doubt(swap, given, self._all_scores(swapped(part, swap), present, pixel_um))
            for swap in swaps_of(present)
        )

    def _all_scores(
        self, image: NDArray[np.float32], present: Sequence[bool], pixel_um: tuple[float, float]
    ) -> list[NDArray[np.float32]]:
        scores = self._scores(
            self._found(image[None], present, pixel_um)[0], present, image.shape[1:], pixel_um
        )
        return [scores[role] for role in CELL_ROLES]

    def _found(
        self, images: NDArray[np.float32], present: Sequence[bool], pixel_um: tuple[float, float]
    ) -> list[dict[CellRole, FoundCells]]:
        require_frames(images, present)
        if not len(images):
            return []
        shape = (images.shape[2], images.shape[3])
        size = self._windowed.batch_of(self._padded_shape(shape, pixel_um))
        batches = [images[start : start + size] for start in range(0, len(images), size)]
        found = []
        try:
            planes = self._planes(batches[0], present, pixel_um)
            for batch_after in (*batches[1:], None):
                of_batch = self._windowed(planes)  # on a GPU this returns before it is computed,
                if batch_after is not None:  # and the next batch is brought there meanwhile
                    planes = self._planes(batch_after, present, pixel_um)
                for maps in of_batch:
                    back = self._frame_maps(maps, shape, pixel_um)
                    found.append(self._cells(back, present, shape, pixel_um))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            what = f"frames of {shape[0]} x {shape[1]} pixels"
            raise out_of_memory(self._device, what) from None
        return found

    def maps(self, image: NDArray[np.float32], *, present: Sequence[bool]) -> NDArray[np.float32]:
        """The raw maps of one (R, Y, X) frame at the network's own pixel size, to look at or to score."""
        require_frames(image[None], present)
        maps = self._windowed(self._planes(image[None], present, (self._pixel_um,) * 2))[0]
        return maps[:, : image.shape[1], : image.shape[2]].cpu().numpy()

    @torch.inference_mode()
    def _planes(
        self, frames: NDArray[np.float32], present: Sequence[bool], pixel_um: tuple[float, float]
    ) -> Tensor:
        """(N, R, Y, X) frames -> (N, 2R, Y', X') on the device, at the network's pixel size and stride."""
        slots = np.flatnonzero(present).tolist()
        own_shape = self._own_shape((frames.shape[2], frames.shape[3]), pixel_um)
        padded = self._padded_shape((frames.shape[2], frames.shape[3]), pixel_um)
        planes = torch.zeros((len(frames), 2 * len(present), *padded), dtype=self._dtype, device=self._device)
        for frame, of_frame in zip(frames, planes, strict=True):
            for slot in slots:
                image = torch.from_numpy(np.ascontiguousarray(frame[slot], dtype=np.float32))
                require_numbers(image, CHANNEL_ROLES[slot])
                if self._device.type == "cuda":
                    image = image.pin_memory().to(self._device, non_blocking=True)
                of_frame[slot, : own_shape[0], : own_shape[1]] = resized(image[None], own_shape, smooth=True)[
                    0
                ]
                of_frame[len(present) + slot] = 1
        return planes

    def _padded_shape(self, shape: tuple[int, int], pixel_um: tuple[float, float]) -> tuple[int, int]:
        y, x = (padded_length(side, stride=STRIDE) for side in self._own_shape(shape, pixel_um))
        return y, x

    def _own_shape(self, shape: tuple[int, int], pixel_um: tuple[float, float]) -> tuple[int, int]:
        scales = [size / self._pixel_um for size in pixel_um]
        if all(abs(scale - 1) <= SAME_SCALE for scale in scales):
            own = shape
        else:
            own = (max(1, round(shape[0] * scales[0])), max(1, round(shape[1] * scales[1])))
        if max(shape[0] * shape[1], own[0] * own[1]) > LARGEST_WHOLE_PX:
            raise ImageError(
                f"a frame of {shape[0]} x {shape[1]} pixels of {pixel_um[0]:g} x {pixel_um[1]:g} um is too large: "
                f"at the model's {self._pixel_um:g} um it has {own[0]} x {own[1]}, expected at most "
                f"{LARGEST_WHOLE_PX} on either grid (8192 x 8192). Check the pixel size, or cut the image into fields."
            )
        return own

    @torch.inference_mode()
    def _forward(self, planes: Tensor) -> Tensor:
        """Windows through the network, twice; maps in fp32, on the device."""
        with exact_repeats(self._device, self._precision):
            maps: Tensor = self._network.look_twice(planes.to(self._dtype)).float()
        return maps

    def _frame_maps(self, maps: Tensor, shape: tuple[int, int], pixel_um: tuple[float, float]) -> Tensor:
        """Bring maps back to the frame's grid."""
        own_shape = self._own_shape(shape, pixel_um)
        maps = maps[:, : own_shape[0], : own_shape[1]]
        return maps if own_shape == shape else brought_back(maps, shape)

    def _cells(
        self, maps: Tensor, present: Sequence[bool], shape: tuple[int, int], pixel_um: tuple[float, float]
    ) -> dict[CellRole, FoundCells]:
        """Cells of the roles that a channel shows, from maps on the frame's grid."""
        own_shape = self._own_shape(shape, pixel_um)
        unit_y, unit_x = (OFFSET_UNIT_PX * of / own for of, own in zip(shape, own_shape, strict=True))
        found: dict[CellRole, FoundCells] = {}
        for role in roles_seen(present):
            number = CELL_ROLES.index(role)
            of_role = maps[number * MAPS_PER_ROLE : (number + 1) * MAPS_PER_ROLE]
            cells = decode(
                of_role,
                other_foreground=maps[(1 - number) * MAPS_PER_ROLE + FOREGROUND],
                pixel_um=pixel_um,
                settings=self._settings_of(role, present),
                smooth=own_shape == shape,
                offset_unit_px=(unit_y, unit_x),
            )
            found[role] = FoundCells(cells=cells, foreground_px=cells.foreground_px)
        if len(found) < len(CELL_ROLES) or not shares_a_channel(present):
            return found
        cells_of = {role: of_role.cells for role, of_role in found.items()}
        scores = {
            role: product_scores(of_role.features, self._settings[role]) for role, of_role in cells_of.items()
        }
        alone = settled(cells_of, scores)
        return {role: replace(of_role, cells=alone[role]) for role, of_role in found.items()}

    def _settings_of(self, role: CellRole, present: Sequence[bool]) -> DecodeSettings:
        shown = {channel for channel, there in zip(CHANNEL_ROLES, present, strict=True) if there}
        of_role = self._settings[role]
        if role == "target" and "nuclei" in shown and "target" not in shown:
            return replace(of_role, most_jump=0.0)  # nuclei have one centre each, and lie in heaps
        if role == "effector" and "effector" not in shown:
            return replace(of_role, seed_radius_um=DYELESS_EFFECTOR_RADIUS_UM)
        return of_role

    def _scores(
        self,
        found: Mapping[CellRole, FoundCells],
        present: Sequence[bool],
        shape: tuple[int, int],
        pixel_um: tuple[float, float],
    ) -> dict[CellRole, NDArray[np.float32]]:
        """(n,) scores of each role's cells."""
        scores: dict[CellRole, NDArray[np.float32]] = dict.fromkeys(CELL_ROLES, np.zeros(0, np.float32))
        for role, of_role in found.items():
            features = of_role.cells.features
            scores[role] = (
                product_scores(features, self._settings[role])
                if self._confidence is None
                else self._confidence.scores(
                    features, role=role, present=present, shape=shape, pixel_um=pixel_um
                )
            )
        return scores

    def _frame_labels(
        self,
        found: Mapping[CellRole, FoundCells],
        present: Sequence[bool],
        shape: tuple[int, int],
        pixel_um: tuple[float, float],
    ) -> FrameLabels:
        """What is said of a frame: without the cells that are far more likely wrong than right."""
        scores = self._scores(found, present, shape, pixel_um)
        confidence = self._confidence
        doubts = frame_doubts(found, scores, present=present, confidence=confidence) if confidence else ()
        labels = {role: np.zeros(shape, dtype=np.int32) for role in CELL_ROLES if role not in found}
        for role, of_role in found.items():
            wrong = scores[role] < (LEAST_CONFIDENCE if confidence else 0.0)
            labels[role] = without(of_role.cells, wrong).labels
            scores[role] = scores[role][~wrong]
        return FrameLabels(
            effectors=labels["effector"],
            targets=labels["target"],
            effector_scores=scores["effector"],
            target_scores=scores["target"],
            doubts=doubts,
        )
