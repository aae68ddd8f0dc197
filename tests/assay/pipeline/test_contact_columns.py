from types import SimpleNamespace

import numpy as np

from assay.contacts import Contact
from assay.engagements import Engagement, Engagements
from assay.pipeline.event_tables import contact_rows
from assay.pipeline.events_of import engagements_in
from assay.units import Calibration


def test_a_contact_says_how_often_its_effector_held_on_and_when_longest():
    plan = SimpleNamespace(
        field=SimpleNamespace(well="B02", field=0),
        calibration=Calibration(pixel_um=(0.65, 0.65), frame_min=4.0),
        shape=(60, 3, 10, 10),
    )
    contacts = [
        Contact(
            contact_id=number,
            effector_track_id=1,
            target_track_id=number,
            first_frame=first,
            last_frame=first + 19,
            min_gap_um=0.0,
            mean_interface_um=5.0,
            starts_censored=False,
            ends_censored=False,
        )
        for number, first in ((1, 0), (2, 30))
    ]
    spans = ((1, 0, 2), (1, 5, 9), (1, 12, 16))  # 3, 5 and 5 frames: of equals the first
    engaged = Engagements(
        engagements=tuple(
            Engagement(contact_id=contact, first_frame=first, last_frame=last, probability=0.9)
            for contact, first, last in spans
        ),
        probability=np.array([0.95, 0.02]),
    )
    held, passed = contact_rows(plan, contacts, engaged, (), ())
    assert (held["n_engagements"], held["engaged_first_frame"], held["engaged_last_frame"]) == (3, 5, 9)
    assert (passed["n_engagements"], passed["engaged_first_frame"], passed["engaged_last_frame"]) == (
        0,
        None,
        None,
    )
    assert [row["engaged_probability"] for row in (held, passed)] == [0.95, 0.02]
    assert (held["first_frame"], held["last_frame"], held["duration_min"]) == (0, 19, 80.0)
    assert (held["engagements"], passed["engagements"]) == ("0-2:0.9000+5-9:0.9000+12-16:0.9000", None)


def contacts_that_held(*rows):
    names = ("contact_id", "engaged_first_frame", "engaged_last_frame", "engaged_probability")
    table = {name: np.array([row[n] for row in rows], dtype=np.float64) for n, name in enumerate(names)}
    table["engagements"] = np.array([row[4] for row in rows], dtype=object)
    return table


def test_every_time_an_effector_held_on_counts_in_the_credit():
    table = contacts_that_held((1, 5, 9, 0.95, "0-2:0.8000+5-9:0.9000"), (2, np.nan, np.nan, 0.02, None))
    assert engagements_in(table) == {1: [(0, 2, 0.8), (5, 9, 0.9)]}


def test_a_table_that_knows_only_the_longest_engagement_is_still_credited_by_it():
    assert engagements_in(contacts_that_held((1, 5, 9, 0.95, None))) == {1: [(5, 9, 0.95)]}


def test_a_table_of_contacts_that_nobody_asked_about_says_nothing_of_engagements():
    assert engagements_in(contacts_that_held((1, np.nan, np.nan, np.nan, None))) is None
