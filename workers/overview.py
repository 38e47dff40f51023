"""What `capsule-relay status`, the console and the metrics show, read from the data store: nothing is asked of anybody else.

Nothing here is personal: names of connections, codes, counts and ages. Ages are in whole seconds of Redis' clock.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import redis
from cryptography.fernet import Fernet, MultiFernet
from redis.backoff import NoBackoff
from redis.retry import Retry

from mapping.agenda import COUNTS, LANES, LETTERS, deliveries_key, held_key, key, tally_key
from mapping.keys import fernet_keys
from mapping.running import RUNNING, parse
from workers.accounts import HOOKS_ALIVE, HOOKS_TROUBLE, owner_of
from workers.capsule.tokens import look
from workers.flows.passes import SYNCED
from workers.flows.reconcile import memory_key
from workers.flows.subscribe import GAP
from workers.limits import Limits
from workers.tokens import KEY as TOKENS
from workers.version import VERSION
from workers.views import Budget, ConnectionView, Overview

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mapping.rules import Connection
    from workers.views import State

OUTCOMES: Final = ("in_step", "held", "out", "gone")
PLACES: Final = (*LANES, "due", "parked", "lease")
LAG: Final = "lag.le."
# Shares of the records that the lag is told for.
MEDIAN: Final = 0.5
SLOWEST_TWENTIETH: Final = 0.95
# Held, and the entry is from a release that did not note why; the next full pass does.
NOT_NOTED: Final = "not_noted_yet"


@contextlib.contextmanager
def reading(url: str) -> Iterator[redis.Redis]:
    """A client that gives up fast. It does not greet the server as a worker does: looking changes nothing."""
    client = redis.Redis.from_url(
        url, decode_responses=True, socket_timeout=5, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
    )
    with client:
        yield client


def vault(secret_keys: tuple[str, ...]) -> MultiFernet:
    """What opens the tokens, so that `read` can say when they end."""
    return MultiFernet([Fernet(one) for one in fernet_keys(secret_keys)])


def read(client: redis.Redis, connections: Mapping[str, Connection], vault: MultiFernet | None = None) -> Overview:
    """Reads the overview of these connections. The numbers are read one after another, so they may differ by a moment.

    `vault` opens the tokens, to see when they end; without it nothing is said of that.

    Raises:
        redis.RedisError, QueueAway: the data store does not answer.
    """
    now_ms = _now_ms(client)
    common = _Common(client, now_ms)
    views = tuple(_view(client, connections, name, common, vault) for name in connections)
    pipe = client.pipeline(transaction=False)
    for lane in LANES:
        pipe.zcard(key(f"ready:{lane}"))
        pipe.zrange(key(f"ready:{lane}"), 0, 0, withscores=True)
    pipe.zcard(key("open"))
    pipe.zcard(key("due"))
    pipe.zcard(key("leases"))
    *ready, opened, due, leases = pipe.execute()
    sizes = {"open": int(opened)} | {f"ready_{lane}": int(ready[2 * place]) for place, lane in enumerate(LANES)}
    sizes |= {"due": int(due), "leases": int(leases), "parked": sum(view.parked for view in views)}
    oldest = {lane: _age_s(ready[2 * i + 1][0][1], now_ms) if ready[2 * i + 1] else 0 for i, lane in enumerate(LANES)}
    return Overview(
        agenda=sizes,
        oldest_open_s=_age_s(min(common.oldest.values()), now_ms) if common.oldest else None,
        oldest_ready_s=oldest,
        connections=views,
        budgets=_budgets(client),
        processes=parse([(text(name), text(held)) for name, held in client.hgetall(RUNNING).items()], now_ms),
        versions={"code": VERSION, "server": _server(client)},
        counts=common.counts.get("", {}),
    )


class _Common:
    """What is read once for all connections."""

    def __init__(self, client: redis.Redis, now_ms: int) -> None:
        self.now_ms = now_ms
        self.oldest: dict[str, float] = {}
        self.open: Counter[str] = Counter()
        for packed, opened in client.zscan_iter(key("open"), count=1000):
            name = text(packed).partition("|")[0]
            self.open[name] += 1
            self.oldest[name] = min(opened, self.oldest.get(name, opened))
        self.places: Counter[tuple[str, str]] = Counter()
        for packed, place in client.hscan_iter(key("place"), count=1000):
            self.places[text(packed).partition("|")[0], text(place)] += 1
        self.letters = Counter(text(packed).partition("|")[0] for packed in client.hkeys(LETTERS))
        self.counts: dict[str, dict[str, int]] = {}
        for field, number in client.hgetall(COUNTS).items():
            what, _, name = text(field).partition("|")
            self.counts.setdefault(name, {})[what] = int(number)


def _view(
    client: redis.Redis, connections: Mapping[str, Connection], name: str, common: _Common, vault: MultiFernet | None
) -> ConnectionView:
    account, now_ms = owner_of(connections, name), common.now_ms
    pipe = client.pipeline(transaction=False)
    for hash_key, field in ((HOOKS_ALIVE, account), (HOOKS_TROUBLE, account), (GAP, account), (SYNCED, name)):
        pipe.hget(hash_key, field)
    pipe.hget(key("paused"), name)
    pipe.hget(TOKENS, f"capsule:{account}")
    pipe.hgetall(tally_key(name))
    pipe.hvals(held_key(name))
    pipe.hgetall(memory_key(name))
    pipe.hlen(deliveries_key(name))
    pipe.exists(f"{key('sync')}:{name}")
    seen, trouble, gap, synced, paused, token, tally, held, memory, unreadable, reconciling = pipe.execute()
    kept = {text(what): text(value) for what, value in memory.items()}
    outcomes = dict.fromkeys(OUTCOMES, 0) | {text(outcome): int(number) for outcome, number in tally.items()}
    counts = dict(common.counts.get(name, {}))
    delivered = counts.pop("last_delivery", None)
    signed_in = None if connections[account].capsule.auth == "token" else False
    expires = overdue = None
    if signed_in is False and vault is not None and (grant := look(token, vault)) is not None:
        signed_in = not grant.dead
        expires, overdue = (grant.expires_ms - now_ms) // 1000, max(now_ms - grant.renew_ms, 0) // 1000
    elif signed_in is False and vault is None:
        signed_in = token is not None
    said = reason(text(paused)) if paused else ""
    full, since = kept.get("full"), kept.get("since")
    return ConnectionView(
        name=name,
        account=account,
        state=_state(signed_in=signed_in, paused=said, guard="guard" in kept, synced=bool(synced), open_=common.open[name]),
        tally=outcomes,
        held=_reasons(Counter(map(text, held)), outcomes["held"]),
        waiting=common.open[name],
        places={place: common.places[name, place] for place in PLACES},
        parked=common.places[name, "parked"],
        oldest_open_s=_age_s(common.oldest[name], now_ms) if name in common.oldest else None,
        letters=common.letters[name],
        unreadable=int(unreadable),
        paused=said,
        signed_in=signed_in,
        token_expires_s=expires,
        token_overdue_s=overdue,
        hooks_seen_s=_age_s(seen, now_ms) if seen else None,
        hooks_trouble=text(trouble) if trouble else "",
        gap_open=gap is not None,
        last_delivery_s=_age_s(delivered, now_ms) if delivered else None,
        synced=bool(synced),
        full_s=_age_s(full, now_ms) if full else None,
        incremental_s=_age_s(since, now_ms) if since and since != full else None,
        tags_s=_age_s(kept["tagged"], now_ms) if "tagged" in kept else None,
        tags_under_way="tags" in kept,
        reconciling=bool(reconciling),
        guard=int(kept.get("guard", 0)),
        lag_p50_ms=quantile(counts, MEDIAN),
        lag_p95_ms=quantile(counts, SLOWEST_TWENTIETH),
        counts=counts,
    )


def _state(*, signed_in: bool | None, paused: str, guard: bool, synced: bool, open_: int) -> State:
    """One word for how a connection is: what needs a person first."""
    if signed_in is False:
        return "reconnect"
    if paused:
        return "paused"
    if guard:
        return "guard"
    if not synced:
        return "first_sync"
    return "working" if open_ else "in_order"


def _reasons(noted: Counter[str], held: int) -> dict[str, int]:
    """Held records by reason, most first. Entries older than the notes count as NOT_NOTED until a full pass has run."""
    found = dict(noted.most_common())
    left = held - sum(noted.values())
    return found | ({NOT_NOTED: left} if left > 0 else {})


def _budgets(client: redis.Redis) -> tuple[Budget, ...]:
    found = []
    for one in Limits(client).usage():
        system, who, window = (*one.name.split(":", 2), "hour")[:3]
        left = max(one.limit - one.used, 0)
        found.append(Budget(system, who, window, one.limit, one.used, left, one.ends_in_ms // 1000, one.refused))
    return tuple(found)


def _server(client: redis.Redis) -> str:
    info: dict[str, Any] = client.info("server")
    name = str(info.get("server_name", "redis"))
    return f"{name} {info.get(f'{name}_version', info.get('redis_version', '?'))}"


def _now_ms(client: redis.Redis) -> int:
    seconds, micros = client.time()
    return int(seconds) * 1000 + int(micros) // 1000


def _age_s(at_ms: float | str | bytes, now_ms: int) -> int:
    return max(now_ms - int(float(at_ms)), 0) // 1000


def text(answer: bytes | str) -> str:
    """What redis-py answered as text: its types allow for clients that do not decode."""
    return answer if isinstance(answer, str) else answer.decode()


def reason(paused: str) -> str:
    """The reason in a field of `relay:paused`, which is `until next_probe every reason` (mapping/scripts.py)."""
    parts = paused.split(" ", 3)
    return parts[3] if len(parts) > 3 and parts[3] else "paused"  # noqa: PLR2004 - the fourth part


def quantile(counts: Mapping[str, int], share: float) -> int | None:
    """The smallest bucket, in milliseconds, within which `share` of the records were in step."""
    whole = counts.get(f"{LAG}inf", 0)
    bounds = sorted(int(name.removeprefix(LAG)) for name in counts if name.startswith(LAG) and not name.endswith("inf"))
    if not whole:
        return None
    return next((bound for bound in bounds if counts[f"{LAG}{bound}"] >= share * whole), None)
