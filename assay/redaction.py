"""Passwords and tokens taken out of what is written down about a run; one place for all of it."""

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
_USER = re.compile(r"(?<=://)[^/\s@'\"]+@")  # user:password@ of an address
_WORD = (
    r"[\w-]*(?:token|secret|passw(?:or)?d|passphrase|api[_-]?key|access[_-]?key|signature|credential)[\w-]*"
)
_VALUE = r"('[^']*'|\"[^\"]*\"|[^\s&'\"]+)"
_NAMED = re.compile(rf"(?i)\b((?:{_WORD}|sig|pwd)\s?[=:]\s?){_VALUE}")
_OPTION = re.compile(rf"(?i)(--{_WORD}\s+){_VALUE}")
_BEARER = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")


def without_secrets(text: str) -> str:
    """The same text, with what looks like a password, token or key replaced."""
    text = _USER.sub(f"{HIDDEN}@", text)
    text = _BEARER.sub(rf"\1 {HIDDEN}", text)
    return _OPTION.sub(rf"\1{HIDDEN}", _NAMED.sub(rf"\1{HIDDEN}", text))


def redacted(values: Any) -> Any:
    """The same for every text in nested values."""
    if isinstance(values, str):
        return without_secrets(values)
    if isinstance(values, Mapping):
        return {key: redacted(value) for key, value in values.items()}
    return [redacted(value) for value in values] if isinstance(values, list | tuple) else values
