"""Opens the review window: `python -m napari_plugin RESULTS`, and `killassay review RESULTS`."""

from pathlib import Path
from typing import Any

from napari_plugin.sessions import close_session, open_session

TITLE = "killassay review"


def open_viewer(results: Path | str, *, reader: str | None = None, show: bool = True) -> Any:
    """A napari window with the review of RESULTS in it.

    Args:
        results: The RESULTS folder.
        reader: Who decides; the login name where left out.
        show: Whether the window is seen at once.

    Raises:
        AssayError: They cannot be reviewed; then no window opens.
    """
    import napari

    from napari_plugin.widgets.review import ReviewWidget

    viewer = napari.Viewer(title=f"{TITLE} – {Path(results).name}", show=show)
    try:
        open_session(viewer, results, reader=reader)
        viewer.window.add_dock_widget(
            ReviewWidget(viewer), name="Review events", area="right", add_vertical_stretch=False
        )
    except BaseException:
        close_session(viewer)
        viewer.close()
        raise
    return viewer


def review(results: Path | str, *, reader: str | None = None) -> None:
    """Review RESULTS; returns when the window is closed.

    Raises:
        AssayError: They cannot be reviewed.
    """
    import napari

    open_viewer(results, reader=reader)
    napari.run()
