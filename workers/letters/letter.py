"""A dead letter as a value, and how the forms in which Redis holds it are read.

Two kinds. A letter of a record (`relay:letters`, field: the packed record) is written by `bury`, encrypted, or by the sweep,
which holds no key and writes plain JSON without personal data. A letter of a delivery (`relay:deliveries:<connection>`) is
written by the receiver when an authentic body could not be read (`receiver/letters.py`). Older forms stay readable.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

from mapping.agenda import RecordKey
from workers.letters import advice

if TYPE_CHECKING:
    from collections.abc import Mapping

SEALED: Final = b"1"  # the sweep, which holds no key, writes plain letters that begin with 0
ID_DIGITS: Final = 11  # of 16: that two among a hundred thousand letters are alike is less likely than 1 in 3,000
KILLER: Final = "killer"
UNREADABLE: Final = "unreadable delivery"
LOCKED: Final = "locked"

Kind = Literal["record", "delivery"]


def record_id(packed: str, stored: bytes) -> str:
    """The id of a record's letter: of what is stored, so that a letter which takes its place has another.

    The scripts work it out in the same way (`mapping/scripts_letters.py`).
    """
    digest = hashlib.sha1(packed.encode() + b"\n" + stored, usedforsecurity=False)  # the hash that Redis' Lua has
    return "r" + digest.hexdigest()[:ID_DIGITS]


def delivery_id(body_hash: str) -> str:
    """The id of a delivery's letter: equal bodies are one letter, which only counts them."""
    return "d" + body_hash[:ID_DIGITS]


@dataclass(frozen=True, slots=True)
class Failure:
    """An earlier end of the same trouble: when (ms of Redis' clock), of which class, with which status, by which version."""

    at_ms: int
    error: str
    status: int | None
    version: str

    def dump(self) -> list[Any]:
        """The form that is kept inside the letter that came after it."""
        return [self.at_ms, self.error, self.status, self.version]


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is kept of a delivery that could not be read. `body` is its beginning, `size` its whole length in bytes.

    `opened` is how many records of it could be read all the same, `count` how often the very same body came.
    """

    event: str
    encoding: str
    body: bytes
    size: int
    count: int
    opened: int


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. All times are ms of Redis' clock.

    `field` is where it stands in its hash: the packed record, or the hash of the delivery's body. `error` is the class of the
    last error, `text` its message, `answer` the first KiB that came back, `body` what we sent or would have sent: `text`,
    `answer` and `body` may hold personal data and are shown through `workers.letters.hiding` only. `first_ms` is when it first
    became a letter, `last_ms` when it last did, `opened_ms` when the work that ended so had been asked for.
    `replays` counts how often a person had it tried again. `place` is where its record waits in the agenda now: then something
    newer is on its way, a replay or an event, and the letter goes if that succeeds. None: nobody is working on it.
    """

    id: str
    kind: Kind
    connection: str
    field: str
    record: RecordKey | None
    error: str
    text: str
    advice: str
    attempts: int
    first_ms: int
    last_ms: int
    version: str = ""
    opened_ms: int | None = None
    seq: int = 0
    system: str = ""
    status: int | None = None
    answer: str = ""
    method: str = ""
    route: str = ""
    body: str = ""
    replays: int = 0
    replayed_ms: int | None = None
    place: str | None = None
    history: tuple[Failure, ...] = ()
    delivery: Delivery | None = None

    @property
    def what(self) -> str:
        """The record's kind in Capsule's word (party, opportunity …), or `delivery`."""
        return self.record.kind if self.record is not None else "delivery"

    @property
    def failure(self) -> Failure:
        """This letter in the short form that the one after it keeps."""
        return Failure(self.last_ms, self.error, self.status, self.version)


def read_replays(stored: bytes | None) -> tuple[int, int | None, int | None]:
    """A field of `relay:replays`: how often, when it first was a letter (ms), when it was last replayed (ms)."""
    if not stored:
        return 0, None, None
    number, first, last = stored.split()
    return int(number), int(first) or None, int(last)


