"""Counters, gathered in memory and added to those in Redis once a second, never in the way of an answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from mapping.agenda import COUNTS
from receiver.store import StoreAway

if TYPE_CHECKING:
    from receiver.store import Store

COUNT: Final = r"""
-- count key n (field amount)*n (field age_ms)* -> 1
-- The ages become times of Redis' own clock, and only ever raise what stands there: several processes write.
local key, n = ARGV[1], tonumber(ARGV[2])
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for i = 3, 2 * n + 2, 2 do redis.call('HINCRBY', key, ARGV[i], ARGV[i + 1]) end
for i = 2 * n + 3, #ARGV, 2 do
  local at = now - tonumber(ARGV[i + 1])
  if at > tonumber(redis.call('HGET', key, ARGV[i]) or 0) then redis.call('HSET', key, ARGV[i], string.format('%.0f', at)) end
end
return 1
"""


class Counts:
    """Counters by name, and by connection where there is one; and when each connection last had a delivery.

    Only names of ours and of configured connections become fields, so nobody outside can make Redis grow.
    """

    def __init__(self) -> None:
        self._amounts: dict[tuple[str, str], int] = {}
        self._last: dict[str, float] = {}

    def add(self, name: str, connection: str = "", amount: int = 1) -> None:
        """Adds `amount` to the counter `name`, of one connection if named."""
        counter = name, connection
        self._amounts[counter] = self._amounts.get(counter, 0) + amount

    def delivered(self, connection: str, records: int, *, readable: bool) -> None:
        """Counts an authentic delivery that has come just now and concerns so many records of the connection."""
        self._last[connection] = time.monotonic()
        if records:
            self.add("records.opened", connection, records)
        if readable:
            self.add("delivery.admitted" if records else "delivery.not_of_interest", connection)

    async def flush(self, store: Store) -> None:
        """Adds what was gathered to Redis; keeps it for the next time if that fails.

        If only the answer was lost it is added twice: these are figures to look at, and no decision rests on them.
        """
        if not self._amounts and not self._last:
            return
        amounts, self._amounts = self._amounts, {}
        last, self._last = self._last, {}
        now = time.monotonic()
        arguments: list[str | bytes | int] = [COUNTS, len(amounts)]
        for (name, connection), amount in amounts.items():
            arguments += [f"{name}|{connection}" if connection else name, amount]
        for connection, at in last.items():
            arguments += [f"last_delivery|{connection}", max(0, round((now - at) * 1000))]
        try:
            await store.script("count", *arguments)
        except StoreAway:
            for (name, connection), amount in amounts.items():
                self.add(name, connection, amount)
            self._last = {**last, **self._last}
