"""Which processes run: each of them says so every few seconds, with its part in the whole and its version.

This is for people to look at (`status`, metrics). What decides about leases is another sign of life, `relay:procs`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mapping.agenda import key

if TYPE_CHECKING:
    from collections.abc import Iterable

RUNNING: Final = key("running")  # hash process -> `ms part version`; ms of Redis' clock, of the last sign of life
PARTS: Final = ("web", "worker", "solo", "clock", "console")
SIGN_S: Final = 3
"""Seconds between two signs of life."""
ALIVE_MS: Final = 10_000
"""Who said nothing for longer does not run: three signs of life are missing."""

SIGN: Final = r"""
-- sign process part version -> 1; without a part: it ends in good order. Who was silent for an hour is forgotten
if ARGV[2] == '' then return redis.call('HDEL', 'relay:running', ARGV[1]) end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
redis.call('HSET', 'relay:running', ARGV[1], string.format('%.0f', now) .. ' ' .. ARGV[2] .. ' ' .. ARGV[3])
local all = redis.call('HGETALL', 'relay:running')
for i = 1, #all, 2 do
  if now - (tonumber(string.match(all[i + 1], '^%d+')) or 0) > 3600000 then redis.call('HDEL', 'relay:running', all[i]) end
end
return 1
"""


@dataclass(frozen=True, slots=True)
class Process:
    """One process. `name` is `host:pid:random`, `part` one of PARTS, `silent_ms` how long ago its last sign of life was."""

    name: str
    part: str
    version: str
    silent_ms: int

    @property
    def alive(self) -> bool:
        """Whether it gave a sign of life a moment ago."""
        return self.silent_ms <= ALIVE_MS


def parse(fields: Iterable[tuple[str, str]], now_ms: int) -> tuple[Process, ...]:
    """The hash RUNNING as values, in the order of PARTS; what is not of the right form is left out."""
    found = []
    for name, held in fields:
        at, _, rest = held.partition(" ")
        part, _, version = rest.partition(" ")
        if at.isdigit() and part in PARTS:
            found.append(Process(name=name, part=part, version=version, silent_ms=max(now_ms - int(at), 0)))
    return tuple(sorted(found, key=lambda one: (PARTS.index(one.part), one.name)))