def of_record(packed: str, stored: bytes, opened: Mapping[str, Any] | None, replays: bytes | None, place: bytes | None) -> Letter:
    """A record's letter. `opened` is the decrypted part, None for a letter that is plain or that no key of ours opens."""
    number, first, replayed = read_replays(replays)
    if opened is not None:
        told = _sealed(packed, stored, opened)
    elif stored[:1] == SEALED:
        told = _locked(record_id(packed, stored), "record", RecordKey.unpack(packed).connection, packed)
        told = replace(told, record=RecordKey.unpack(packed))
    else:
        told = _killer(packed, stored, orjson.loads(stored[1:]))
    now = place.decode() if place else None
    return replace(told, first_ms=min(told.first_ms, first or told.first_ms), replays=number, replayed_ms=replayed, place=now)


def _sealed(packed: str, stored: bytes, opened: Mapping[str, Any]) -> Letter:
    record, at = RecordKey.unpack(packed), int(opened.get("at", 0))
    return Letter(
        id=record_id(packed, stored),
        kind="record",
        connection=record.connection,
        field=packed,
        record=record,
        error=str(opened.get("class", "")),
        text=str(opened.get("text", "")),
        advice=str(opened.get("advice", "")),
        attempts=int(opened.get("attempts", 0)),
        first_ms=int(opened.get("first", at)),
        last_ms=at,
        version=str(opened.get("version", "")),
        opened_ms=opened.get("opened"),
        seq=int(opened.get("seq", 0)),
        system=str(opened.get("system", "")),
        status=opened.get("status"),
        answer=str(opened.get("answer", "")),
        method=str(opened.get("method", "")),
        route=str(opened.get("route", "")),
        body=str(opened.get("body", "")),
        history=tuple(Failure(*one) for one in opened.get("history", ())),
    )


def _killer(packed: str, stored: bytes, told: Mapping[str, Any]) -> Letter:
    record, at, deaths = RecordKey.unpack(packed), int(told.get("at", 0)), int(told.get("deaths", 0))
    return Letter(
        id=record_id(packed, stored),
        kind="record",
        connection=record.connection,
        field=packed,
        record=record,
        error=str(told.get("class", KILLER)),
        text=f"{deaths} workers in a row died while they worked on it, the last two with nothing else to do.",
        advice=advice.KILLER,
        attempts=deaths,
        first_ms=at,
        last_ms=at,
        opened_ms=told.get("opened"),
        seq=int(told.get("seq", 0)),
    )


def _locked(name: str, kind: Kind, connection: str, field: str) -> Letter:
    return Letter(
        id=name,
        kind=kind,
        connection=connection,
        field=field,
        record=None,
        error=LOCKED,
        text="No key of RELAY_SECRET_KEY opens this letter.",
        advice=advice.LOCKED,
        attempts=0,
        first_ms=0,
        last_ms=0,
    )


def of_delivery(connection: str, body_hash: str, opened: Mapping[str, Any] | None) -> Letter:
    """A delivery's letter. `opened` is its decrypted value, None when no key of ours opens it."""
    name = delivery_id(body_hash)
    if opened is None:
        return _locked(name, "delivery", connection, body_hash)
    try:
        body = base64.b64decode(opened.get("body", ""))
    except (binascii.Error, TypeError):
        body = b""
    size = int(opened.get("size", len(body)))
    delivery = Delivery(
        event=str(opened.get("event", "")),
        encoding=str(opened.get("encoding", "")),
        body=body,
        size=size,
        count=int(opened.get("count", 1)),
        opened=int(opened.get("opened", 0)),
    )
    return Letter(
        id=name,
        kind="delivery",
        connection=connection,
        field=body_hash,
        record=None,
        error=UNREADABLE,
        text=str(opened.get("reason", "")),
        advice=advice.of_delivery(connection, cut=size > len(body)),
        attempts=1,
        first_ms=int(opened.get("first", 0)),
        last_ms=int(opened.get("last", 0)),
        body=body.decode("utf-8", "replace"),
        delivery=delivery,
    )
