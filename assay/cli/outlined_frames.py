"""Images with masks go to `models.training` as frames at the model's scale, and pictures come back."""

import shlex
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from assay.brightness import measure_brightness, role_slots
from assay.cli.outline_views import view_of
from assay.cli.progress import Reporter
from assay.cli.training import FIRST_TRAINING_SEED, simulated_frames
from assay.errors import ImageError, ModelError
from assay.io.annotated_images import (
    AnnotatedImage,
    ReadingSettings,
    annotated_names,
    parse_channels,
    read_annotated_images,
)
from assay.io.durable import write_whole
from assay.io.reviewed_images import corrected_frames, is_results, read_corrected_images
from assay.labels import CELL_ROLES
from assay.report.outline_sheet import outline_sheet
from models.predictor import SEEN_BY
from models.training.dataset import TrainingFrame
from models.training.finetune import FinetuneSettings, check_place, finetune
from models.training.held_out import AnnotatedFrame, divide, outlined_roles
from models.training.rescale import at_model_scale
from models.weights import load_network

_SIMULATED_SEED = FIRST_TRAINING_SEED + 40_000_000  # of frames that no shipped model has learned from
_N_JUDGED = 20  # simulated frames that tell whether something was forgotten
_SMALLEST_PX = 32  # a side at the model's pixel size: two cells
_SHOWN = 8  # held-out images in the picture


def learn_from_folder(
    folder: Path,
    *,
    reading: ReadingSettings,
    base: str,
    out: Path,
    held_out: Sequence[str] | None,
    n_simulated: int,
    settings: FinetuneSettings,
    progress: Reporter,
) -> Path:
    """Fine-tune on a folder of images with masks; gives the path of the pictures beside the new model's card.

    Raises:
        AssayError: The folder is not what it must be, or the model became no better and was not written.
    """
    check_place(out)  # all that can be wrong is said before anything takes long
    load_network(base)
    frames = _frames(folder, reading, progress)
    divide(frames, held_out)
    progress.begin("render simulated frames", n_simulated + _N_JUDGED)
    simulated: list[TrainingFrame] = []
    for frame in simulated_frames(n_simulated + _N_JUDGED, seed=_SIMULATED_SEED):
        simulated.append(frame)
        progress.advance()
    progress.begin("learn (percent)", 100)
    done = 0

    def advance(share: float) -> None:
        nonlocal done
        while done < int(100 * share):
            done += 1
            progress.advance()

    tuned = finetune(
        frames,
        base=base,
        out=out,
        held_out=held_out,
        mixed=simulated[_N_JUDGED:],
        judged=simulated[:_N_JUDGED],
        settings=settings,
        log=progress.say,
        progress=advance,
        facts={"command": shlex.join(["killassay", *sys.argv[1:]])},
    )
    pictures = out.with_suffix(".png")
    shown = (one for one in tuned.comparisons if outlined_roles(one.frame.frame))
    views = [view_of(one.frame, one.before, one.after) for one in islice(shown, _SHOWN)]
    write_whole(pictures, outline_sheet(views))
    return pictures


def frames_of_folders(said: Sequence[str], progress: Reporter) -> list[AnnotatedFrame]:
    """Images with masks of several folders, each given as "nuclei,death=FOLDER".

    Raises:
        AssayError: One of them is not what it must be.
    """
    frames: list[AnnotatedFrame] = []
    for one in said:
        roles, is_, folder = one.partition("=")
        if not is_:
            raise ModelError(
                f"--annotated {one!r}: expected the roles of the channels, =, and a folder: nuclei=my/images."
            )
        frames += _frames(Path(folder), ReadingSettings(channels=parse_channels(roles)), progress)
    return frames


def _frames(folder: Path, reading: ReadingSettings, progress: Reporter) -> list[AnnotatedFrame]:
    if is_results(folder):
        n_images, images = len(corrected_frames(folder)), read_corrected_images(folder)
        progress.say(
            f"{folder}: {n_images} frame{'s' if n_images != 1 else ''} with outlines that a review corrected"
        )
    else:
        names, without = annotated_names(folder, mask_role=reading.mask_role)
        if without:
            progress.say(f"left out, as they have no mask: {', '.join(without)}")
        n_images, images = len(names), read_annotated_images(folder, reading)
    progress.begin("read images", n_images)
    frames = []
    for image in images:
        frames.append(_frame(image))
        progress.advance()
    if not any(one.frame.of(role).any() for one in frames for role in outlined_roles(one.frame)):
        raise ImageError(f"{folder}: none of its {len(frames)} masks holds a cell. Outline some.")
    return frames


def _frame(image: AnnotatedImage) -> AnnotatedFrame:
    """An image as the network sees it, with what is known of its cells; a role without a mask is unknown."""
    for role in image.masks:
        if not any(channel in image.channels for channel in SEEN_BY[role]):
            raise ModelError(
                f"{image.name}: has masks of {role}s, but no channel that shows them ({', '.join(SEEN_BY[role])}). Say with "
                "--channels or --protocol what its channels show."
            )
    slots, present = role_slots(image.planes[None], measure_brightness([image.planes]), image.channels)
    shape = image.planes.shape[1:]
    nowhere, everywhere = np.zeros(shape, dtype=np.bool_), np.ones(shape, dtype=np.bool_)
    known = everywhere if image.known is None else image.known
    empty = np.zeros(shape, dtype=np.int32)
    frame = at_model_scale(
        TrainingFrame(
            slots=slots[0],
            present=np.array(present),
            effectors=image.masks.get("effector", empty),
            targets=image.masks.get("target", empty),
            known=np.stack([known if role in image.masks else nowhere for role in CELL_ROLES]),
        ),
        pixel_um=image.pixel_um,
    )
    if min(frame.targets.shape) < _SMALLEST_PX:
        y, x = (side * size for side, size in zip(shape, image.pixel_um, strict=True))
        raise ImageError(
            f"{image.name}: is {y:.0f} x {x:.0f} um (y, x) small, less than two cells; expected at least 21 um a side. "
            "Check the pixel size, or leave the image out."
        )
    return AnnotatedFrame(name=image.name, frame=frame, group=image.group)
