"""The records that a product was told, for `?read=cache` of the unified API; kept where the rules ask for it.

relay:copy:<connection>:<collection>     hash id -> encrypted JSON of `{version, synced_at, record}`
"""

from __future__ import annotations

import datetime as dt
import time
from typing import TYPE_CHECKING

import redis

from mapping.agenda import key
from mapping.unified.deliveries import COLLECTIONS
from workers.errors import QueueAway

if TYPE_CHECKING:
    from mapping.unified.deliveries import Message
    from workers.ledger import Vault


def copy_key(connection: str, collection: str) -> str:
    """Hash id -> encrypted copy of the records of a collection, such as `contacts`."""
    return key(f"copy:{connection}:{collection}")


class Copies:
    """Keeps what the product was told last."""

    def __init__(self, store: redis.Redis, vault: Vault, connection: str) -> None:
        self._store = store
        self._vault = vault
        self._connection = connection

    def keep(self, message: Message) -> None:
        """Keeps the record of a message, or forgets it.

        Raises:
            QueueAway: Redis did not answer.
        """
        where = copy_key(self._connection, COLLECTIONS[message.model])
        try:
            if message.event == "record:deleted":
                self._store.hdel(where, message.id)
                return
            synced = dt.datetime.fromtimestamp(time.time(), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            kept = {"version": message.version, "synced_at": synced, "record": dict(message.record)}
            self._store.hset(where, message.id, self._vault.seal(kept))
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not keep a copy: {type(error).__name__}") from error
