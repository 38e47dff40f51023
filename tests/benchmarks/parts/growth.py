"""What one operation of the ledger and of the agenda costs as the account grows.

At each size the ledger holds that many records of one connection, sealed as real ones are, and that many are open and wait on
the bulk lane. Each operation is then called for records taken at random, in groups of twenty. The figures are processor time of
caller and data store together, the way between them included, so that they hold on a busy machine too.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from mapping.agenda import RecordKey, ledger_key
from tests.benchmarks.processes import OTHERS, SERVER, pin
from tests.benchmarks.report import FOLDER, PEERS, Result, rounded
from workers.agenda import Agenda, Timing, connect
from workers.embedded import EmbeddedServer
from workers.ledger import Entry, Ledger, Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import redis

T = TypeVar("T")

WIDTH: Final = 50
GROUP: Final = 20
FLAT: Final = 3.0
"""How many times what it costs among a thousand records an operation may cost at the largest size (logarithms, caches)."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How many records, and how many groups of calls of each operation are measured at each size."""

    records: tuple[int, ...]
    groups: int


SIZES: Final = {
    "reduced": Sizes((1_000, 10_000, 100_000), 20),
    "full": Sizes((1_000, 10_000, 100_000, 1_000_000), 60),
}


def run(sizes: Sizes) -> Result:
    """Grows one account and measures on the way."""
    result = Result("growth", (__doc__ or "").partition("\n\n")[2].replace("\n", " ").strip())
    found: dict[str, dict[int, list[float]]] = {}
    with tempfile.TemporaryDirectory() as name, EmbeddedServer(Path(name)) as server:
        assert server.process is not None
        pin(server.process.pid, SERVER)
        client = connect(server.url)
        pin_self()
        there = 0
        for size in sizes.records:
            fill(client, there, size)
            there = size
            for what, times in measured(client, server.process.pid, size, sizes.groups).items():
                found.setdefault(what, {})[size] = times
            memory = int(client.info("memory")["used_memory"])
            print(f"growth: {size:,} records, {memory / 2**20:.0f} MiB", file=sys.stderr, flush=True)
        client.close()
    for what, by_size in found.items():
        first = statistics.median(by_size[sizes.records[0]])
        for size, times in by_size.items():
            last = size == sizes.records[-1]
            ratio = statistics.median(times) / first
            judged = {"judged": ratio, "most": FLAT} if last else {}
            result.add(f"{what}, {size:,} records", "µs", times, ratios={f"{sizes.records[0]:,} records": ratio}, **judged)
    medians = {what: {size: rounded(statistics.median(times)) for size, times in those.items()} for what, those in found.items()}
    result.extra["medians_us"] = medians
    result.extra["plot"] = plot(medians, {})
    print(result.extra["plot"], flush=True)
    picture(medians, "growth.png", {})
    return result


def pin_self() -> None:
    """The caller beside the server."""
    os.sched_setaffinity(0, OTHERS)


def fill(client: redis.Redis, there: int, size: int) -> None:
    """Grows the ledger and the agenda from `there` to `size` records."""
    vault = Vault(("benchmark-secret-key-0123456789-abcdef",))
    ledger, agenda = Ledger(client, vault), Agenda(client, Timing())
    sealed = b"1in_step\n" + ledger.seal(entry())
    for start in range(there, size, 1_000):
        numbers = range(start + 1, min(start + 1_000, size) + 1)
        client.hset(ledger_key("acme"), mapping={f"party|{number}": sealed for number in numbers})
        agenda.open([RecordKey("acme", "party", number) for number in numbers], lane="bulk", why="finding")


def entry() -> Entry:
    """An entry as a member's is."""
    wrote = {
        "name": "Ada Lovelace",
        "email": "ada.lovelace@example.com",
        "phone": "+44 20 7946 0000",
        "office": "64b5f0c2a1d3e4f5a6b7c8d9",
        "properties.capsule_link_id": "123456789",
    }
    times: dict[str, Any] = {"first_ms": 1_700_000_000_000, "last_ms": 1_700_000_000_000, "wrote_ms": 1_700_000_000_000}
    return Entry("64b5f0c2a1d3e4f5a6b7c8d9", "member", is_in=True, why="tag", outcome="in_step", **times, wrote=wrote)


