"""Capsule's simulator: filters (reference/capsule.md §3.9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.conformance.capsule_desk import Capsule


def condition(field: str, operator: str, value: object) -> dict[str, object]:
    """One condition."""
    return {"field": field, "operator": operator, "value": value}


def results(capsule: Capsule, plural: str, *conditions: object, **more: Any) -> list[int]:
    """The ids of what a filter finds."""
    answer = capsule.ask("POST", f"/{plural}/filters/results", json={"filter": {"conditions": list(conditions), **more}})
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()[plural]]


def test_a_filter_is_a_read_that_pages_and_embeds(capsule: Capsule) -> None:
    """§3.9."""
    capsule.control("POST", "tokens", {"token": "reader", "scope": "read"})
    capsule.control("POST", "seed", {"organisations": 3})
    answer = capsule.ask(
        "POST",
        "/parties/filters/results?perPage=2&embed=tags",
        token="reader",
        json={"filter": {"conditions": [condition("type", "is", "organisation")]}},
    )
    assert answer.status_code == 200
    assert [party["tags"] for party in answer.json()["parties"]] == [[], []]
    assert 'rel="next"' in answer.headers["link"]


def test_every_condition_must_hold(capsule: Capsule) -> None:
    """§3.9: ANDed."""
    both = capsule.person(tags=[{"name": "VIP"}], jobTitle="Director")["id"]
    capsule.person(tags=[{"name": "VIP"}])
    capsule.person(jobTitle="Director")
    assert results(capsule, "parties", condition("tag", "is", "vip"), condition("jobTitle", "is", "Director")) == [both]


@pytest.mark.parametrize(
    ("field", "operator", "value", "found"),
    [
        ("name", "is", "ada example", True),
        ("name", "starts with", "Ada", True),
        ("name", "ends with", "Ada", False),
        ("name", "contains", "exam", True),
        ("email", "is", "ada@example.com", True),
        ("email", "ends with", "@example.org", False),
        ("hasEmailAddress", "is", True, True),
        ("hasPhoneNumber", "is", True, False),
        ("hasTags", "is not", True, True),
        ("jobTitle", "is", None, True),
        ("jobTitle", "is not", None, False),
        ("country", "is", "GB", True),
        ("country", "is", "United Kingdom", False),
        ("type", "is", "person", True),
        ("type", "is", "organisation", False),
        ("org.name", "is", "Acme", True),
        ("org.tag", "is", "member", True),
        ("tag", "is", "member", False),
        ("addedOn", "is within last", 1, True),
        ("addedOn", "is older than", 1, False),
        ("updatedOn", "is after", "2001-01-01", True),
        ("updatedOn", "is before", "2001-01-01", False),
        ("lastContactedOn", "is", None, True),
        ("owner", "is", None, True),
    ],
    ids=str,
)
def test_conditions_on_a_party(capsule: Capsule, field: str, operator: str, value: object, found: bool) -> None:
    """§3.9: the documented fields and operators."""
    organisation = capsule.organisation(name="Acme", tags=[{"name": "member"}])["id"]
    person = capsule.person(
        organisation=organisation,
        emailAddresses=[{"address": "Ada@example.com"}],
        addresses=[{"country": "United Kingdom"}],
    )["id"]
    assert (person in results(capsule, "parties", condition(field, operator, value))) is found


@pytest.mark.parametrize(
    ("field", "operator", "value", "found"),
    [
        ("status", "is", "open", True),
        ("status", "is", "won", False),
        ("milestone", "is", "New", True),
        ("milestone", "is not", "New", False),
        ("pipeline", "is", "Sales", True),
        ("probability", "is greater than", 5, True),
        ("expectedValue", "is greater than", {"currency": "GBP", "amount": 499}, True),
        ("expectedValue", "is less than", {"currency": "GBP", "amount": 499}, False),
        ("isOpen", "is", True, True),
        ("closedOn", "is", None, True),
    ],
    ids=str,
)
def test_conditions_on_an_opportunity(capsule: Capsule, field: str, operator: str, value: object, found: bool) -> None:
    """§3.9."""
    deal = capsule.opportunity(value={"amount": 500, "currency": "GBP"})["id"]
    assert (deal in results(capsule, "opportunities", condition(field, operator, value))) is found


def test_tags_and_owners_are_taken_by_id_or_by_name(capsule: Capsule) -> None:
    """§3.9 [V]."""
    person = capsule.person(tags=[{"name": "VIP"}])
    assert results(capsule, "parties", condition("tag", "is", person["tags"][0]["id"])) == [person["id"]]
    assert results(capsule, "parties", condition("tag", "is not", "VIP")) == []


def test_custom_fields_of_a_person_and_of_its_organisation(capsule: Capsule) -> None:
    """§3.9: custom:{fieldId} and org.custom:{fieldId}."""
    field = next(row["id"] for row in capsule.get("/parties/fields/definitions")["definitions"] if row["name"] == "Plan")
    organisation = capsule.organisation(fields=[{"definition": field, "value": "Flex"}])["id"]
    person = capsule.person(organisation=organisation)["id"]
    assert results(capsule, "parties", condition(f"custom:{field}", "is", "Flex")) == [organisation]
    assert results(capsule, "parties", condition(f"org.custom:{field}", "is", "Flex")) == [person]


@pytest.mark.parametrize("field", ["createdAt", "updatedAt", "custom:5", "isStale", None, "tags"])
def test_an_unknown_field_is_422(capsule: Capsule, field: str | None) -> None:
    """§3.9: filter names differ from response names."""
    answer = capsule.ask("POST", "/parties/filters/results", json={"filter": {"conditions": [condition(str(field), "is", None)]}})
    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (422, "invalid field name")


@pytest.mark.parametrize(
    ("field", "operator", "value"),
    [
        ("tag", "contains", "V"),
        ("name", "is after", "2001-01-01"),
        ("addedOn", "is after", "2001"),
        ("hasTags", "is", "yes"),
        ("name", "like", "A"),
    ],
    ids=str,
)
def test_an_operator_or_value_that_does_not_suit_the_field_is_422(
    capsule: Capsule, field: str, operator: str, value: object
) -> None:
    """§3.9."""
    answer = capsule.ask("POST", "/parties/filters/results", json={"filter": {"conditions": [condition(field, operator, value)]}})
    assert answer.status_code == 422


@pytest.mark.parametrize("body", [{}, {"filter": {}}, {"filter": {"conditions": [{"conditions": []}]}}], ids=str)
def test_a_body_that_is_no_filter_is_400(capsule: Capsule, body: object) -> None:
    """§3.9: the JSON of a nested group is unknown, so there is none."""
    assert capsule.ask("POST", "/parties/filters/results", json=body).status_code == 400


def test_order_by_is_a_switch(capsule: Capsule) -> None:
    """§3.9: unsettled."""
    second, first = capsule.organisation(name="B")["id"], capsule.organisation(name="A")["id"]
    order = [{"field": "name", "direction": "ascending"}]
    assert results(capsule, "parties", orderBy=order) == [second, first]
    capsule.switch(filter_order_by="honoured")
    assert results(capsule, "parties", orderBy=order) == [first, second]
