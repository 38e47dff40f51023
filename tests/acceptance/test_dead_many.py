"""Ten thousand dead letters: listed, filtered, replayed while the downstream fails, cancelled, replayed twice at once."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from tests.acceptance.harness import ROOT, System, until
from workers.ledger import Vault

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.processes, pytest.mark.slow]

NUMBER = int(os.environ.get("DEAD_LETTERS", "1000"))
REFUSAL = {"statusCode": 400, "message": ["phone must be a string"], "error": "Bad Request"}


class Everybody(System):
    """Whose rules let everybody in."""

    def rules(self) -> str:
        return super().rules().replace('tags_to_sync = "member"', 'tags_to_sync = ""')


def numbers_of(system: System) -> list[int]:
    state = system.capsule.control("GET", "state")
    parties = state["parties"]
    return [int(one["id"]) for one in (parties.values() if isinstance(parties, dict) else parties)]


def write_letters(system: System, numbers: list[int]) -> None:
    """As `bury` writes them: ten thousand refusals would take minutes and show nothing more."""
    vault, now = Vault((system.secret,)), int(time.time() * 1000) - 60_000
    with system.store() as store:
        for start in range(0, len(numbers), 500):
            sealed = {}
            for number in numbers[start : start + 500]:
                packed = f"acme|party|{number}"
                letter = {
                    "record": packed, "seq": 1, "class": "Refused", "text": "officernd: POST /members: 400", "attempts": 1,
                    "advice": "Read the answer, then replay the letter.", "opened": now, "at": now, "version": "0.1.0",
                    "system": "officernd", "status": 400 if number % 2 else 422, "answer": orjson.dumps(REFUSAL).decode(),
                    "method": "POST", "route": "POST /members", "body": '{"name":"Ada Lovelace","email":"ada@example.com"}',
                }  # fmt: skip
                sealed[packed] = b"1" + vault.seal(letter)
            store.hset("relay:letters", mapping=sealed)


def begin(system: System, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "workers", "dead", *words],
        cwd=ROOT,
        env=system.env | {"REDIS_URL": system.redis_url()},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def figure(what: str, *numbers: object) -> None:
    print(f"{what:<58} {' '.join(map(str, numbers))}", flush=True)


def posts(system: System, since: int) -> Counter[int]:
    return Counter(one["status"] for one in system.writes(since) if one["method"] == "POST" and one["path"].endswith("/members"))


@pytest.mark.timeout(1500)
def test_ten_thousand_letters_are_handled_each_exactly_once(tmp_path: Path) -> None:
    with Everybody(tmp_path, hooks=False, environment={"RELAY_CALL_DEADLINE": "5", "RELAY_STRAY": "1"}) as system:
        seeded = {"organisations": 0, "people": NUMBER, "opportunities": 0, "seed": 3}
        system.capsule.control("POST", "seed", seeded)
        numbers = numbers_of(system)
        with system.store() as store:
            write_letters(system, numbers)
            whole = store.hlen("relay:letters")
            figure("letters", whole)
            listing(system, whole)
            refusing(system, store, whole)
            away(system, store)
            twice(system, store, numbers)
        print(system.run("dead", "audit").stdout)


def cpu() -> float:
    """Processor seconds of the commands that have ended: what a busy machine does not stretch."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def listing(system: System, whole: int) -> None:
    for words in (("list",), ("list", "--status", "422"), ("list", "--connection", "acme", "--older-than", "1d")):
        began, before = time.monotonic(), cpu()
        answer = system.run("dead", *words, "--json")
        took, worked = time.monotonic() - began, cpu() - before
        total = orjson.loads(answer.stdout)["total"]
        figure(f"dead {' '.join(words)}: found", f"{total} in {took:.2f} s, of processor time {worked:.2f} s")
        assert total == {1: whole, 3: sum(1 for n in numbers_of(system) if not n % 2), 5: 0}[len(words)]
        assert "Lovelace" not in answer.stdout