def measured(client: redis.Redis, server: int, size: int, groups: int) -> dict[str, list[float]]:
    """Microseconds of processor time for each call, of caller and data store together; one figure for each group of calls."""
    vault = Vault(("benchmark-secret-key-0123456789-abcdef",))
    ledger, agenda = Ledger(client, vault), Agenda(client, Timing())
    agenda.hello()
    chance = random.Random(size)
    found: dict[str, list[float]] = {}

    def timed(what: str, calls: Sequence[Callable[[], T]]) -> list[T]:
        before, own = running_ns(server), time.process_time_ns()
        answers = [call() for call in calls]
        own = time.process_time_ns() - own
        found.setdefault(what, []).append((running_ns(server) - before + own) / 1000 / len(calls))
        return answers

    for group in range(groups):
        known = [RecordKey("acme", "party", chance.randint(1, size)) for _ in range(GROUP)]
        fresh = [RecordKey("acme", "party", 10**9 + (size * 10 + group) * GROUP + number) for number in range(GROUP)]
        timed("ledger: read one", [partial(ledger.get, one) for one in known])
        timed("agenda: open, already open", [partial(agenda.open, [one], lane="bulk", why="finding") for one in known])
        timed("agenda: open, new", [partial(agenda.open, [one], lane="live", why="event") for one in fresh])
        taken = [one for one in timed("agenda: take", [partial(agenda.take, "live", proc="bench")] * GROUP) if one is not None]
        if len(taken) < GROUP:
            raise RuntimeError("there was nothing to take")
        hold = partial(agenda.hold, writing=True, names=("name",))
        timed("agenda: hold", [partial(hold, one.record, one.token) for one in taken])
        done = partial(agenda.done, wrote=True, entry=ledger.seal(entry()), outcome="in_step")
        timed("agenda: done, with the ledger's entry", [partial(done, one.record, one.token) for one in taken])
        fields = [[f"party|{chance.randint(1, size)}" for _ in range(100)] for _ in range(3)]
        timed("ledger: read a hundred", [partial(ledger.get_many, "acme", some) for some in fields])
        timed("agenda: sweep", [partial(agenda.sweep, counts_from_ms=0)] * 3)
        timed("agenda: sizes", [agenda.sizes] * 3)
    return found


def running_ns(pid: int) -> int:
    """Nanoseconds for which the first thread of a process, which runs the commands, has had a processor."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0])


def plot(medians: dict[str, dict[int, float]], units: Mapping[str, str]) -> str:
    """The same as text: a bar for each size, of each thing's own scale; in µs where `units` names nothing else."""
    lines = []
    for what, by_size in medians.items():
        lines.append(what)
        most = max(by_size.values())
        unit = units.get(what, "µs")
        lines += [
            f"  {size:>9,} {'#' * max(1, round(WIDTH * value / (most or 1))):<{WIDTH}} {value:g} {unit}"
            for size, value in by_size.items()
        ]
    return "\n".join(lines)


def picture(medians: dict[str, dict[int, float]], name: str, units: Mapping[str, str]) -> None:
    """build/bench/NAME: each thing over its own cost at the smallest size, so that what stays flat lies at 1."""
    if not PEERS.exists():
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = {}
    for what, by_size in medians.items():
        (_, first), *_ = by_size.items()
        lines[f"{what} ({first:g} {units.get(what, 'µs')})"] = {size: value / (first or 1) for size, value in by_size.items()}
    drawing = (
        "import json, sys, matplotlib; matplotlib.use('Agg'); import matplotlib.pyplot as p\n"
        "p.figure(figsize=(9, 6))\n"
        "for what, those in json.loads(sys.argv[1]).items():\n"
        "    p.plot([int(n) for n in those], list(those.values()), marker='o', label=what)\n"
        "p.xscale('log'); p.ylim(bottom=0); p.xlabel('records'); p.ylabel('times its cost at the smallest size (in brackets)')\n"
        "p.legend(fontsize=7); p.grid(True, alpha=.3)\n"
        "p.tight_layout(); p.savefig(sys.argv[2], dpi=110)\n"
    )
    done = subprocess.run([str(PEERS), "-c", drawing, json.dumps(lines), str(FOLDER / name)], check=False)
    if done.returncode:
        print(f"{name}: no picture was made; is `make bench-venv` up to date?", file=sys.stderr)
