"""The OfficeRnD simulator: members, their status and their company."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.officernd_desk import COMPANY, LONDON, MEMBER, SHOREDITCH, TOUR, UNKNOWN, Desk

ACME = "64b0c0ffee00000000000201"
DESKS = {"name": "Six desks", "status": TOUR, "company": ACME}


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.seed(companies=[{"_id": ACME, "name": "Acme"}])
    return desk


def test_a_new_member_has_the_vendors_defaults(desk: Desk) -> None:
    """reference/officernd.md §3.2, §7: and what was not given and has none is absent."""
    record = desk.post("/members", MEMBER)
    assert (record["tags"], record["properties"], record["address"], record["status"]) == ([], {}, {}, "contact")
    assert not {"email", "phone", "company", "description"} & set(record)


def test_a_member_takes_every_documented_field_on_post(desk: Desk) -> None:
    """reference/officernd.md §3.2, POST column."""
    body = {
        **MEMBER,
        "startDate": "2026-11-01T00:00:00.000Z",
        "email": "ada@acme.example",
        "phone": "+44 113 496 0000",
        "company": ACME,
        "description": "Likes windows",
        "properties": {"capsule_link_id": "1"},
        "tags": ["a"],
        "isContactPerson": True,
        "isBillingPerson": True,
    }
    record = desk.post("/members", body)
    assert {name: record[name] for name in body} == body


@pytest.mark.parametrize("field", ["name", "location", "startDate"])
def test_a_member_needs_three_fields(desk: Desk, field: str) -> None:
    """reference/officernd.md §3.2."""
    faults = desk.faults_of("POST", "/members", {name: value for name, value in MEMBER.items() if name != field})
    assert len(faults) == 1
    assert next(iter(faults)).startswith(f"{field} must be a")


def test_a_member_needs_a_known_company(desk: Desk) -> None:
    """reference/officernd.md §7: the legacy name of a company is team."""
    assert desk.failure("POST", "/members", {**MEMBER, "company": UNKNOWN}) == "Specified team was not found"
    assert "24 character hex" in desk.failure("POST", "/members", {**MEMBER, "company": "Acme"})


@pytest.mark.parametrize("field", ["location", "company", "status", "description", "image"])
def test_a_member_does_not_take_these_fields_on_put(desk: Desk, field: str) -> None:
    """reference/officernd.md §3.2: location is fixed at creation, company and status have endpoints of their own."""
    identity = desk.post("/members", MEMBER)["_id"]
    assert desk.faults_of("PUT", f"/members/{identity}", {field: SHOREDITCH}) == {f"property {field} should not exist"}


def test_a_member_takes_every_documented_field_on_put(desk: Desk) -> None:
    """reference/officernd.md §3.2, PUT column; tags are replaced."""
    identity = desk.post("/members", {**MEMBER, "tags": ["old"]})["_id"]
    body = {
        "name": "Ada Lovelace",
        "email": "ada@acme.example",
        "phone": "1",
        "startDate": "2026-12-01T00:00:00.000Z",
        "isBillingPerson": True,
        "isContactPerson": True,
        "tags": ["new"],
        "properties": {"capsule_link_id": "1"},
        "address": {"country": "", "state": "", "city": "Leeds", "street": "1 High St", "zip": "LS1 1AA"},
        "billingDetails": {"billingName": "Ada", "billingAddress": {"city": "Leeds"}},
        "portalPrivacy": {"isVisible": True},
        "socialProfiles": {"twitter": "@ada", "linkedin": ""},
    }
    after = desk.put(f"/members/{identity}", body)
    assert {name: after[name] for name in body} == body


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ({"address": {"planet": "Mars"}}, "address.property planet should not exist"),
        ({"address": {"city": 1}}, "address.city must be a string"),
        ({"address": "Leeds"}, "address must be an object"),
        ({"socialProfiles": {"twitterHandle": "@a"}}, "socialProfiles.property twitterHandle should not exist"),
        ({"portalPrivacy": {"isVisible": "yes"}}, "portalPrivacy.isVisible must be a boolean value"),
        ({"billingDetails": {"billingAddress": {"x": 1}}}, "billingDetails.billingAddress.property x should not exist"),
        ({"tags": [1]}, "each value in tags must be a string"),
    ],
)
def test_the_parts_of_a_field_are_checked_too(desk: Desk, body: dict[str, Any], fault: str) -> None:
    """reference/officernd.md §2.7, §3.1, §3.2."""
    identity = desk.post("/members", MEMBER)["_id"]
    assert desk.faults_of("PUT", f"/members/{identity}", body) == {fault}


def test_an_object_replaces_the_stored_one_unless_the_switch_says_merge(desk: Desk) -> None:
    """reference/officernd.md §2.3 is silent on objects other than properties."""
    identity = desk.post("/members", MEMBER)["_id"]
    desk.put(f"/members/{identity}", {"socialProfiles": {"linkedin": "ada"}})
    assert desk.put(f"/members/{identity}", {"socialProfiles": {"twitter": "@ada"}})["socialProfiles"] == {"twitter": "@ada"}
    desk.switch(nested_on_put="merge")
    both = {"twitter": "@ada", "linkedin": "ada"}
    assert desk.put(f"/members/{identity}", {"socialProfiles": {"linkedin": "ada"}})["socialProfiles"] == both


@pytest.mark.parametrize(
    ("switch", "body"),
    [
        ("social_profiles_on_post", {"socialProfiles": {"twitter": "@ada"}}),
        ("member_details_on_post", {"address": {"city": "Leeds"}}),
        ("member_image", {"image": "https://acme.example/ada.png"}),
    ],
)
def test_a_field_of_unknown_standing_is_refused_on_post_unless_a_switch_says_accept(
    desk: Desk, switch: str, body: dict[str, Any]
) -> None:
    """reference/officernd.md §3.2, §8.2."""
    name = next(iter(body))
    assert desk.faults_of("POST", "/members", {**MEMBER, **body}) == {f"property {name} should not exist"}
    desk.switch(**{switch: "accept"})
    assert desk.post("/members", {**MEMBER, **body})[name] == body[name]


def test_a_description_on_put_is_refused_unless_the_switch_says_accept(desk: Desk) -> None:
    """reference/officernd.md §3.2."""
    identity = desk.post("/members", {**MEMBER, "description": None})["_id"]
    desk.switch(member_description_on_put="accept")
    assert desk.put(f"/members/{identity}", {"description": "x"})["description"] == "x"


def test_members_may_share_an_address_unless_the_switch_says_refuse(desk: Desk) -> None:
    """reference/officernd.md §3.2."""
    body = {**MEMBER, "email": "ada@acme.example"}
    first, second = desk.post("/members", body), desk.post("/members", MEMBER)
    desk.post("/members", body)
    desk.switch(duplicate_email="refuse")
    assert "email" in desk.failure("POST", "/members", {**body, "email": "ADA@acme.example"})
    assert "email" in desk.failure("PUT", f"/members/{second['_id']}", {"email": "ada@acme.example"})
    desk.ask("DELETE", f"/members/{desk.get('/members?email=ada@acme.example')['results'][1]['_id']}")
    desk.put(f"/members/{first['_id']}", {"email": "ada@acme.example"})


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_a_status_is_set_by_hand_until_auto(desk: Desk, verb: str) -> None:
    """reference/officernd.md §2.2, §2.3, §3.8: 204 without a body; modifiedAt moves with a change."""
    record = desk.post("/members", {**MEMBER, "company": ACME})
    path = f"/members/{record['_id']}"
    desk.post("/opportunities", DESKS)
    for wanted, shown in (("former", "former"), ("contact", "contact"), ("auto", "lead")):
        desk.advance(1)
        answer = desk.ask(verb, f"{path}/status", json={"status": wanted})
        assert (answer.status_code, answer.content) == (204, b"")
        after = desk.get(path)
        assert after["status"] == shown
        assert after["modifiedAt"] > record["modifiedAt"]
        record = after


@pytest.mark.parametrize("body", [{"status": "active"}, {"status": None}, {}, {"status": "former", "x": 1}])
def test_a_status_that_cannot_be_set_is_400(desk: Desk, body: dict[str, Any]) -> None:
    """reference/officernd.md §2.2, §2.7: the sentence names the values."""
    identity = desk.post("/members", MEMBER)["_id"]
    faults = desk.faults_of("PUT", f"/members/{identity}/status", body)
    assert faults <= {"status must be one of the following values: former, contact, auto", "property x should not exist"}
    desk.put(f"/members/{UNKNOWN}/status", {"status": "former"}, expect=404)


@pytest.mark.parametrize("verb", ["PUT", "PATCH"])
def test_a_member_moves_to_another_company_and_its_deals_stay(desk: Desk, verb: str) -> None:
    """reference/officernd.md §2.2, §3.2: 200 with the record."""
    member = desk.post("/members", MEMBER)
    deal = desk.post("/opportunities", {**DESKS, "member": member["_id"]})
    other = desk.post("/companies", COMPANY)["_id"]
    answer = desk.ask(verb, f"/members/{member['_id']}/company", json={"company": other})
    assert (answer.status_code, answer.json()["company"]) == (200, other)
    assert desk.get(f"/opportunities/{deal['_id']}")["company"] == ACME


def test_a_member_that_stays_in_its_company_is_not_touched(desk: Desk) -> None:
    """reference/officernd.md §2.3: as with any PUT, unless the switch says otherwise."""
    path = f"/members/{desk.post('/members', {**MEMBER, 'company': ACME})['_id']}"
    before = desk.get(path)["modifiedAt"]
    desk.advance(1)
    assert desk.put(f"{path}/company", {"company": ACME})["modifiedAt"] == before
    desk.switch(put_same_value_bumps_modified="yes")
    assert desk.put(f"{path}/company", {"company": ACME})["modifiedAt"] > before


def test_a_company_must_be_a_known_id(desk: Desk) -> None:
    """reference/officernd.md §3.2, §7."""
    path = f"/members/{desk.post('/members', MEMBER)['_id']}/company"
    assert desk.faults_of("PUT", path, {}) == {"company must be a string"}
    assert desk.faults_of("PUT", path, {"company": None}) == {"company must be a string"}
    assert "24 character hex" in desk.failure("PUT", path, {"company": ""})
    assert desk.failure("PUT", path, {"company": UNKNOWN}) == "Specified team was not found"
    desk.put(f"/members/{UNKNOWN}/company", {"company": ACME}, expect=404)


def test_a_member_is_detached_when_the_switch_says_so(desk: Desk) -> None:
    """reference/officernd.md §3.2, §8.5."""
    desk.switch(company_detach="allow")
    identity = desk.post("/members", {**MEMBER, "company": ACME})["_id"]
    assert desk.put(f"/members/{identity}/company", {"company": None})["company"] is None


@pytest.mark.parametrize(("position", "other"), [("put", "PATCH"), ("patch", "PUT")])
def test_the_verb_of_status_and_company_is_a_switch(desk: Desk, position: str, other: str) -> None:
    """reference/officernd.md §2.3."""
    desk.switch(status_verb=position, company_verb=position)
    path = f"/members/{desk.post('/members', {**MEMBER, 'location': LONDON})['_id']}"
    assert desk.ask(position.upper(), f"{path}/status", json={"status": "auto"}).status_code == 204
    assert desk.ask(other, f"{path}/status", json={"status": "auto"}).status_code == 404
    assert desk.ask(position.upper(), f"{path}/company", json={"company": ACME}).status_code == 200
    assert desk.ask(other, f"{path}/company", json={"company": ACME}).status_code == 404
