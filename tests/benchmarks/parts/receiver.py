"""The receiver: accepted deliveries per second on one core, each durable before its 202, beside what else could answer.

A delivery costs processor time; one core's worth of it divided by that cost is what one core accepts in a second, however
busy the machine is otherwise. What the clock on the wall says is beside it. Rounds of all contestants take turns, so that
what disturbs one disturbs all, and ratios are of medians.
"""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
import redis

from mapping.keys import hook_path, hook_token
from tests.benchmarks import load
from tests.benchmarks.load import Load
from tests.benchmarks.processes import OTHERS, SERVER, Process, cpu_seconds, pin, pss_mib, until
from tests.benchmarks.report import PEERS, Result
from workers.embedded import EmbeddedServer, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.load import Loaded

SECRET: Final = "benchmark-secret-key-0123456789-abcdef"
RULES: Final = '[connections.acme]\ndownstream = "officernd"\n'
UVICORN: Final = (
    *("--loop", "uvloop", "--log-level", "warning", "--no-access-log"),
    *("--no-server-header", "--no-proxy-headers", "--timeout-keep-alive", "30"),
)
RELAY: Final = ("--factory", "receiver.main:app", "--http", "receiver.protocol:HookProtocol")  # as the Procfile has it
SHARE_OPEN: Final = 0.60
SHARE_DISTINCT: Final = 0.45
TIMES_PEER: Final = 5.0
P99_MS: Final = 25.0
WARM: Final = 0.5


@dataclass(frozen=True, slots=True)
class Sizes:
    """`rounds` of `seconds` each, for every contestant and load."""

    rounds: int
    seconds: float
    connections: tuple[int, ...] = (1, 16, 64, 256)
    several: int = 10
    starts: int = 3


SIZES: Final = {"reduced": Sizes(rounds=3, seconds=1.0), "full": Sizes(rounds=7, seconds=5.0, starts=7)}


@dataclass(frozen=True, slots=True)
class Server:
    """One contestant that runs."""

    name: str
    url: str
    process: Process


@dataclass(frozen=True, slots=True)
class Round:
    """What one round came to; `cost` is in microseconds of processor time for each delivery."""

    loaded: Loaded
    cost: float
    store_cost: float


def run(sizes: Sizes) -> Result:
    """All loads, then memory and start-up."""
    result = Result("receiver", (__doc__ or "").partition("\n\n")[2].replace("\n", " ").strip())
    with tempfile.TemporaryDirectory() as name, EmbeddedServer(Path(name) / "valkey") as store, contextlib.ExitStack() as stack:
        assert store.process is not None
        pin(store.process.pid, OTHERS)
        servers = {one.name: one for one in _servers(Path(name), store.url, stack)}
        idle = {one.name: pss_mib(one.process.pid) for one in servers.values()}
        rounds = _rounds(sizes, servers, store)
        _tell(result, rounds)
        for one in servers.values():
            result.add(f"memory idle, {one.name}", "MiB PSS", [idle[one.name]])
            result.add(f"memory after the loads, {one.name}", "MiB PSS", [pss_mib(one.process.pid)])
        result.add(
            "start-up, relay: process begins to first 202", "s", [_start(Path(name), store.url) for _ in range(sizes.starts)]
        )
    return result


def _servers(folder: Path, redis_url: str, stack: contextlib.ExitStack) -> Iterator[Server]:
    def started(name: str, path: str, python: Path | str, app: tuple[str, ...], env: dict[str, str]) -> Server:
        port = free_port()
        http = () if "--http" in app else ("--http", "httptools")
        command = [str(python), "-m", "uvicorn", *app, *http, "--port", str(port), *UVICORN]
        process = stack.enter_context(Process(command, env=env, pinned=SERVER))
        _answers(process, port)
        return Server(name, f"http://127.0.0.1:{port}{path}", process)

    ours = sys.executable
    yield started("bare", "/", ours, ("tests.benchmarks.peers.bare:app", "--lifespan", "off"), {})
    yield started("bare, body read", "/", ours, ("tests.benchmarks.peers.bare:reading", "--lifespan", "off"), {})
    environ = _environ(folder, redis_url)
    yield started("relay", hook_path("acme", hook_token(SECRET, "acme", 1)), ours, RELAY, environ)
    if PEERS.exists():
        # Queues of their own: what they leave there is not emptied between rounds, as a real one is by its workers.
        peers = {"REDIS_URL": redis_url.removesuffix("0") + "1", "PEER_RULES": str(folder / "relay.toml")}
        dramatiq = ("tests.benchmarks.peers.starlette_dramatiq:app",)
        yield started("Starlette + actor.send", "/hook", PEERS, dramatiq, peers)
        peers |= {"PEER": "tests.benchmarks.peers.with_celery"}
        yield started("FastAPI + Celery delay", "/hook", PEERS, ("tests.benchmarks.peers.web:app",), peers)


def _environ(folder: Path, redis_url: str) -> dict[str, str]:
    (folder / "relay.toml").write_text(RULES, encoding="utf-8")
    told = {"RELAY_CONFIG": str(folder / "relay.toml"), "RELAY_SECRET_KEY": SECRET, "RELAY_DATA_DIR": str(folder / "data")}
    return told | {"REDIS_URL": redis_url}


