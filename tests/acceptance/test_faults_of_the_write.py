"""A write whose answer is lost, late, refused or limited: in the end one record, equal on both sides (agenda.md §4)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.harness import System, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    # D = S = 0.5 s, as agenda.md §9.4 asks of tests: the stray window is over in about a second.
    short = {"RELAY_CALL_DEADLINE": "0.5", "RELAY_STRAY": "0.5"}
    with System(tmp_path_factory.mktemp("system"), environment=short) as running:
        yield running


@pytest.fixture(autouse=True)
def no_faults_left(system: System) -> Iterator[None]:
    yield
    system.officernd.control("DELETE", "faults")


def fault(system: System, **what: Any) -> None:
    system.officernd.control("POST", "faults", what)


def settled(system: System, number: int, **fields: Any) -> dict[str, Any]:
    """Waits until the one member of this Capsule id holds these fields and nothing is open."""

    def right() -> bool:
        member = system.linked("members", number)
        return member is not None and all(member.get(name) == value for name, value in fields.items())

    until(right, f"the member holds {sorted(fields)}", seconds=60)
    until(system.idle, "nothing is open", seconds=60)
    member = system.linked("members", number)
    assert member is not None
    with system.store() as store:
        assert not store.hexists("relay:letters", f"acme|party|{number}")
        assert not store.hexists("relay:intent", f"acme|party|{number}")
    return member


def new_person(system: System, first: str) -> int:
    made = system.party(type="person", firstName=first, lastName="Fault", tags=[{"name": "member"}])
    return int(made["id"])


@pytest.mark.parametrize("kind", ["lost", "cut"])
def test_a_create_whose_answer_never_came_makes_one_member(system: System, kind: str) -> None:
    fault(system, route="POST /members", count=1, kind=kind)
    number = new_person(system, f"Create {kind}")
    settled(system, number, name=f"Create {kind} Fault")


def test_a_create_that_lands_after_we_gave_up_makes_one_member(system: System) -> None:
    fault(system, route="POST /members", count=1, kind="slow", seconds=0.8)
    number = new_person(system, "Late")
    settled(system, number, name="Late Fault")


@pytest.mark.parametrize("kind", ["lost", "cut", "slow"])
def test_an_update_whose_answer_never_came_is_read_back(system: System, kind: str) -> None:
    number = new_person(system, f"Before {kind}")
    settled(system, number, name=f"Before {kind} Fault")
    fault(system, route="PUT /members/{id}", count=1, kind=kind, seconds=0.8)
    system.edit(number, firstName=f"After {kind}")
    settled(system, number, name=f"After {kind} Fault")


def test_a_value_that_comes_back_while_its_write_is_under_way_ends_right(system: System) -> None:
    # a -> b -> a: a fingerprint alone would say "unchanged" while OfficeRnD may hold b.
    number = new_person(system, "Value A")
    settled(system, number, name="Value A Fault")
    fault(system, route="PUT /members/{id}", count=1, kind="slow", seconds=0.9)
    system.edit(number, firstName="Value B")
    until(lambda: system.store().hexists("relay:intent", f"acme|party|{number}"), "the write is noted")
    system.edit(number, firstName="Value A")
    settled(system, number, name="Value A Fault")


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_failing_side_is_tried_again(system: System, status: int) -> None:
    fault(system, route="POST /members", count=1, kind="status", status=status, body={"statusCode": status, "message": "busy"})
    number = new_person(system, f"Status {status}")
    settled(system, number, name=f"Status {status} Fault")


def test_a_used_up_limit_spends_no_attempt(system: System) -> None:
    headers = {"Retry-After-write-minute": "1"}
    body = {"statusCode": 429, "message": "x"}
    fault(system, route="POST /members", count=2, kind="status", status=429, headers=headers, body=body)
    number = new_person(system, "Limited")
    settled(system, number, name="Limited Fault")


def test_an_expired_token_is_renewed_once(system: System) -> None:
    before = system.officernd.control("GET", "counts").get("POST /oauth/token", 0)
    fault(system, route="POST /members", count=1, kind="token_expired")
    number = new_person(system, "Expired")
    settled(system, number, name="Expired Fault")
    assert system.officernd.control("GET", "counts").get("POST /oauth/token", 0) == before + 1


def test_a_refusal_is_a_letter_at_once_and_a_later_edit_heals_it(system: System) -> None:
    body = {"statusCode": 400, "message": ["phone must be a string"], "error": "Bad Request"}
    fault(system, route="POST /members", count=1, kind="status", status=400, body=body)
    number = new_person(system, "Refused")
    until(lambda: system.store().hexists("relay:letters", f"acme|party|{number}"), "it is a dead letter")
    assert system.linked("members", number) is None

    system.edit(number, firstName="Healed")
    settled(system, number, name="Healed Fault")


def test_a_record_that_was_deleted_in_officernd_is_made_again(system: System) -> None:
    number = new_person(system, "Vanished")
    member = settled(system, number, name="Vanished Fault")
    system.officernd.control("POST", "remove", {"resource": "members", "id": member["_id"]})
    system.edit(number, firstName="Back again")
    settled(system, number, name="Back again Fault")


def test_an_outage_pauses_the_connection_and_ends_by_itself(system: System) -> None:
    fault(system, route="POST /members", count=12, kind="status", status=503, body={"statusCode": 503, "message": "down"})
    numbers = [new_person(system, f"Outage {n}") for n in range(8)]
    until(lambda: system.store().hexists("relay:paused", "acme"), "the breaker opened")
    system.officernd.control("DELETE", "faults")
    for n, number in enumerate(numbers):
        settled(system, number, name=f"Outage {n} Fault")
    assert not system.store().hexists("relay:paused", "acme")
