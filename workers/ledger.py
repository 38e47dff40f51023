"""What we know of each record: what was last written, why it is in or out, how its last run ended.

One hash per connection; a value is `1<outcome>` on a line, then the encrypted orjson. The outcome stands outside the
encryption so that the script `done` can keep the tally. The entry is written by `done` alone, so an accepted run and its
entry are one step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import orjson
import redis
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from mapping.agenda import DISCARDED, LETTERS, RecordKey, key, ledger_key
from mapping.keys import fernet_keys
from workers.errors import Misconfigured, QueueAway

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Outcome = Literal["in_step", "held", "out", "gone"]
OUTCOMES: Final = ("in_step", "held", "out", "gone")


class Vault:
    """Encrypts what is personal before it is stored, under the newest secret key, and reads what older ones wrote."""

    def __init__(self, secret_keys: Sequence[str]) -> None:
        self._fernet = MultiFernet([Fernet(one) for one in fernet_keys(tuple(secret_keys))])

    def seal(self, value: object) -> bytes:
        """Encrypted JSON of a value."""
        return self._fernet.encrypt(orjson.dumps(value))

    def open(self, sealed: bytes) -> Any:  # noqa: ANN401 - whatever was sealed
        """The value that was sealed.

        Raises:
            Misconfigured: no key of RELAY_SECRET_KEY opens it.
        """
        try:
            return orjson.loads(self._fernet.decrypt(sealed))
        except InvalidToken:
            raise Misconfigured(
                "Something stored cannot be decrypted with any key of RELAY_SECRET_KEY.",
                advice="Add the key that was used before to the end of RELAY_SECRET_KEY (comma list, newest first).",
            ) from None


@dataclass(frozen=True, slots=True)
class Entry:
    """One record's entry. `wrote` is what was last written field by field; `state` belongs to the flow and the downstream.

    Times are ms of Redis' clock. `id` is the downstream's id, or None when the record was never written there.
    """

    id: str | None
    resource: str | None
    is_in: bool
    why: str
    outcome: Outcome
    first_ms: int
    last_ms: int
    wrote_ms: int | None = None
    wrote: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)

    @property
    def held(self) -> str:
        """The code of the reason for which the record is held; empty when it is not."""
        return str(self.state["held"][0]) if self.outcome == "held" and "held" in self.state else ""

    def dump(self) -> dict[str, Any]:
        """The form that is sealed."""
        return {
            "id": self.id,
            "resource": self.resource,
            "in": self.is_in,
            "why": self.why,
            "times": [self.first_ms, self.last_ms, self.wrote_ms],
            "wrote": dict(self.wrote),
            "state": dict(self.state),
        }

    @classmethod
    def parse(cls, outcome: str, value: Mapping[str, Any]) -> Entry:
        """Reads back what `dump` made."""
        first, last, wrote = value["times"]
        return cls(
            id=value["id"],
            resource=value["resource"],
            is_in=value["in"],
            why=value["why"],
            outcome=outcome,  # type: ignore[arg-type] # written by `done` from an Outcome
            first_ms=first,
            last_ms=last,
            wrote_ms=wrote,
            wrote=value["wrote"],
            state=value["state"],
        )


@dataclass(frozen=True, slots=True)
class Known:
    """What Redis says of a record at one moment. `place` is where it waits in the agenda, None when it is not open.

    `letter`: it is a dead letter, or was one when a person discarded that: others may be held because of it either way.
    """

    place: str | None
    letter: bool
    entry: Entry | None


class Ledger:
    """Reads entries. Writing is part of `done`."""

    def __init__(self, client: redis.Redis, vault: Vault) -> None:
        self.client = client
        self.vault = vault

    def seal(self, entry: Entry) -> bytes:
        """The value that `done` stores behind the outcome."""
        return self.vault.seal(entry.dump())

    def parse(self, stored: bytes) -> Entry:
        """A stored value as an entry."""
        head, sealed = stored.split(b"\n", 1)
        return Entry.parse(head[1:].decode(), self.vault.open(sealed))

    def get(self, record: RecordKey) -> Entry | None:
        """The entry of one record, or None when no run of it was ever finished."""
        return self.get_many(record.connection, [record.field])[0]

    def get_many(self, connection: str, fields: Sequence[str]) -> list[Entry | None]:
        """The entries of many records (fields `kind|id`) in one round trip."""
        if not fields:
            return []
        try:
            stored = cast("list[bytes | None]", self.client.hmget(ledger_key(connection), list(fields)))
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
        return [self.parse(one) if one is not None else None for one in stored]

    def known(self, record: RecordKey) -> Known:
        """What is known of a record at one moment: whether it is open, whether it is a dead letter, and its entry.

        Read together, since one may close while another is being read.
        """
        try:
            pipe = self.client.pipeline(transaction=True)
            pipe.hget(key("place"), record.pack())
            pipe.hexists(LETTERS, record.pack())
            pipe.hget(ledger_key(record.connection), record.field)
            pipe.hexists(DISCARDED, record.pack())
            place, letter, stored, discarded = pipe.execute()
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
        return Known(
            place=place.decode() if place is not None else None,
            letter=bool(letter or discarded),
            entry=self.parse(stored) if stored is not None else None,
        )
