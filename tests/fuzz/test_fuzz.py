"""Ten seeded cases of every kind of input; `python -m tests.fuzz.run` runs the 5,000."""

from pathlib import Path

import pytest

from tests.fuzz.inputs import INPUTS, Input
from tests.fuzz.run import Fuzzer

CASES = 10


@pytest.mark.parametrize("kind", INPUTS, ids=lambda kind: kind.name.replace(" ", "-"))
def test_broken_input_is_refused_in_words_or_read_as_it_was(kind: Input, tmp_path: Path):
    fuzzer = Fuzzer(kind, tmp_path / "fuzz")
    bugs = [verdict for verdict in map(fuzzer.case, range(CASES)) if verdict.is_bug]
    assert not bugs, [(bug.number, bug.outcome, bug.detail) for bug in bugs]
