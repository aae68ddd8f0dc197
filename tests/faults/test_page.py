"""The catalogue is as large as it says, and the page is made from it."""

from tests.faults.catalogue import FAULTS
from tools.faults_page import PAGE, page


def test_every_fault_has_a_name_of_its_own():
    names = [fault.name for fault in FAULTS]
    assert len(set(names)) == len(names)
    assert len(names) >= 110


def test_the_page_of_faults_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(), "run `python -m tools.faults_page`"
