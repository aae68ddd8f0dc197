"""Label images of other programs: found by their names, refused when they are none, read as they are."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from assay.columns import table_of_rows
from assay.errors import ImageError, VendorFileError
from assay.io.given_labels import LabelRequest, labels_of, open_labels, require_plate_of
from assay.io.importers.label_names import name_labels
from assay.io.label_checks import LabelLook, look_at, require_labels, sum_of, warnings_of, whole_labels
from assay.io.label_films import GivenLabels
from assay.io.label_roles import RoleWords
from assay.io.lineages import parents_in_csv, parents_in_ctc
from assay.io.ome_zarr import LabelPlate
from assay.io.tables import write_table
from assay.labels import CellRole
from assay.stack import FieldId
from assay.units import Calibration

B02, C02 = FieldId("B02", 0), FieldId("C02", 0)
SHAPE = (3, 6, 8)
CHANNELS: dict[CellRole, tuple[str, ...]] = {"effector": ("CTDR",), "target": ("GFP",)}


def film(shift: int = 0) -> NDArray[np.uint16]:
    """(3, 6, 8): two cells, the second one further right in every frame."""
    images = np.zeros(SHAPE, np.uint16)
    images[:, 1:3, 1:3] = 5
    for frame in range(3):
        images[frame, 4:6, 1 + frame + shift : 3 + frame + shift] = 300
    return images


def given(
    path: Path,
    *,
    fields: Sequence[FieldId] = (B02,),
    place: FieldId = B02,
    names: Mapping[CellRole, str] | None = None,
    pattern: str | None = None,
    tracked: bool | None = None,
    missing: Sequence[int] = (),
    shape: tuple[int, int, int] = SHAPE,
) -> dict[CellRole, GivenLabels]:
    request = LabelRequest(path=path, names=names or {}, pattern=pattern, tracked=tracked)
    source = open_labels(request, channels=CHANNELS, fields=fields)
    return labels_of(source, request, place, shape=shape, missing=missing)


def pixels(labels: GivenLabels, frames: Sequence[int] = (0, 1, 2)) -> NDArray[np.integer]:
    assert labels.film is not None
    return labels.film.read(frames)


def write(folder: Path, files: Mapping[str, NDArray]) -> Path:
    for name, values in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        options = {} if values.ndim == 2 else {"metadata": None, "photometric": "minisblack"}
        tifffile.imwrite(folder / name, values, **options)
    return folder


def read_names(
    *names: str, words: RoleWords | None = None, pattern: str | None = None, folder: str = "x"
) -> list[tuple[str, str | None, int | None, int | None]]:
    images = [(name, Path(name)) for name in names]
    read = name_labels(images, words or RoleWords(channels=CHANNELS), pattern=pattern, folder=folder)
    return [(file.role, file.well, file.field, file.index) for file in read.files]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("B02_f0_effectors.tif", ("effector", "B02", 0, None)),
        ("B2_f1_t007_targets.tif", ("target", "B02", 1, 7)),
        ("B02_targets.tif", ("target", "B02", None, None)),
        ("effectors/B02_f0.tif", ("effector", "B02", 0, None)),
        ("targets/B02_f0_t012.ome.tif", ("target", "B02", 0, 12)),
        ("B02/0/Tumor cells.tif", ("target", "B02", 0, None)),
        ("B02_s1_t003_GFP_cp_masks.tif", ("target", "B02", 1, 3)),
        ("LblImg_B02_f0_CTDR.tif", ("effector", "B02", 0, None)),
        ("exp7_D11_2_T-cells_Object Identities.tif", ("effector", "D11", 2, None)),
        ("targets/B02_t03_labels.tif", ("target", "B02", None, 3)),
        ("targets/man_track007.tif", ("target", None, None, 7)),
        ("targets/mask012.tif", ("target", None, None, 12)),
        ("targets/stack.tif", ("target", None, None, None)),
    ],
)
def test_names_of_common_programs_tell_role_well_field_and_frame(
    name: str, expected: tuple[str, str | None, int | None, int | None]
):
    assert read_names(name) == [expected]


def test_names_of_an_incucyte_tell_the_time():
    images = [(name, Path(name)) for name in ("targets/x_B2_1_00d00h00m.tif", "targets/x_B2_1_00d04h30m.tif")]
    read = name_labels(images, RoleWords(), pattern=None, folder="x")
    assert [(f.well, f.field, f.minutes) for f in read.files] == [("B02", 1, 0), ("B02", 1, 270)]


def test_the_source_folder_tells_the_role_where_no_file_does():
    assert read_names("B02_f0.tif", folder="Targets") == [("target", "B02", 0, None)]


def test_names_that_tell_no_role_or_both_are_refused():
    with pytest.raises(ImageError, match=r"no file name says whether.*--labels-targets"):
        read_names("B02_f0.tif")
    with pytest.raises(ImageError, match=r"speaks of effectors .* and of targets"):
        read_names("B02_effectors_targets.tif")


def test_a_role_given_by_hand_goes_before_common_words_and_takes_that_role_only():
    words = RoleWords(given={"target": "stardist-v2"})
    files = ("B02_f0_stardist_v2.tif", "B02_f0_targets.tif")
    assert read_names(*files, words=words) == [("target", "B02", 0, None)]
    assert read_names("B02_f0.tif", words=RoleWords(given={"target": "*"})) == [("target", "B02", 0, None)]
    words = RoleWords(given={"target": "man_track"})
    assert read_names("01/t003.tif", "TRA/man_track003.tif", words=words) == [("target", None, None, 3)]


def test_a_pattern_given_by_hand_reads_names_of_any_kind():
    pattern = r"(?P<role>\w+)-(?P<frame>\d+)-(?P<row>\d+)x(?P<column>\d+)\.tif"
    assert read_names("NK-3-2x5.tif", pattern=pattern) == [("effector", "B05", None, 3)]
    with pytest.raises(VendorFileError, match="no group for the well"):
        read_names("NK-3.tif", pattern=r"(?P<role>\w+)-(?P<frame>\d+)\.tif")


def test_stacks_and_files_per_frame_give_the_same_pixels(tmp_path: Path):
    stack = write(tmp_path / "a", {"B02_f0_targets.tif": film()})
    frames = write(tmp_path / "b", {f"targets/B02_f0_t{n:03d}.tif": film()[n] for n in range(3)})
    from_one = write(tmp_path / "c", {f"B02_targets_t{n}.tif": film()[n - 1] for n in (1, 2, 3)})
    hyperstack = tmp_path / "d"
    hyperstack.mkdir()
    tifffile.imwrite(hyperstack / "B02_targets.tif", film(), imagej=True, metadata={"axes": "ZYX"})
    for folder in (stack, frames, from_one, hyperstack):
        labels = given(folder)["target"]
        assert set(given(folder)) == {"target"}
        np.testing.assert_array_equal(pixels(labels), film())
        np.testing.assert_array_equal(pixels(labels, [2]), film()[2:])
        assert not labels.tracked


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "int32", "int64", "float32", "float64"])
def test_labels_of_every_number_type_are_read(tmp_path: Path, dtype: str):
    images = np.minimum(film(), 200).astype(dtype)
    labels = given(write(tmp_path, {"B02_targets.tif": images}))["target"]
    for frame in range(3):
        found = whole_labels(pixels(labels, [frame])[0], "here")
        np.testing.assert_array_equal(found, images[frame].astype(np.int32))


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"B02_targets.tif": film()[:2]}, r"have 2 frames, the film has 3"),
        ({"B02_targets.tif": film()[:, :5]}, r"are 5 x 8 pixels \(y, x\), the images 6 x 8"),
        ({"B02_targets.tif": film().transpose(0, 2, 1)}, r"They are turned"),
        ({f"B02_t{n}_targets.tif": film()[n] for n in (0, 2)}, r"no file for frame 1 \(counted from 0\)"),
        ({f"B02_t{n}_targets.tif": film()[0] for n in (0, 1, 2, 3)}, "count frames 0 to 3, the film has 3"),
        ({"B02_t0_targets.tif": film()}, "gives one time point, the file holds 3 frames"),
        ({"a_B02_targets.tif": film(), "b_B02_targets.tif": film()}, "stand in 2 files"),
        ({"C02_targets.tif": film()}, "none of which is on the plate"),
        ({"B02_f3_targets.tif": film()}, "has no labels of this field; it has well B02, field 3"),
    ],
)
def test_files_that_do_not_fit_the_film_are_refused_with_the_reason(
    tmp_path: Path, files: dict[str, NDArray], reason: str
):
    with pytest.raises(ImageError, match=reason):
        given(write(tmp_path, files))


def test_colour_pictures_and_other_files_are_refused(tmp_path: Path):
    tifffile.imwrite(tmp_path / "B02_targets.tif", np.zeros((6, 8, 3), np.uint8), photometric="rgb")
    with pytest.raises(ImageError, match="colour picture"):
        given(tmp_path)
    png = tmp_path / "masks.png"
    png.write_bytes(b"x")
    with pytest.raises(ImageError, match=r"no TIFF file.*--save_tif"):
        given(png)
    with pytest.raises(ImageError, match="does not exist"):
        given(tmp_path / "nowhere")


def test_a_file_that_was_cut_off_is_refused_and_not_read_as_background(tmp_path: Path):
    folder = write(tmp_path, {"B02_targets.tif": film()})
    file = folder / "B02_targets.tif"
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) - 100])
    with pytest.raises(ImageError, match="well B02, field 0, labels of targets"):
        given(folder)


def test_frames_that_were_never_filmed_need_no_labels(tmp_path: Path):
    folder = write(tmp_path, {f"B02_t{n}_targets.tif": film()[n] for n in (0, 2)})
    labels = given(folder, missing=[1])["target"]
    np.testing.assert_array_equal(pixels(labels, [0, 2]), film()[[0, 2]])


def test_a_well_without_a_label_file_is_missing_and_not_empty(tmp_path: Path):
    folder = write(
        tmp_path, {"B02_effectors.tif": film(), "B02_targets.tif": film(), "C02_targets.tif": film()}
    )
    assert set(given(folder, fields=(B02, C02))) == {"effector", "target"}
    with pytest.raises(ImageError, match=r"well C02, field 0, labels of effectors: no such file.*empty"):
        given(folder, fields=(B02, C02), place=C02)


def test_names_without_a_field_are_not_enough_where_a_well_has_two(tmp_path: Path):
    folder = write(tmp_path, {"B02_targets.tif": film()})
    with pytest.raises(ImageError, match="do not tell the field, and the plate has 2"):
        given(folder, fields=(B02, FieldId("B02", 1)))


def test_identity_changes_with_the_file_of_the_field_only(tmp_path: Path):
    folder = write(tmp_path, {"B02_targets.tif": film(), "C02_targets.tif": film()})
    before = [given(folder, fields=(B02, C02), place=place)["target"].identity for place in (B02, C02)]
    write(folder, {"C02_targets.tif": film(1).astype(np.uint32)})
    after = [given(folder, fields=(B02, C02), place=place)["target"].identity for place in (B02, C02)]
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_divisions_come_from_a_ctc_table_or_a_csv_where_labels_are_tracked(tmp_path: Path):
    folder = write(tmp_path, {f"targets/mask{n:03d}.tif": film()[n] for n in range(3)})
    (folder / "targets" / "res_track.txt").write_text("5 0 0 0\n300 1 2 5\n7 1 2 5\n")
    assert given(folder, tracked=True)["target"].parents == {300: 5, 7: 5}
    assert given(folder)["target"].parents == {}
    csv = tmp_path / "tracks.csv"
    csv.write_text("well,field,role,track_id,parent_track_id\nB02,0,target,3,1\nC02,0,target,4,1\n")
    assert parents_in_csv(csv, B02, "target", single=False) == {3: 1}
    assert parents_in_csv(csv, B02, "effector", single=False) == {}


def test_tables_of_divisions_that_are_not_understood_are_refused(tmp_path: Path):
    ctc, csv = tmp_path / "res_track.txt", tmp_path / "tracks.csv"
    ctc.write_text("1 0 2\n")
    with pytest.raises(ImageError, match=r"line 1.*four whole numbers"):
        parents_in_ctc(ctc)
    csv.write_text("track_id,parent_track_id\n2,1\n")
    with pytest.raises(ImageError, match="columns field, role, well are missing"):
        parents_in_csv(csv, B02, "target", single=False)
    folder = write(tmp_path / "both", {"B02_targets.tif": film(), "B02_effectors.tif": film()})
    (folder / "man_track.txt").write_text("1 0 2 0\n")
    with pytest.raises(ImageError, match="beside label images of several films"):
        given(folder, tracked=True)


def zarr_image(path: Path, labels: Mapping[str, NDArray], *, empty_chunks: bool = True) -> Path:
    """An OME-Zarr 0.4 image with label images, as other programs write it."""
    axes = [{"name": "t", "type": "time"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    scale = [{"type": "scale", "scale": [1.0, 0.5, 0.5]}]
    level = {"path": "0", "coordinateTransformations": scale}
    block = [{"version": "0.4", "axes": axes, "datasets": [level]}]
    root = zarr.open_group(str(path), mode="w", zarr_format=2)
    root.attrs["multiscales"] = block
    root.create_array("0", data=np.zeros(SHAPE, np.uint16), chunks=(1, 6, 8))
    group = root.create_group("labels")
    group.attrs["labels"] = list(labels)
    for name, values in labels.items():
        one = group.create_group(name)
        one.attrs.update({"multiscales": block, "image-label": {"version": "0.4"}})
        config = {"write_empty_chunks": empty_chunks}
        array = one.create_array("0", shape=values.shape, chunks=(1, 6, 8), dtype=values.dtype, config=config)
        array[:] = values
    return path


def test_a_single_image_with_labels_serves_a_plate_of_one_field(tmp_path: Path):
    path = zarr_image(tmp_path / "image.zarr", {"targets": film(), "nuclei": film(), "CTDR": film(1)})
    labels = given(path)
    assert {role: one.name for role, one in labels.items()} == {"effector": "CTDR", "target": "targets"}
    np.testing.assert_array_equal(pixels(labels["effector"]), film(1))
    assert not labels["target"].tracked
    assert given(path, names={"target": "nuclei"})["target"].name == "nuclei"
    with pytest.raises(ImageError, match="one OME-Zarr image, the plate has 2 fields"):
        given(path, fields=(B02, C02))


def test_label_images_without_a_role_in_their_name_are_asked_for(tmp_path: Path):
    path = zarr_image(tmp_path / "image.zarr", {"label": film()})
    with pytest.raises(ImageError, match=r"none of its label images \(label\) is called after a role"):
        given(path)
    with pytest.raises(ImageError, match="no label image 'cells' for targets; there are label"):
        given(path, names={"target": "cells"})
    two = zarr_image(tmp_path / "two.zarr", {"tumor_a_target": film(), "target_b": film()})
    with pytest.raises(ImageError, match=r"could all be targets.*--labels-targets NAME"):
        given(two)


def test_chunks_that_other_programs_left_out_hold_no_cell_but_a_film_of_none_was_never_written(
    tmp_path: Path,
):
    images = film()
    images[1] = 0
    path = zarr_image(tmp_path / "image.zarr", {"targets": images}, empty_chunks=False)
    np.testing.assert_array_equal(pixels(given(path)["target"]), images)
    nothing = zarr_image(tmp_path / "none.zarr", {"targets": np.zeros_like(images)}, empty_chunks=False)
    with pytest.raises(ImageError, match="nothing was ever written"):
        given(nothing)


def our_labels(path: Path, *, values: str | None) -> Path:
    plate = LabelPlate.create(
        path,
        fields=[B02],
        shapes=SHAPE,
        calibration=Calibration(pixel_um=(1.0, 1.0), frame_min=5.0),
        values=values,  # type: ignore[arg-type]
    )
    for role in ("effector", "target"):
        plate.write(B02, role, 0, film())  # type: ignore[arg-type]
    plate.close()
    return path


def test_only_our_own_labels_that_say_so_are_taken_for_tracked(tmp_path: Path):
    tracked = our_labels(tmp_path / "a.zarr", values="track_id")
    single = our_labels(tmp_path / "b.zarr", values="label")
    unsaid = our_labels(tmp_path / "labels.zarr", values=None)
    assert given(tracked)["target"].tracked
    assert not given(single)["target"].tracked
    assert not given(unsaid)["target"].tracked
    (tmp_path / "scenario.json").write_text("{}")
    assert given(unsaid)["target"].tracked
    assert not given(tracked, tracked=False)["target"].tracked


def test_a_tracks_table_beside_our_labels_in_which_an_id_stands_twice_is_refused(tmp_path: Path):
    labels = our_labels(tmp_path / "labels.zarr", values="track_id")
    row = {
        "well": "B02", "field": 0, "role": "target", "first_frame": 0, "last_frame": 2, "parent_track_id": None,
        "start": "movie_start", "end": "movie_end",
    }  # fmt: skip
    rows = [row | {"track_id": 5}, row | {"track_id": 300}]
    write_table(tmp_path / "tables", "tracks", table_of_rows("tracks", rows))
    assert given(labels)["target"].parents == {}
    write_table(tmp_path / "tables", "tracks", table_of_rows("tracks", [*rows, row | {"track_id": 300}]))
    with pytest.raises(
        ImageError, match=r"well B02, field 0.*target.*: track 300 stands twice in .*tracks\.parquet"
    ):
        given(labels)


def test_our_own_labels_with_a_lost_chunk_are_an_error_and_not_empty(tmp_path: Path):
    path = our_labels(tmp_path / "a.zarr", values="track_id")
    for file in (path / "B/02/0/labels/targets/0/c").rglob("*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(ImageError, match="nothing was ever written"):
        given(path)


def test_labels_of_results_of_another_plate_are_refused(tmp_path: Path):
    path = our_labels(tmp_path / "labels.zarr", values="track_id")
    (tmp_path / "results.json").write_text('{"plate": {"name": "Tuesday", "identity": "abc"}}')
    require_plate_of(path, "abc")
    with pytest.raises(ImageError, match=r"another plate \('Tuesday'\)"):
        require_plate_of(path, "other")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.array([[0, 0.5]]), "1 values are not whole, e.g. 0.5.*interpolation"),
        (np.array([[0, np.nan]]), "NaN or infinite"),
        (np.array([[0, -1]]), "the value -1 is negative"),
        (np.array([[0, 2**31]]), "the label 2147483648 is too large"),
        (np.array([[0j]]), "are no labels"),
    ],
)
def test_values_that_are_no_labels_are_refused(values: NDArray, reason: str):
    with pytest.raises(ImageError, match=reason):
        whole_labels(values, "well B02, field 0, labels of targets, frame 3")


def scene(*rows: str) -> NDArray[np.int32]:
    """Each letter a cell, "." background."""
    letters = "." + "".join(sorted(set("".join(rows)) - {"."}))
    return np.array([[letters.index(sign) for sign in row] for row in rows], dtype=np.int32)


def test_a_look_counts_labels_pieces_and_splinters():
    image = np.zeros((20, 40), np.int32)
    image[2:7, 2:7] = 9  # 25 pixels, and a piece of 16 apart from it
    image[12:16, 2:6] = 9
    image[2:7, 20:25] = 4  # 25 pixels, and a splinter of one
    image[18, 38] = 4
    image[10, 30] = 7  # one pixel
    look = look_at(image)
    assert (look.labels, look.pieces, look.split_labels, look.tiny_labels) == (3, 4, 1, 1)
    assert look_at(np.zeros((4, 4), np.int32)).empty_frames == 1
    assert look_at(np.ones((4, 4), np.int32)).full_frames == 1


@pytest.mark.parametrize("value", [1, 255, 65535])
def test_a_mask_is_refused_whatever_its_value(value: int):
    mask = (scene("aa..bb", "aa..bb", "......", "cc....") > 0).astype(np.int32) * value
    with pytest.raises(ImageError, match=r"1 values stand in 3 separate pieces.*mask or a class map"):
        require_labels(look_at(mask), "here")


def test_a_class_map_of_ilastik_is_refused():
    no_background = scene("aabba", "aabba", "aaaaa", "bbaab")
    with pytest.raises(ImageError, match="no background at all"):
        require_labels(look_at(no_background), "here")


def test_one_whole_cell_and_an_empty_film_are_no_mask():
    require_labels(look_at(scene("aa..", "aa..")), "here")
    require_labels(look_at(np.zeros((4, 4), np.int32)), "here")
    require_labels(sum_of([]), "here")


def test_labels_resized_with_interpolation_are_refused_by_their_specks():
    image = np.arange(1, 31, dtype=np.int32)[None, :].repeat(2, axis=0) * 3  # 30 labels of 2 pixels
    image[:, ::5] = 0
    with pytest.raises(ImageError, match="24 of 24 labels have 4 pixels or fewer"):
        require_labels(look_at(np.pad(image, 2)), "here")


def test_split_tiny_and_missing_cells_are_said():
    image = np.zeros((20, 40), np.int32)
    image[2:7, 2:7] = image[12:16, 2:6] = 9
    image[10, 30] = 7
    said = warnings_of(sum_of([look_at(image), look_at(np.zeros((4, 4), np.int32))]), "here")
    assert said == [
        "here: no cell in 1 of 2 frames",
        "here: 1 of 2 labels lie in several unconnected pieces; each counts as one cell",
        "here: 1 of 2 labels have 4 pixels or fewer; each counts as a cell",
    ]


REAL = Path(__file__).parents[4] / "shared" / "data"
real = pytest.mark.skipif(not REAL.is_dir(), reason="the collection of real files is not here")


def real_look(path: Path, shape: tuple[int, int, int], frames: Sequence[int], **request: Any) -> LabelLook:
    place = FieldId("A01", 0)
    labels = given(path, fields=(place,), place=place, shape=shape, **request)["target"]
    look = sum_of(look_at(whole_labels(image, "here")) for image in pixels(labels, frames))
    require_labels(look, "here")
    return look


@real
def test_folders_of_the_cell_tracking_challenge_are_read():
    folder = REAL / "ctc_sim_10f"
    look = real_look(folder, (10, 495, 534), range(10), names={"target": "man_track"})
    assert look.labels == sum(
        len(np.unique(tifffile.imread(folder / f"01_GT/TRA/man_track{n:03d}.tif"))) - 1 for n in range(10)
    )
    folder, place = REAL / "hela_ctc_res_lineage" / "01_RES", FieldId("A01", 0)
    labels = given(
        folder, fields=(place,), place=place, shape=(92, 700, 1100), names={"target": "*"}, tracked=True
    )
    table = np.loadtxt(folder / "res_track.txt", dtype=int)
    assert labels["target"].parents == {int(row[0]): int(row[3]) for row in table if row[3]}


@real
def test_label_stacks_of_napari_and_celldetective_are_read():
    small = REAL / "c2c12_and_nuclei_small"
    look = real_look(small, (6, 200, 200), range(6), names={"target": "example label"})
    stack = tifffile.imread(small / "nuclei6f_example_label.tif")
    assert look.labels == sum(len(np.unique(image)) - 1 for image in stack)
    one = tifffile.imread(REAL / "hyperstack" / "sample_labelled.tif")
    look = real_look(REAL / "hyperstack", (1, *one.shape), [0], names={"target": "labelled"})
    assert look.labels == len(np.unique(one)) - 1


@real
@pytest.mark.parametrize(
    ("name", "shape"),
    [("nuclei6f_example_images.tif", (6, 200, 200)), ("MDA231_migration_crop_48f.tif", (48, 130, 130))],
)
def test_raw_images_that_are_taken_for_labels_are_refused(name: str, shape: tuple[int, int, int]):
    with pytest.raises(ImageError, match="no background at all"):
        real_look(REAL / "c2c12_and_nuclei_small" / name, shape, range(shape[0]), names={"target": "*"})
