"""Which review is open in which viewer.

session = open_session(viewer, results, reader="ana")
session_of(viewer).undo()
close_session(viewer)
"""

import getpass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from assay.columns import length
from assay.io.results import Results
from assay.io.review_logs import bound_decisions, open_log
from assay.io.tables import read_table
from assay.review.blinding import Blinding
from assay.review.events import review_events
from assay.review.sitting import Sitting
from napari_plugin.cell_book import CellBook
from napari_plugin.layers import Images
from napari_plugin.session import ReviewSession

_TABLES = ("deaths", "doubtful_deaths", "kills", "contacts", "wells", "fields", "cells")

_SESSIONS: WeakKeyDictionary[Any, ReviewSession] = WeakKeyDictionary()


def open_session(
    viewer: Any, results: Path | str, *, reader: str | None = None, blinding: Blinding | None = None
) -> ReviewSession:
    """Open RESULTS for review in a viewer; a review that was open there is closed.

    Args:
        viewer: A napari viewer, or its model.
        results: The RESULTS folder.
        reader: Who decides; the login name where left out.
        blinding: Hide well, condition, and what the model and other readers say, and read in this order.

    Raises:
        AssayError: It is no RESULTS folder, its tables are damaged, or a log was altered.
    """
    close_session(viewer)
    opened = Results.open(results)
    tables = {name: read_table(opened.tables, name) for name in _TABLES}
    events = review_events(tables)
    who = reader or getpass.getuser()
    earlier, lost = bound_decisions(opened, events)
    log = open_log(opened, reader=who, blinding=None if blinding is None else blinding.record())
    position = CellBook(tables["cells"]).position
    sitting = Sitting(
        events, log, reader=who, earlier=earlier, blinded=blinding is not None, position=position
    )
    session = ReviewSession(
        opened.path, Images.open(opened.path), tables, sitting, blinding=blinding, journal=log
    )
    if not length(events):
        session.field = session.images.fields[0]
        session.notices.append("No death of a target was called here. Ins adds one that was missed.")
    if log.is_sidecar:
        session.notices.append(
            f"{opened.path} cannot be written, so decisions are kept in {log.path.parent}."
        )
    session.notices += [f"An earlier decision found no event any more: {line}" for line in lost[:3]]
    _SESSIONS[_model(viewer)] = session
    return session


def session_of(viewer: Any) -> ReviewSession | None:
    """The review that is open in a viewer."""
    return _SESSIONS.get(_model(viewer))


def close_session(viewer: Any) -> None:
    """Close the review of a viewer, if there is one."""
    session = _SESSIONS.pop(_model(viewer), None)
    if session is not None:
        session.close()


def _model(viewer: Any) -> Any:
    """The viewer behind napari's proxy, which lives for a moment only."""
    return getattr(viewer, "__wrapped__", viewer)