def _answers(process: Process, port: int) -> None:
    def answers() -> bool:
        process.runs()
        try:
            httpx.get(f"http://127.0.0.1:{port}/", timeout=5, trust_env=False)
        except httpx.TransportError:
            return False
        return True

    until(answers, "a server answers")


def _start(folder: Path, redis_url: str) -> float:
    """Seconds from the beginning of a process to its first 202."""
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", *RELAY, "--port", str(port), *UVICORN]
    url = f"http://127.0.0.1:{port}{hook_path('acme', hook_token(SECRET, 'acme', 1))}"
    began = time.perf_counter()
    with Process(command, env=_environ(folder, redis_url), pinned=SERVER) as process, httpx.Client(trust_env=False) as client:

        def accepted() -> bool:
            process.runs()
            try:
                return (
                    client.post(url, json={"event": "party/updated", "payload": [{"id": 1}]}).status_code == httpx.codes.ACCEPTED
                )
            except httpx.TransportError:
                return False

        until(accepted, "a delivery is accepted")
        return time.perf_counter() - began


# Rounds

Cell = tuple[str, str, int, int]  # who, "open" or "distinct", connections, records per body


def _cells(sizes: Sizes, servers: dict[str, Server]) -> list[Cell]:
    cells: list[Cell] = []
    for connections in sizes.connections:
        cells += [("bare", "open", connections, 1), ("relay", "open", connections, 1), ("relay", "distinct", connections, 1)]
    middle = 64 if 64 in sizes.connections else sizes.connections[-1]
    cells += [("bare, body read", "open", middle, 1), ("bare", "open", middle, sizes.several)]
    cells += [("relay", sort, middle, sizes.several) for sort in ("open", "distinct")]
    cells += [(name, "distinct", middle, records) for name in list(servers)[3:] for records in (1, sizes.several)]
    return cells


def _rounds(sizes: Sizes, servers: dict[str, Server], store: EmbeddedServer) -> dict[Cell, list[Round]]:
    found: dict[Cell, list[Round]] = {}
    for number in range(sizes.rounds + 1):
        for cell in _cells(sizes, servers):
            one = _round(servers[cell[0]], cell, WARM if not number else sizes.seconds, store)
            if number:  # The first is to get warm.
                found.setdefault(cell, []).append(one)
        print(f"receiver: round {number} of {sizes.rounds}", file=sys.stderr, flush=True)
    return found


def _round(server: Server, cell: Cell, seconds: float, store: EmbeddedServer) -> Round:
    assert store.process is not None
    _, sort, connections, records = cell
    before, store_before = cpu_seconds(server.process.pid), cpu_seconds(store.process.pid)
    wanted = Load(connections, seconds, records, distinct=sort == "distinct")
    loaded = load.run(server.url, wanted)
    cost = cpu_seconds(server.process.pid) - before
    store_cost = cpu_seconds(store.process.pid) - store_before
    with redis.Redis.from_url(store.url) as client:
        if server.name == "relay":
            # What was accepted is there; wrk leaves the last answer of each connection unread, so there may be more.
            there = int(client.zcard("relay:open"))
            asked = records * (loaded.deliveries if sort == "distinct" else 1)
            if there < asked or loaded.refused:
                raise RuntimeError(f"{cell}: {there} records are open of {asked}; {loaded.refused} deliveries refused")
        client.flushall(asynchronous=True)
    return Round(loaded, 1e6 * cost / max(loaded.deliveries, 1), 1e6 * store_cost / max(loaded.deliveries, 1))


def _tell(result: Result, rounds: dict[Cell, list[Round]]) -> None:
    for cell, there in rounds.items():
        name, sort, connections, records = cell
        said = f"{name}, {connections} connections, {records} a body" + (f", {sort}" if name == "relay" else "")
        limit = rounds["bare", "open", connections, records]
        mine = statistics.median(one.cost for one in there)
        ratios: dict[str, float] = {}
        if not name.startswith("bare"):
            ratios["bare"] = statistics.median(one.cost for one in limit) / mine
        if name == "relay":
            ratios |= {
                other: statistics.median(one.cost for one in those) / mine
                for (other, _, where, many), those in rounds.items()
                if (where, many) == (connections, records) and other not in {"relay", "bare"}
            }
        judged: dict[str, float] = {}
        if name == "relay" and connections == 64 and records == 1:
            judged = {"judged": ratios["bare"], "least": SHARE_OPEN if sort == "open" else SHARE_DISTINCT}
        result.add(f"{said}: a second of one core", "/s", [1e6 / one.cost for one in there], ratios=ratios, **judged)
        result.add(f"{said}: by the clock", "/s", [one.loaded.deliveries / one.loaded.seconds for one in there])
        result.add(f"{said}: p50", "ms", [one.loaded.p50 for one in there])
        wanted = {"most": P99_MS} if judged else {}
        result.add(f"{said}: p99", "ms", [one.loaded.p99 for one in there], **wanted)
        if name == "relay":
            result.add(f"{said}: Redis for a delivery", "µs", [one.store_cost for one in there])
    result.extra["costs_us"] = {"|".join(map(str, cell)): [round(one.cost, 1) for one in there] for cell, there in rounds.items()}
