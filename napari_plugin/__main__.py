"""Open napari with RESULTS for review: `python -m napari_plugin RESULTS [--reader NAME]`, what `killassay review` starts."""

import argparse
import sys
from pathlib import Path

import napari

from assay.errors import AssayError
from napari_plugin.opening import open_in_viewer


def main() -> int:
    """Open a window and stay until it is closed; 2 where RESULTS cannot be reviewed."""
    parser = argparse.ArgumentParser(prog="killassay review")
    parser.add_argument("results", type=Path)
    parser.add_argument("--reader", default=None)
    asked = parser.parse_args()
    viewer = napari.Viewer(title=f"killassay: {asked.results.name}")
    try:
        viewer.status = open_in_viewer(viewer, asked.results, reader=asked.reader)
    except AssayError as error:
        viewer.close()
        sys.stderr.write(f"killassay: {error}\n")
        return 2
    napari.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
