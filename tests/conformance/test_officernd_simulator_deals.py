"""The OfficeRnD simulator: companies, opportunities and calculated statuses."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.officernd_desk import (
    COMPANY,
    LOST,
    MEMBER,
    NEGOTIATION,
    OPEN,
    SHOREDITCH,
    TOUR,
    UNKNOWN,
    WON,
    Desk,
)

ACME = "64b0c0ffee00000000000201"
ADA = "64b0c0ffee00000000000101"
DESKS = {"name": "Six desks", "status": TOUR, "member": ADA, "company": ACME}


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.seed(companies=[{"_id": ACME, "name": "Acme"}], members=[{"_id": ADA, "name": "Ada", "company": ACME}])
    return desk


# --- companies ---------------------------------------------------------------------------------------------------


def test_a_company_takes_every_documented_field(desk: Desk) -> None:
    """reference/officernd.md §3.1: the POST column mirrors the PUT column; the location can be changed."""
    body = {
        "name": "Acme Robotics",
        "location": SHOREDITCH,
        "startDate": "2026-12-01T00:00:00.000Z",
        "email": "hello@acme.example",
        "url": "acme.example",
        "description": "",
        "image": "https://acme.example/logo.png",
        "address": {"city": "Leeds"},
        "billingDetails": {"billingName": "Acme Ltd"},
        "portalPrivacy": {"isVisible": False},
        "hasActiveMembersAllowance": True,
        "activeMembersAllowanceLimit": None,
        "properties": {"capsule_link_id": "1"},
    }
    for record in (desk.post("/companies", body), desk.put(f"/companies/{ACME}", body)):
        assert {name: record[name] for name in body} == body
        assert record["tags"] == []
        assert record["status"] == "inactive"


@pytest.mark.parametrize("field", ["phone", "twitter", "twitterHandle", "socialProfiles", "tags", "status"])
def test_a_company_has_no_phone_no_twitter_and_no_tags_to_write(desk: Desk, field: str) -> None:
    """reference/officernd.md §3.1: on PUT, and on POST unless a switch says otherwise."""
    fault = {f"property {field} should not exist"}
    assert desk.faults_of("PUT", f"/companies/{ACME}", {field: []}) == fault
    assert desk.faults_of("POST", "/companies", {**COMPANY, field: []}) == fault


def test_tags_of_a_company_on_post_are_a_switch(desk: Desk) -> None:
    """reference/officernd.md §3.1: never on PUT."""
    desk.switch(company_tags_on_post="accept")
    assert desk.post("/companies", {**COMPANY, "tags": ["a"]})["tags"] == ["a"]
    desk.put(f"/companies/{ACME}", {"tags": ["a"]}, expect=400)


def test_details_of_a_company_on_post_are_a_switch(desk: Desk) -> None:
    """reference/officernd.md §8.2."""
    desk.switch(company_details_on_post="refuse")
    fault = {"property address should not exist"}
    assert desk.faults_of("POST", "/companies", {**COMPANY, "address": {"city": "Leeds"}}) == fault
    desk.put(f"/companies/{ACME}", {"address": {"city": "Leeds"}})


@pytest.mark.parametrize("field", ["location", "startDate"])
def test_a_company_needs_three_fields_unless_the_switch_says_name(desk: Desk, field: str) -> None:
    """reference/officernd.md §3.1, §7."""
    body = {name: value for name, value in COMPANY.items() if name != field}
    assert len(desk.faults_of("POST", "/companies", body)) == 1
    desk.switch(company_required="name")
    assert field not in desk.post("/companies", body)
    assert desk.faults_of("POST", "/companies", {"location": SHOREDITCH}) == {"name must be a string"}


def test_a_company_moves_only_to_a_known_location(desk: Desk) -> None:
    """reference/officernd.md §2.7."""
    assert desk.failure("PUT", f"/companies/{ACME}", {"location": UNKNOWN}) == "Specified office was not found"
    assert desk.faults_of("PUT", f"/companies/{ACME}", {"location": None}) == {"location must be a string"}


# --- opportunities -----------------------------------------------------------------------------------------------


def test_a_new_opportunity_has_the_vendors_defaults(desk: Desk) -> None:
    """reference/officernd.md §3.3, §7: the probability of its status, and no deal size."""
    record = desk.post("/opportunities", DESKS)
    assert (record["probability"], record["dealSize"], record["startDate"], record["properties"]) == (40, 0, None, {})


def test_an_opportunity_takes_every_documented_field_on_post(desk: Desk) -> None:
    """reference/officernd.md §3.3, POST column."""
    body = {
        **DESKS,
        "probability": 45,
        "startDate": "2026-12-01T00:00:00.000Z",
        "dealSize": 12000.5,
        "membersCount": 6,
        "resources": [],
        "requestedPlans": [],
        "properties": {"capsule_link_id": "4412"},
    }
    record = desk.post("/opportunities", body)
    assert {name: record[name] for name in body} == body


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"probability": 101}, "probability must not be greater than 100"),
        ({"probability": -1}, "probability must not be less than 0"),
        ({"probability": 40.5}, "probability must be an integer number"),
        ({"dealSize": "12"}, "dealSize must be a number conforming to the specified constraints"),
        ({"dealSize": None}, "dealSize must be a number conforming to the specified constraints"),
        ({"status": None}, "status must be a string"),
        ({"name": None}, "name must be a string"),
        ({"description": "x"}, "property description should not exist"),
        ({"owner": "x"}, "property owner should not exist"),
        ({"currency": "GBP"}, "property currency should not exist"),
        ({"location": SHOREDITCH}, "property location should not exist"),
        ({"tags": []}, "property tags should not exist"),
    ],
)
def test_an_opportunity_refuses(desk: Desk, change: dict[str, Any], fault: str) -> None:
    """reference/officernd.md §2.7, §3.3: no description, owner, currency."""
    assert desk.faults_of("POST", "/opportunities", {**DESKS, **change}) == {fault}


@pytest.mark.parametrize("owner", [{"member": ADA}, {"company": ACME}, {"member": None, "company": ACME}])
def test_an_opportunity_needs_a_member_or_a_company(desk: Desk, owner: dict[str, Any]) -> None:
    """reference/officernd.md §3.3, §7: one of them is enough, none is 400 and the sentence names both."""
    desk.post("/opportunities", {"name": "Six desks", "status": TOUR, **owner})
    (fault,) = desk.faults_of("POST", "/opportunities", {"name": "Six desks", "status": TOUR, "member": None})
    assert "member" in fault
    assert "company" in fault


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ("member", "Specified member was not found"),
        ("company", "Specified team was not found"),
        ("status", "Specified opportunity status was not found"),
    ],
)
def test_what_an_opportunity_refers_to_must_be_known(desk: Desk, field: str, sentence: str) -> None:
    """reference/officernd.md §2.7, §7: 500 by analogy."""
    assert desk.failure("POST", "/opportunities", {**DESKS, field: UNKNOWN}) == sentence
    assert "24 character hex" in desk.failure("POST", "/opportunities", {**DESKS, field: "Negotiation"})


def test_the_company_of_an_opportunity_is_filled_unless_the_switch_says_no(desk: Desk) -> None:
    """reference/officernd.md §3.3."""
    body = {"name": "Six desks", "status": TOUR, "member": ADA}
    assert desk.post("/opportunities", body)["company"] == ACME
    desk.switch(opportunity_company_filled="no")
    assert desk.post("/opportunities", body)["company"] is None


def test_a_probability_unlike_its_status_is_kept_unless_the_switch_says_otherwise(desk: Desk) -> None:
    """reference/officernd.md §3.3: it should equal the status's."""
    assert desk.post("/opportunities", {**DESKS, "probability": 73})["probability"] == 73
    desk.switch(opportunity_probability_on_post="from_status")
    assert desk.post("/opportunities", {**DESKS, "probability": 73})["probability"] == 40


