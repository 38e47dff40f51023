"""A relay in the test's own thread: real services, real scripts, a real server, and a clock that the test moves.

Each process of the relay is a `Services` of its own. Its requests pass through `Gate`, where a test kills it, freezes it, or lets
something happen outside, right before or after a request.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from unittest import mock

import redis
from pydantic import SecretStr

import workers.services
from mapping.agenda import LETTERS, RecordKey, key, ledger_key
from mapping.rules import parse
from tests.properties.agenda_world import START_US, texts
from workers.actors import next_record
from workers.agenda import Agenda
from workers.errors import WorkerError
from workers.flows.reconcile import full_sync
from workers.flows.sync import synchronise
from workers.settings import Credentials, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mapping.agenda import Lane, Why
    from tests.simulators.run import Simulator
    from workers.agenda import Taken
    from workers.answers import Answer
    from workers.http import Http
    from workers.ledger import Entry
    from workers.services import Services

NAME: Final = "acme"
SECRET: Final = "a secret of the histories, long enough to be one"
CALL_S: Final = 0.3  # D
STRAY_S: Final = 0.6  # S
SETTLES_WITHIN: Final = 3_000  # rounds of the clock
MOST_RUNS: Final = 5_000
RUN_MS: Final = 10  # how long a run takes on the test's clock
MOST_RUNS_A_SECOND: Final = 25  # of one record: more is a loop that burns the vendors' limits
LIMITS_FORGOTTEN_MS: Final = 1_000
WRITES: Final = frozenset({"POST", "PUT", "PATCH"})
TEXTS: Final = texts()


class Killed(BaseException):
    """The process ends here, as by SIGKILL: nothing of ours runs afterwards."""


class NotSettled(AssertionError):
    """There is still work after all that time."""


@dataclass
class Trap:
    """What happens at the `at`-th request of the next runs (1 = the first), counting only writes to OfficeRnD if `writes`."""

    what: str  # "kill before", "kill after", "freeze", "edit"
    at: int
    writes: bool
    act: Callable[[], None] = lambda: None


class Log:
    """Takes the place of the log: keeps the last lines for a failure's report, and what must never happen."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.bugs: list[str] = []

    def _keep(self, event: str, **fields: Any) -> None:
        self.lines.append(f"{event} " + " ".join(f"{name}={value}" for name, value in fields.items()))

    info = warning = error = debug = _keep

    def exception(self, event: str, **fields: Any) -> None:
        """An error of our own code: a defect whatever comes of it."""
        self.bugs.append(f"{event} {fields} {traceback.format_exc()}")


class Gate:
    """Stands before the HTTP client of one process."""

    def __init__(self, http: Http, relay: Relay) -> None:
        self.http = http
        self.relay = relay
        self.trap: Trap | None = None

    def start(self) -> None:
        self.http.start()

    def close(self) -> None:
        self.http.close()

    def request(self, method: str, url: str, **rest: Any) -> Answer:
        """One request, with what the trap does to it."""
        trap = self.trap
        if trap is None or (trap.writes and (method not in WRITES or rest["system"] != "officernd" or "token" in rest["route"])):
            return self.http.request(method, url, **rest)
        trap.at -= 1
        if trap.at > 0:
            return self.http.request(method, url, **rest)
        self.trap = None
        self.relay.log.info("trap", what=trap.what, method=method, route=rest["route"])
        if trap.what == "kill before":
            raise Killed
        if trap.what == "kill after":
            with contextlib.suppress(WorkerError):
                self.http.request(method, url, **rest)
            raise Killed
        if trap.what == "freeze":
            self.relay.pass_time(self.relay.lease_ms + 1)
            self.relay.drain(self.relay.other(), run_ms=0)
        trap.act()
        return self.http.request(method, url, **rest)


class Process:
    """One worker process."""

    def __init__(self, relay: Relay) -> None:
        plain = redis.Redis.from_url
        with (
            mock.patch.object(workers.services, "connect", plain),
            mock.patch.object(workers.services, "Agenda", partial(Agenda, texts=TEXTS)),
        ):
            self.services: Services = workers.services.build(relay.settings)
        self.gate = Gate(self.services.http, relay)
        self.services.http = self.gate  # type: ignore[assignment] # the same methods
        self.services.log = relay.log  # type: ignore[assignment] # the same methods
        self.services.start()

    def close(self) -> None:
        """Ends it."""
        self.services.close()


