"""The OfficeRnD simulator: the query keys of lists."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.officernd_desk import LONDON, OPEN, SHOREDITCH, UNKNOWN, WON, Desk

ACME = "64b0c0ffee00000000000201"
ADA = "64b0c0ffee00000000000101"
BEN = "64b0c0ffee00000000000102"
CAT = "64b0c0ffee00000000000103"
DEAL = "64b0c0ffee00000000000301"


@pytest.fixture
def desk() -> Desk:
    desk = Desk()
    desk.seed(
        companies=[{"_id": ACME, "name": "Acme", "status": "active", "properties": {"capsule_link_id": "9"}}],
        members=[
            {"_id": ADA, "name": "Ada", "email": "ada+x@a.example", "company": ACME, "modifiedAt": "2026-11-01T10:00:00.500Z"},
            {
                "_id": BEN,
                "name": "Ben",
                "email": "ben@a.example",
                "location": SHOREDITCH,
                "modifiedAt": "2026-11-02T10:00:00Z",
                "properties": {"capsule_link_id": "11588", "Preferred Desk": "by the sea", "loose": "x"},
            },
            {"_id": CAT, "name": "Cat", "manualStatus": "former", "modifiedAt": "2026-11-03T10:00:00Z"},
        ],
        opportunities=[{"_id": DEAL, "name": "Desks", "member": BEN, "company": ACME, "status": OPEN}],
    )
    return desk


def names(desk: Desk, path: str) -> list[str]:
    return [row["name"] for row in desk.get(path)["results"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (f"_id={BEN}", ["Ben"]),
        ("name=Ada", ["Ada"]),
        ("name=ada", []),
        ("name=Ad", []),
        ("email=ben@a.example", ["Ben"]),
        ("email=BEN@a.example", []),
        ("email=ada%2Bx@a.example", ["Ada"]),
        ("email=ada+x@a.example", []),
        (f"location={SHOREDITCH}", ["Ben"]),
        (f"location={LONDON}", ["Ada", "Cat"]),
        (f"company={ACME}", ["Ada"]),
        (f"company={UNKNOWN}", []),
        ("status=former", ["Cat"]),
        ("status[$in]=former,active", ["Ada", "Cat"]),
        ("status%5B%24in%5D=former%2Clead", ["Ben", "Cat"]),
        ("modifiedAt[$gte]=2026-11-02T10:00:00.000Z", ["Ben", "Cat"]),
        ("modifiedAt[$gt]=2026-11-02T10:00:00.000Z", ["Cat"]),
        ("modifiedAt[$lt]=2026-11-02T10:00:00.000Z", ["Ada"]),
        ("modifiedAt[$lte]=2026-11-02T11:00:00.000%2B01:00", ["Ada", "Ben"]),
        ("modifiedAt[$gt]=2026-11-01&modifiedAt[$lt]=2026-11-02", ["Ada"]),
        ("modifiedAt=2026-11-01T10:00:00.500Z", ["Ada"]),
        ("createdAt[$gte]=2026-11-01", ["Ada", "Ben", "Cat"]),
        ("properties[capsule_link_id]=11588", ["Ben"]),
        ("properties%5Bcapsule_link_id%5D=11588", ["Ben"]),
        ("properties[Preferred%20Desk]=by%20the%20sea", ["Ben"]),
        ("properties[capsule_link_id]=1158", []),
        (f"properties[capsule_link_id]=11588&location={LONDON}", []),
    ],
)
def test_members_are_filtered(desk: Desk, query: str, found: list[str]) -> None:
    """reference/officernd.md §2.6: exact, encoded or not, several are joined by and."""
    assert names(desk, f"/members?{query}") == found


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/companies?name=Acme", ["Acme"]),
        ("/companies?status=active", ["Acme"]),
        ("/companies?properties[capsule_link_id]=9", ["Acme"]),
        (f"/opportunities?member={BEN}", ["Desks"]),
        (f"/opportunities?member={ADA}", []),
        (f"/opportunities?company={ACME}", ["Desks"]),
        ("/locations?name=Shoreditch", ["Shoreditch"]),
        ("/locations?isOpen=true&isPublic=true", ["London Bridge", "Shoreditch"]),
        ("/locations?isOpen=false", []),
    ],
)
def test_other_lists_are_filtered(desk: Desk, path: str, found: list[str]) -> None:
    """reference/officernd.md §2.6, table."""
    assert names(desk, path) == found


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/members?phone=1", "phone"),
        ("/members?$skip=10", "$skip"),
        ("/members?$populate=company", "$populate"),
        ("/members?cursorNext=x", "cursorNext"),
        ("/companies?email=a@b.example", "email"),
        ("/opportunities?status=open", "status"),
        ("/opportunities?name=Desks", "name"),
        ("/opportunities?properties[capsule_link_id]=1", "properties"),
        ("/opportunities?$sort[name]=asc", "$sort"),
        ("/locations?code=LB", "code"),
        ("/opportunity-statuses?description=Won", "description"),
        ("/custom-properties?key=capsule_link_id", "key"),
    ],
)
def test_an_unknown_query_key_is_400(desk: Desk, path: str, key: str) -> None:
    """reference/officernd.md §2.6."""
    answer = desk.get(path, expect=400)
    assert answer == {"statusCode": 400, "message": [f"property {key} should not exist"], "error": "Bad Request"}


def test_the_faults_of_a_query_are_named_together(desk: Desk) -> None:
    """reference/officernd.md §2.7."""
    answer = desk.get("/members?$limit=51&foo=1&bar=2&status=gone", expect=400)
    assert len(answer["message"]) == 4


@pytest.mark.parametrize(
    "query",
    [
        "status=open",
        "status[$in]=active,gone",
        "name[$in]=Ada,Ben",
        "name[$sw]=A",
        "modifiedAt[$in]=2026-11-01",
        "modifiedAt[$gte]=yesterday",
        "modifiedAt[$gte]=",
        f"_id[$in]={ADA},{BEN}",
        "email=a@b.example&email=c@d.example",
        "properties=x",
        "properties[capsule_link_id][$in]=1,2",
    ],
)
def test_a_filter_in_a_form_that_is_not_documented_is_400(desk: Desk, query: str) -> None:
    """reference/officernd.md §2.1, §2.6: no text matching; lists of values for statuses only."""
    desk.get(f"/members?{query}", expect=400)


@pytest.mark.parametrize("query", ["_id=none", "location=London", "company=Acme"])
def test_a_filter_by_an_id_that_is_none_is_500(desk: Desk, query: str) -> None:
    """reference/officernd.md §2.7, by analogy with `location` in a body."""
    assert "24 character hex" in desk.get(f"/members?{query}", expect=500)["message"]


def test_a_filter_walks_with_cursors(desk: Desk) -> None:
    """reference/officernd.md §2.4: send the cursor back with the same filters."""
    found: list[str] = []
    query = f"/members?$limit=1&location={LONDON}"
    page: dict[str, Any] = desk.get(query)
    while True:
        found += [row["name"] for row in page["results"]]
        if "cursorNext" not in page:
            break
        page = desk.get(f"{query}&$cursorNext={page['cursorNext']}")
    assert found == ["Ada", "Cat"]


def test_numbers_are_not_found_by_a_string_unless_the_switch_says_so(desk: Desk) -> None:
    """reference/officernd.md §2.6: store external ids in a String property."""
    desk.control("POST", "custom-properties", {"key": "floor", "type": "Number", "targets": ["member"]})
    desk.members(1, properties={"floor": 5})
    assert names(desk, "/members?properties[floor]=5") == []
    desk.switch(number_property_filter="match")
    assert names(desk, "/members?properties[floor]=5") == ["Member 0"]
    assert names(desk, "/members?properties[capsule_link_id]=11588") == ["Ben"]


@pytest.mark.parametrize(("position", "found"), [("nothing", []), ("ignored", ["Ada", "Ben", "Cat"]), ("match", ["Ben"])])
def test_a_filter_on_a_property_that_is_not_set_up_is_a_switch(desk: Desk, position: str, found: list[str]) -> None:
    """reference/officernd.md §3.6, §8.4."""
    desk.switch(undefined_property_filter=position)
    assert names(desk, "/members?properties[loose]=x") == found
    assert names(desk, "/members?properties[capsule_link_id]=11588") == ["Ben"]


def test_a_filter_on_a_property_that_is_not_set_up_can_be_refused(desk: Desk) -> None:
    """reference/officernd.md §3.6, §8.4: set up for members it is not set up for companies."""
    desk.switch(undefined_property_filter="refuse")
    desk.get("/members?properties[Preferred%20Desk]=x")
    desk.get("/companies?properties[Preferred%20Desk]=x", expect=400)


def test_letter_case_in_filters_is_a_switch(desk: Desk) -> None:
    """reference/officernd.md §2.6, §8.7."""
    desk.switch(email_filter_case="ignored", name_filter_case="ignored")
    assert names(desk, "/members?email=BEN@A.example") == ["Ben"]
    assert names(desk, "/members?name=ADA") == ["Ada"]


def test_lists_of_ids_are_a_switch(desk: Desk) -> None:
    """reference/officernd.md §2.6."""
    desk.switch(in_operator="references_too")
    assert names(desk, f"/members?_id[$in]={ADA},{CAT}") == ["Ada", "Cat"]
    assert names(desk, f"/members?location[$in]={SHOREDITCH}") == ["Ben"]


def test_a_changed_record_is_found_by_what_it_is_now(desk: Desk) -> None:
    """reference/officernd.md §2.6: the indexes behind exact matches follow every write."""
    desk.put(f"/members/{BEN}", {"email": "new@a.example", "properties": {"capsule_link_id": "1"}})
    assert names(desk, "/members?email=ben@a.example") == []
    assert names(desk, "/members?email=new@a.example&properties[capsule_link_id]=1") == ["Ben"]
    desk.put(f"/opportunities/{DEAL}", {"status": WON})
    assert names(desk, "/members?status=lead") == []
    desk.ask("DELETE", f"/members/{BEN}")
    assert names(desk, "/members?email=new@a.example") == []
