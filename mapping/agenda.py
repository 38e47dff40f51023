"""The seam between receiver and workers: record keys, Redis key names, queue and actor names.

Both sides import this module and nothing of each other. The protocol is described in `mapping/scripts.py` (the Lua
texts) and in DECISIONS.md; time is in milliseconds of Redis' own clock wherever it is stored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

KINDS: Final = ("party", "opportunity", "kase", "task", "user", "entry")
LANES: Final = ("live", "bulk", "solo")
Lane = Literal["live", "bulk", "solo"]
Why = Literal["event", "replay", "finding", "refused", "restart"]

ACTOR: Final = "work"
DRAMATIQ_NAMESPACE: Final = "dramatiq"
PREFIX: Final = "relay:"

CONNECTION_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")


def pack(connection: str, kind: str, number: int) -> str:
    """What `RecordKey.pack` gives, without the object: the receiver makes one for every delivery."""
    return f"{connection}|{kind}|{number}"


@dataclass(frozen=True, slots=True, order=True)
class RecordKey:
    """Names one record of one connection: the unit of the agenda.

    `kind` is Capsule's word for the entity (one of KINDS), `id` Capsule's id.
    """

    connection: str
    kind: str
    id: int

    def pack(self) -> str:
        """The form in which Redis holds it: `connection|kind|id`."""
        return pack(self.connection, self.kind, self.id)

    @property
    def field(self) -> str:
        """The field in this connection's ledger: `kind|id`."""
        return f"{self.kind}|{self.id}"

    @classmethod
    def unpack(cls, packed: str) -> RecordKey:
        """Reads back what `pack` wrote.

        Raises:
            ValueError: it is not of that form.
        """
        connection, kind, number = packed.split("|")
        return cls(connection, kind, int(number))


def key(name: str) -> str:
    """A key of ours in Redis: `relay:<name>`."""
    return PREFIX + name


def ledger_key(connection: str) -> str:
    """Hash `kind|id` -> ledger entry of that connection."""
    return f"{PREFIX}ledger:{connection}"


def link_key(connection: str) -> str:
    """Hash `resource|Capsule id` -> downstream id of that connection."""
    return f"{PREFIX}link:{connection}"


def match_key(connection: str) -> str:
    """Hash `resource|HMAC of the e-mail or name` -> downstream ids of that connection (JSON list)."""
    return f"{PREFIX}email:{connection}"


def tally_key(connection: str) -> str:
    """Hash outcome -> number of records whose last run ended so."""
    return f"{PREFIX}tally:{connection}"


def held_key(connection: str) -> str:
    """Hash `kind|id` -> code of the reason for which that record is held, such as `no_location`. No personal data."""
    return f"{PREFIX}held:{connection}"


def deliveries_key(connection: str) -> str:
    """Hash hash-of-body -> encrypted letter of an unreadable delivery of that connection."""
    return f"{PREFIX}deliveries:{connection}"


LETTERS: Final = key("letters")  # hash R -> encrypted letter of that record
REPLAYS: Final = key("replays")  # hash R -> `times first last` of a letter that a person had tried again, ms
DISCARDED: Final = key("discarded")  # hash R -> ms at which a person discarded its letter, until the record is decided
COUNTS: Final = key("counts")  # hash `name|connection` -> counter, added up over all processes
