"""What the guard stopped, remembered until a person has decided: it is asked once, and not found anew by every pass.

relay:reconcile:<connection>:asked        zset `kind|id` -> ms at which the guard first stopped its release
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.flows.passes import Pass
    from workers.ledger import Entry


def recall(walk: Pass, memory: str) -> None:
    """Adds to what this incremental pass would release what was stopped before and has not been settled since.

    Settled is what a run has judged since then, and what this pass has just seen and not set aside. Changes nothing that is kept.
    """
    for asked in _asked(walk, memory):
        fields = list(asked)
        entries = walk.services.ledger.get_many(walk.name, fields)
        seen = walk.has("seen", fields)
        walk.add(
            "leaving",
            [field for field, entry in zip(fields, entries, strict=True) if field not in seen and _still_in(entry, asked[field])],
        )


def keep(walk: Pass, memory: str) -> None:
    """Remembers what the guard has stopped in this pass, and nothing else."""
    redis, now = walk.services.redis, walk.services.agenda.hello()
    fresh = f"{_key(memory)}:new"
    redis.delete(fresh)
    for some in walk.scan("asked"):
        if some:
            before = redis.zmscore(_key(memory), some)
            redis.zadd(fresh, {field: score or now for field, score in zip(some, before, strict=True)})
    redis.rename(fresh, _key(memory))


def forget(walk: Pass, memory: str) -> None:
    """Everything was released, or nothing is left to be."""
    walk.services.redis.delete(_key(memory))


def _still_in(entry: Entry | None, asked_ms: int) -> bool:
    return entry is not None and entry.is_in and entry.last_ms <= asked_ms


def _asked(walk: Pass, memory: str) -> Iterator[dict[str, int]]:
    cursor = 0
    while True:
        cursor, found = cast("tuple[int, list[tuple[bytes, float]]]", walk.services.redis.zscan(_key(memory), cursor, count=500))
        if found:
            yield {field.decode(): int(score) for field, score in found}
        if not cursor:
            return


def _key(memory: str) -> str:
    return f"{memory}:asked"
