"""The pass over tags of interest: parties that came in or fell out without an event and without a new `updatedAt`.

Nobody knows whether a change of tags alone moves `updatedAt` or fires a hook (reference/capsule.md §1.4, §3.4). So each
incremental pass asks by filter for a part of the parties that carry a tag of the rules, a hundred a call and with at most a
tenth of the hourly budget, and goes on from there the next time. When a round is complete, those that carried such a tag and
were not shown by any of its pages are opened and read by themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import orjson

from mapping.drift import ACCOUNT
from mapping.values import word_key
from workers.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.flows.passes import Pass

SHARE: Final = 0.1  # DESIGN.md §6, bounds
MINUTES_PER_HOUR: Final = 60


def allowance(hourly: int, minutes: int) -> int:
    """How many calls one tick may make, when there is a tick every so many minutes."""
    return max(1, int(hourly * SHARE * min(minutes, MINUTES_PER_HOUR) / MINUTES_PER_HOUR))


def watch_tags(walk: Pass, memory: str, alive: Callable[[], None]) -> None:
    """Goes on with the round. Its place is kept in the field `tags` of the hash `memory`, the end of the last in `tagged`."""
    services, tags = walk.services, list(dict.fromkeys(word_key(tag) for tag in walk.connection.tags.tags))
    if not tags:
        return
    seen = f"{memory}:tagged"
    kept = cast("bytes | None", services.redis.hget(memory, "tags"))
    place = orjson.loads(kept) if kept else {}
    if place.get("of") != tags:
        services.redis.delete(seen)
        place = {"of": tags, "at": 0, "page": 1, "began": services.agenda.hello(), "whole": True}
    calls = allowance(walk.services.capsule(walk.name).window.limit, walk.connection.auto_sync_minutes)
    while calls > 0 and place["at"] < len(tags):
        mark = services.agenda.mark()
        calls -= 1
        try:
            pages = services.capsule(walk.name).tagged(tags[place["at"]], page=place["page"], alive=alive)
            page = next(pages, None)
        except Refused as error:
            # Such as a tag that Capsule does not know: its parties are left to the full pass.
            services.log.info("tags", connection=walk.name, status=error.status, action="left to the full pass")
            place |= {"whole": False}
            page = None
        if page is not None:
            walk.page("party", mark, page)
            services.redis.sadd(seen, *(f"party|{body['id']}" for body in page))
        more = page is not None and page.more
        place |= {"page": place["page"] + 1} if more else {"at": place["at"] + 1, "page": 1}
        services.redis.hset(memory, "tags", orjson.dumps(place))
    if place["at"] >= len(tags):
        if place["whole"]:
            _fell_out(walk, seen, place["began"])
        services.redis.delete(seen)
        services.redis.hdel(memory, "tags")
        services.redis.hset(memory, "tagged", str(place["began"]))


def _fell_out(walk: Pass, seen: str, began_ms: int) -> None:
    """Those that carried a tag of the rules when they were judged last, before this round, and were not shown now."""
    services = walk.services
    for some in walk.ledger():
        parties = [field for field in some if field.startswith("party|")]
        shown = cast("list[int]", services.redis.smismember(seen, parties)) if parties else []
        for field, there in zip(parties, shown, strict=True):
            if there:
                continue
            entry = services.ledger.parse(some[field])
            if not entry.state.get(ACCOUNT, {}).get("tags") or entry.last_ms >= began_ms or entry.outcome == "gone":
                continue
            walk.count("tag_lost", 1)
            if entry.is_in:
                walk.add("leaving", [field])
            else:
                walk.open([walk.record(field)], why="finding")
