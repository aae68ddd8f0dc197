"""The sample plate in File > Open Sample: raw, and with its results once they were made."""

from assay.errors import ResultsError
from assay.io.review_sidecars import user_data_folder
from assay.io.sample import sample_folder
from napari_plugin.layers import Images, LayerData, layers_of

SAMPLE_RESULTS = "sample-results"
"""Folder in the user's own data, written by the run panel."""


def sample_plate() -> list[LayerData]:
    """The first well of the sample plate: effectors yellow, targets red, death dye cyan."""
    images = Images.of_plate(sample_folder() / "plate.zarr")
    return layers_of(images, images.fields[0])


def sample_results() -> list[LayerData]:
    """The same well with the cells that were found.

    Raises:
        ResultsError: The sample was not run yet.
    """
    folder = user_data_folder() / SAMPLE_RESULTS
    if not folder.is_dir():
        raise ResultsError(
            "the sample plate was not run yet. Open Plugins > killassay > Run a plate, press Sample plate, then Run "
            "(some minutes); its results are here after that."
        )
    images = Images.open(folder)
    return layers_of(images, images.fields[0])
