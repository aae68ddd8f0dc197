from pathlib import Path

import pytest

from napari_plugin.key_table import KEYS, KeyTableError, key_table, keys_markdown, parse_changes


def test_a_user_may_give_an_action_other_keys():
    table = {key.action: key.keys for key in key_table({"accept": "Return G"})}
    assert table["accept"] == ("Return", "G")
    assert table["reject"] == ("R",)


def test_a_key_that_would_do_two_things_is_refused():
    with pytest.raises(KeyTableError, match="R would do both accept and reject"):
        key_table({"accept": "R"})


def test_an_action_that_does_not_exist_is_named():
    with pytest.raises(KeyTableError, match="there is no action 'explode'"):
        key_table({"explode": "X"})


def test_keys_are_understood_as_preferences_hold_them():
    assert parse_changes("accept=A Return; reject=X;") == {"accept": "A Return", "reject": "X"}
    with pytest.raises(KeyTableError, match="Write action=key"):
        parse_changes("accept")


def test_the_docs_show_the_keys_as_they_are():
    docs = (Path(__file__).parents[2] / "docs" / "review.md").read_text()
    assert keys_markdown() in docs


def test_every_action_has_a_key_of_its_own():
    names = [name for key in KEYS for name in key.keys]
    assert len(names) == len(set(names))
