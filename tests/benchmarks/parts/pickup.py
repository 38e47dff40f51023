"""Pick-up: from the 202 of a delivery until a worker begins with its record, idle and with other deliveries beside it.

The relay's worker begins when it takes the record: the data store's own log of commands (MONITOR) names the moment. A peer's
begins with the first line of its task, which notes it. Senders and workers share the clock of one machine. The load is a
steady stream of deliveries about other records, about a tenth of what the smallest contestant does in a second.
"""

from __future__ import annotations

import random
import re
import statistics
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import httpx
import redis

from tests.benchmarks.report import Result
from tests.benchmarks.stage import NAMES, contestants, parties, running
from tests.faults.installation import pause

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.installation import Installation

P50_MS: Final = 5.0
P99_MS: Final = 20.0
TAKEN: Final = re.compile(r'"HSET" "relay:place" "acme\|party\|(\d+)" "lease"', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Deliveries that are timed, in each of both states, and deliveries a second of the load."""

    deliveries: int
    load: float = 5.0
    records: int = 60


SIZES: Final = {"reduced": Sizes(25), "full": Sizes(400)}


class Watch:
    """When each record was taken last, by MONITOR; or, of a peer, by what its tasks note."""

    def __init__(self, installation: Installation, noted: Path | None) -> None:
        self._noted = noted
        self._taken: dict[int, list[float]] = {}
        self._over = False
        self._client = redis.Redis.from_url(installation.redis_url())
        self._thread = threading.Thread(target=self._listen, daemon=True)
        if noted is None:
            self._thread.start()

    def _listen(self) -> None:
        with self._client.monitor() as monitor:  # type: ignore[no-untyped-call]
            for said in monitor.listen():
                if self._over:
                    return
                if found := TAKEN.search('"' + said["command"].replace(" ", '" "') + '"'):
                    self._taken.setdefault(int(found[1]), []).append(float(said["time"]))

    def after(self, number: int, moment: float) -> float | None:
        """The first time at which it was begun with after that moment."""
        if self._noted is not None:
            lines = self._noted.read_text(encoding="ascii").splitlines() if self._noted.exists() else []
            times = [float(at) for at, _, who in (line.partition(" ") for line in lines) if who == str(number)]
        else:
            times = self._taken.get(number, [])
        return next((at for at in times if at >= moment), None)

    def close(self) -> None:
        self._over = True


def run(sizes: Sizes) -> Result:
    """All contestants, one after another."""
    result = Result("pickup", (__doc__ or "").partition("\n\n")[2].replace("\n", " ").strip())
    for who in contestants():
        with running(who, sizes.records * 2) as installation:
            noted = None if who == "relay" else installation.directory / "began"
            watch = Watch(installation, noted)
            people = parties(installation, sizes.records)
            timed(installation, watch, people[:3], 0.2)
            for state, load in (("idle", 0.0), ("under load", sizes.load)):
                over = threading.Event()
                beside = threading.Thread(target=_load, args=(installation, people[len(people) // 2 :], load, over))
                if load:
                    beside.start()
                chosen = random.Random(1).choices(people[: len(people) // 2], k=sizes.deliveries)
                times = timed(installation, watch, chosen, 0.1)
                over.set()
                if load:
                    beside.join()
                _tell(result, who, state, times)
                print(f"pickup: {NAMES[who]}, {state}: p50 {statistics.median(times):.1f} ms", file=sys.stderr, flush=True)
            watch.close()
    return result


def _tell(result: Result, who: str, state: str, times: list[float]) -> None:
    late = statistics.quantiles(times, n=100, method="inclusive")[98]
    p50, p99 = ({"most": P50_MS}, {"most": P99_MS}) if who == "relay" and state == "idle" else ({}, {})
    result.add(f"{NAMES[who]}, {state}: p50", "ms", times, **p50)
    result.add(f"{NAMES[who]}, {state}: p99 of {len(times)}", "ms", [late], **p99)


def timed(installation: Installation, watch: Watch, numbers: list[int], rest: float) -> list[float]:
    """Milliseconds for each, one delivery after another with a rest of random length between them."""
    chance = random.Random(2)
    found = []
    with httpx.Client(trust_env=False, timeout=30) as client:
        for number in numbers:
            pause(rest * (1 + 2 * chance.random()))
            sent = time.time()
            answer = client.post(installation.hook_url(), json={"event": "party/updated", "payload": [{"id": number}]})
            accepted = time.time()
            if answer.status_code != httpx.codes.ACCEPTED:
                raise RuntimeError(f"answered {answer.status_code}")
            ends = time.monotonic() + 30
            while (began := watch.after(number, sent)) is None:
                if time.monotonic() > ends:
                    raise TimeoutError(f"nobody began with {number}")
                pause(0.01)
            # A worker may begin before the sender has read the answer.
            found.append(max(0.0, (began - accepted) * 1000))
    return found


def _load(installation: Installation, numbers: list[int], rate: float, over: threading.Event) -> None:
    chance = random.Random(3)
    with httpx.Client(trust_env=False, timeout=30) as client:
        while not over.wait(chance.expovariate(rate)):
            client.post(installation.hook_url(), json={"event": "party/updated", "payload": [{"id": chance.choice(numbers)}]})