@pytest.mark.parametrize("field", ["dealSize", "probability", "member", "company", "membersCount", "resources", "requestedPlans"])
def test_an_opportunity_does_not_take_these_fields_on_put(desk: Desk, field: str) -> None:
    """reference/officernd.md §3.3, §6.6: four fields only."""
    record = desk.post("/opportunities", DESKS)
    path = f"/opportunities/{record['_id']}"
    assert desk.faults_of("PUT", path, {field: record[field]}) == {f"property {field} should not exist"}


def test_an_opportunity_takes_four_fields_on_put_and_its_probability_follows_the_status(desk: Desk) -> None:
    """reference/officernd.md §3.3: null clears the date."""
    path = f"/opportunities/{desk.post('/opportunities', {**DESKS, 'probability': 45})['_id']}"
    assert desk.put(path, {"name": "Seven desks", "startDate": "2026-12-01"})["probability"] == 45
    after = desk.put(path, {"status": NEGOTIATION, "properties": {"capsule_deal_size": 5}, "startDate": None})
    assert (after["name"], after["status"], after["probability"]) == ("Seven desks", NEGOTIATION, 50)
    assert (after["properties"], after["startDate"]) == ({"capsule_deal_size": 5}, None)
    assert desk.failure("PUT", path, {"status": UNKNOWN}) == "Specified opportunity status was not found"


