"""The keys as the user set them in napari's preferences. Knows napari's settings and the table of keys."""

from napari_plugin.key_table import KEYS, Key, KeyTableError, key_table

PLUGIN = "killassay"


def user_keys() -> tuple[tuple[Key, ...], str]:
    """(The table with the user's own keys, why it could not be used or ""); then the table is the usual one."""
    from napari.settings import get_plugin_settings

    try:
        chosen = dict(get_plugin_settings(PLUGIN).review_keys)
    except (KeyError, AttributeError):  # the plugin runs without being installed
        return KEYS, ""
    usual = {key.action: " ".join(key.keys) for key in KEYS}
    changes = {action: keys for action, keys in chosen.items() if action in usual and keys != usual[action]}
    try:
        return key_table(changes), ""
    except KeyTableError as error:
        return KEYS, f"Your own keys are not used. {error}"
