"""What `capsule-relay status` shows: numbers from the data store, for each connection and for the agenda as a whole."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mapping.agenda import COUNTS, LANES, LETTERS, deliveries_key, key, tally_key
from workers.accounts import HOOKS_ALIVE, HOOKS_TROUBLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

OUTCOMES: Final = ("in_step", "held", "out", "gone")
LAG: Final = "lag.le."
# Shares of the records that the lag is told for.
MEDIAN: Final = 0.5
SLOWEST_TWENTIETH: Final = 0.95


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """One connection. `tally` counts records by the outcome of their last run; `counts` are counters since the first start.

    `paused` is the reason of a pause, or empty. `hooks_seen_s` is how many seconds ago all hooks were seen to be there, None when
    they never were (or are subscribed by hand); `hooks_trouble` why they cannot be ensured, or empty.
    `lag_p50_ms` and `lag_p95_ms` are upper bounds, None when nothing was counted
    or the slowest were slower than the last bucket.
    """

    name: str
    tally: dict[str, int]
    waiting: int
    parked: int
    letters: int
    unreadable: int
    paused: str
    hooks_seen_s: int | None
    hooks_trouble: str
    lag_p50_ms: int | None
    lag_p95_ms: int | None
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that `status` shows. `agenda` holds the sizes of the agenda's places over all connections."""

    agenda: dict[str, int]
    connections: tuple[ConnectionView, ...]

    def document(self) -> dict[str, Any]:
        """The same as a JSON document."""
        return asdict(self)


@contextlib.contextmanager
def reading(url: str) -> Iterator[redis.Redis]:
    """A client that gives up fast. It does not greet the server as a worker does: looking changes nothing."""
    client = redis.Redis.from_url(
        url, decode_responses=True, socket_timeout=5, socket_connect_timeout=2, retry=Retry(NoBackoff(), 0)
    )
    with client:
        yield client


def read(client: redis.Redis, names: tuple[str, ...], accounts: Mapping[str, str] | None = None) -> Overview:
    """Reads the overview of these connections. The numbers are read one after another, so they may differ by a moment.

    `accounts` names, for each connection, the one whose Capsule account it lives on; itself where it is not given.

    Raises:
        redis.RedisError: the data store does not answer.
    """
    open_of = Counter(text(packed).partition("|")[0] for packed, _ in client.zscan_iter(key("open"), count=1000))
    letters_of = Counter(text(packed).partition("|")[0] for packed in client.hkeys(LETTERS))
    counts: dict[str, dict[str, int]] = {name: {} for name in names}
    for field, number in client.hgetall(COUNTS).items():
        what, _, name = text(field).rpartition("|")
        if name in counts:
            counts[name][what] = int(number)
    sizes = {"open": client.zcard(key("open"))}
    sizes |= {f"ready_{lane}": client.zcard(key(f"ready:{lane}")) for lane in LANES}
    sizes |= {place: client.zcard(key(place)) for place in ("due", "leases")}
    views = []
    now_s = int(client.time()[0])
    for name in names:
        account = (accounts or {}).get(name, name)
        seen, trouble = client.hget(HOOKS_ALIVE, account), client.hget(HOOKS_TROUBLE, account)
        paused = client.hget(key("paused"), name)
        found = {text(outcome): int(number) for outcome, number in client.hgetall(tally_key(name)).items()}
        views.append(
            ConnectionView(
                name=name,
                tally=dict.fromkeys(OUTCOMES, 0) | found,
                waiting=open_of[name],
                parked=client.zcard(key(f"parked:{name}")),
                letters=letters_of[name],
                unreadable=client.hlen(deliveries_key(name)),
                paused=reason(text(paused)) if paused else "",
                hooks_seen_s=max(now_s - int(seen) // 1000, 0) if seen else None,
                hooks_trouble=text(trouble) if trouble else "",
                lag_p50_ms=quantile(counts[name], MEDIAN),
                lag_p95_ms=quantile(counts[name], SLOWEST_TWENTIETH),
                counts=counts[name],
            )
        )
    sizes["parked"] = sum(view.parked for view in views)
    return Overview(agenda=sizes, connections=tuple(views))


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


def lines(found: Overview) -> list[str]:
    """The overview in words, for a person."""
    said = []
    for view in found.connections:
        tally = ", ".join(f"{number} {outcome.replace('_', ' ')}" for outcome, number in view.tally.items())
        said += [
            view.name + (f"  PAUSED: {view.paused}" if view.paused else ""),
            f"  records      {tally}",
            f"  to do        {view.waiting} waiting or under way, {view.parked} parked",
            f"  failed       {view.letters} dead letters, {view.unreadable} unreadable deliveries",
            f"  hooks        {_hooks(view)}",
            f"  in step      half {_lag(view, view.lag_p50_ms)}, 19 of 20 {_lag(view, view.lag_p95_ms)}, of their event",
        ]
    said.append("agenda")
    said += [f"  {place:<11}  {number}" for place, number in found.agenda.items()]
    return said


def _hooks(view: ConnectionView) -> str:
    if view.hooks_trouble:
        return f"NOT IN ORDER: {view.hooks_trouble}"
    return "not subscribed by us" if view.hooks_seen_s is None else f"all there {view.hooks_seen_s} s ago"


def _lag(view: ConnectionView, bound: int | None) -> str:
    if bound is not None:
        return f"within {bound} ms"
    return "later than a minute" if view.counts.get(f"{LAG}inf") else "(none yet)"