@dataclass
class Relay:
    """One installation on one database of the server, between Capsule's simulator and one of OfficeRnD.

    `calm` waits until no request is under way at the simulators any more: it is called before time is moved, since what is under
    way there belongs to the time before.
    """

    url: str
    rules: Mapping[str, Any]
    officernd: Simulator
    call_s: float = CALL_S
    calm: Callable[[], None] = lambda: None
    log: Log = field(default_factory=Log)
    runs: int = 0
    kills: int = 0
    loops: set[RecordKey] = field(default_factory=set)
    _ran: dict[RecordKey, list[int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.settings = Settings(
            secret_keys=(SECRET,),
            redis_url=self.url,
            public_url=None,
            config_path=Path("relay.toml"),
            data_dir=Path(".relay"),
            connections=parse({"connections": {NAME: self.rules}}),
            credentials={
                NAME: Credentials(
                    capsule_token=SecretStr("capsule-token"),
                    officernd_client_id=SecretStr("officernd-client"),
                    officernd_client_secret=SecretStr("officernd-secret"),
                )
            },
            call_deadline_s=self.call_s,
            stray_s=STRAY_S,
        )
        self.store = redis.Redis.from_url(self.url)
        self.store.flushdb()
        self.now_us = START_US
        self._set_time()
        self._restarts = 0
        self._forgot_ms = self.now
        self.store.set("test:run_id", "run0")
        self.processes = [Process(self), Process(self)]
        self.agenda.hello()
        self.counts_from = self.now
        self.pass_time(self.agenda.timing.window_ms + 1)  # the start of the server is long ago

    def close(self) -> None:
        """Ends every process."""
        for process in self.processes:
            process.close()
        self.store.close()

    # ------------------------------------------------------------------ time
    @property
    def agenda(self) -> Agenda:
        return self.processes[0].services.agenda

    @property
    def services(self) -> Services:
        return self.processes[0].services

    @property
    def now(self) -> int:
        """Redis' clock in ms."""
        return self.now_us // 1000

    @property
    def lease_ms(self) -> int:
        return self.agenda.timing.lease_ms

    def _set_time(self) -> None:
        self.store.set("test:now", self.now_us)

    def pass_time(self, ms: int) -> None:
        """Time passes; living processes give their signs of life, and the clock sweeps once at the end."""
        self.calm()
        for process in self.processes:
            process.services.agenda.heartbeat(process.services.proc)
        self.now_us += ms * 1000
        self._set_time()
        if self.now - self._forgot_ms >= LIMITS_FORGOTTEN_MS:
            # The counters of the limits go by the true clock: their windows of a second are over in the test's time.
            self.store.delete("relay:limits")
            self._forgot_ms = self.now
        for process in self.processes:
            process.services.agenda.heartbeat(process.services.proc)
        self.sweep()

    def sweep(self) -> None:
        swept = self.agenda.sweep(counts_from_ms=self.counts_from)
        if swept["bugs"]:
            self.log.bugs.append(f"the sweep mended {swept['bugs']} records that were in no place")

    def redis_restarts(self) -> None:
        """The same data under another server process."""
        self._restarts += 1
        self.store.set("test:run_id", f"run{self._restarts}")
        self.agenda.hello()
        self.counts_from = self.now

    # ------------------------------------------------------------------ work
    def open(self, records: Iterable[RecordKey], why: Why = "event") -> None:
        """As the receiver does after a delivery."""
        self.agenda.open(list(records), lane="live", why=why)

    def read_ahead(self, records: Iterable[RecordKey]) -> Callable[[], int]:
        """Reads these parties as a reconcile does; the call that it returns opens them with what was read."""
        mark, capsule = self.agenda.mark(), self.services.capsule(NAME)
        bodies = {record: capsule.party(record.id, lane="bulk", alive=lambda: None) for record in records}
        sealed = [(record, self.services.vault.seal({"record": body, "first": False})) for record, body in bodies.items()]
        return partial(self.agenda.open_read, sealed, lane="bulk", mark=mark)

    def paused_by(self) -> str:
        """The system because of which the connection is paused; empty when it is not."""
        held: Any = self.store.hget(key("paused"), NAME)
        return held.decode().split(" ", 3)[3].partition(":")[0] if held else ""

    def attempts(self) -> int:
        """Attempts spent on what is open."""
        spent: Any = self.store.hvals(key("attempts"))
        return sum(int(one) for one in spent)

    def other(self) -> Process:
        return self.processes[1]

    def drain(self, process: Process | None = None, most: int = MOST_RUNS, *, run_ms: int = RUN_MS) -> int:
        """Works until nothing is ready, or for `most` runs of `run_ms` each. Returns how many there were."""
        done = 0
        while done < most:
            chosen = process or self.processes[0]
            taken = self._next(chosen)
            if taken is None:
                return done
            done += 1
            self._count(taken.record)
            try:
                synchronise(chosen.services, taken)
            except Killed:
                self.kills += 1
                self._replace(chosen)
            self.now_us += run_ms * 1000
            self._set_time()
        return done

    def _count(self, record: RecordKey) -> None:
        self.runs += 1
        if self.runs > MOST_RUNS:
            raise NotSettled(f"{self.runs} runs in one history")
        recent = [at for at in self._ran.get(record, []) if at > self.now - 1_000]
        self._ran[record] = [*recent, self.now]
        if len(recent) > MOST_RUNS_A_SECOND:
            self.loops.add(record)

    def _next(self, process: Process) -> Taken | None:
        lanes: tuple[Lane, ...] = ("bulk", "solo")
        for bell in lanes:
            taken = next_record(process.services.agenda, bell, proc=process.services.proc)
            if taken is not None:
                return taken
        return None

    def _replace(self, dead: Process) -> None:
        dead.close()
        self.processes[self.processes.index(dead)] = Process(self)

    def set_trap(self, trap: Trap) -> None:
        """For the runs of the first process."""
        self.processes[0].gate.trap = trap

    def clear_trap(self) -> None:
        for process in self.processes:
            process.gate.trap = None

    def full_sync(self) -> bool:
        """Opens everything, as `capsule-relay sync --no-wait` does. False when a side failed, or the process was killed."""
        self.store.delete("relay:limits")
        try:
            full_sync(self.services, NAME, wait=False)
        except Killed:
            self.kills += 1
            self._replace(self.processes[0])
            return False
        except WorkerError as error:
            self.log.warning("full sync", error=type(error).__name__, text=str(error))
            return False
        return True

    def settle(self) -> None:
        """Works and lets time pass until nothing is open."""
        for _ in range(SETTLES_WITHIN):
            self.drain()
            if not self.store.zcard(key("open")):
                return
            self.pass_time(max(self._next_ms() - self.now, 0) + 1)
        raise NotSettled(f"still open: {self.agenda.sizes()}")

    def _next_ms(self) -> int:
        """When the clock will find something to do."""
        first: list[Any] = [self.store.zrange(key(name), 0, 0, withscores=True) for name in ("due", "leases")]
        times = [score for found in first for _, score in found]
        paused: Any = self.store.hgetall(key("paused"))
        for value in paused.values():
            until, probe, _ = value.decode().split(" ", 2)
            times += [float(one) for one in (until, probe) if one not in {"inf", "-"}]
        return int(min(times, default=self.now + 1_000))

    # ------------------------------------------------------------------ what it knows
    def known(self) -> list[RecordKey]:
        """Every record of the ledger."""
        fields: Any = self.store.hkeys(ledger_key(NAME))
        pairs = (name.decode().split("|") for name in fields)
        return sorted(RecordKey(NAME, kind, int(number)) for kind, number in pairs)

    def entries(self) -> dict[RecordKey, Entry]:
        """The ledger."""
        found = {record: self.services.ledger.get(record) for record in self.known()}
        return {record: entry for record, entry in found.items() if entry is not None}

    def letters(self) -> dict[RecordKey, dict[str, Any]]:
        """Dead letters, opened."""
        raw: Any = self.store.hgetall(LETTERS)
        found = {}
        for packed, letter in raw.items():
            sealed = letter[:1] == b"1"
            found[RecordKey.unpack(packed.decode())] = self.services.vault.open(letter[1:]) if sealed else {"class": "killer"}
        return found

    def leftovers(self) -> dict[str, int]:
        """What should be empty when nothing is open (reference/agenda.md §7, I1 and I10)."""
        hashes = ("seq", "place", "lease", "body", "attempts", "deaths", "trouble", "intent", "paused", "probe")
        sizes: dict[str, Any] = {name: self.store.hlen(key(name)) for name in hashes}
        sizes |= {
            name: self.store.zcard(key(name)) for name in ("open", "due", "leases", "ready:live", "ready:bulk", "ready:solo")
        }
        return {name: size for name, size in sizes.items() if size}


def wait_until(condition: Callable[[], bool], what: str, *, seconds: float = 10.0) -> None:
    """Waits for something that happens by itself in true time."""
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.01)
