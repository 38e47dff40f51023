"""Ten kinds of failure, each provoked in the simulators, and what a person gets to see: a letter, a wait, or a held reason."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import httpx
import orjson
import pytest

from mapping.agenda import RecordKey, ledger_key
from mapping.running import RUNNING
from tests.acceptance.harness import System, until
from tests.acceptance.test_kill_and_limits import worker_processes
from workers.ledger import Entry, Vault
from workers.letters.hiding import HIDDEN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

SHORT = {"RELAY_CALL_DEADLINE": "1", "RELAY_STRAY": "0.5"}


class WithoutBid(System):
    """Whose rules name no status for one of the milestones."""

    def rules(self) -> str:
        return super().rules().replace('"Bid" = "Negotiation"\n', "")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with WithoutBid(tmp_path_factory.mktemp("system"), environment=SHORT) as running:
        yield running


@pytest.fixture(autouse=True)
def no_faults_left(system: System) -> Iterator[None]:
    yield
    system.officernd.control("DELETE", "faults")


def fault(system: System, **what: Any) -> None:
    system.officernd.control("POST", "faults", what)


def person(system: System, first: str, **fields: Any) -> int:
    tags = [{"name": "member"}]
    return int(system.party(type="person", firstName=first, lastName="Nightcall", tags=tags, **fields)["id"])


def letter_of(system: System, name: str) -> str:
    """The letter as it is shown, once it is there."""

    def shown() -> str:
        answer = system.run("dead", "show", name)
        return answer.stdout if answer.returncode == 0 else ""

    text: str = until(shown, f"{name} is a dead letter", seconds=120, every=0.3)
    print(f"\n--- dead show {name}\n{text}")
    assert "Nightcall" not in text
    assert "nightcall@example.com" not in text
    return text


def trouble_of(system: System, number: int) -> dict[str, Any]:
    """What is kept of the last failure of a record that will be tried again."""
    stored = until(lambda: system.store().hget("relay:trouble", f"acme|party|{number}"), "the failure is noted", seconds=30)
    told: dict[str, Any] = orjson.loads(stored)
    print(f"\n--- waits: acme party {number}: {told}")
    return told


def held_of(system: System, record: RecordKey) -> tuple[str, str]:
    """Why a record is held, as the ledger says it."""
    stored = until(lambda: system.store().hget(ledger_key("acme"), record.field), "its run has ended", seconds=30)
    head, sealed = stored.split(b"\n", 1)
    entry = Entry.parse(head[1:].decode(), Vault((system.secret,)).open(sealed))
    code, text = entry.state["held"]
    print(f"\n--- held: {record.pack()}: {code}: {text}")
    return code, text


def in_step(system: System, number: int) -> None:
    until(lambda: system.linked("members", number), "it is a member", seconds=60)
    until(system.idle, "nothing is open", seconds=60)
    assert system.run("dead", "show", f"acme/party/{number}").returncode == 1


def test_1_a_permanent_400_with_a_list_of_messages(system: System) -> None:
    body = {
        "statusCode": 400,
        "message": ["phone must be a string", "email nightcall@example.com must be unique"],
        "error": "Bad Request",
    }
    fault(system, route="POST /members", count=1, kind="status", status=400, body=body)
    number = person(system, "Ada", emailAddresses=[{"address": "nightcall@example.com"}])
    text = letter_of(system, f"acme/party/{number}")
    for part in ("phone must be a string", "POST /members", "400", "what to do", HIDDEN):
        assert part in text
    revealed = system.run("dead", "show", f"acme/party/{number}", "--reveal").stdout
    assert "Ada Nightcall" in revealed
    assert "reveal" in system.run("dead", "audit").stdout

    # and it is replayed with the present content, once the cause is gone
    answer = system.run("dead", "replay", f"acme/party/{number}", "--yes")
    assert answer.returncode == 0, answer.stderr
    assert "1 of 1 handed over, 1 resolved" in answer.stdout
    in_step(system, number)


def test_2_a_property_that_should_not_exist(system: System) -> None:
    body = {"statusCode": 400, "message": ["properties.property shoe_size should not exist"], "error": "Bad Request"}
    fault(system, route="POST /members", count=1, kind="status", status=400, body=body)
    number = person(system, "Grace")
    text = letter_of(system, f"acme/party/{number}")
    assert "should not exist" in text
    assert "[connections.NAME.fields]" in text


def test_3_a_500_that_is_permanent(system: System) -> None:
    body = {"statusCode": 500, "message": "Member validation failed: email: is required"}
    fault(system, route="POST /members", count=1, kind="status", status=500, body=body)
    text = letter_of(system, f"acme/party/{person(system, 'Edsger')}")
    assert "validation failed" in text
    assert "each time" in text


def test_4_a_500_that_heals(system: System) -> None:
    fault(
        system, route="POST /members", count=1, kind="status", status=500, body={"statusCode": 500, "message": "Internal error"}
    )
    number = person(system, "Barbara")
    assert trouble_of(system, number)["error"] == "NoAnswer"
    in_step(system, number)


def test_5_a_429(system: System) -> None:
    body = {"statusCode": 429, "message": "Too many requests"}
    headers = {"Retry-After-write-minute": "2"}
    fault(system, route="POST /members", count=1, kind="status", status=429, headers=headers, body=body)
    number = person(system, "Donald")
    assert trouble_of(system, number)["error"] == "RateLimited"
    assert not system.store().hexists("relay:attempts", f"acme|party|{number}")
    in_step(system, number)


def test_6_a_time_out_that_lasts_for_a_day(system: System) -> None:
    # After three seconds it answers that it did nothing, but nobody is there to hear it.
    fault(system, route="POST /members", count=None, kind="status", status=503, seconds=3)
    number = person(system, "Tony")
    assert "longer than 1 s" in trouble_of(system, number)["text"]
    # eleven attempts are spent: the twelfth is the last (workers/retry.py)
    system.store().hset("relay:attempts", f"acme|party|{number}", 11)
    text = letter_of(system, f"acme/party/{number}")
    for part in ("NoAnswer", "attempts     12", "check --live", "POST /members"):
        assert part in text


@pytest.mark.slow
def test_7_a_record_that_kills_its_worker(tmp_path: Path) -> None:
    # A call may last long enough here to be met by the kill.
    with System(tmp_path, environment={"RELAY_CALL_DEADLINE": "4", "RELAY_STRAY": "0.5"}) as system:
        kill_three_times(system)


def counts_deaths(system: System) -> bool:
    """Whether the clock has swept: deaths of runs that began before its first sweep count for nothing (agenda.md §5)."""
    with system.store() as store:
        return any(b" clock " in sign for sign in store.hvals(RUNNING))


def kill_three_times(system: System) -> None:
    until(lambda: counts_deaths(system), "the clock has swept")
    # Held back and never applied: a member that is there already would end a run before it is killed.
    fault(system, route="POST /members", count=None, kind="cut", seconds=30)
    number = person(system, "Niklaus")
    killed: set[int] = set()

    def strike() -> bool:
        """Kills whichever worker process holds the record, until it is buried."""
        with system.store() as store:
            if store.hexists("relay:letters", f"acme|party|{number}"):
                return True
            lease = store.hget("relay:lease", f"acme|party|{number}")
        if lease is not None:
            process = int(lease.decode().split()[-1].split(":")[1])
            if process not in killed:
                killed.add(process)
                os.kill(process, signal.SIGKILL)
        return False

    assert worker_processes(system)
    until(strike, "it is buried", seconds=240, every=0.1)
    text = letter_of(system, f"acme/party/{number}")
    assert len(killed) == 3
    assert "killer" in text
    assert "runs alone" in text


def test_8_a_delivery_that_cannot_be_decoded(system: System) -> None:
    answer = httpx.post(system.hook_url(), content=b'{"event":"party/updated","payload":[{"name":"Nightcall"', trust_env=False)
    assert answer.status_code == 202
    listed = until(
        lambda: orjson.loads(system.run("dead", "list", "--kind", "delivery", "--json").stdout)["letters"],
        "it is kept",
        every=0.3,
    )
    text = letter_of(system, listed[0]["id"])
    for part in ("not JSON", "sync acme --full", "party"):
        assert part in text or part == "party"
    assert "can still not be read" in system.run("dead", "replay", listed[0]["id"], "--yes").stdout
    assert system.run("dead", "discard", listed[0]["id"], "--yes").returncode == 0
    assert system.run("dead", "show", listed[0]["id"]).returncode == 1


def test_9_held_by_two_matches(system: System) -> None:
    two = [{"name": f"Twin {n}", "email": "twin@example.com"} for n in (1, 2)]
    system.officernd.control("POST", "seed", {"members": two})
    number = person(system, "Twin", emailAddresses=[{"address": "twin@example.com"}])
    code, text = held_of(system, RecordKey("acme", "party", number))
    assert code
    assert "two" in text.lower() or "2" in text or "several" in text.lower()


def test_10_an_unmapped_milestone(system: System) -> None:
    number = person(system, "Frances")
    in_step(system, number)
    milestones = system.api.get("milestones/all").json()["milestones"]
    other = next(one for one in milestones if one["name"] == "Bid")
    deal = {
        "name": "Six desks",
        "party": {"id": number},
        "milestone": {"id": other["id"]},
        "value": {"amount": 5, "currency": "GBP"},
    }
    answer = system.api.post("opportunities", json={"opportunity": deal}).json()["opportunity"]
    code, text = held_of(system, RecordKey("acme", "opportunity", int(answer["id"])))
    assert code
    assert other["name"] in text
