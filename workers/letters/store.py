"""Dead letters in Redis: written in the step that closes the record, read one by one or in bulk."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
import redis

from mapping.agenda import LETTERS, REPLAYS, deliveries_key, key
from workers import errors
from workers.letters import advice, letter
from workers.letters.filters import Filter
from workers.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mapping.agenda import RecordKey
    from workers.agenda import Agenda
    from workers.flows.run import Run
    from workers.ledger import Vault
    from workers.letters.letter import Letter

ANSWER_BYTES: Final = 1024
BODY_LENGTH: Final = 16_384
PAGE: Final = 500
MOST_HISTORY: Final = 10
_ID: Final = re.compile(r"\b[0-9a-f]{24}\b")


class Letters:
    """Writes letters, encrypted, and reads them."""

    def __init__(self, agenda: Agenda, vault: Vault) -> None:
        self.agenda = agenda
        self.vault = vault

    def bury(self, run: Run, error: Exception, line: dict[str, Any]) -> None:
        """Makes the record of this run a dead letter, unless something newer about it has come."""
        taken = run.taken
        try:
            before = self.of_record(taken.record)
            stored = letter.SEALED + self.vault.seal(self._new(run, error, before))
            end = self.agenda.bury(taken.record, taken.token, letter=stored, touched=run.touched)
        except errors.QueueAway as away:
            line["unanswered"] = str(away)
            return
        line["end"] = end
        if end == "buried":
            line["letter"] = letter.record_id(taken.record.pack(), stored)
            run.services.counts.add("dead", taken.record.connection)

    def _new(self, run: Run, error: Exception, before: Letter | None) -> dict[str, Any]:
        """What the new letter says. The one that it takes the place of is the earlier part of the same story."""
        taken = run.taken
        told: dict[str, Any] = {
            "record": taken.record.pack(),
            "seq": taken.seq,
            "class": type(error).__name__,
            "text": str(error),
            "advice": advice.of_error(error),
            "attempts": taken.attempts + 1,
            "opened": taken.opened_ms,
            "at": taken.now_ms,
            "first": before.first_ms if before is not None and before.first_ms else taken.now_ms,
            "history": [one.dump() for one in (*before.history, before.failure)[-MOST_HISTORY:]] if before is not None else [],
            "version": VERSION,
        }
        if run.tried is not None:
            told |= _tried(run.tried)
        if isinstance(error, errors.Permanent | errors.Temporary):
            told |= {"system": error.system, "status": error.status, "answer": error.answer[:ANSWER_BYTES]}
        if isinstance(error, errors.Permanent) and error.route:
            body = error.body.decode(errors="replace")[:BODY_LENGTH]
            told |= {"method": error.method, "route": error.route, "body": body}
        return told

    def of_record(self, record: RecordKey) -> Letter | None:
        """The letter of one record, None when it has none.

        Raises:
            QueueAway: Redis did not answer.
        """
        packed = record.pack()
        try:
            pipe = self.agenda.client.pipeline(transaction=True)
            pipe.hget(LETTERS, packed)
            pipe.hget(REPLAYS, packed)
            pipe.hget(key("place"), packed)
            stored, replays, place = pipe.execute()
        except redis.RedisError as error:
            raise _away(error) from error
        return self._read(packed, stored, replays, place) if stored is not None else None

    def find(self, wanted: Filter | None = None, *, connections: Iterable[str] = ()) -> Iterator[Letter]:
        """The letters that a filter admits, in no order, read by pages: however many there are, few are in memory.

        `connections` are those whose unreadable deliveries are looked at too. A letter that is there from beginning to end of
        the walk comes once, or more often if letters come and go meanwhile; one that comes or goes may be missed.

        Raises:
            QueueAway: Redis did not answer.
        """
        wanted = wanted or Filter()
        if wanted.kind != "delivery":
            for one in self._records(wanted):
                if wanted.admits(one):
                    yield one
        if wanted.kind in {"", "delivery"}:
            for name in connections:
                if wanted.connection in {"", name}:
                    yield from (one for one in self._deliveries(name) if wanted.admits(one))

    def forget_delivery(self, connection: str, body_hash: str) -> bool:
        """Takes the letter of a delivery away; False when it was not there any more.

        Raises:
            QueueAway: Redis did not answer.
        """
        try:
            return bool(self.agenda.client.hdel(deliveries_key(connection), body_hash))
        except redis.RedisError as error:
            raise _away(error) from error

    def _records(self, wanted: Filter) -> Iterator[Letter]:
        client = self.agenda.client
        pattern = f"{wanted.connection}|*" if wanted.connection else None
        for page in self._scan(LETTERS, pattern):
            names = list(page)
            try:
                pipe = client.pipeline(transaction=False)
                pipe.hmget(REPLAYS, names)
                pipe.hmget(key("place"), names)
                replays, places = pipe.execute()
            except redis.RedisError as error:
                raise _away(error) from error
            for packed, number, place in zip(names, replays, places, strict=True):
                yield self._read(packed.decode(), page[packed], number, place)

    def _deliveries(self, connection: str) -> Iterator[Letter]:
        for page in self._scan(deliveries_key(connection), None):
            for body_hash, stored in page.items():
                yield letter.of_delivery(connection, body_hash.decode(), self._open(stored))

    def _scan(self, name: str, pattern: str | None) -> Iterator[dict[bytes, bytes]]:
        cursor = 0
        while True:
            try:
                answer = self.agenda.client.hscan(name, cursor, match=pattern, count=PAGE)
            except redis.RedisError as error:
                raise _away(error) from error
            cursor, page = cast("tuple[int, dict[bytes, bytes]]", answer)
            if page:
                yield page
            if not cursor:
                return

    def _read(self, packed: str, stored: bytes, replays: bytes | None, place: bytes | None) -> Letter:
        opened = self._open(stored[1:]) if stored[:1] == letter.SEALED else None
        return letter.of_record(packed, stored, opened, replays, place)

    def _open(self, sealed: bytes) -> Mapping[str, Any] | None:
        """One letter whose key was lost must not keep all the others from being seen."""
        try:
            opened = self.vault.open(sealed)
        except errors.Misconfigured:
            return None
        return opened if isinstance(opened, dict) else {}


def _tried(write: Any) -> dict[str, str]:  # noqa: ANN401 - each downstream has its own kind of write
    """A write as a letter keeps it: the route without the id of the record that it goes to."""
    method, path = str(getattr(write, "method", "")), _ID.sub("{id}", str(getattr(write, "path", "")))
    body = orjson.dumps(getattr(write, "body", None), default=str).decode()
    return {"method": method, "route": f"{method} {path}".strip(), "body": body[:BODY_LENGTH]}


def _away(error: redis.RedisError) -> errors.QueueAway:
    return errors.QueueAway(f"Redis did not answer: {type(error).__name__}")
