"""All 96 wells of a plate, five of them broken in five ways: the other 91 as if nothing were wrong, byte for byte."""

from pathlib import Path

import pytest

from tests.assay.pipeline.test_broken_wells import (
    WELLS,
    each_broken_well_has_its_reason,
    run_both,
    the_others_are_undisturbed,
)


@pytest.mark.slow
def test_five_broken_wells_of_96_leave_91_as_they_are(tmp_path: Path):
    runs = run_both(tmp_path, WELLS)
    each_broken_well_has_its_reason(runs)
    the_others_are_undisturbed(runs, WELLS)
