"""What `doctor` asks of the data store: is it a safe place for what was admitted, and is what lies there in order?

Every function only reads. Settings are read by INFO, which a managed service allows where it forbids CONFIG.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from mapping.agenda import LANES, LETTERS, deliveries_key, key
from workers.flows.diagnosis import Result
from workers.flows.reconcile import memory_key
from workers.standing import pause_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import redis

    from mapping.rules import Connection
    from workers.flows.diagnosis import State

MOST_OFF_S: Final = 5.0
LEAST_VERSION: Final = (7, 0)  # what the tests run on; older ones may work
FULL_SHARE: Final = 0.9
SCARCE_SHARE: Final = 0.75
STUCK_MS: Final = 10_000  # the clock looks at least once a second
IDLE_MS: Final = 60_000
FULL_PASS_MS: Final = 26 * 3_600_000  # the clock makes one every 24 hours
LOOK_SECONDS: Final = 10.0
SHOWN: Final = 3
MOST: Final = 1_000


def clock(client: redis.Redis, now_s: Callable[[], float] = time.time) -> Iterator[Result]:
    """This machine's clock against that of Redis. The relay counts by Redis' clock; certificates and people by this one."""
    before = now_s()
    seconds, micros = _pair(client.time())
    after = now_s()
    off = (before + after) / 2 - (seconds + micros / 1_000_000)
    said = f"{abs(off):.1f} s {'ahead of' if off > 0 else 'behind'} the data store's"
    if abs(off) > MOST_OFF_S + (after - before) / 2:
        advice = "Run a time service such as chrony on both machines; signed deliveries and certificates are refused otherwise."
        yield Result("clock", "wrong", f"this machine's clock is {said}", advice)
    else:
        yield Result("clock", "ok", said)


def persistence(client: redis.Redis) -> Iterator[Result]:
    """Whether what was admitted survives the end of the server."""
    info: dict[str, Any] = client.info("persistence")
    if not info.get("aof_enabled"):
        advice = "Set appendonly yes and appendfsync everysec; what was admitted is lost otherwise when the server ends."
        yield Result("persistence", "wrong", "the append-only file is off", advice)
    elif info.get("aof_last_write_status", "ok") != "ok":
        advice = "Look at the server's log and the space on its disk."
        yield Result("persistence", "wrong", "the last write to the append-only file failed", advice)
    else:
        yield Result("persistence", "ok", "the append-only file is on")


def eviction(client: redis.Redis) -> Iterator[Result]:
    """Whether the server may throw keys away to make room."""
    info: dict[str, Any] = client.info("memory")
    policy = str(info.get("maxmemory_policy", "unknown"))
    if policy == "noeviction":
        yield Result("eviction", "ok", "noeviction")
    else:
        said = f"the server may throw away what was admitted: maxmemory-policy is {policy}"
        yield Result("eviction", "wrong", said, "Set maxmemory-policy noeviction.")


def memory(client: redis.Redis) -> Iterator[Result]:
    """How much room is left: of maxmemory, else of the machine."""
    info: dict[str, Any] = client.info("memory")
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    of = "maxmemory" if most else "the machine's memory"
    most = most or int(info.get("total_system_memory", 0))
    if not most:
        yield Result("memory", "ok", f"{_mib(used)} in use, no limit told")
        return
    said = f"{_mib(used)} of {_mib(most)} in use ({of})"
    share = used / most
    state: State = "wrong" if share > FULL_SHARE else "warning" if share > SCARCE_SHARE else "ok"
    advice = "" if state == "ok" else "Raise maxmemory or use a larger machine: at the limit nothing is admitted any more."
    yield Result("memory", state, said, advice)


def version(client: redis.Redis) -> Iterator[Result]:
    """Which server it is."""
    info: dict[str, Any] = client.info("server")
    name = str(info.get("server_name", "redis"))
    found = str(info.get(f"{name}_version") or info.get("redis_version", "0"))
    numbers = tuple(int(part) for part in found.split(".")[:2] if part.isdigit())
    if numbers >= LEAST_VERSION:
        yield Result("version", "ok", f"{name} {found}")
    else:
        least = ".".join(map(str, LEAST_VERSION))
        yield Result("version", "wrong", f"{name} {found} is older than {least}", f"Use Redis {least} or Valkey, or newer.")


def agenda(client: redis.Redis, names: Sequence[str]) -> Iterator[Result]:
    """Entries that nobody will move: late for the clock, in no place, or ready and not taken."""
    now = _now_ms(client)
    faults: list[tuple[str, str]] = []
    expired = _of(_before(client, "leases", now - STUCK_MS), names)
    overdue = _of(_before(client, "due", now - STUCK_MS), names)
    restart = "Start the clock, or see in its log why it does not sweep."
    if expired:
        faults.append((f"{_counted(expired, 'lease')} ran out and nobody took it back: {_some(expired)}", restart))
    if overdue:
        faults.append((f"{_counted(overdue, 'record')} should have been tried again: {_some(overdue)}", restart))
    paused = {_text(name) for name, held in client.hgetall(key("paused")).items() if pause_of(_text(held), now) is not None}
    for name in set(names) - paused:
        parked = _before(client, f"parked:{name}", now - STUCK_MS)
        if parked:
            faults.append((f"{_counted(parked, 'record')} parked though {name} is not paused: {_some(parked)}", restart))
    for lane in LANES:
        waiting = _of(_before(client, f"ready:{lane}", now - IDLE_MS), names)
        if waiting and not client.zcard(key("leases")):
            said = (
                f"{_counted(waiting, 'record')} on the lane {lane} for more than a minute and no worker has any: {_some(waiting)}"
            )
            faults.append((said, "Start the workers of that lane, or see in their log why they stand still."))
    lost, looked = _lost(client, names)
    if lost:
        advice = "The clock mends this by itself within minutes; if it comes again, report it with the log."
        faults.append((f"{_counted(lost, 'record')} open and in no place: {_some(lost)}", advice))
    for said, advice in faults:
        yield Result("agenda", "wrong", said, advice)
    if not faults:
        yield Result("agenda", "ok", f"{client.zcard(key('open'))} open, {looked} looked at, none stuck")


def letters(client: redis.Redis, names: Sequence[str]) -> Iterator[Result]:
    """Dead letters of records, and deliveries that could not be read."""
    dead = [_text(one).partition("|")[0] for one in client.hkeys(LETTERS)]
    for name in names:
        records, unreadable = dead.count(name), int(client.hlen(deliveries_key(name)))
        said = f"{records} of records, {unreadable} unreadable deliveries"
        if records or unreadable:
            advice = (
                f"Look at them with `capsule-relay dead list`; `capsule-relay explain {name} KIND ID` says more of one record."
            )
            yield Result("dead letters", "wrong", said, advice, name)
        else:
            yield Result("dead letters", "ok", "none", about=name)


def snapshot(client: redis.Redis, name: str, connection: Connection) -> Iterator[Result]:
    """How old the last comparison of everything is, and the last look at what changed."""
    now = _now_ms(client)
    kept = {_text(what): _text(value) for what, value in client.hgetall(memory_key(name)).items()}
    advice = f"Run `capsule-relay sync {name} --full`" + ("; the clock should have." if connection.auto_sync else ".")
    if "full" not in kept:
        yield Result("snapshot", "wrong", "no full pass over both sides was ever completed", advice, name)
        return
    age = now - int(kept["full"])
    said = f"the last full pass began {_age(age)} ago"
    if "guard" in kept:
        hint = (
            f"Look at them with `capsule-relay sync {name} --dry-run`, then let them go with --allow-release, or mend the rules."
        )
        yield Result("snapshot", "wrong", f"{said}, and the guard stopped {kept['guard']} releases", hint, name)
        return
    if age > FULL_PASS_MS:
        yield Result("snapshot", "wrong" if connection.auto_sync else "warning", said, advice, name)
        return
    looked = now - int(kept.get("looked", kept.get("since", kept["full"])))
    if connection.auto_sync and looked > 3 * connection.auto_sync_minutes * 60_000 + STUCK_MS:
        text = f"what changed was last looked for {_age(looked)} ago, though every {connection.auto_sync_minutes} minutes are set"
        yield Result("snapshot", "wrong", text, "See in the clock's log why it makes no pass.", name)
        return
    yield Result("snapshot", "ok", said, about=name)


def _before(client: redis.Redis, name: str, ms: int) -> list[str]:
    """The records of a place that are there since before that moment, or were to leave it then; MOST at most."""
    found: Any = client.zrangebyscore(key(name), "-inf", f"({ms}", start=0, num=MOST)
    return [_text(one) for one in found]


def _lost(client: redis.Redis, names: Sequence[str]) -> tuple[list[str], int]:
    """Open records that are in no place, as the clock's own audit would find them, and how many were looked at."""
    lost: list[str] = []
    looked, ends = 0, time.monotonic() + LOOK_SECONDS
    batch: list[str] = []
    for field, _ in client.hscan_iter(key("seq"), count=500):
        batch.append(_text(field))
        if len(batch) == 500:  # noqa: PLR2004 - as many as a page
            lost += _misplaced(client, _of(batch, names))
            looked += len(batch)
            batch = []
        if time.monotonic() > ends:
            break
    lost += _misplaced(client, _of(batch, names))
    return lost, looked + len(batch)


