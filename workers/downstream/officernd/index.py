"""What OfficeRnD holds, by Capsule id and by the hash of an e-mail or a name, built from its list pages.

OfficeRnD answers fifty records a call to a list and one to a search, so a first sync asks the list once (DESIGN.md §2, idea
3). The index only proposes: records change there without telling us, so read a candidate before believing in it.

`mapping.agenda.link_key`: `resource|Capsule id` -> downstream id; several ids in one field, separated by spaces, are twins that
a person must sort out. `mapping.agenda.match_key`: `resource|hash` -> JSON list of downstream ids. Both are built beside the
old ones and exchanged at the end; what is remembered meanwhile goes to both.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias, cast

import orjson
import redis

from mapping import agenda
from workers.downstream.officernd import wire
from workers.errors import QueueAway

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.answers import Body
    from workers.downstream.officernd.client import OfficeRnD

# Resource, bodies of a page, and the place after it.
Visit: TypeAlias = "Callable[[str, Sequence[Body], str], None]"

INDEX: Final = agenda.key("index")
LOCK: Final = agenda.key("index-lock:")
LOCK_MS: Final = 120_000
# Several windows of a minute may pass before bulk work gets its place; a day's window is not waited for.
BUILD_WAIT_MS: Final = 5 * 60_000
RESOURCES: Final = (wire.COMPANY, wire.MEMBER, wire.OPPORTUNITY)

# KEYS: links, matches, new links, new matches, lock.
# ARGV: "1" from the builder, who writes only the new ones; then link field, match field ("" = none) and id, again and again.
_ADD: Final = """
local building, builder = redis.call('EXISTS', KEYS[5]) == 1, ARGV[1] == '1'
local function targets(old, new)
  if builder then return { new } end
  return building and { old, new } or { old }
