"""Contacts of other programs: what their columns mean, and what is refused."""

from pathlib import Path

import pytest

from assay.columns import length
from assay.contact_times import contact_time_rows
from assay.errors import TableError
from assay.io.event_tables import read_contacts

OCCIDENT = Path(__file__).parents[4] / "shared" / "data" / "event_tables" / "occident"
HEAD = "t_cell_id,cancer_cell_id,unique_consec_group,start_frame,interaction_id_max_consec_frames\n"
OWN = "well,field,contact_id,effector_track_id,target_track_id,first_frame,last_frame,ends_censored,target_dead\n"


def write(folder: Path, text: str) -> Path:
    path = folder / "contacts.csv"
    path.write_text(text)
    return path


def test_the_layout_of_occident_is_known(tmp_path: Path):
    table = read_contacts(
        write(tmp_path, HEAD + "10086,3059,B10_10086_3059_group1,106,2\n7,8,B3_7_8_group1,0,5\n")
    )
    assert table["well"].tolist() == ["B10", "B03"]
    assert table["effector_track_id"].tolist() == [10086, 7]
    assert table["first_frame"].tolist() == [106, 0]
    assert table["last_frame"].tolist() == [107, 4]
    assert not table["target_dead"].any()


def test_contacts_that_killassay_exported_are_read_with_their_marks(tmp_path: Path):
    rows = "B02,0,1,5,6,2,4,true,false\nB02,1,1,5,6,2,4,false,true\n"
    table = read_contacts(write(tmp_path, OWN + rows))
    assert table["field"].tolist() == [0, 1]
    assert table["ends_censored"].tolist() == [True, False]
    assert table["target_dead"].tolist() == [False, True]


def test_columns_of_any_other_table_are_given_by_hand(tmp_path: Path):
    path = write(tmp_path, "nk;raji;start;n\n1;2;10;3\n")
    table = read_contacts(
        path, columns={"effector": "nk", "target": "raji", "first_frame": "start", "frames": "n"}
    )
    assert (table["well"][0], table["last_frame"][0]) == ("A01", 12)


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("a,b\n1,2\n", None, "columns a, b are of no layout that is known"),
        ("", None, "is empty"),
        (HEAD + "1,2,B03_x,5,0\n", None, r"line 2: the contact ends \(frame 4\) before it begins"),
        (HEAD + "1,2,B03_x,5,2.5\n", None, "is '2.5', expected a whole number"),
        (HEAD + "1,2,B03_x,,2\n", None, "start_frame is ''"),
        (HEAD + "1,2,nowhere,5,2\n", None, "'nowhere', which names no well"),
        (
            HEAD + "1,2,B03_x,5,2\n1,2,B3_y,5,9\n",
            None,
            "line 3: the contact of effector 1 and target 2 from frame 5",
        ),
        (OWN + "B02,0,1,5,6,2,4,perhaps,false\n", None, "'perhaps' is neither true nor false"),
        ("a,b,c,d\n1,2,3,4\n", {"effector": "a", "target": "b"}, "no column is given for first_frame"),
        (
            "a,b,c,d\n1,2,3,4\n",
            {"effector": "a", "target": "b", "first_frame": "c"},
            "expected either last_frame or frames",
        ),
        ("a,b,c,d\n1,2,3,4\n", {"effector": "e"}, "there is no column 'e', only a, b, c, d"),
        ("a,b,c,d\n1,2,3,4\n", {"killer": "a"}, "'killer' is no meaning"),
    ],
)
def test_a_table_that_is_not_understood_is_refused_in_a_line(
    tmp_path: Path, text: str, columns: dict[str, str] | None, message: str
):
    with pytest.raises(TableError, match=message) as caught:
        read_contacts(write(tmp_path, text), columns=columns)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not OCCIDENT.is_dir(), reason="the collection of real files is not here")
def test_real_contacts_of_occident_give_the_summary_of_their_readme():
    table = read_contacts(OCCIDENT / "unique_interaction_table.csv")
    wells = sorted(set(table["well"].tolist()))
    plate, *of_wells = contact_time_rows(
        table, wells=dict.fromkeys(wells), frame_min=dict.fromkeys(wells, 4.0)
    )
    assert length(table) == plate["n_contacts"] == 2159
    assert round(plate["mean_frames"], 2) == 4.22
    assert (plate["median_frames"], plate["max_frames"]) == (3.0, 96.0)
    assert (plate["median_min"], plate["max_min"]) == (12.0, 384.0)
    assert len(of_wells) == 12
    assert sum(row["n_contacts"] for row in of_wells) == 2159
