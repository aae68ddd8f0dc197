"""How files are broken: by bytes, by what JSON means, by the words of a text. The same seed breaks the same way."""

import json
import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

from numpy.random import Generator

Mutation = Callable[[bytes, Generator], bytes]

_ODD_VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    -(2**64),
    10**30,
    0.5,
    -0.0,
    1e308,
    5e-324,
    float("nan"),
    float("inf"),
    "",
    "x",
    "../../etc/passwd",
    "/",
    "\x00",
    "\x1b[31m",
    "é" * 70,
    "9" * 5000,
    "\ud800",
    [],
    [None],
    [[]],
    [0, 0, 0, 0],
    [2**40] * 4,
    {},
    {"name": None},
    {"": {}},
]
_TOKENS = [
    b"nan",
    b"inf",
    b"-1",
    b"0",
    b"1e999",
    b"99999999999999999999",
    b"'",
    b'"',
    b"[",
    b"]",
    b"{",
    b"}",
    b"=",
    b",",
    b"\n",
    b"\r",
    b"\t",
    b"\x00",
    b"\xff",
    b"\xef\xbb\xbf",
    b"true",
    b"'''",
    b"#",
    b"\\u0000",
    b"2026-11-22",
    b";",
    b"B02",
    b"=cmd|' /C calc'!A0",
]
_NUMBERS = [0, 1, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40]


def of_bytes(content: bytes, rng: Generator) -> bytes:
    """Flip bits, cut, drop, double, move or overwrite parts; one to three times."""
    for _ in range(int(rng.integers(1, 4))):
        content = _BYTE_WAYS[int(rng.integers(len(_BYTE_WAYS)))](content, rng)
    return content


def of_json(content: bytes, rng: Generator) -> bytes:
    """Replace, take away, double or nest what a JSON file holds; now and then its bytes."""
    if rng.random() < 0.1:
        return of_bytes(content, rng)
    values = json.loads(content)
    for _ in range(int(rng.integers(1, 3))):
        values = _changed(values, rng)
    return json.dumps(values, ensure_ascii=bool(rng.integers(2))).encode("utf-8", "surrogatepass")


def of_lines(content: bytes, rng: Generator) -> bytes:
    """Break one line of a file of JSON lines as JSON, or its lines, or its bytes."""
    lines = content.splitlines(keepends=True)
    way = rng.random()
    place = int(rng.integers(len(lines)))
    if way < 0.5:
        lines[place] = of_json(lines[place].rstrip(b"\n"), rng) + b"\n"
    elif way < 0.6:
        del lines[place]
    elif way < 0.7:
        lines.insert(place, lines[int(rng.integers(len(lines)))])
    elif way < 0.8:
        other = int(rng.integers(len(lines)))
        lines[place], lines[other] = lines[other], lines[place]
    else:
        return of_bytes(content, rng)
    return b"".join(lines)


def of_text(content: bytes, rng: Generator) -> bytes:
    """Replace, take away, double and insert words of a text; now and then its bytes."""
    if rng.random() < 0.15:
        return of_bytes(content, rng)
    words = re.split(rb"(\s+|[=,\[\]\"';])", content)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(len(words)))
        way = int(rng.integers(4))
        token = _TOKENS[int(rng.integers(len(_TOKENS)))]
        if way == 0:
            words[place] = token
        elif way == 1:
            words.insert(place, token)
        elif way == 2:
            words[place] = b""
        else:
            words[place] = words[int(rng.integers(len(words)))]
    return b"".join(words)


def sealed(change: Mutation) -> Mutation:
    """A safetensors file whose header is broken as JSON, with its length set right."""

    def broken(content: bytes, rng: Generator) -> bytes:
        if rng.random() < 0.3:
            return of_bytes(content, rng)
        size = int.from_bytes(content[:8], "little")
        header = change(content[8 : 8 + size], rng)
        return len(header).to_bytes(8, "little") + header + content[8 + size :]

    return broken


def _changed(values: Any, rng: Generator) -> Any:
    """One place of a JSON tree, changed."""
    places: list[tuple[Any, Any]] = []
    _collect(values, places)
    if not places:
        return deepcopy(_ODD_VALUES[int(rng.integers(len(_ODD_VALUES)))])
    holder, key = places[int(rng.integers(len(places)))]
    way = int(rng.integers(6))
    if way == 0:
        del holder[key]
    elif way == 1 and isinstance(holder, list):
        holder.append(holder[key])
    elif way == 2 and isinstance(holder[key], int | float):
        holder[key] = type(holder[key])(holder[key] * [0, -1, 2, 1000][int(rng.integers(4))])
    elif way == 3:
        holder[key] = [holder[key]]
    elif way == 4 and isinstance(holder, dict):
        holder[f"{key}x"] = holder.pop(key)
    else:
        holder[key] = deepcopy(_ODD_VALUES[int(rng.integers(len(_ODD_VALUES)))])
    return values


def _collect(values: Any, places: list[tuple[Any, Any]]) -> None:
    keys = (
        values.keys() if isinstance(values, dict) else range(len(values)) if isinstance(values, list) else ()
    )
    for key in keys:
        places.append((values, key))
        _collect(values[key], places)


def _flip(content: bytes, rng: Generator) -> bytes:
    if not content:
        return b"\x01"
    changed = bytearray(content)
    changed[int(rng.integers(len(content)))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _cut(content: bytes, rng: Generator) -> bytes:
    return content[: int(rng.integers(len(content) + 1))]


def _drop(content: bytes, rng: Generator) -> bytes:
    start = int(rng.integers(len(content) + 1))
    return content[:start] + content[start + int(rng.integers(1, 64)) :]


def _double(content: bytes, rng: Generator) -> bytes:
    start = int(rng.integers(len(content) + 1))
    part = content[start : start + int(rng.integers(1, 64))]
    return content[:start] + part + content[start:]


def _overwrite(content: bytes, rng: Generator) -> bytes:
    """A number of 2, 4 or 8 bytes that is at some edge, preferably in the first bytes, where headers are."""
    width = int(rng.choice([2, 4, 8]))
    number = _NUMBERS[int(rng.integers(len(_NUMBERS)))] & ((1 << 8 * width) - 1)
    reach = len(content) if rng.random() < 0.3 else min(len(content), 512)
    start = int(rng.integers(reach + 1))
    order = "little" if rng.random() < 0.8 else "big"
    return content[:start] + number.to_bytes(width, order) + content[start + width :]


def _noise(content: bytes, rng: Generator) -> bytes:
    start = int(rng.integers(len(content) + 1))
    return content[:start] + rng.bytes(int(rng.integers(1, 40))) + content[start:]


_BYTE_WAYS: list[Mutation] = [_flip, _flip, _cut, _drop, _double, _overwrite, _overwrite, _noise]