end
local links, matches = targets(KEYS[1], KEYS[3]), targets(KEYS[2], KEYS[4])
for i = 2, #ARGV, 3 do
  local link, match, id = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if link ~= '' then
    for _, key in ipairs(links) do
      local held = builder and redis.call('HGET', key, link) or id
      if not string.find(' ' .. held .. ' ', ' ' .. id .. ' ', 1, true) then held = held .. ' ' .. id end
      redis.call('HSET', key, link, held)
    end
  end
  if match ~= '' then
    for _, key in ipairs(matches) do
      local held = redis.call('HGET', key, match)
      local ids, there = held and cjson.decode(held) or {}, false
      for _, one in ipairs(ids) do there = there or one == id end
      if not there then ids[#ids + 1] = id; redis.call('HSET', key, match, cjson.encode(ids)) end
    end
  end
end
return 0
"""

# KEYS: links, matches, new links, new matches, index, lock. The lock goes in the same step, so that nothing is remembered in
# a new index that nobody builds any more. ARGV: connection, mark of the hash.
_SWAP: Final = """
local t = redis.call('TIME')
for i = 1, 2 do
  if redis.call('EXISTS', KEYS[i + 2]) == 1 then redis.call('RENAME', KEYS[i + 2], KEYS[i]) else redis.call('DEL', KEYS[i]) end
end
redis.call('HSET', KEYS[5], ARGV[1], string.format('%.0f %s', t[1] * 1000 + math.floor(t[2] / 1000), ARGV[2]))
redis.call('DEL', KEYS[6])
return 0
"""
_RENEW: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
_UNLOCK: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class Lookups(Protocol):
    """What the adapter asks of an index."""

    def build(
        self,
        progress: Callable[[str, int], None] = ...,
        *,
        lane: str = ...,
        alive: Callable[[], None] = ...,
        visit: Visit = ...,
        owner: str = ...,
        start: str = ...,
    ) -> bool:
        """Walks everything and makes the index anew."""

    def lookup_links(self, resource: str, capsule_id: int | str) -> tuple[str, ...]:
        """By Capsule id."""

    def lookup_match(self, resource: str, text: str) -> tuple[str, ...]:
        """By e-mail or name."""

    def remember(self, resource: str, *, capsule_id: int | str, downstream_id: str, text: str | None = None) -> None:
        """Notes a record that was just created or taken up."""

    def age_ms(self) -> int | None:
        """How long ago it was built."""


class Index:
    """The index of one connection. `digest` is `mapping.keys.lookup_hash` with the newest secret already given.

    After a change of that secret the index counts as never built, since nothing would be found in it.
    """

    def __init__(self, connection: str, client: OfficeRnD, store: redis.Redis, digest: Callable[[str], str]) -> None:
        self._connection = connection
        self._client = client
        self._store = store
        self._digest = digest
        self._mark = digest("index")
        self._links = agenda.link_key(connection)
        self._matches = agenda.match_key(connection)
        self._lock = LOCK + connection
        self._keys = (self._links, self._matches, f"{self._links}:new", f"{self._matches}:new")
        self._add = store.register_script(_ADD)
        self._swap = store.register_script(_SWAP)
        self._renew = store.register_script(_RENEW)
        self._unlock = store.register_script(_UNLOCK)

    def build(
        self,
        progress: Callable[[str, int], None] = lambda _resource, _count: None,
        *,
        lane: str = "bulk",
        alive: Callable[[], None] = lambda: None,
        visit: Visit = lambda _resource, _bodies, _place: None,
        owner: str = "",
        start: str = "",
    ) -> bool:
        """Walks all companies, members and opportunities and exchanges the index; memory does not grow with their number.

        `progress` is told the resource and how many of it were seen so far, page by page; `visit` is given each page and the
        place where a walk goes on after it. `owner` names a walk that may be taken up again from such a place (`start`), by
        another process too, after this one was killed. Returns False, having done nothing, when another process is building
        the index, or took over because this one was silent for two minutes.

        Raises:
            Temporary, Permanent: from the client; the old index stays.
            QueueAway: Redis did not answer.
        """
        mine = (owner or secrets.token_hex(16)).encode()
        renewed = time.monotonic()

        def beat() -> None:
            nonlocal renewed
            alive()
            if time.monotonic() - renewed > LOCK_MS / 4000:
                self._renew(keys=[self._lock], args=[mine, LOCK_MS])
                renewed = time.monotonic()

        try:
            if not self._store.set(self._lock, mine, nx=True, px=LOCK_MS) and not self._renew(
                keys=[self._lock], args=[mine, LOCK_MS]
            ):
                return False
            try:
                return self._build(mine, progress, lane=lane, alive=beat, visit=visit, start=start)
            finally:
                self._unlock(keys=[self._lock], args=[mine])
        except redis.RedisError as error:
            raise _away(error) from error

    def _build(
        self,
        mine: bytes,
        progress: Callable[[str, int], None],
        *,
        lane: str,
        alive: Callable[[], None],
        visit: Visit,
        start: str,
    ) -> bool:
        first, _, cursor = start.partition(" ")
        # Without what the walk has gathered so far it begins anew: a part must never be exchanged for the whole.
        if first not in RESOURCES or not self._store.exists(*self._keys[2:]):
            first, cursor = RESOURCES[0], ""
            self._store.delete(*self._keys[2:])
        for resource in RESOURCES[RESOURCES.index(first) :]:
            seen = 0
            here = cursor if resource == first else ""
            walk = self._client.pages(resource, cursor=here or None, lane=lane, alive=alive, max_wait_ms=BUILD_WAIT_MS)
            for bodies, following in walk:
                if not self._renew(keys=[self._lock], args=[mine, LOCK_MS]):
                    return False
                entries = [part for body in bodies for part in self._entry(resource, body)]
                self._add(keys=[*self._keys, self._lock], args=["1", *entries])
                here = following or here  # after the last page this page once more, which does no harm
                visit(resource, bodies, f"{resource} {here}")
                seen += len(bodies)
                progress(resource, seen)
        if not self._renew(keys=[self._lock], args=[mine, LOCK_MS]):
            return False
        self._swap(keys=[*self._keys, INDEX, self._lock], args=[self._connection, self._mark])
        return True

    def lookup_link(self, resource: str, capsule_id: int | str) -> str | None:
        """The downstream record that carries this Capsule id: the oldest, if there are twins; None if none is known.

        Raises:
            QueueAway: Redis did not answer.
        """
        return next(iter(self.lookup_links(resource, capsule_id)), None)

    def lookup_links(self, resource: str, capsule_id: int | str) -> tuple[str, ...]:
        """Every downstream record that carries this Capsule id. Raises as `lookup_link`."""
        held = self._get(self._links, f"{resource}|{capsule_id}")
        return tuple(held.decode().split()) if held else ()

    def lookup_match(self, resource: str, text: str) -> tuple[str, ...]:
        """The downstream records that had this e-mail (members) or name (companies) when they were seen last.

        Raises:
            QueueAway: Redis did not answer.
        """
        field = self._match_field(resource, wire.matchable(resource, text))
        held = self._get(self._matches, field) if field else None
        return tuple(orjson.loads(held)) if held else ()

    def remember(self, resource: str, *, capsule_id: int | str, downstream_id: str, text: str | None = None) -> None:
        """Notes a record that was just created or taken up: its link, and its e-mail or name where there is one.

        Raises:
            QueueAway: Redis did not answer.
        """
        field = self._match_field(resource, wire.matchable(resource, text or ""))
        try:
            self._add(keys=[*self._keys, self._lock], args=["0", f"{resource}|{capsule_id}", field, downstream_id])
        except redis.RedisError as error:
            raise _away(error) from error

    def age_ms(self) -> int | None:
        """How long ago the index was built, by Redis' clock; None if it was not, or with another secret.

        Raises:
            QueueAway: Redis did not answer.
        """
        try:
            pipe = self._store.pipeline(transaction=False)
            pipe.time()
            pipe.hget(INDEX, self._connection)
            (seconds, micros), held = pipe.execute()
        except redis.RedisError as error:
            raise _away(error) from error
        if held is None:
            return None
        built, _, mark = held.decode().partition(" ")
        return max(seconds * 1000 + micros // 1000 - int(built), 0) if mark == self._mark else None

    def _entry(self, resource: str, body: Body) -> tuple[str, str, str]:
        link = wire.link_of(body)
        return (f"{resource}|{link}" if link else "", self._match_field(resource, wire.match_of(resource, body)), body["_id"])

    def _match_field(self, resource: str, text: str) -> str:
        return f"{resource}|{self._digest(text)}" if text else ""

    def _get(self, key: str, field: str) -> bytes | None:
        try:
            return cast("bytes | None", self._store.hget(key, field))
        except redis.RedisError as error:
            raise _away(error) from error


def _away(error: redis.RedisError) -> QueueAway:
    return QueueAway(f"Redis did not answer while the index of OfficeRnD was used: {type(error).__name__}")
