"""Where the sample plate lies: in the installed package, or in the source tree."""

from pathlib import Path

from assay.errors import ProtocolError


def sample_folder() -> Path:
    """The folder of `plate.zarr` and `plate.toml`.

    Raises:
        ProtocolError: It is not there.
    """
    package = Path(__file__).parents[1]
    for folder in (package / "_sample", package.parent / "data" / "sample"):
        if (folder / "plate.zarr").is_dir():
            return folder
    raise ProtocolError(
        "the sample plate is not there. Expected data/sample/plate.zarr beside the package; install killassay "
        "again, or make one: killassay simulate sample.zarr --scenario sample"
    )
