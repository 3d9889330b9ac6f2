"""Broken inputs out of good ones: bytes that are flipped, cut, doubled and replaced by what parsers trip over."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

# What has ended parsers before: ends of strings, huge and odd numbers, nesting, aliases, marks, halves of characters
_ODD = (
    *(b"", b"\0", b"\n", b"\r", b"\r\n", b"\t", b'"', b"'", b"\\", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf"),
    *(b"{", b"}", b"[", b"]", b":", b",", b"|", b"[" * 300, b"{a: " * 300, b"&a ", b"*a", b"<<: ", b"!!python/none "),
    *(b"-1", b"0", b"1e999", b"-1e-999", b"NaN", b"Infinity", b"9" * 5000, b"0x" + b"f" * 5000, b"2024-13-45"),
    *(b"null", b"true", b"None", b"../../etc", b"/dev/null", b"a" * 70_000, b"\x1b[31m", b"\\ud800"),
    "\N{LATIN SMALL LETTER E WITH ACUTE}\N{RIGHT-TO-LEFT OVERRIDE}\N{GRINNING FACE}".encode(),
)


def broken(seeds: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` inputs, each a seed with one to six mutations; the same ones for the same seed."""
    rng = random.Random(seed)
    for _ in range(count):
        content = bytearray(rng.choice(seeds))
        for _ in range(rng.randint(1, 6)):
            _mutate(content, seeds, rng)
        yield bytes(content)


def _mutate(content: bytearray, seeds: Sequence[bytes], rng: random.Random) -> None:
    start = rng.randint(0, len(content))
    stop = min(len(content), start + rng.choice((0, 1, 1, 2, 4, 16, 64, 1024)))
    kind = rng.randrange(6)
    if kind == 0:
        content[start:stop] = rng.choice(_ODD)
    elif kind == 1:
        content[start:stop] = rng.randbytes(stop - start)
    elif kind == 2:
        del content[start:stop]
    elif kind == 3:
        content[start:start] = content[start:stop] * rng.choice((1, 2, 50))
    elif kind == 4:
        other = rng.choice(seeds)
        place = rng.randint(0, len(other))
        content[start:stop] = other[place : place + rng.choice((1, 8, 64, 512))]
    elif start < len(content):
        content[start] ^= 1 << rng.randrange(8)


# Values of a wrong type, sign or size in the place of any value of a JSON document
_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**400,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\x1b[31m",
    "a" * 70_000,
    [],
    {},
    [[]],
    [None],
)


def broken_json(seeds: Sequence[bytes], count: int, seed: int) -> Iterator[bytes]:
    """The same for JSON: whole documents in which values are missing, doubled, or of another type."""
    rng = random.Random(seed)
    for _ in range(count):
        document = json.loads(rng.choice(seeds))
        for _ in range(rng.randint(1, 3)):
            document = _replaced(document, rng)
        yield json.dumps(document).encode()


def _replaced(value: object, rng: random.Random) -> object:
    """The document with one of its values replaced, which any path leads to."""
    if not isinstance(value, dict | list) or not value or rng.random() < 0.1:
        return rng.choice(_VALUES)
    places: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    place = rng.choice(places)
    kind = rng.random()
    if kind < 0.1:
        del value[place]
    elif kind < 0.2 and isinstance(value, list):
        value.append(value[place])
    elif kind < 0.3 and isinstance(value, dict):
        value["odd"] = value.pop(place)
    else:
        value[place] = _replaced(value[place], rng)
    return value
