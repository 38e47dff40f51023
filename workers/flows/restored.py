"""Whether the data store may have come back older than it was, so that the ledger cannot be believed (agenda.md §6).

A server that is killed may lose what it took in its last second: events that were answered, and what was noted of writes.
Which server process is running, and since when, stands in `relay:born` (mapping/scripts.py); each pass remembers the one that
it ended under. After another one, the next pass doubts: it opens every record that changed in Capsule since the last pass,
whatever the ledger says, and each of their runs reads back what the downstream holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from mapping.agenda import key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.services import Services

BORN: Final = "born"
# The server tells how long it has run in whole seconds, and is heard of for the first time a moment after it began.
SLACK_MS: Final = 2_000


def born(services: Services) -> str:
    """Which server process is running and since when its data may be trusted: `run_id ms`."""
    return cast("bytes", services.redis.get(key("born")) or b"").decode()


def is_in_doubt(remembered: Mapping[str, str], now: str, *, started_ms: int) -> bool:
    """Whether the server is another one than the last pass ended under, and was not stopped in order before. Pure.

    `started_ms`: when it began, by its own clock. After a clean stop its data may be trusted from before that moment.
    """
    known = remembered.get(BORN)
    return known is not None and known != now and int(now.rpartition(" ")[2] or 0) >= started_ms - SLACK_MS


def in_doubt(services: Services, remembered: Mapping[str, str]) -> bool:
    """The same, asked of the server.

    Raises:
        redis.RedisError: it does not answer.
    """
    now = born(services)
    if remembered.get(BORN) in (None, now):
        return False
    told = services.redis.info("server")
    return is_in_doubt(remembered, now, started_ms=services.agenda.mark() // 1000 - int(told["uptime_in_seconds"]) * 1000)
