"""Capsule's simulator: deleting, deleted lists, hidden records (reference/capsule.md §3.6, §5.6, §6 trap 10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.conformance.capsule_desk import Capsule

LONG_AGO = "2001-01-01T00:00:00Z"


def test_a_delete_is_final(capsule: Capsule) -> None:
    """§5.6: 204, then 404."""
    path = f"/parties/{capsule.person()['id']}"
    assert capsule.ask("DELETE", path).status_code == 204
    assert capsule.ask("DELETE", path).status_code == 404
    assert capsule.ask("GET", path).status_code == 404


def test_the_deleted_list_has_id_and_time_and_no_key_for_hidden_ones_when_there_are_none(capsule: Capsule) -> None:
    """§3.6."""
    number = capsule.person()["id"]
    capsule.ask("DELETE", f"/parties/{number}")
    listed = capsule.get("/parties/deleted", since=LONG_AGO)
    assert listed.keys() == {"parties"}
    assert [item.keys() for item in listed["parties"]] == [{"id", "deletedAt"}]
    assert listed["parties"][0]["id"] == number
    assert capsule.get("/parties/deleted", since="2100-01-01T00:00:00Z") == {"parties": []}


@pytest.mark.parametrize("plural", ["parties", "opportunities", "kases"])
def test_the_deleted_lists_need_since(capsule: Capsule, plural: str) -> None:
    """§3.4."""
    answer = capsule.ask("GET", f"/{plural}/deleted")
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (422, "since is required")


def test_only_the_parties_list_needs_since_by_switch(capsule: Capsule) -> None:
    """§3.4, switch deleted_needs_since."""
    capsule.switch(deleted_needs_since="parties")
    assert capsule.ask("GET", "/parties/deleted").status_code == 422
    assert capsule.get("/opportunities/deleted") == {"opportunities": []}


def test_tasks_have_no_deleted_list(capsule: Capsule) -> None:
    """§3.6."""
    assert capsule.ask("GET", "/tasks/deleted", params={"since": LONG_AGO}).status_code == 404


@pytest.mark.parametrize(("position", "listed"), [("yes", True), ("no", False)])
def test_what_belongs_to_a_party_goes_with_it(capsule: Capsule, position: str, listed: bool) -> None:
    """§5.6; whether the deleted lists have them is a switch."""
    capsule.switch(cascade_in_deleted_lists=position)
    deal = capsule.opportunity()
    party = deal["party"]["id"]
    kase = capsule.make("kase", "kases", name="Research", party=party, opportunity=deal["id"])
    task = capsule.make("task", "tasks", description="Call", dueOn="2026-01-01", opportunity=deal["id"])
    note = capsule.make("entry", "entries", type="note", content="x", kase=kase["id"])
    assert capsule.ask("DELETE", f"/parties/{party}").status_code == 204
    for path in (f"opportunities/{deal['id']}", f"kases/{kase['id']}", f"tasks/{task['id']}", f"entries/{note['id']}"):
        assert capsule.ask("GET", f"/{path}").status_code == 404, path
    deals = capsule.get("/opportunities/deleted", since=LONG_AGO)["opportunities"]
    assert ([item["id"] for item in deals] == [deal["id"]]) is listed


def test_a_large_delete_is_queued(capsule: Capsule) -> None:
    """§5.6: 202 with a job."""
    capsule.control("POST", "limits", {"big_cascade": 1})
    deal = capsule.opportunity()
    answer = capsule.ask("DELETE", f"/parties/{deal['party']['id']}")
    assert answer.status_code == 202
    assert "/api/v2/jobs/" in answer.headers["location"]


def test_a_party_s_links_as_additional_party_go_with_it(capsule: Capsule) -> None:
    """§5.6."""
    deal, extra = capsule.opportunity(), capsule.person()["id"]
    capsule.ask("POST", f"/opportunities/{deal['id']}/parties/{extra}")
    capsule.ask("DELETE", f"/parties/{extra}")
    assert capsule.get(f"/opportunities/{deal['id']}/parties") == {"parties": []}


@pytest.mark.parametrize("position", ["unlinked", "updated", "deleted"])
def test_the_fate_of_the_people_of_a_deleted_organisation_is_a_switch(capsule: Capsule, position: str) -> None:
    """§5.6: not stated."""
    capsule.switch(people_of_deleted_organisation=position)
    organisation = capsule.organisation()["id"]
    person = capsule.person(organisation=organisation)
    capsule.control("POST", "clock", {"advance": 5})
    capsule.ask("DELETE", f"/parties/{organisation}")
    answer = capsule.ask("GET", f"/parties/{person['id']}")
    if position == "deleted":
        assert answer.status_code == 404
    else:
        after = answer.json()["party"]
        assert after["organisation"] is None
        assert (after["updatedAt"] > person["updatedAt"]) is (position == "updated")


def test_a_hidden_record_vanishes_from_every_read(capsule: Capsule) -> None:
    """§3.6, §3.10: 404, skipped, not deleted."""
    organisation = capsule.organisation()["id"]
    person = capsule.person(organisation=organisation)["id"]
    capsule.control("POST", "restrict", {"kind": "party", "id": person})
    capsule.control("POST", "clock", {"advance": 10})
    assert capsule.ask("GET", f"/parties/{person}").status_code == 404
    assert capsule.ask("PUT", f"/parties/{person}", json={"party": {"jobTitle": "X"}}).status_code == 404
    assert capsule.ask("DELETE", f"/parties/{person}").status_code == 404
    assert [party["id"] for party in capsule.get("/parties")["parties"]] == [organisation]
    assert [party["id"] for party in capsule.get(f"/parties/{organisation},{person}")["parties"]] == [organisation]
    assert capsule.get(f"/parties/{organisation}/people")["parties"] == []
    assert capsule.get("/parties/search", q="ada")["parties"] == []
    filtered = capsule.ask("POST", "/parties/filters/results", json={"filter": {"conditions": []}}).json()
    assert [party["id"] for party in filtered["parties"]] == [organisation]
    assert person in [party["id"] for party in capsule.control("GET", "state")["parties"]]


def test_a_hidden_record_is_in_the_deleted_list_under_its_own_key(capsule: Capsule) -> None:
    """§3.6: same effect as a delete, but the record still exists."""
    deal, person = capsule.opportunity(), capsule.person()["id"]
    organisation = deal["party"]["id"]
    for kind, number in (("party", organisation), ("party", person), ("opportunity", deal["id"])):
        capsule.control("POST", "restrict", {"kind": kind, "id": number})
    listed = capsule.get("/parties/deleted", since=LONG_AGO)
    assert listed["parties"] == []
    shown = {item["id"]: item for item in listed["restrictedParties"]}
    assert (shown[organisation]["name"], shown[organisation]["isRestricted"]) == ("Private", True)
    assert (shown[person]["firstName"], shown[person]["lastName"]) == (None, "Private")
    deals = capsule.get("/opportunities/deleted", since=LONG_AGO)["restrictedOpportunities"]
    assert deals == [{"id": deal["id"], "name": "Private", "isRestricted": True}]


def test_a_hidden_record_reads_private_where_it_is_nested_even_embedded(capsule: Capsule) -> None:
    """§4.1, trap 10."""
    organisation = capsule.organisation()["id"]
    person = capsule.person(organisation=organisation)["id"]
    capsule.control("POST", "restrict", {"kind": "party", "id": organisation})
    for embed in ("", "organisation"):
        nested = capsule.get(f"/parties/{person}", embed=embed)["party"]["organisation"]
        assert (nested["name"], nested["isRestricted"]) == ("Private", True)
    capsule.control("POST", "unrestrict", {"kind": "party", "id": organisation})
    assert capsule.get(f"/parties/{organisation}")["party"]["name"] == "Example Works"
