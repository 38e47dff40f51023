"""redis-py's client without the way round: each thread keeps a connection of its own.

Of a short command, redis-py's pool, its retries and its measurements take several times as long as the command itself, and a
run sends a dozen (DECISIONS.md). What the client promises stays: it raises at once, and a connection that the server has ended
meanwhile, as in a restart, is made anew before anything is sent on it. Pipelines and locks take redis-py's own way.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

import redis


class ThreadedRedis(redis.Redis):
    """Safe to share between threads; a connection ends with its thread, or with `close`. Used after any fork only."""

    def __init__(self, *args: Any, **named: Any) -> None:  # noqa: ANN401 - redis-py's own, handed on
        super().__init__(*args, **named)
        self._kept = threading.local()
        self._all: weakref.WeakSet[Any] = weakref.WeakSet()

    def execute_command(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - whatever the command answers
        """Sends a command, once, and returns its answer in redis-py's form."""
        options.pop("keys", None)  # for redis-py's cache, which nobody here uses
        connection = self._mine()
        try:
            if _spoilt(connection):
                connection.disconnect()
            connection.connect()  # nothing where it stands
            connection.send_packed_command(connection.pack_command(*args), check_health=False)
            return self.parse_response(connection, args[0], **options)  # type: ignore[no-untyped-call] # redis-py's
        except redis.ResponseError:
            raise  # an answer like any other
        except BaseException:
            # An answer that is still to come would be taken for that of the next command.
            connection.disconnect()
            raise

    def _mine(self) -> Any:  # noqa: ANN401 - redis-py annotates its connections in part
        """The connection of this thread."""
        if not hasattr(self._kept, "connection"):
            self._kept.connection = self.connection_pool.make_connection()
            self._all.add(self._kept.connection)
        return self._kept.connection

    def close(self) -> None:
        """Ends all connections."""
        for connection in list(self._all):
            connection.disconnect()
        super().close()


def _spoilt(connection: Any) -> bool:  # noqa: ANN401 - as `_mine`
    """Whether the server has ended it, or has said something that nobody asked for."""
    try:
        return bool(connection.is_connected and connection.can_read())
    except (redis.ConnectionError, redis.TimeoutError, OSError):
        return True
