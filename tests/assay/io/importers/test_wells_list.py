from pathlib import Path

import pytest

from assay.errors import VendorFileError
from assay.io.importers.wells_list import read_wells_list

IMAGES = [
    (name, Path("/films") / name) for name in ("snap1.tif", "snap2.tif", "day2/snap1.tif", "day2/snap9.tif")
]


def listed(tmp_path, text, encoding="utf-8"):
    path = tmp_path / "wells.csv"
    path.write_bytes(text.encode(encoding))
    return read_wells_list(path, IMAGES)


def test_a_wells_list_names_well_and_field(tmp_path):
    named, conditions = listed(tmp_path, "file,well,field\nsnap1.tif,b2,\nsnap2.tif,B3,4\n")
    assert [(file.name, file.well, file.field) for file in named.files] == [
        ("snap1.tif", "B02", None),
        ("snap2.tif", "B03", 4),
    ]
    assert conditions == ()
    assert named.ignored == (("day2/snap1.tif", "not in wells.csv"), ("day2/snap9.tif", "not in wells.csv"))


def test_what_a_spreadsheet_writes_is_read(tmp_path):
    text = "File;Well;Condition;Kind;Seeded_ET_ratio;donor\r\nsnap1.tif;B2;CAR-T;sample;0,5;D1\r\n;;;;;\r\n"
    _, (condition,) = listed(tmp_path, text, encoding="utf-8-sig")
    assert (condition.name, condition.wells, condition.kind) == ("CAR-T", ("B02",), "sample")
    assert condition.seeded_et_ratio == 0.5
    assert condition.extra == {"donor": "D1"}


def test_wells_of_one_condition_are_gathered(tmp_path):
    text = "file,well,condition,kind\nsnap1.tif,B2,mock,mock\nsnap2.tif,B3,mock,mock\nday2/snap9.tif,B2,mock,mock\n"
    _, (condition,) = listed(tmp_path, text)
    assert condition.wells == ("B02", "B03")
    assert condition.kind == "mock"


def test_a_file_of_a_subfolder_is_found_by_its_name_alone(tmp_path):
    named, _ = listed(tmp_path, "file,well\nsnap9.tif,A1\n")
    assert named.files[0].name == "day2/snap9.tif"


def test_a_folder_may_be_written_the_windows_way(tmp_path):
    named, _ = listed(tmp_path, "file,well\nday2\\snap1.tif,A1\n")
    assert named.files[0].name == "day2/snap1.tif"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,well\nsnap1.tif,B2\n", r"wells.csv has no column 'file'; its columns are name, well"),
        ("file;place\nsnap1.tif;B2\n", r"wells.csv has no column 'well'"),
        ("", "has no column 'file'; its columns are none"),
        ("file,well\n", "lists no file"),
        ("file,well,well\nsnap1.tif,B2,B3\n", "two columns of one name"),
        ("file,well\nsnap1.tif\n", "line 2: 1 values, expected 2"),
        ("file,well\nsnap3.tif,B2\n", r"line 2: there is no file 'snap3.tif' .* Did you mean 'snap\d.tif'"),
        ("file,well\nsnap1.tif,B2\nsnap1.tif,B3\n", "line 3: snap1.tif stands in line 2 already"),
        ("file,well\nsnap1.tif,22\n", "line 2: well name '22' is not understood"),
        ("file,well,field\nsnap1.tif,B2,left\n", "line 2: field 'left'"),
        ("file,well,condition,kind\nsnap1.tif,B2,a,mocked\n", "kind 'mocked' of condition 'a'"),
        ("file,well,condition,seeded_et_ratio\nsnap1.tif,B2,a,1:1\n", "seeded_et_ratio '1:1'"),
        (
            "file,well,condition,donor\nsnap1.tif,B2,a,D1\nsnap2.tif,B3,a,D2\n",
            r"lines 2 and 3 give condition 'a' different values \(donor = 'D1' and 'D2'\)",
        ),
        (
            "file,well,condition\nsnap1.tif,B2,a\nsnap2.tif,B2,b\n",
            "line 3: well B02 is of condition 'a' and of 'b'",
        ),
    ],
)
def test_a_wrong_wells_list_says_line_and_cure(tmp_path, text, message):
    with pytest.raises(VendorFileError, match=message):
        listed(tmp_path, text)


def test_a_name_that_lies_in_two_folders_needs_its_folder(tmp_path):
    path = tmp_path / "wells.csv"
    path.write_text("file,well\nx.tif,A1\n")
    images = [(name, Path("/films") / name) for name in ("a/x.tif", "b/x.tif")]
    with pytest.raises(VendorFileError, match=r"x.tif lies in several folders \(a/x.tif, b/x.tif\)"):
        read_wells_list(path, images)


def test_a_wells_list_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(VendorFileError, match=r"cannot be read"):
        read_wells_list(tmp_path / "none.csv", IMAGES)
