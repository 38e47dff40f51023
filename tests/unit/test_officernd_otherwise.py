"""The other form of a call that OfficeRnD refused for its form (reference/officernd.md §2.3)."""

from __future__ import annotations

from typing import Any

import pytest

from mapping.officernd import Write, otherwise


def call(path: str = "/members/x", **body: Any) -> Write:
    return Write("PUT", path, body, creates=False, covers=tuple(body))


def test_a_route_that_does_not_know_put_is_asked_with_patch() -> None:
    write = call("/members/x/status", status="former")
    other = otherwise(write, status=404, message="Cannot PUT /api/v2/organizations/acme/members/x/status")
    assert other is not None
    assert (other.method, other.path, other.body) == ("PATCH", write.path, write.body)
    # The other verb is tried once.
    assert otherwise(other, status=404, message="Cannot PATCH /api/v2/organizations/acme/members/x/status") is None


def test_a_record_that_is_not_there_is_not_asked_again() -> None:
    assert otherwise(call(status="former"), status=404, message="Item with Id (x)") is None


def test_a_text_that_may_not_be_empty_is_cleared_with_null() -> None:
    write = call(email="", name="Ada", socialProfiles={"twitter": "", "linkedin": ""}, properties={"plan": ""})
    message = "email should not be empty; socialProfiles.twitter should not be empty"
    other = otherwise(write, status=400, message=message)
    assert other is not None
    assert other.body == {
        "email": None,
        "name": "Ada",
        "socialProfiles": {"twitter": None, "linkedin": ""},
        "properties": {"plan": ""},
    }
    assert otherwise(other, status=400, message=message) is None


def test_only_the_field_that_a_line_of_the_refusal_begins_with_is_cleared() -> None:
    other = otherwise(call(email="", phone=""), status=400, message="email must be set when phone is not")
    assert other is not None
    assert other.body == {"email": None, "phone": ""}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "name must be a string"),
        (400, "phone should not be empty"),
        (400, ""),
        (500, "email should not be empty"),
        (422, "email"),
    ],
)
def test_any_other_refusal_has_no_other_form(status: int, message: str) -> None:
    assert otherwise(call(email="", name="Ada", phone="1"), status=status, message=message) is None