def refusing(system: System, store: Any, whole: int) -> None:
    """What is refused for good: the replay stops by itself."""
    system.officernd.control(
        "POST", "faults", {"route": "POST /members", "kind": "status", "status": 400, "body": REFUSAL, "count": None}
    )
    since = system.last_request()
    answer = system.run("dead", "replay", "--all", "--yes", "--rate", "100", "--json")
    result = orjson.loads(answer.stdout)
    until(system.idle, "what was handed over is decided", seconds=120)
    figure("every write refused (400): handed over, failed again, stopped", result["done"], result["failed"], result["ended"])
    figure("  POST /members refused, by status", dict(posts(system, since)))
    assert (answer.returncode, result["ended"]) == (1, "failing")
    assert result["done"] < whole / 10 or whole < 5_000
    assert store.hlen("relay:letters") == whole
    assert sum(posts(system, since).values()) == result["done"]
    system.officernd.control("DELETE", "faults")


def away(system: System, store: Any) -> None:
    """While it is down: the breaker pauses, the replay waits, and somebody else cancels it."""
    whole = store.hlen("relay:letters")
    body = {"statusCode": 503, "message": "down"}
    system.officernd.control(
        "POST", "faults", {"route": "POST /members", "kind": "status", "status": 503, "body": body, "count": None}
    )
    since = system.last_request()
    replay = begin(system, "replay", "--all", "--yes", "--rate", "2000")
    until(lambda: store.hexists("relay:paused", "acme"), "the breaker has opened", seconds=60)
    opened = time.monotonic()
    until(lambda: time.monotonic() > opened + 20, "twenty seconds of the outage have passed", seconds=30)
    handed = store.zcard("relay:open")
    asked = posts(system, since)
    attempts = sum(map(int, store.hvals("relay:attempts")))
    said = system.run("dead", "cancel").stdout.strip()
    out, _ = replay.communicate(timeout=30)
    figure("downstream away (503) for 20 s: under way, letters still", handed, store.hlen("relay:letters"))
    figure("  calls that met the outage; attempts spent on all records", sum(asked.values()), attempts)
    figure("  cancelled from elsewhere:", said)
    print("   ", out.strip().replace("\n", "\n    "))
    assert replay.returncode == 1
    assert store.hlen("relay:letters") == whole
    assert handed <= 1_000
    assert sum(asked.values()) < 60
    assert "--before" in out
    system.officernd.control("DELETE", "faults")


def twice(system: System, store: Any, numbers: list[int]) -> None:
    """Two replays at once, one of them killed: the other brings over what is left, and nobody twice."""
    until(lambda: not store.hexists("relay:paused", "acme"), "the breaker has closed", seconds=60)
    until(system.idle, "what was under way is decided", seconds=300)
    left, since, began = store.hlen("relay:letters"), system.last_request(), time.monotonic()
    one, other = (
        begin(system, "replay", "--all", "--yes", "--rate", "500"),
        begin(system, "replay", "--all", "--yes", "--rate", "500"),
    )
    until(lambda: store.hlen("relay:letters") < left - min(left, 1_000) // 2, "both are at work", seconds=120)
    one.send_signal(signal.SIGKILL)
    one.communicate()
    out, err = other.communicate(timeout=1_000)
    until(system.idle, "nothing is open", seconds=300)
    took = time.monotonic() - began
    links = Counter(member["properties"]["capsule_link_id"] for member in system.records("members"))
    figure("letters left; two replays at once, one killed with kill -9:", left)
    print("   ", out.strip().replace("\n", "\n    "))
    figure("  seconds; letters a second", f"{took:.0f}", f"{left / took:.0f}")
    figure("  POST /members by status", dict(posts(system, since)))
    figure(
        "  members; persons with one; with more; letters left",
        sum(links.values()),
        len(links),
        max(links.values()) - 1,
        store.hlen("relay:letters"),
    )
    assert re.search(r"resolved", out), err
    assert set(links) == {str(number) for number in numbers}
    assert set(links.values()) == {1}
    assert posts(system, since) == {201: left}
    assert store.hlen("relay:letters") == 0
    assert not store.exists("relay:replays")
