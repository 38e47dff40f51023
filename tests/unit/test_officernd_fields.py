from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mapping import officernd_fields as fields
from tests.simulators.officernd import schemas

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mapping.values import Json
    from tests.simulators.officernd.checks import Field


@pytest.mark.parametrize(
    ("field", "a", "b", "alike"),
    [
        ("email", "Ada@Acme.Example", " ada@acme.example", True),
        ("email", "ada@acme.example", "bob@acme.example", False),
        ("name", "Ada  Example ", "Ada Example", True),
        ("name", "Ada Example", "ADA EXAMPLE", False),
        ("phone", "+44 113", "(44)113", True),
        ("properties.capsule_phone", "+44 113", "(44)113", True),
        ("properties.other", "+44 113", "(44)113", False),
        ("url", "acme.example", "https://ACME.example/", True),
        ("url", "acme.example", "acme.org", False),
        ("url", "https://", "", False),
        ("socialProfiles.twitter", "https://twitter.com/ada", "@Ada", True),
        ("properties.capsule_twitter", "ada", "@ada", True),
        ("socialProfiles.linkedin", "ada", "@ada", False),
        ("startDate", "2026-03-04T10:00:00.000Z", "2026-03-04", True),
        ("startDate", "2026-03-04", "2026-03-05", False),
        ("startDate", "soon", "soon", True),
        ("properties.capsule_link_id", "501", 501, True),
        ("properties.capsule_deal_size", "500.0", 500, True),
        ("dealSize", 0, None, False),
        ("dealSize", 0, 0.0, True),
        ("phone", "", None, True),
        ("phone", " ", None, True),
        ("tags", [], None, True),
        ("phone", "1", None, False),
        ("isContactPerson", False, None, False),
        ("email", "5", 5, True),
        ("phone", "5", 5, True),
        ("url", "acme.example", 5, False),
        ("startDate", "2026-03-04", 5, False),
    ],
)
def test_values_of_a_field_are_compared_without_regard_to_form(field: str, a: Json, b: Json, *, alike: bool) -> None:
    assert fields.same(field, a, b) is alike
    assert fields.same(field, b, a) is alike


def test_a_record_is_flattened_without_what_is_absent_null_or_empty() -> None:
    body: dict[str, Json] = {
        "_id": "m",
        "name": "Ada",
        "email": "",
        "phone": None,
        "company": "c",
        "location": "l",
        "status": "contact",
        "startDate": "2026-03-04T00:00:00.000Z",
        "properties": {"capsule_link_id": "501", "hubspot_link_id": None, "a.b": 0, "no": ""},
        "socialProfiles": {"twitter": "ada", "linkedin": ""},
        "address": {},
        "billingDetails": None,
        "tags": [],
        "isContactPerson": False,
        "createdAt": "2026-03-04T00:00:00.000Z",
        "modifiedBy": "x",
    }
    assert fields.observed("member", body) == {
        "name": "Ada",
        "company": "c",
        "location": "l",
        "status": "contact",
        "startDate": "2026-03-04T00:00:00.000Z",
        "properties.capsule_link_id": "501",
        "properties.a.b": 0,
        "socialProfiles.twitter": "ada",
        "isContactPerson": False,
    }


def test_absent_null_and_empty_read_alike() -> None:
    for resource in fields.RESOURCES:
        known = fields.POST[resource] | fields.PUT[resource] | {"status"}
        empties: list[Json] = [None, "", [], {}]
        assert all(fields.observed(resource, dict.fromkeys(known, empty)) == {} for empty in empties)


@pytest.mark.parametrize(
    ("resource", "posted", "put"),
    [
        ("company", schemas.COMPANY, schemas.COMPANY),
        ("member", schemas.MEMBER_POST, schemas.MEMBER_PUT),
        ("opportunity", schemas.OPPORTUNITY_POST, schemas.OPPORTUNITY_PUT),
    ],
)
def test_each_verb_takes_the_fields_and_types_that_the_simulator_read_from_the_reference(
    resource: str, posted: Mapping[str, Field], put: Mapping[str, Field]
) -> None:
    """Two people wrote the two tables down from one reference."""
    assert fields.POST[resource] == set(posted)
    assert fields.PUT[resource] == set(put)
    types = {"flag": "truth", "date": "date", "whole": "number", "number": "number", "texts": "list"}
    for name, field in {**posted, **put}.items():
        if name not in fields.BAGS:
            assert fields.type_of(name) == types.get(field.kind, "text"), name


def test_what_the_api_requires_or_cannot_empty_is_never_cleared() -> None:
    assert {
        "company": {"name", "location", "startDate"},
        "member": {"name", "company", "startDate"},
        "opportunity": {"name", "status"},
    } == fields.NEVER_CLEARED


@pytest.mark.parametrize(
    ("resource", "fixed"),
    [
        ("company", set()),
        ("member", {"location", "description"}),
        ("opportunity", {"member", "company", "probability", "dealSize", "membersCount", "resources", "requestedPlans"}),
    ],
)
def test_what_is_fixed_at_creation_is_what_the_reference_says(resource: str, fixed: set[str]) -> None:
    assert fields.fixed_at_creation(resource) == fixed


@pytest.mark.parametrize(
    ("field", "before", "sent"),
    [
        ("phone", "1", ""),
        ("socialProfiles.twitter", "ada", ""),
        ("properties.capsule_twitter", None, ""),
        ("properties.capsule_probability", 65, None),
        ("properties.capsule_deal_size", None, None),
        ("properties.plan", "Gold", ""),
        ("properties.plan", 5, None),
        ("properties.plan", True, None),
        ("properties.plan", ["a"], []),
        ("properties.plan", None, None),
        ("startDate", "2026-03-04T00:00:00.000Z", None),
        ("membersCount", 5, None),
        ("tags", ["a"], []),
        ("isContactPerson", True, False),
        ("status", "former", "auto"),
    ],
)
def test_a_field_is_cleared_in_the_form_that_the_api_takes(field: str, before: Json, sent: Json) -> None:
    found = fields.cleared(field, before)
    assert (found, type(found)) == (sent, type(sent))
