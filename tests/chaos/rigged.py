"""The command `killassay` with a plain segmenter instead of the network, and a rig: `python -m tests.chaos.rigged RIG run ...`.

The segmenter needs neither torch nor seconds, so that what is measured is how the product takes the fault.
"""

import sys
from typing import NoReturn

from assay.cli import main, run_commands
from assay.pipeline import run as main_job
from assay.protocol import ModelSettings
from tests.chaos import rigs
from tests.threshold_segmenter import make


def _plain_segmenter(settings: ModelSettings, device: str) -> object:
    del settings, device
    return make


def rigged() -> NoReturn:
    """Take the rig's name off the command line, put it in its place, and be `killassay`."""
    name = sys.argv.pop(1)
    run_commands.loader_of = _plain_segmenter  # type: ignore[assignment]
    if name != "none":
        main_job.segment_runs = getattr(rigs, name)
    main()


if __name__ == "__main__":
    rigged()
