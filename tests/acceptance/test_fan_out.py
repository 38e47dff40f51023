"""What rests on a record follows it: people on their organisation, deals on their party (agenda.md §9.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.harness import System, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    short = {"RELAY_CALL_DEADLINE": "0.5", "RELAY_STRAY": "0.5"}
    with System(tmp_path_factory.mktemp("system"), extra='on_gone = "former"', environment=short) as running:
        # The friendlier positions: what the harsher ones hide is the reconcile's to find.
        switches = {"tag_change_fires_updated": "yes", "tag_change_moves_updated_at": "yes"}
        running.capsule.control("POST", "switches", switches)
        yield running


def organisation(system: System, name: str, *tags: str) -> dict[str, Any]:
    return system.party(type="organisation", name=name, tags=[{"name": tag} for tag in tags])


def person(system: System, first: str, of: int) -> int:
    return int(system.party(type="person", firstName=first, lastName="Follower", organisation={"id": of})["id"])


def judged(system: System, *numbers: int) -> None:
    with system.store() as store:
        until(lambda: all(store.hexists("relay:ledger:acme", f"party|{one}") for one in numbers), "all were judged")
    until(system.idle, "nothing is open", seconds=30)


def tag_id(party: dict[str, Any], name: str) -> int:
    return int(next(tag["id"] for tag in party["tags"] if tag["name"] == name))


def test_people_follow_when_their_organisation_comes_in_and_leave_with_it(system: System) -> None:
    made = organisation(system, "Followers Ltd")
    people = [person(system, f"F{n}", made["id"]) for n in range(3)]
    judged(system, made["id"], *people)
    assert not any(system.linked("members", one) for one in people)

    tagged = system.edit(made["id"], tags=[{"name": "member"}])
    until(lambda: all(system.linked("members", one) for one in people), "the people followed")
    judged(system, *people)

    system.edit(made["id"], tags=[{"id": tag_id(tagged, "member"), "_delete": True}])
    until(lambda: all(system.linked("members", one)["status"] == "former" for one in people), "the people left with it")  # type: ignore[index]
    judged(system, *people)

    system.edit(made["id"], tags=[{"name": "member"}])
    until(lambda: all(system.linked("members", one)["status"] != "former" for one in people), "they came back")  # type: ignore[index]
    judged(system, *people)
    assert len([one for one in system.records("members") if one["name"].startswith("F") and "Follower" in one["name"]]) == 3


def test_a_person_inherits_the_location_of_its_organisation_and_hears_of_its_change(system: System) -> None:
    made = organisation(system, "Movers Ltd", "member")
    number = person(system, "Mover", made["id"])
    until(lambda: system.linked("members", number), "the person is a member")
    judged(system, number)
    assert system.linked("members", number)["properties"]["capsule_location"] == "London Bridge"  # type: ignore[index]

    system.edit(made["id"], tags=[{"name": "shoreditch"}])
    until(
        lambda: system.linked("members", number)["properties"]["capsule_location"] == "Shoreditch",  # type: ignore[index]
        "the person's location property follows",
    )
    judged(system, number)


def test_people_held_with_their_dead_organisation_go_on_with_it(system: System) -> None:
    # Given an organisation that OfficeRnD refuses, so that it is a dead letter and its person is held with it
    body = {"statusCode": 400, "message": ["name must be nicer"], "error": "Bad Request"}
    fault = {"route": "POST /companies", "count": 1, "kind": "status", "status": 400, "body": body}
    system.officernd.control("POST", "faults", fault)
    made = organisation(system, "Unlucky Ltd", "member")
    with system.store() as store:
        until(lambda: store.hexists("relay:letters", f"acme|party|{made['id']}"), "the organisation is a dead letter")
    number = person(system, "Unlucky", made["id"])
    judged(system, number)
    assert system.linked("members", number) is None

    # When the organisation is edited and so tried again
    system.edit(made["id"], name="Lucky Ltd")

    # Then the person follows without an event of its own
    until(lambda: system.linked("members", number), "the person is a member")
    company = until(lambda: system.linked("companies", made["id"]), "the company is there")
    judged(system, number)
    assert system.linked("members", number)["company"] == company["_id"]  # type: ignore[index]


def test_a_deal_follows_its_party(system: System) -> None:
    made = organisation(system, "Dealers Ltd")
    milestones = system.api.get("milestones/all").json()["milestones"]
    bid = next(one for one in milestones if one["name"] == "Bid")
    fields = {"name": "A deal", "party": {"id": made["id"]}, "milestone": {"id": bid["id"]}}
    deal = system.api.post("opportunities", json={"opportunity": fields}).json()["opportunity"]
    with system.store() as store:
        until(lambda: store.hexists("relay:ledger:acme", f"opportunity|{deal['id']}"), "the deal was judged")
    judged(system, made["id"])
    assert system.linked("opportunities", deal["id"]) is None

    system.edit(made["id"], tags=[{"name": "member"}])
    until(lambda: system.linked("opportunities", deal["id"]), "the deal follows")
    until(system.idle, "nothing is open")
