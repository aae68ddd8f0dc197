"""Real images; skipped where they are not."""

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from assay.errors import VendorFileError
from assay.io.importers.planning import plan_import
from assay.io.importers.writing import run_import
from assay.stack import FieldId

DATA = Path(__file__).parents[4].parent / "shared" / "data"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real images are not beside the repository")


def pixels_of(plate, field):
    return zarr.open_array(plate / field.path / "0", mode="r")[...]


def adcc_plan(tmp_path, channels):
    folder = DATA / "adcc_mcf7"
    chosen = [
        entry
        for entry in json.loads((folder / "index.json").read_text())
        if len(entry["channels"]) == channels
    ]
    rows = [
        f"{entry['name']}.tif,{'ABCDEFGH'[n // 12]}{n % 12 + 1},ADCC,sample" for n, entry in enumerate(chosen)
    ]
    listed = tmp_path / "wells.csv"
    listed.write_text("file,well,condition,kind\n" + "\n".join(rows) + "\n")
    plan = plan_import(folder, wells=listed, channel_names=chosen[0]["channels"], pixel_um=(0.3112, 0.3112))
    return plan, chosen


@pytest.mark.parametrize(("channels", "wells"), [(4, 30), (3, 13)])
def test_adcc_images_become_a_plate_of_one_frame_films(tmp_path, channels, wells):
    plan, chosen = adcc_plan(tmp_path, channels)
    assert len(plan.fields) == wells
    assert plan.channel_names == tuple(chosen[0]["channels"])
    assert [entry.shape for entry in plan.fields] == [(1, *entry["shape"]) for entry in chosen]
    assert plan.conditions[0].wells == tuple(entry.field.well for entry in plan.fields)


def test_adcc_pixels_are_kept(tmp_path):
    from dataclasses import replace

    plan, chosen = adcc_plan(tmp_path, 4)
    sizes = [entry.shape for entry in plan.fields]
    few = [
        0,
        1,
        next(number for number, size in enumerate(sizes) if size != sizes[0]),
    ]  # and one of another size
    run_import(replace(plan, fields=tuple(plan.fields[number] for number in few)), tmp_path / "p.zarr")
    for number in few:
        image = tifffile.imread(DATA / "adcc_mcf7" / f"{chosen[number]['name']}.tif")
        np.testing.assert_array_equal(pixels_of(tmp_path / "p.zarr", plan.fields[number].field)[0], image)


def test_the_celldetective_hyperstack_keeps_calibration_and_names(tmp_path):
    plan = plan_import(DATA / "hyperstack" / "sample.tif")
    (entry,) = plan.fields
    assert entry.shape == (1, 4, 682, 660)
    assert entry.calibration.pixel_um == (0.3112, 0.3112)
    assert plan.channel_names == (
        "brightfield_channel",
        "effector_fluo_channel",
        "dead_nuclei_channel",
        "live_nuclei_channel",
    )
    run_import(plan, tmp_path / "p.zarr")
    image = tifffile.imread(DATA / "hyperstack" / "sample.tif")
    np.testing.assert_array_equal(pixels_of(tmp_path / "p.zarr", FieldId("A01", 0))[0], image)


def test_a_migration_film_is_imported_with_calibration_by_hand(tmp_path):
    path = DATA / "c2c12_and_nuclei_small" / "MDA231_migration_crop_48f.tif"
    with pytest.raises(VendorFileError, match=r"holds 48 planes and does not say"):
        plan_import(path)
    plan = plan_import(path, axes="TYX", channel_names=["nuclei"], pixel_um=(0.65, 0.65), frame_min=5.0)
    run_import(plan, tmp_path / "p.zarr")
    np.testing.assert_array_equal(
        pixels_of(tmp_path / "p.zarr", FieldId("A01", 0))[:, 0], tifffile.imread(path)
    )


def test_phase_contrast_frames_are_imported_as_a_series(tmp_path):
    with np.load(DATA / "c2c12_and_nuclei_small" / "c2c12_phase_10f.npz") as stored:
        images = stored["images"]
    for frame, image in enumerate(images):
        (tmp_path / "x").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "x" / f"B02_0_{frame}_phase.tif", image)
    # every tenth frame of a film with 5 min between frames, 1.3 um per pixel (doi:10.1038/sdata.2018.237)
    plan = plan_import(tmp_path / "x", pixel_um=(1.3, 1.3), frame_min=50.0)
    run_import(plan, tmp_path / "p.zarr")
    np.testing.assert_array_equal(pixels_of(tmp_path / "p.zarr", FieldId("B02", 0))[:, 0], images)


@pytest.mark.parametrize("name", ["TC_BF_cells.ome.tif", "TZ_nucleus.ome.tif"])
def test_real_ome_z_stacks_are_refused(name):
    with pytest.raises(VendorFileError, match=r"z-stack of \d slices"):
        plan_import(DATA / "formats" / "ome-tiff" / name)


@pytest.mark.parametrize("name", ["nd2/cluster.nd2", "czi/DAPI_GFP.czi"])
def test_real_vendor_files_are_refused_with_what_to_do(name):
    with pytest.raises(VendorFileError, match=r"not supported yet in this version .* OME-TIFF"):
        plan_import(DATA / "formats" / name)
