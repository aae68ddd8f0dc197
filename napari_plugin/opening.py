"""Open RESULTS in a viewer: for review where there are events, else to look at."""

from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from assay.columns import length
from assay.io.results import Results
from assay.io.tables import read_table
from napari_plugin.layers import Images, show_field
from napari_plugin.session import ReviewSession
from napari_plugin.sessions import close_session, open_session

_LOOKED_AT: WeakKeyDictionary[Any, Images] = WeakKeyDictionary()


def open_in_viewer(viewer: Any, results: Path, *, reader: str | None = None) -> str:
    """Open RESULTS: the review at its first event, or the first field where nothing died.

    Args:
        viewer: A napari viewer, or its model.
        results: The RESULTS folder; where it may not be written, decisions go to the user's own data folder.
        reader: Who reviews; the login name where left out.

    Returns:
        What was opened, for people.

    Raises:
        AssayError: It is no RESULTS folder, or damaged.
    """
    tables = Results.open(results).tables
    deaths, doubtful = read_table(tables, "deaths"), read_table(tables, "doubtful_deaths")
    if not (deaths["role"] == "target").any() and not length(doubtful):
        close_session(viewer)
        images = Images.open(results)
        before = _LOOKED_AT.get(_model(viewer))
        _LOOKED_AT[_model(viewer)] = images
        show_field(viewer, images, images.fields[0])
        if before is not None:
            before.close()
        return (
            f"{results.name} holds no target deaths, so there is nothing to review; its first field is shown."
        )
    session = open_session(viewer, results, reader=reader)
    show_review_dock(viewer, session)
    if session.current is None and not session.step(1):
        session.step(1, pending=False)
    words = [f"{results.name} is open for review: {session.progress()[1]} events.", *session.notices]
    return " ".join(words)


def show_review_dock(viewer: Any, session: ReviewSession) -> None:
    """Show a session in the review dock, however it was opened; the dock is made where the window has none yet."""
    window = getattr(viewer, "window", None)
    if window is None:
        return
    from napari_plugin.widgets.review import ReviewWidget

    docked = [one for one in window.dock_widgets.values() if isinstance(one, ReviewWidget)]
    if not docked:
        dock, widget = window.add_plugin_dock_widget("killassay", "Review events", tabify=True)
        dock.raise_()
        docked = [widget]
    if docked[0].session is not session:
        docked[0].attach(session)


def _model(viewer: Any) -> Any:
    """The viewer behind napari's proxy, which lives for a moment only."""
    return getattr(viewer, "__wrapped__", viewer)
