"""The command `killassay`: composition root; picks the device, loads the model lazily, sets exit codes."""

from assay.cli.main import main

__all__ = ["main"]
