"""Redis is stopped while deliveries go on: all of them are answered 202, and everything is in step soon after it is back.

    .venv/bin/python -m tests.faults.outage [MINUTES=10] [RATE=20] [RECORDS=200]

Whole processes: `capsule-relay up`, both simulators, a Valkey server of its own. Capsule's simulator delivers its own hooks
and writes down every attempt. The exit status is 1 if anything but 202 was answered, or a record is not in step once and once
only.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.acceptance.harness import System, until
from workers.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

BEFORE_S = 3.0
CATCH_UP_S = 300.0


class Apart(System):
    """The system on a Redis of its own, as with `REDIS_URL` set."""

    def __init__(self, directory: Path, server: EmbeddedServer) -> None:
        super().__init__(directory, environment={"REDIS_URL": server.url})
        self.server = server

    def redis_url(self) -> str:
        return self.server.url


@dataclass(slots=True)
class Figures:
    """What came of it. Times are in seconds."""

    away_s: float
    deliveries: int
    answers: dict[str, int]
    repeated_attempts: int
    answer_p50_ms: float
    answer_p99_ms: float
    answer_max_ms: float
    spool_bytes: int
    spool_age_s: float
    records: int
    in_step: int
    doubled: int
    writes: int
    written_twice: int
    hooks_dropped: int
    catch_up_s: float

    @property
    def clean(self) -> bool:
        """Whether all was answered 202 and is in step, once."""
        right = set(self.answers) == {"202"} and self.in_step == self.records
        return right and not (self.doubled or self.written_twice or self.hooks_dropped)


def run(directory: Path, *, away_s: float, rate: float, records: int) -> Figures:
    """One outage of so many seconds, with so many edits a second of so many records."""
    with EmbeddedServer(directory / "redis") as server, Apart(directory, server) as system:
        people = [
            int(system.party(type="person", firstName=f"P{number}", lastName="Begin", tags=[{"name": "member"}])["id"])
            for number in range(records)
        ]
        until(system.idle, "the first records are in step", seconds=CATCH_UP_S)
        first = _attempts(system)
        mark = system.last_request()
        names: dict[int, str] = {}
        edits = _paced(system, people, names, rate)
        _edit(edits, BEFORE_S)
        server.stop()
        print(f"Redis is stopped; {rate:g} edits a second for {away_s:g} s", flush=True)
        began = time.monotonic()
        _edit(edits, away_s)
        waits = system_ready(system)
        server.start()
        back = time.monotonic()
        _edit(edits, BEFORE_S)
        until(lambda: not _pending(system), "every delivery was taken", seconds=CATCH_UP_S)
        until(lambda: system.idle() and _in_step(system, names) == len(names), "all are in step", seconds=CATCH_UP_S, every=0.5)
        caught_up = time.monotonic() - back
        attempts = system.capsule.control("GET", f"deliveries?since={first}")
        return _figures(
            system, attempts, names=names, mark=mark, waits=waits, away_s=back - began, caught_up=max(0.0, caught_up - BEFORE_S)
        )


def system_ready(system: System) -> dict[str, Any]:
    """What `/ready` says."""
    import httpx  # noqa: PLC0415 - only here

    answer = httpx.get(f"http://127.0.0.1:{system.web_port}/ready", timeout=5, trust_env=False)
    said: dict[str, Any] = answer.json()
    assert answer.status_code == 200, said
    return said


def _paced(system: System, people: list[int], names: dict[int, str], rate: float) -> Iterator[None]:
    """Edits one record after the other, so many a second; `names` holds what each is called last."""
    number, due = 0, time.monotonic()
    while True:
        person = people[number % len(people)]
        number += 1
        name = f"N{number:08d}"
        system.edit(person, lastName=name)
        names[person] = name
        due += 1 / rate
        time.sleep(max(0.0, due - time.monotonic()))
        yield


def _edit(edits: Iterator[None], seconds: float) -> None:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        next(edits)


def _attempts(system: System) -> int:
    return len(system.capsule.control("GET", "deliveries")["deliveries"])


def _pending(system: System) -> int:
    return int(system.capsule.control("GET", "deliveries?since=100000000")["pending"])


def _links(system: System) -> Counter[str]:
    return Counter(str(one.get("properties", {}).get("capsule_link_id")) for one in system.records("members"))


def _in_step(system: System, names: dict[int, str]) -> int:
    held = {str(one.get("properties", {}).get("capsule_link_id")): str(one.get("name")) for one in system.records("members")}
    return sum(held.get(str(person), "").endswith(f" {name}") for person, name in names.items())


def _figures(
    system: System,
    attempts: dict[str, Any],
    *,
    names: dict[int, str],
    mark: int,
    waits: dict[str, Any],
    away_s: float,
    caught_up: float,
) -> Figures:
    seconds = sorted(float(one["seconds"]) for one in attempts["deliveries"])
    writes = system.writes(mark)
    last: dict[str, str] = {}
    twice = 0
    for one in writes:
        body = json.dumps(one.get("body"), sort_keys=True)
        twice += last.get(one["path"]) == body
        last[one["path"]] = body
    links = _links(system)
    return Figures(
        away_s=round(away_s, 1),
        deliveries=len({one["delivery"] for one in attempts["deliveries"]}),
        answers=dict(Counter(str(one["status"] or one["problem"]) for one in attempts["deliveries"])),
        repeated_attempts=sum(one["attempt"] > 1 for one in attempts["deliveries"]),
        answer_p50_ms=round(1000 * seconds[len(seconds) // 2], 1),
        answer_p99_ms=round(1000 * seconds[int(0.99 * (len(seconds) - 1))], 1),
        answer_max_ms=round(1000 * seconds[-1], 1),
        spool_bytes=int(waits.get("spool", {}).get("bytes", 0)),
        spool_age_s=float(waits.get("spool", {}).get("age_s", 0)),
        records=len(names),
        in_step=_in_step(system, names),
        doubled=sum(number - 1 for link, number in links.items() if link != "None"),
        writes=len(writes),
        written_twice=twice,
        hooks_dropped=len(attempts["dropped"]),
        catch_up_s=round(caught_up, 1),
    )


def main() -> int:
    """Runs it as the words of the command line say, and prints the figures."""
    told = dict(word.split("=", 1) for word in sys.argv[1:])
    with tempfile.TemporaryDirectory() as folder:
        figures = run(
            Path(folder),
            away_s=60 * float(told.get("MINUTES", "10")),
            rate=float(told.get("RATE", "20")),
            records=int(told.get("RECORDS", "200")),
        )
    print(json.dumps(asdict(figures), indent=1))
    print("clean" if figures.clean else "NOT CLEAN")
    return 0 if figures.clean else 1


if __name__ == "__main__":
    sys.exit(main())
