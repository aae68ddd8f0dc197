import numpy as np
import pytest
import typer.testing

from assay.cli.calibration import CALIBRATION_SEED, calibration_frames
from assay.cli.main import app
from assay.cli.training import FIRST_TRAINING_SEED
from assay.errors import ModelError


def test_calibration_frames_are_tiles_and_whole_frames_of_three_scenarios():
    tile, *frames = calibration_frames(1, 1)
    assert CALIBRATION_SEED > FIRST_TRAINING_SEED
    assert len(frames) == 3 * 4
    assert tile.effectors.shape != (512, 512)
    assert {frame.effectors.shape for frame in frames} == {(512, 512)}
    assert [tuple(np.flatnonzero(frame.present)) for frame in frames[::4]] == [
        (0, 1, 3, 4),
        (0, 1, 3, 4),
        (0, 2, 3, 4),  # nuclei in the place of the target dye
    ]


def test_calibrating_what_is_not_there_names_the_file(tmp_path):
    done = typer.testing.CliRunner().invoke(app, ["models", "calibrate", str(tmp_path / "none.json")])
    assert isinstance(done.exception, ModelError)
    with pytest.raises(ModelError, match=r"none\.json: there is no such model card"):
        raise done.exception
