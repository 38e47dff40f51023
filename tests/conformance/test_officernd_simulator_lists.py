"""The OfficeRnD simulator: paging, `$select`, `$sort`."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from tests.conformance.officernd_desk import Desk


@pytest.fixture
def desk() -> Desk:
    return Desk()


def ids(page: dict[str, Any]) -> list[str]:
    return [row["_id"] for row in page["results"]]


def opened(cursor: str) -> dict[str, Any]:
    """What a cursor says, as `reference/officernd.md` §2.4 decoded one."""
    assert not set(cursor) & set("+/=")
    document: dict[str, Any] = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    return document


def test_an_empty_list_has_no_range_and_no_cursors(desk: Desk) -> None:
    """reference/officernd.md §2.4."""
    assert desk.get("/members") == {"rangeStart": 0, "rangeEnd": 0, "results": []}


def test_a_walk_meets_every_record_once_in_order_of_creation(desk: Desk) -> None:
    """reference/officernd.md §2.4: ranges count from 1; the first page has no cursorPrev, the last no cursorNext; no total."""
    everybody = desk.members(120)
    assert everybody == sorted(everybody)
    first = desk.get("/members")
    second = desk.get(f"/members?$cursorNext={first['cursorNext']}")
    third = desk.get(f"/members?%24cursorNext={second['cursorNext']}")
    assert [set(page) - {"results"} for page in (first, second, third)] == [
        {"rangeStart", "rangeEnd", "cursorNext"},
        {"rangeStart", "rangeEnd", "cursorNext", "cursorPrev"},
        {"rangeStart", "rangeEnd", "cursorPrev"},
    ]
    assert [(page["rangeStart"], page["rangeEnd"]) for page in (first, second, third)] == [(1, 50), (51, 100), (101, 120)]
    assert ids(first) + ids(second) + ids(third) == everybody
    assert opened(first["cursorNext"]) == {"k": "_id", "p": 50, "v": everybody[49]}


def test_a_walk_can_turn_back(desk: Desk) -> None:
    """reference/officernd.md §2.4: cursorPrev."""
    everybody = desk.members(7)
    second = desk.get(f"/members?$limit=3&$cursorNext={desk.get('/members?$limit=3')['cursorNext']}")
    third = desk.get(f"/members?$limit=3&$cursorNext={second['cursorNext']}")
    back = desk.get(f"/members?$limit=3&$cursorPrev={third['cursorPrev']}")
    assert ids(back) == everybody[3:6]
    assert (back["rangeStart"], back["rangeEnd"]) == (4, 6)
    first = desk.get(f"/members?$limit=3&$cursorPrev={back['cursorPrev']}")
    assert ids(first) == everybody[:3]
    assert "cursorPrev" not in first
    assert "cursorNext" in first


def test_a_walk_is_by_key_and_not_by_position(desk: Desk) -> None:
    """reference/officernd.md §2.4: a deletion does not shift pages, and a new record lands at the end."""
    everybody = desk.members(6)
    first = desk.get("/members?$limit=3")
    desk.ask("DELETE", f"/members/{everybody[0]}")
    new = desk.members(1)
    rest = desk.get(f"/members?$limit=50&$cursorNext={first['cursorNext']}")
    assert ids(rest) == everybody[3:] + new


@pytest.mark.parametrize(
    ("limit", "shown", "has_more"),
    [("1", 1, True), ("49", 49, True), ("50", 50, True), ("0", 20, True), ("-1", 60, False), ("-5", 3, True)],
)
def test_a_limit_is_honoured_as_it_was_observed(desk: Desk, limit: str, shown: int, has_more: bool) -> None:
    """reference/officernd.md §2.4, table of `$limit`."""
    desk.members(60)
    page = desk.get(f"/members?$limit={limit}")
    assert len(page["results"]) == page["rangeEnd"] == shown
    assert ("cursorNext" in page) is has_more


@pytest.mark.parametrize(
    ("limit", "sentence"),
    [
        ("51", "$limit must not be greater than 50"),
        ("100", "$limit must not be greater than 50"),
        ("abc", "$limit must be a number conforming to the specified constraints"),
        ("1.5", "$limit must be a number conforming to the specified constraints"),
        ("", "$limit must be a number conforming to the specified constraints"),
    ],
)
def test_a_limit_that_is_too_great_or_no_number_is_400(desk: Desk, limit: str, sentence: str) -> None:
    """reference/officernd.md §2.4, table of `$limit`."""
    answer = desk.get(f"/members?$limit={limit}", expect=400)
    assert answer == {"statusCode": 400, "message": [sentence], "error": "Bad Request"}


def test_a_limit_of_minus_two_is_500(desk: Desk) -> None:
    """reference/officernd.md §2.4, table of `$limit`."""
    desk.members(3)
    assert desk.get("/members?$limit=-2", expect=500)["message"] == "Cannot read properties of undefined (reading '_id')"


@pytest.mark.parametrize("path", ["/opportunity-statuses", "/custom-properties", "/locations", "/companies", "/opportunities"])
def test_every_list_is_a_page(desk: Desk, path: str) -> None:
    """reference/officernd.md §2.4: one shape and one `$limit` for all of them."""
    assert set(desk.get(path)) >= {"rangeStart", "rangeEnd", "results"}
    assert len(desk.get(f"{path}?$limit=1")["results"]) <= 1
    desk.get(f"{path}?$limit=51", expect=400)


@pytest.mark.parametrize("cursor", ["rubbish", "", quote("{}"), base64.urlsafe_b64encode(b"[1]").decode().rstrip("=")])
def test_a_garbage_cursor_is_500(desk: Desk, cursor: str) -> None:
    """reference/officernd.md §2.4: with the message of a JSON parser."""
    answer = desk.get(f"/members?$cursorNext={cursor}", expect=500)
    assert "JSON" in answer["message"] or "undefined" in answer["message"]


def test_both_cursors_at_once_hang_and_then_fail(desk: Desk) -> None:
    """reference/officernd.md §2.4: 504."""
    desk.limit(hang_seconds=0)
    answer = desk.ask("GET", "/members?$cursorNext=a&$cursorPrev=b")
    assert answer.status_code == 504
    assert answer.headers["content-type"].startswith("text/html")


def test_select_gives_the_keys_and_the_id(desk: Desk) -> None:
    """reference/officernd.md §2.5: unknown names are ignored; by id it is ignored whole."""
    identity = desk.members(1, email="a@b.example")[0]
    assert desk.get("/members?$select=_id,name,status")["results"] == [{"_id": identity, "name": "Member 0", "status": "contact"}]
    assert desk.get("/members?$select=nothing")["results"] == [{"_id": identity}]
    assert desk.get(f"/members/{identity}?$select=name")["email"] == "a@b.example"


def test_an_empty_select_is_400(desk: Desk) -> None:
    """reference/officernd.md §2.5."""
    desk.get("/members?$select=", expect=400)


@pytest.mark.parametrize(
    "form", ["$sort[name]=desc", "$sort=name:desc", f"$sort={quote(json.dumps({'name': 'desc'}))}", "%24sort%5Bname%5D=desc"]
)
def test_members_sort_in_any_likely_form(desk: Desk, form: str) -> None:
    """reference/officernd.md §2.5: the wire form is unclear."""
    everybody = desk.members(5)
    page = desk.get(f"/members?$limit=3&{form}")
    assert ids(page) == everybody[:1:-1]
    assert ids(desk.get(f"/members?$limit=3&{form}&$cursorNext={page['cursorNext']}")) == everybody[1::-1]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/members?$sort[modifiedAt]=asc", 200),
        ("/members?$sort[startDate]=asc", 400),
        ("/members?$sort[name]=up", 400),
        ("/companies?$sort[startDate]=asc", 200),
        ("/companies?$sort[modifiedAt]=asc", 400),
        ("/opportunities?$sort[name]=asc", 400),
        ("/locations?$sort[name]=asc", 400),
    ],
)
def test_only_some_lists_sort_and_only_by_some_keys(desk: Desk, path: str, status: int) -> None:
    """reference/officernd.md §2.5."""
    desk.get(path, expect=status)


def test_a_walk_sorted_by_time_loses_records_that_share_a_moment(desk: Desk) -> None:
    """reference/officernd.md §3.9: page by `_id`."""
    desk.members(4, modifiedAt="2026-11-01T06:05:00.000Z")
    first = desk.get("/members?$limit=2&$sort[modifiedAt]=asc")
    second = desk.get(f"/members?$limit=2&$sort[modifiedAt]=asc&$cursorNext={first['cursorNext']}")
    assert len(first["results"]) == 2
    assert second["results"] == []


def test_a_cursor_can_be_made_to_repeat(desk: Desk) -> None:
    """reference/officernd.md §6.4, §7 Faults: a client must guard against it."""
    desk.members(3)
    desk.switch(repeated_cursor="yes")
    cursor = desk.get("/members?$limit=1")["cursorNext"]
    page = desk.get(f"/members?$limit=1&$cursorNext={cursor}")
    assert page["cursorNext"] == cursor


def test_properties_stand_in_lists_and_are_left_out_by_id_when_empty(desk: Desk) -> None:
    """reference/officernd.md §3."""
    identity = desk.members(1)[0]
    assert desk.get("/members")["results"][0]["properties"] == {}
    assert "properties" not in desk.get(f"/members/{identity}")


def test_a_count_ignores_every_filter(desk: Desk) -> None:
    """reference/officernd.md §2.2, §2.6: also unknown keys; and companies have no count."""
    desk.members(3, email="a@b.example")
    assert desk.get("/members/count?email=nobody@b.example&rubbish=1") == {"total": 3}
    assert desk.get("/opportunities/count") == {"total": 0}
    assert desk.get("/companies/count", expect=404)["message"] == "Item with Id (count)"


@pytest.mark.parametrize("resource", ["members", "companies", "opportunities", "locations"])
@pytest.mark.parametrize("identity", ["64b0c0ffee00000000009999", "none"])
def test_an_unknown_id_is_404_whatever_its_form(desk: Desk, resource: str, identity: str) -> None:
    """reference/officernd.md §2.7; unknown query keys are ignored by id (§2.6)."""
    answer = desk.get(f"/{resource}/{identity}?rubbish=1", expect=404)
    assert answer == {"statusCode": 404, "message": f"Item with Id ({identity})", "error": "Not Found"}


def test_the_lists_that_staff_keep_have_the_vendors_shape(desk: Desk) -> None:
    """reference/officernd.md §3.4 to §3.6."""
    statuses = desk.get("/opportunity-statuses")["results"]
    assert [(row["probability"], row["isSystem"]) for row in statuses] == [
        (10, True),
        (40, False),
        (100, True),
        (0, True),
        (50, False),
    ]
    assert all("description" in row and "name" not in row for row in statuses)
    assert [row["name"] for row in desk.get("/locations")["results"]] == ["London Bridge", "Shoreditch"]
    link = next(row for row in desk.get("/custom-properties")["results"] if row["key"] == "capsule_link_id")
    assert (link["type"], link["targets"]) == ("String", ["member", "team", "lead"])