def _misplaced(client: redis.Redis, records: Sequence[str]) -> list[str]:
    """Looked at twice, since a record may move between two questions."""
    for _ in range(2):
        if not records:
            break
        places = [_text(place) for place in client.hmget(key("place"), list(records))]
        pipe = client.pipeline(transaction=False)
        for packed, place in zip(records, places, strict=True):
            where = {"due": key("due"), "lease": key("leases"), "parked": f"{key('parked')}:{packed.partition('|')[0]}"}
            pipe.zscore(where.get(place, key(f"ready:{place}")), packed)
            pipe.hexists(key("seq"), packed)
        answers = pipe.execute()
        records = [
            packed
            for number, packed in enumerate(records)
            if answers[2 * number + 1] and (not places[number] or answers[2 * number] is None)
        ]
    return list(records)


def _of(records: Sequence[Any], names: Sequence[str]) -> list[str]:
    return [packed for packed in map(_text, records) if packed.partition("|")[0] in names]


def _some(records: Sequence[str]) -> str:
    """A few, by their keys, which hold nothing personal."""
    more = f" and {len(records) - SHOWN} more" if len(records) > SHOWN else ""
    return ", ".join(records[:SHOWN]) + more


def _counted(records: Sequence[str], what: str) -> str:
    return f"{len(records)} {what}{'' if len(records) == 1 else 's'}"


def _now_ms(client: redis.Redis) -> int:
    seconds, micros = _pair(client.time())
    return seconds * 1000 + micros // 1000


def _pair(answer: Any) -> tuple[int, int]:  # noqa: ANN401 - what redis-py answers to TIME
    return int(answer[0]), int(answer[1])


def _text(found: bytes | str | None) -> str:
    return "" if found is None else found.decode() if isinstance(found, bytes) else found


def _mib(number: int) -> str:
    return f"{number / 2**20:.0f} MiB"


def _age(ms: int) -> str:
    minutes = max(ms, 0) // 60_000
    return f"{minutes} min" if minutes < 180 else f"{minutes // 60} h"  # noqa: PLR2004 - three hours
