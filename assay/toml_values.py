"""TOML files that people write: read whole, checked key by key, errors that name the line's place, values written back.

Each section is a dataclass whose defaults say both the value that is taken and the type that is expected.
"""

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from assay.errors import ProtocolError
from assay.foreign_files import MAX_SETTINGS_BYTES, bounded_text

LARGEST = 10**9
"""No number of an experiment is larger: frames and minutes stay within every table's integers."""
_DOTS = 200


def read_text(path: Path, what: str, *, hint: str) -> str:
    """The text of a file that a person wrote.

    Args:
        path: The file.
        what: What it is to be, for the error: "protocol".
        hint: What to do where it is missing.

    Raises:
        ProtocolError: It is missing or no UTF-8 text.
    """
    try:
        return bounded_text(path, MAX_SETTINGS_BYTES, streams=True)
    except UnicodeDecodeError:
        raise ProtocolError(f"{what} {path} is not UTF-8 text. Save it as UTF-8.") from None
    except OSError as error:
        raise ProtocolError(f"{what} {path} cannot be read: {error.strerror}. {hint}") from error


def parse_toml(text: str, what: str) -> dict[str, Any]:
    """Read TOML.

    Raises:
        ProtocolError: It is none.
    """
    for number, line in enumerate(text.splitlines(), start=1):
        if line.count(".") > _DOTS and not line.lstrip().startswith("#"):  # which takes TOML readers for ever
            raise ProtocolError(f"line {number} has more than {_DOTS} dots, which no setting needs.")
    try:
        return tomllib.loads(text)
    except ValueError as error:  # also a number of thousands of digits
        raise ProtocolError(f"this is not TOML: {error}. Expected lines such as key = value.") from error
    except RecursionError:
        raise ProtocolError(f"its brackets are nested too deep for a {what}.") from None


def section_values(name: str, kind: type, values: Any) -> dict[str, Any]:
    """What a section gives, each value of the type that the default of `kind` has.

    Raises:
        ProtocolError: It is no section, or holds an unknown key or a value of another type.
    """
    if not isinstance(values, dict):
        raise ProtocolError(f"{name} = {values!r}: expected a section [{name}].")
    known = {entry.name: entry for entry in fields(kind)}
    refuse_unknown(f"[{name}]", values, list(known))
    return {key: _typed(f"[{name}] {key}", known[key].default, value) for key, value in values.items()}


def refuse_unknown(where: str, values: Mapping[str, Any], known: list[str]) -> None:
    """Refuse keys that nobody knows; the nearest known one is suggested."""
    for key in values:
        if key not in known:
            raise ProtocolError(
                f"{where} has an unknown key {key!r}. Known are {', '.join(known)}.{nearest(key, known)}"
            )


def nearest(name: Any, known: Iterable[str]) -> str:
    """' Did you mean ...?', or nothing."""
    lowered = {choice.lower(): choice for choice in known}
    close = difflib.get_close_matches(str(name).lower(), list(lowered), n=1, cutoff=0.4)
    return f" Did you mean {lowered[close[0]]!r}?" if close else ""


def toml_value(value: Any) -> str:
    """Write one value the way TOML wants it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + '"'
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(entry) for entry in value) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml_key(key)} = {toml_value(entry)}" for key, entry in value.items()) + "}"
    return str(value)


def toml_key(key: str) -> str:
    """Write a key, in quotes where it needs them."""
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else toml_value(key)


def _typed(where: str, default: Any, value: Any) -> Any:
    """Keep the type of the default; a whole number may stand for a float."""
    if isinstance(value, int) and abs(value) > LARGEST:
        raise ProtocolError(f"{where}: expected a number of at most {LARGEST:g}.")
    if isinstance(default, bool) or isinstance(value, bool):
        fits = isinstance(default, bool) and isinstance(value, bool)
    elif isinstance(default, int):
        fits = isinstance(value, int)
    elif isinstance(default, float):
        fits = isinstance(value, int | float)
        value = float(value) if fits else value
    elif isinstance(default, str):
        fits = isinstance(value, str)
    elif isinstance(default, tuple):
        fits = isinstance(value, list) and all(isinstance(entry, str) for entry in value)
        value = tuple(value) if fits else value
    else:  # calibration: None means "as the images say"
        fits = isinstance(value, int | float) or (isinstance(value, list) and where.endswith("pixel_um"))
    if not fits:
        expected = "list of texts" if isinstance(default, tuple) else type(default).__name__
        raise ProtocolError(f"{where} = {value!r}: expected a {'number' if default is None else expected}.")
    return value
