"""Moments at which a relay without a certain rule goes wrong: what catches the five bugs of `tests/faults/bugs.py`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.harness import EVENTS, NAME, ROOT, until
from tests.faults.installation import Installation

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]

HEALS_SECONDS = 15.0
PERSON = {"type": "person", "lastName": "Protocol", "tags": [{"name": "member"}]}


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with Installation(tmp_path_factory.mktemp("protocol"), deadline_s=1.0, stray_s=0.5) as running:
        url = running.hook_url()
        running.capsule.control("POST", "hooks", [{"event": event, "targetUrl": url} for event in EVENTS])
        yield running


@pytest.fixture(autouse=True)
def no_faults_left(relay: Installation) -> Iterator[None]:
    yield
    for simulator in (relay.capsule, relay.officernd):
        simulator.control("DELETE", "faults")
    until(relay.alive, "all processes run", seconds=20)


def in_step(relay: Installation, number: int, name: str) -> None:
    """Waits until the one member of this Capsule id has this name and nothing is open."""

    def right() -> bool:
        member = relay.linked("members", number)
        return member is not None and member["name"] == name and relay.quiet()

    until(right, f"the member is called {name!r}", seconds=HEALS_SECONDS, every=0.05)


def made(relay: Installation, first: str) -> int:
    number = int(relay.party(firstName=first, **PERSON)["id"])
    in_step(relay, number, f"{first} Protocol")
    return number


def at_work(relay: Installation, processes: list[int]) -> bool:
    """Whether one of these has given a sign of life to Redis."""
    with relay.store() as store:
        signs = {name.decode().split(":")[1] for name in store.hkeys("relay:procs") if b":" in name}
    return bool(signs & set(map(str, processes)))


def asked(relay: Installation, simulator: str, *, method: str, part: str, since: int) -> list[dict[str, Any]]:
    """The requests that a simulator has seen since then."""
    which = relay.capsule if simulator == "capsule" else relay.officernd
    found = which.control("GET", f"requests?since={since}")["requests"]
    return [one for one in found if one["method"] == method and part in one["path"]]


def mark(relay: Installation, simulator: str) -> int:
    which = relay.capsule if simulator == "capsule" else relay.officernd
    return int(which.control("GET", "requests")["requests"][-1]["n"])


def test_a_change_during_a_run_is_not_closed_unread(relay: Installation) -> None:
    number = made(relay, "First")
    since = mark(relay, "officernd")
    relay.officernd.control("POST", "faults", {"route": "PUT /members/{id}", "kind": "stall", "seconds": 0.6})
    relay.edit(number, firstName="Second")
    until(lambda: asked(relay, "officernd", method="PUT", part="/members/", since=since), "the first write is under way")

    relay.edit(number, firstName="Third")

    in_step(relay, number, "Third Protocol")


def test_a_value_that_comes_back_after_a_killed_write_is_read_back(relay: Installation) -> None:
    number = made(relay, "Before")
    since = mark(relay, "officernd")
    relay.officernd.control("POST", "faults", {"route": "PUT /members/{id}", "kind": "stall", "seconds": 5.0})
    relay.edit(number, firstName="Between")
    until(lambda: asked(relay, "officernd", method="PUT", part="/members/", since=since), "the write was applied")
    for process in relay.find("worker child"):
        os.kill(process, signal.SIGKILL)

    # The ledger knows nothing of the write: by it alone, there is nothing to do.
    relay.edit(number, firstName="Before")

    in_step(relay, number, "Before Protocol")


def test_a_record_whose_worker_was_killed_comes_back(relay: Installation) -> None:
    number = made(relay, "Alive")
    since = mark(relay, "capsule")
    relay.capsule.control("POST", "faults", {"route": "GET /parties/{ids}", "kind": "slow", "seconds": 3.0})
    relay.edit(number, firstName="Killed")
    until(lambda: asked(relay, "capsule", method="GET", part=f"/parties/{number}", since=since), "the record is being read")

    for process in relay.find("worker child"):
        os.kill(process, signal.SIGKILL)

    in_step(relay, number, "Killed Protocol")


def test_a_worker_that_is_killed_while_it_starts_is_missed_at_once(relay: Installation) -> None:
    relay.kill("worker master")
    until(lambda: relay.find("worker child"), "its successor has begun", seconds=20, every=0.01)
    starting = relay.find("worker child")
    assert not at_work(relay, starting)
    relay.kill("worker child")

    until(lambda: at_work(relay, relay.find("worker child")), "another is at work", seconds=25, every=0.1)
    assert not set(relay.find("worker child")) & set(starting)
    made(relay, "Afterwards")


def test_a_write_that_was_refused_for_the_moment_is_sent_again(relay: Installation) -> None:
    number = made(relay, "Old")
    throttled = {"statusCode": 429, "message": "ThrottlerException: Too Many Requests"}
    headers = {"Retry-After-write-minute": "1"}
    order = {"route": "PUT /members/{id}", "kind": "status", "status": 429, "body": throttled, "headers": headers}
    relay.officernd.control("POST", "faults", order)

    relay.edit(number, firstName="New")

    in_step(relay, number, "New Protocol")


def test_a_page_that_was_read_before_a_change_does_not_undo_it(relay: Installation) -> None:
    number = made(relay, "Stale")
    relay.capsule.control("POST", "faults", {"route": "GET /parties", "kind": "stall", "seconds": 4.0})
    since = mark(relay, "capsule")
    words = [sys.executable, "-m", "workers", "sync", NAME, "--full", "--json"]
    environment = relay.env | {"REDIS_URL": relay.redis_url(), "RELAY_CALL_DEADLINE": "10"}
    with subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as sync:
        until(lambda: asked(relay, "capsule", method="GET", part="/parties", since=since), "the page is being read")
        relay.edit(number, firstName="Fresh")
        in_step(relay, number, "Fresh Protocol")
        written = mark(relay, "officernd")

        _, said = sync.communicate(timeout=60)

    assert sync.returncode == 0, said
    until(relay.quiet, "nothing is open")
    member = relay.linked("members", number)
    assert member is not None
    writes = asked(relay, "officernd", method="PUT", part=f"/members/{member['_id']}", since=written)
    assert [one["body"] for one in writes] == []
    in_step(relay, number, "Fresh Protocol")
