"""The copy of the records that a connection with `keep_copy` keeps: for reads that must not cost a call to Capsule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import redis

from mapping.agenda import key
from workers.console.unified.problems import Problem
from workers.errors import QueueAway

if TYPE_CHECKING:
    from workers.services import Services

MOST_SCANS: Final = 20
NONE: Final = (
    "This connection keeps no copy of this model. Ask without read=cache, or set keep_copy = true in its [unified] table and let "
    "a full sync pass."
)


class Copy:
    """The hash `relay:copy:<connection>:<model>`: id -> encrypted `{"version", "synced_at", "record"}`."""

    def __init__(self, services: Services, connection: str, model: str) -> None:
        self._store = services.redis
        self._vault = services.vault
        self._key = key(f"copy:{connection}:{model}")

    def need(self, *, raw: bool) -> None:
        """Raises Problem 409 where no copy is kept, or none in Capsule's own form; QueueAway when Redis did not answer."""
        if raw:
            raise Problem(409, "The copy holds unified records alone. Ask without truto_response_format=raw.")
        try:
            if not self._store.exists(self._key):
                raise Problem(409, NONE)
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error

    def get(self, number: str) -> dict[str, Any] | None:
        """One record, None when it is not there. Raises QueueAway."""
        try:
            raw = self._store.hget(self._key, number)
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
        return None if raw is None else self._opened(raw)

    def scan(self, cursor: int, count: int) -> tuple[int, list[dict[str, Any]]]:
        """The cursor behind these records (0 = the end) and about `count` of them, by id within them. Raises QueueAway."""
        try:
            following, held = self._store.hscan(self._key, cursor, count=count)
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
        kept = cast("dict[bytes, bytes]", held)
        return int(following), [self._opened(kept[name]) for name in sorted(kept)]

    def _opened(self, raw: bytes | str) -> dict[str, Any]:
        document = self._vault.open(raw if isinstance(raw, bytes) else raw.encode())
        record: dict[str, Any] = document["record"]
        return {**record, "synced_at": document["synced_at"], "remote_url": record.get("remote_url"), "remote_data": None}
