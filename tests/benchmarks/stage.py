"""The stage of the parts that run whole systems: the relay, or a peer with the same mapping, between both simulators.

Each is seeded with the same account and told of changes by the same deliveries. The vendors' limits are raised, so that what
is measured is the system and not its waiting for a window.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.benchmarks.contest import PeerInstallation
from tests.benchmarks.processes import below, cpu_seconds
from tests.benchmarks.report import PEERS
from tests.benchmarks.side_by_side import first, seeded
from tests.faults.installation import Installation, pause

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAMES = {"relay": "relay", "dramatiq": "stock Dramatiq", "celery": "stock Celery"}
SENDERS = 8
SETTLED_S = 0.5
SLOW = {"kind": "slow", "count": None}


@dataclass(frozen=True, slots=True)
class Spent:
    """What a piece of work took: seconds, seconds of processor time of all its processes, and calls by their kind."""

    seconds: float
    cpu: float
    capsule: dict[str, int]
    officernd: dict[str, int]

    @property
    def capsule_calls(self) -> int:
        return sum(self.capsule.values())

    @property
    def writes(self) -> int:
        """Calls that change a record."""
        return sum(
            number for route, number in self.officernd.items() if route.startswith(("PUT", "POST /members", "POST /companies"))
        )

    @property
    def reads(self) -> int:
        """Calls that only ask OfficeRnD."""
        return sum(number for route, number in self.officernd.items() if route.startswith("GET"))


@contextlib.contextmanager
def running(who: str, records: int) -> Iterator[Installation]:
    """A contestant with `records` parties, nearly all of them persons, that are in step on both sides."""
    with tempfile.TemporaryDirectory(prefix=f"bench-{who}-") as folder:
        installation: Installation
        if who == "relay":
            installation = Installation(Path(folder), own_redis=True, redis_proxied=False, deadline_s=10.0)
        else:
            # The whole path of the interpreter would be that of the one behind the link.
            installation = PeerInstallation(
                Path(folder),
                peer=who,
                python=PEERS.absolute(),
                redis_proxied=False,
                environment={"PEER_BEGAN": str(Path(folder) / "began")},
            )
        with installation:
            seeded(installation, records, 1)
            if who == "relay":
                installation.settle(seconds=600)
            else:
                first(installation)
            yield installation


def contestants() -> tuple[str, ...]:
    """Those that can run here."""
    return tuple(NAMES) if PEERS.exists() else ("relay",)


def parties(installation: Installation, number: int) -> list[int]:
    """The ids of so many persons who are members in OfficeRnD: what changes with them is written there."""
    links = [(one.get("properties") or {}).get("capsule_link_id") for one in installation.records("members")]
    people = sorted(int(link) for link in links if link)
    if len(people) < number:
        raise RuntimeError(f"there are {len(people)} members, {number} are asked for")
    return people[:number]


def edit(installation: Installation, numbers: Sequence[int], mark: str) -> None:
    """Changes each of these persons in Capsule; no hook tells of it."""
    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(lambda number: installation.edit(number, about=mark, jobTitle=mark, lastName=f"{mark}{number}"), numbers))


def deliver(installation: Installation, numbers: Sequence[int]) -> None:
    """One delivery for each, posted by several senders at a time, until each is accepted."""
    url = installation.hook_url()

    def send(share: Sequence[int]) -> None:
        with httpx.Client(trust_env=False, timeout=30) as client:
            for number in share:
                body = {"event": "party/updated", "payload": [{"id": number}]}
                while client.post(url, json=body).status_code != httpx.codes.ACCEPTED:
                    pause(0.05)

    with ThreadPoolExecutor(SENDERS) as pool:
        list(pool.map(send, [numbers[start::SENDERS] for start in range(SENDERS)]))


def slow(installation: Installation, seconds: float) -> None:
    """OfficeRnD takes so long for each call from now on."""
    installation.officernd.control("DELETE", "faults")
    if seconds:
        installation.officernd.control("POST", "faults", {"route": "*", **SLOW, "seconds": seconds})


def spent(installation: Installation, numbers: Sequence[int], *, seconds: float) -> Spent:
    """Delivers, waits until nothing is left to do, and says what it took, up to the last call.

    A peer's queue may be empty while its last tasks still run, so the vendors must have heard nothing for a while, too.

    Raises:
        AssertionError: it was not done in `seconds`.
    """
    pids = _pids(installation)
    counts = [dict(one.control("GET", "counts")) for one in (installation.capsule, installation.officernd)]
    cpu = {pid: cpu_seconds(pid) for pid in pids}
    began = time.perf_counter()
    deliver(installation, numbers)
    ends = began + seconds
    after: list[dict[str, Any]] = []
    took = used = 0.0
    while True:
        if installation.quiet():
            now = time.perf_counter() - began
            cpu_now = sum(cpu_seconds(pid) - before for pid, before in cpu.items())
            seen = [dict(one.control("GET", "counts")) for one in (installation.capsule, installation.officernd)]
            if seen != after:
                after, took, used = seen, now, cpu_now
            elif now - took > SETTLED_S:
                break
        if time.perf_counter() > ends:
            raise AssertionError(f"not done within {seconds:.0f} s")
        pause(0.02)
    new = [more(one, before) for one, before in zip(after, counts, strict=True)]
    return Spent(took, used, *new)


def more(after: dict[str, Any], before: dict[str, Any]) -> dict[str, int]:
    """What was counted between the two."""
    return {route: int(number) - int(before.get(route, 0)) for route, number in after.items() if number != before.get(route, 0)}


def _pids(installation: Installation) -> list[int]:
    """The contestant's processes, without the data store."""
    if isinstance(installation, PeerInstallation):
        assert installation.keeper is not None
        masters = [process.pid for process in installation.keeper.processes.values()]
    else:
        assert installation.process is not None
        masters = [installation.process.pid]
    return [pid for master in masters for pid in below(master)]
