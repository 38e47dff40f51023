"""`capsule-relay sync NAME --watch`: how a connection is getting on, until somebody presses Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
from rich.console import Console
from rich.markup import escape

from mapping.agenda import key
from workers import overview, overview_words
from workers.progress import run_sync

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    import redis

    from mapping.rules import Connection
    from workers.progress import Wish
    from workers.settings import Settings

EVERY_S: Final = 2.0
PASSES: Final = ("full", "incremental")


@dataclass(frozen=True, slots=True)
class Glance:
    """How a connection is at one moment.

    `rate` is the number of records whose runs ended, a second, since the glance before. `under_way` names the pass that is being
    made and what it has read, empty when there is none. `left` is the calls left in each window of the vendors' limits.
    """

    connection: str
    waiting: int
    rate: float
    tally: Mapping[str, int]
    letters: int
    guard: int
    paused: str
    under_way: str = ""
    left: Mapping[str, int] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)

    def line(self) -> str:
        """One line for a person."""
        parts = [f"{self.waiting} waiting", f"{self.rate:.1f} records/s", overview_words.records(dict(self.tally))]
        parts += [f"{self.letters} failed"] if self.letters else []
        parts += [f"the guard stopped {self.guard} releases"] if self.guard else []
        parts += [f"paused: {self.paused}"] if self.paused else []
        parts += [self.under_way] if self.under_way else []
        parts += [f"{number} calls left of {window}" for window, number in sorted(self.left.items())]
        return f"{self.connection}: {'; '.join(part for part in parts if part)}"


class Watch:
    """Looks at one connection again and again. The data store is only read."""

    def __init__(self, client: redis.Redis, name: str, connections: Mapping[str, Connection]) -> None:
        self._client = client
        self._name = name
        self._connections = connections
        self._before: tuple[float, int] | None = None

    def look(self) -> Glance:
        """How it is now.

        Raises:
            redis.RedisError: the data store does not answer.
        """
        found = overview.read(self._client, self._connections)
        view = next(one for one in found.connections if one.name == self._name)
        now, runs = time.monotonic(), view.counts.get("runs", 0)
        since, then = self._before or (now, runs)
        self._before = (now, runs)
        return Glance(
            connection=self._name,
            waiting=view.waiting,
            rate=round((runs - then) / (now - since), 1) if now > since else 0.0,
            tally=view.tally,
            letters=view.letters,
            guard=view.guard,
            paused=view.paused,
            under_way=self._under_way(),
            left={f"{one.system} {one.who} {one.window}".strip(): one.left for one in found.budgets if one.limit},
        )

    def _under_way(self) -> str:
        for kind in PASSES:
            name = key(f"pass:{kind}:{self._name}")
            kept = cast("dict[str, str]", self._client.hgetall(name))
            if kept:
                seen = self._client.scard(f"{name}:seen")
                stage = {"": "", "index": ", what the other side holds"}.get(kept.get("stage", ""), f", {kept.get('stage')}")
                return f"{kind} pass under way{stage}: {seen} records read"
        return ""


def is_reconciling(client: redis.Redis, name: str, connections: Mapping[str, Connection]) -> bool:
    """Whether a pass over this connection is under way, made by the clock or by somebody else. Raises as `Watch.look`."""
    return next(one for one in overview.read(client, connections).connections if one.name == name).reconciling


def follow(watch: Watch, stream: TextIO, *, as_json: bool, stop: threading.Event, every_s: float = EVERY_S) -> None:
    """Shows glances until `stop` is set: in one line that stays at a terminal, else in a line whenever something has changed.

    Raises:
        redis.RedisError: the data store does not answer.
    """
    if stream.isatty() and not as_json:
        with Console(file=stream).status("") as status:
            while not stop.is_set():
                status.update(escape(watch.look().line()))
                stop.wait(every_s)
        return
    said = ""
    while not stop.is_set():
        glance = watch.look()
        line = orjson.dumps(glance.document()).decode() if as_json else glance.line()
        if line != said:
            stream.write(f"{line}\n")
            stream.flush()
        said = line
        stop.wait(every_s)


def sync_and_watch(settings: Settings, name: str, *, redis_url: str, wish: Wish, as_json: bool) -> int:
    """Makes the sync, unless one is under way, and follows the connection until Ctrl-C or SIGTERM.

    The exit status is the sync's, 0 when there was one already. With `as_json` each line on standard output is a document.

    Raises:
        WorkerError: the sync could not be made.
        redis.RedisError: the data store does not answer.
    """
    with overview.reading(redis_url) as client:
        status = 0
        if not is_reconciling(client, name, settings.connections):
            result = run_sync(settings, name, redis_url=redis_url, wish=wish, quiet=as_json)
            status = result.exit_status
            sys.stdout.write(f"{orjson.dumps(result.document()).decode() if as_json else result.sentence()}\n")
            sys.stdout.flush()
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        follow(Watch(client, name, settings.connections), sys.stdout, as_json=as_json, stop=stop)
    return status