# --- calculated statuses -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "member", "company"),
    [
        pytest.param(OPEN, "lead", "lead", id="open"),
        pytest.param(WON, "contact", "inactive", id="won"),
        pytest.param(LOST, "contact", "inactive", id="lost"),
    ],
)
def test_an_open_opportunity_makes_a_lead(desk: Desk, status: str, member: str, company: str) -> None:
    """reference/officernd.md §3.8, §7."""
    assert desk.get(f"/members/{ADA}")["status"] == "contact"
    desk.post("/opportunities", {**DESKS, "status": status})
    assert desk.get(f"/members/{ADA}")["status"] == member
    assert desk.get(f"/companies/{ACME}")["status"] == company


def test_a_lead_is_none_any_more_when_the_deal_is_closed_or_gone(desk: Desk) -> None:
    """reference/officernd.md §3.8."""
    first, second = desk.post("/opportunities", DESKS), desk.post("/opportunities", DESKS)
    desk.put(f"/opportunities/{first['_id']}", {"status": WON})
    assert desk.get(f"/members/{ADA}")["status"] == "lead"
    desk.ask("DELETE", f"/opportunities/{second['_id']}")
    assert desk.get(f"/members/{ADA}")["status"] == "contact"


def test_a_member_takes_after_its_company(desk: Desk) -> None:
    """reference/officernd.md §3.8: also by a deal of the company alone."""
    desk.post("/opportunities", {"name": "Six desks", "status": TOUR, "company": ACME})
    assert desk.post("/members", {**MEMBER, "company": ACME})["status"] == "lead"
    assert desk.post("/members", MEMBER)["status"] == "contact"


@pytest.mark.parametrize(
    ("seeded", "with_deal", "without"), [("active", "active", "active"), ("former", "lead", "former"), (None, "lead", "contact")]
)
def test_memberships_come_before_deals_and_deals_before_the_past(
    desk: Desk, seeded: str | None, with_deal: str, without: str
) -> None:
    """reference/officernd.md §3.8."""
    (member,) = desk.members(1, **({"status": seeded} if seeded else {}))
    assert desk.get(f"/members/{member}")["status"] == without
    desk.post("/opportunities", {"name": "Six desks", "status": TOUR, "member": member})
    assert desk.get(f"/members/{member}")["status"] == with_deal
