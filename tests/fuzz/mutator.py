"""Inputs that are nearly right: a deterministic mutator that knows what a delivery looks like.

The same seed gives the same inputs on every machine, so a finding is repeated by its number.
"""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from mapping.events import EVENTS

if TYPE_CHECKING:
    from collections.abc import Iterator

CORPUS: Final = Path(__file__).parent / "corpus"
LONGEST: Final = 8_192

_ODD: Final[tuple[Any, ...]] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**40, 0.5, -0.0, 1e308),
    *("", "1", "\u0000", "\ud7ff", "é", "x" * 300, [], {}, [[]], {"id": {"id": 1}}, [{"id": 7}]),
)
_TOKENS: Final = tuple(
    text.encode()
    for text in (
        *('"id":', '"payload":', '"event":', "{", "}", "[", "]", ",", ":", '"', "\\", "\\u0000", "\\ud800", "NaN", "Infinity"),
        *("1e999", "-0", "null", "true", "|", "..", "/", "%00", "%ff", "%2e%2e", "//", "/hooks/capsule/", "/hooks/signed/", "\n"),
        *("v1,", "v1a,", "=", " ", "acme", "party", "\ufeff", "é", "/*", "#", "[" * 200, "]" * 200, "9" * 400),
    )
)


def corpus() -> list[bytes]:
    """The seeds, in the order of their names."""
    return [path.read_bytes() for path in sorted(CORPUS.iterdir())]


def inputs(number: int, *, seed: int = 1) -> Iterator[bytes]:
    """The seeds, and then mutations of them and of each other, `number` in all."""
    pool = corpus()
    yield from pool[:number]
    chance = random.Random(seed)
    for _ in range(number - len(pool)):
        made = mutate(chance.choice(pool), chance)
        # A few take the place of a seed, so that mutations build on each other.
        if chance.random() < 0.05:
            if len(pool) < 2_000:
                pool.append(made)
            else:
                pool[chance.randrange(len(pool) // 2, len(pool))] = made
        yield made


def mutate(data: bytes, chance: random.Random) -> bytes:
    """One to four changes: of a body's structure where there is one, of bytes otherwise."""
    for _ in range(chance.randint(1, 4)):
        data = _structure(data, chance) if chance.random() < 0.5 else _bytes(data, chance)
    return data[:LONGEST]


def _bytes(data: bytes, chance: random.Random) -> bytes:
    at = chance.randint(0, len(data))
    end = min(len(data), at + chance.randint(1, 64))
    # The choices of target, method, path, headers and pieces stand in the first bytes.
    head = chance.randrange(5)
    one = bytes([chance.randrange(256)])
    made: tuple[bytes, ...] = (
        data[:at] + one + data[at + 1 :],
        data[:head] + one + data[head + 1 :],
        data[:at],
        data[:at] + data[end:],
        data[:end] + data[at:end] * chance.randint(1, 8) + data[end:],
        data[:at] + chance.choice(_TOKENS) + data[at:],
        data[:at] + chance.randbytes(chance.randint(1, 32)) + data[at:],
    )
    return chance.choice(made)


def _structure(data: bytes, chance: random.Random) -> bytes:
    start = data.find(b"{")
    if start < 0:
        return data[:5].ljust(5, b"\0") + _fresh(chance)
    try:
        document = orjson.loads(data[start:])
    except orjson.JSONDecodeError:
        return _bytes(data, chance)
    _change(document, chance)
    return data[:start] + json.dumps(document, ensure_ascii=chance.random() < 0.5, allow_nan=True).encode(
        "utf-8", "surrogatepass"
    )


def _fresh(chance: random.Random) -> bytes:
    items = [{"id": chance.randint(1, 9)} for _ in range(chance.randint(0, 4))]
    return orjson.dumps({"event": chance.choice(EVENTS), "payload": items})


def _change(value: Any, chance: random.Random) -> None:
    """Changes one place in a decoded document."""
    while isinstance(value, dict | list) and value:
        place = chance.choice(list(value)) if isinstance(value, dict) else chance.randrange(len(value))
        inner = value[place]
        if isinstance(inner, dict | list) and inner and chance.random() < 0.7:
            value = inner
            continue
        what = chance.randrange(4)
        if what == 0:
            del value[place]
        elif what == 1 and isinstance(value, list):
            value.insert(place, inner)
        elif what == 2 and isinstance(value, dict):
            value[chance.choice(("id", "event", "payload", "x"))] = inner
        else:
            value[place] = chance.choice((*_ODD, chance.choice(EVENTS)))
        return
