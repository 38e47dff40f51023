"""What each thing costs as the account grows, the whole system at work: the same work in accounts of more and more parties.

One party in ten is a member and so is in OfficeRnD; the others are out, and the ledger knows them all the same. In each account
the same number of persons changes, is told of, and is brought over; the same deliveries come; a full pass is made. Figures are
processor time where they can be, since that holds on a busy machine; each is judged by what it costs in the largest account
over the smallest. `growth` has the single operations of ledger and agenda, up to a million records.
"""

from __future__ import annotations

import resource
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mapping.agenda import ledger_key
from tests.acceptance.harness import NAME, until
from tests.benchmarks.parts.growth import picture, plot, running_ns
from tests.benchmarks.parts.pickup import Watch, timed
from tests.benchmarks.processes import below, cpu_seconds
from tests.benchmarks.report import Result, rounded
from tests.benchmarks.stage import deliver, edit, parties, spent
from tests.faults.installation import Installation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.report import Row

MEMBERS: Final = 0.1
TAGGED: Final = 0.3  # the share of persons to whom the simulator's seed gives a tag
FLAT: Final = 1.5
"""How many times its cost in the smallest account a thing may have in the largest: logarithms, caches, noise of one run."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Parties of each account; persons of a burst, events for one record, deliveries of each sort, and records that are timed."""

    parties: tuple[int, ...]
    burst: int
    rounds: int = 3
    events: int = 100
    deliveries: int = 1_000
    picked: int = 25


SIZES: Final = {
    "reduced": Sizes((300, 900), burst=20, rounds=1, deliveries=300, picked=9),
    "tiny": Sizes((40, 80), burst=4, rounds=1, events=10, deliveries=20, picked=3),
    "full": Sizes((1_000, 10_000, 100_000), burst=90, picked=100),
}

UNITS: Final = {
    "full pass: processor time for a record": "µs",
    "pick-up, idle: p50": "ms",
    "receiver: processor time for a delivery": "µs",
    "burst: processor time for a changed record": "ms",
    "burst: Capsule calls for a changed record": "calls",
    "events for one record: writes": "calls",
    "events for one record: Capsule calls": "calls",
    "Redis: bytes for a record": "bytes",
    "ledger: bytes for a record": "bytes",
}
UNJUDGED: Final = frozenset({"burst: Capsule calls for a changed record", "events for one record: Capsule calls"})


def run(sizes: Sizes) -> Result:
    """One account after another."""
    result = Result("account", (__doc__ or "").partition("\n\n")[2].replace("\n", " ").strip())
    found: dict[str, dict[int, list[float]]] = {}
    for number in sizes.parties:
        with tempfile.TemporaryDirectory(prefix="bench-account-") as folder:
            installation = Installation(Path(folder), own_redis=True, redis_proxied=False, deadline_s=10.0)
            with installation:
                seeded(installation, number)
                for what, figures in measured(installation, number, sizes):
                    found.setdefault(what, {})[number] = figures
        print(f"account: {number:,} parties done", file=sys.stderr, flush=True)
    first, last = sizes.parties[0], sizes.parties[-1]
    for what, by_size in found.items():
        least = statistics.median(by_size[first])
        for size, figures in by_size.items():
            row: Row = result.add(f"{what}, {size:,} parties", UNITS[what], figures)
            if least:
                ratio = statistics.median(figures) / least
                row.ratios = {f"{first:,} parties": ratio}
                if size == last and what not in UNJUDGED:
                    row.judged, row.most = ratio, FLAT
    medians = {what: {size: rounded(statistics.median(those)) for size, those in by.items()} for what, by in found.items()}
    result.extra["plot"] = plot(medians, UNITS)
    print(result.extra["plot"], flush=True)
    picture(medians, "account.png", UNITS)
    return result


def seeded(installation: Installation, number: int) -> None:
    """So many parties, all persons; those with the tag of the rules come over."""
    installation.officernd.control("POST", "limits", {"token_minute": 10_000})
    tagged = round(number * MEMBERS / TAGGED)
    installation.capsule.control("POST", "seed", {"people": tagged, "seed": 1, "tags": ["member"]})
    installation.capsule.control("POST", "seed", {"people": number - tagged, "seed": 2})
    installation.settle(seconds=3_000)


def measured(installation: Installation, number: int, sizes: Sizes) -> Iterator[tuple[str, list[float]]]:
    """Each thing with its figures, one for each round."""
    people = parties(installation, sizes.burst)
    yield "full pass: processor time for a record", [1e6 * _full_pass(installation) / number for _ in range(sizes.rounds)]
    watch = Watch(installation, None)
    timed(installation, watch, people[:3], 0.1)
    yield "pick-up, idle: p50", timed(installation, watch, [people[at % len(people)] for at in range(sizes.picked)], 0.05)
    watch.close()
    yield (
        "receiver: processor time for a delivery",
        [_delivered(installation, people, sizes.deliveries) for _ in range(sizes.rounds)],
    )
    bursts = []
    for turn in range(sizes.rounds):
        edit(installation, people, f"Burst{turn}x")
        bursts.append(spent(installation, people, seconds=300))
    yield "burst: processor time for a changed record", [1e3 * one.cpu / len(people) for one in bursts]
    yield "burst: Capsule calls for a changed record", [one.capsule_calls / len(people) for one in bursts]
    events = []
    for turn in range(sizes.rounds):
        edit(installation, people[:1], f"One{turn}x")
        events.append(spent(installation, people[:1] * sizes.events, seconds=300))
    yield "events for one record: writes", [one.writes for one in events]
    yield "events for one record: Capsule calls", [one.capsule_calls for one in events]
    with installation.store() as store:
        held = int(store.hlen(ledger_key(NAME)))
        keys = {key: int(store.memory_usage(key, samples=0) or 0) for key in store.scan_iter("relay:*")}
    yield "Redis: bytes for a record", [sum(keys.values()) / held]
    yield "ledger: bytes for a record", [keys[ledger_key(NAME).encode()] / held]


def _full_pass(installation: Installation) -> float:
    """Seconds of processor time of one full pass over what has not changed: its own process and all the others of ours."""
    assert installation.process is not None
    pids = below(installation.process.pid)
    before = {pid: cpu_seconds(pid) for pid in pids}
    children = _children_seconds()
    installation.settle(seconds=1_200)
    return _children_seconds() - children + sum(cpu_seconds(pid) - one for pid, one in before.items())


def _children_seconds() -> float:
    """Processor time of our ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _delivered(installation: Installation, people: list[int], number: int) -> float:
    """Microseconds of the receiver's processor time for one of so many deliveries about these persons."""
    (receiver,) = installation.find("receiver")
    before = running_ns(receiver)
    deliver(installation, [people[at % len(people)] for at in range(number)])
    used = running_ns(receiver) - before
    until(installation.quiet, "nothing is open", seconds=120, every=0.1)
    return used / 1_000 / number
