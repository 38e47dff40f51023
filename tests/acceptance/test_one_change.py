"""One change in Capsule reaches OfficeRnD: the whole system as processes, against both simulators."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.acceptance.harness import System, until

if TYPE_CHECKING:
    from collections.abc import Iterator

NEGOTIATION = "64b0c0ffee00000000000405"  # the status of that name in the simulator's seed

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with System(tmp_path_factory.mktemp("system")) as running:
        yield running


def person(system: System, **fields: object) -> dict[str, object]:
    """A member in both systems, with nothing left to do."""
    made = system.party(type="person", tags=[{"name": "member"}], **fields)
    until(lambda: system.linked("members", int(made["id"])), "the person is a member")
    until(system.idle, "nothing is open")
    return made


def test_a_company_its_person_and_a_deal_arrive_linked(system: System) -> None:
    organisation = system.party(type="organisation", name="Acme Robotics", tags=[{"name": "member"}])
    ada = system.party(type="person", firstName="Ada", lastName="Example", organisation={"id": organisation["id"]})
    milestones = system.api.get("milestones/all").json()["milestones"]
    bid = next(one for one in milestones if one["name"] == "Bid")
    deal = system.api.post(
        "opportunities",
        json={
            "opportunity": {
                "name": "Six desks",
                "party": {"id": ada["id"]},
                "milestone": {"id": bid["id"]},
                "value": {"amount": 500, "currency": "GBP"},
            }
        },
    ).json()["opportunity"]

    opportunity = until(lambda: system.linked("opportunities", deal["id"]), "the deal arrives")
    until(system.idle, "nothing is open")
    member = system.linked("members", ada["id"])
    company = system.linked("companies", organisation["id"])
    assert member is not None
    assert company is not None
    assert member["company"] == company["_id"]
    assert opportunity["member"] == member["_id"]
    assert opportunity["dealSize"] == 500
    assert opportunity["status"] == NEGOTIATION


def test_an_edit_of_an_email_is_one_put(system: System) -> None:
    made = person(system, firstName="Grace", lastName="Sample", emailAddresses=[{"address": "Grace@old.example"}])
    rested = time.monotonic() + 1.2
    until(lambda: time.monotonic() > rested, "its last write is more than a second ago")
    before = system.last_request()

    address = made["emailAddresses"][0]["id"]  # type: ignore[index]
    system.edit(int(made["id"]), emailAddresses=[{"id": address, "address": "grace@new.example"}])  # type: ignore[call-overload]

    number = int(made["id"])  # type: ignore[call-overload]
    until(lambda: (system.linked("members", number) or {})["email"] == "grace@new.example", "the new e-mail arrives", seconds=1)
    until(system.idle, "nothing is open")
    writes = system.writes(before)
    assert [(one["method"], one["route"]) for one in writes] == [("PUT", writes[0]["route"])]
    assert "members" in writes[0]["route"]


def test_the_same_delivery_again_writes_nothing(system: System) -> None:
    made = person(system, firstName="Alan", lastName="Again")
    until(lambda: system.idle() and not system.capsule.control("GET", "state").get("pending_deliveries"), "all delivered")
    before = system.last_request()

    body = {"event": "party/updated", "payload": [made]}
    for _ in range(3):
        assert httpx.post(system.hook_url(), json=body, trust_env=False).status_code == 202
        until(system.idle, "nothing is open")

    assert system.writes(before) == []


def test_a_hundred_edits_within_a_second_are_two_writes_at_most(system: System) -> None:
    made = person(system, firstName="Many", lastName="Edits")
    number = int(made["id"])  # type: ignore[call-overload]
    before = system.last_request()

    # Given a hundred edits through Capsule's API, each of which it tells by a hook of its own
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: system.edit(number, lastName=f"Edits {n}"), range(100)))
    took = time.monotonic() - began
    last = system.edit(number, lastName="Edits over")["lastName"]

    until(lambda: (system.linked("members", number) or {})["name"] == f"Many {last}", "the last edit arrives")
    until(system.idle, "nothing is open")
    # Then there is one write at once, and one for each second that the edits lasted
    print(f"101 edits in {took:.2f} s: {len(system.writes(before))} writes")
    assert 1 <= len(system.writes(before)) <= 2 + int(took)


def test_a_person_without_the_tag_stays_out(system: System) -> None:
    made = system.party(type="person", firstName="Nobody", lastName="Outside")
    until(lambda: system.store().hexists("relay:ledger:acme", f"party|{made['id']}"), "it was judged")
    until(system.idle, "nothing is open")
    assert system.linked("members", made["id"]) is None
