"""What a model found in a frame, as a view that the report's sheet of outlines draws."""

import numpy as np

from assay.labels import CELL_ROLES, CHANNEL_ROLES, FrameLabels
from assay.report.outline_sheet import OutlinedView
from models.predictor import SEEN_BY
from models.training.held_out import AnnotatedFrame, outlined_roles


def view_of(annotated: AnnotatedFrame, before: FrameLabels, after: FrameLabels) -> OutlinedView:
    """The outlined cells of a frame and those that were found, on the channel that shows them best."""
    frame = annotated.frame
    present = {role: frame.present[slot] for slot, role in enumerate(CHANNEL_ROLES)}
    roles = outlined_roles(frame)
    # the channel in which somebody who outlined these cells saw them best
    shown = next(channel for role in roles for channel in SEEN_BY[role] if present[channel])
    known = frame.known if frame.known is not None else np.ones((len(CELL_ROLES), *frame.targets.shape), bool)
    return OutlinedView(
        name=annotated.name,
        image=frame.slots[CHANNEL_ROLES.index(shown)],
        known=np.any([known[CELL_ROLES.index(role)] for role in roles], axis=0),
        truth=[frame.of(role) for role in roles],
        before=[before.of(role)[0] for role in roles],
        after=[after.of(role)[0] for role in roles],
    )
