from __future__ import annotations

from typing import Any

import orjson
import pytest

from workers.answers import Answer
from workers.capsule import wire
from workers.errors import (
    CredentialsRefused,
    NoAnswer,
    RateLimited,
    Refused,
    SystemDown,
    WorkerError,
)
from workers.limits import Observation

JSON = {"content-type": "application/json"}
DATE = "Fri, 20 Nov 2026 12:00:00 GMT"
NOON = 1_795_176_000


def answer(status: int, document: object = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, JSON | named, orjson.dumps(document))


@pytest.mark.parametrize(
    ("read", "route", "url"),
    [
        (wire.records("party", (7,)), "GET /parties/{id}", "/parties/7?embed=tags,fields,organisation"),
        (wire.records("party", (7, 8)), "GET /parties/{ids}", "/parties/7,8?embed=tags,fields,organisation"),
        (wire.records("opportunity", (7,)), "GET /opportunities/{id}", "/opportunities/7?embed=tags,fields,milestone"),
        (
            wire.listing("party", page=3, since="2026-11-20T00:00:00Z"),
            "GET /parties",
            "/parties?since=2026-11-20T00:00:00Z&page=3&perPage=100&embed=tags,fields,organisation",
        ),
        (
            wire.listing("opportunity", page=1),
            "GET /opportunities",
            "/opportunities?page=1&perPage=100&embed=tags,fields,milestone",
        ),
        (
            wire.people(5, page=2),
            "GET /parties/{id}/people",
            "/parties/5/people?page=2&perPage=100&embed=tags,fields,organisation",
        ),
        (
            wire.opportunities_of(5, page=1),
            "GET /parties/{id}/opportunities",
            "/parties/5/opportunities?page=1&perPage=100&embed=tags,fields,milestone",
        ),
        (wire.pipelines(page=1), "GET /pipelines", "/pipelines?page=1&perPage=100"),
        (wire.milestones(4, page=1), "GET /pipelines/{id}/milestones", "/pipelines/4/milestones?page=1&perPage=100"),
    ],
    ids=lambda value: value if isinstance(value, str) and value.startswith("GET") else "",
)
def test_each_read_has_its_address_and_a_route_without_ids(read: wire.Read, route: str, url: str) -> None:
    assert read.route == route
    assert read.url("https://capsule.example/api/v2/") == "https://capsule.example/api/v2" + url


@pytest.mark.parametrize("ids", [(), tuple(range(11))], ids=["none", "eleven"])
def test_a_call_takes_one_to_ten_ids(ids: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="1 to 10"):
        wire.records("party", ids)


NEXT = '<https://api.capsulecrm.com/api/v2/parties?page=4>; rel="next"'


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (NEXT, {"next": "https://api.capsulecrm.com/api/v2/parties?page=4"}),
        (
            f'<https://x/?page=2>; rel="prev", {NEXT}',
            {"prev": "https://x/?page=2", "next": "https://api.capsulecrm.com/api/v2/parties?page=4"},
        ),
        ("<https://x/?q=a,b;c&page=9>; title=t; rel=next", {"next": "https://x/?q=a,b;c&page=9"}),
        ('<https://x/>; rel="next last"', {"next": "https://x/", "last": "https://x/"}),
        ("", {}),
        ("nonsense; rel=next", {}),
    ],
    ids=["next", "two", "bare word and commas in the target", "two relations", "empty", "no target"],
)
def test_link_headers_are_read(header: str, expected: dict[str, str]) -> None:
    assert wire.links(header) == expected


@pytest.mark.parametrize(
    ("headers", "page", "expected"),
    [
        ({"link": NEXT}, 3, 4),
        ({"link": NEXT, "x-pagination-has-more": "true"}, 3, 4),
        ({"link": NEXT, "x-pagination-has-more": "false"}, 3, None),
        ({"link": NEXT}, 4, 5),
        ({"link": NEXT}, 9, 10),
        ({"link": "<https://evil.example/?page=x>; rel=next"}, 3, 4),
        ({"link": "<https://[>; rel=next"}, 3, 4),
        ({"x-pagination-has-more": "true"}, 3, 4),
        ({"x-pagination-has-more": "false"}, 3, None),
        ({}, 3, None),
    ],
    ids=[
        "the link's page",
        "both signals agree",
        "has-more ends it",
        "a link that stays goes on by one",
        "a link that goes back goes on by one",
        "a page that is no number",
        "an address that is none",
        "has-more alone",
        "has-more false alone",
        "neither signal is the end",
    ],
)
def test_the_next_page(headers: dict[str, str], page: int, expected: int | None) -> None:
    assert wire.next_page(headers, page) == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {"x-ratelimit-limit": "4000", "x-ratelimit-remaining": "56", "x-ratelimit-reset": str(NOON + 90), "date": DATE},
            Observation("w", limit=4000, remaining=56, reset_in_ms=90_000),
        ),
        (
            {"x-ratelimit-limit": "4000", "x-ratelimit-remaining": "0", "x-ratelimit-reset": str(NOON - 5), "date": DATE},
            Observation("w", limit=4000, remaining=0, reset_in_ms=0),
        ),
        ({"x-ratelimit-remaining": "56", "x-ratelimit-reset": str(NOON)}, Observation("w", remaining=56)),
        ({"x-ratelimit-limit": "many"}, None),
        ({}, None),
    ],
    ids=["whole", "a reset in the past", "no date to compare with", "no number", "none"],
)
def test_the_limit_headers(headers: dict[str, str], expected: Observation | None) -> None:
    assert wire.observation(headers, "w") == expected


def test_a_refusal_waits_until_the_reset() -> None:
    refused = answer(429, {"error": "rate limit reached"}, x_ratelimit_reset=str(NOON + 120), date=DATE)

    with pytest.raises(RateLimited) as caught:
        wire.decipher(refused, route="GET /parties")

    assert caught.value.wait_ms == 120_000
    assert caught.value.status == 429


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, 60_000),
        ({"x_ratelimit_reset": str(NOON + 90_000), "date": DATE}, 3_600_000),
        ({"x_ratelimit_reset": str(NOON), "date": DATE}, 1000),
    ],
    ids=["not told: a minute", "never longer than the window", "never at once"],
)
def test_a_refusal_without_a_usable_reset(headers: dict[str, str], expected: int) -> None:
    assert wire.wait_ms(answer(429, **headers).headers) == expected


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, SystemDown),
        (302, SystemDown),
        (400, Refused),
        (401, CredentialsRefused),
        (403, CredentialsRefused),
        (405, Refused),
        (408, SystemDown),
        (422, Refused),
        (500, SystemDown),
        (502, NoAnswer),
        (503, SystemDown),
        (504, NoAnswer),
        (204, SystemDown),
    ],
)
def test_every_status_has_its_error(status: int, kind: type[WorkerError]) -> None:
    with pytest.raises(kind) as caught:
        wire.decipher(answer(status, {"message": "ada@example.com"}), route="GET /parties/{id}")

    assert str(caught.value).startswith(f"capsule: GET /parties/{{id}}: {status}")
    assert "ada" not in str(caught.value)
    assert "ada" not in getattr(caught.value, "answer", "")


def test_a_record_that_is_not_found_is_none() -> None:
    assert wire.decipher(answer(404, {"message": "Could not find resource"}), route="r") is None


@pytest.mark.parametrize("status", [200, 404])
def test_a_page_of_a_proxy_is_no_answer_of_capsule(status: int) -> None:
    with pytest.raises(SystemDown):
        wire.decipher(Answer(status, {"content-type": "text/html"}, b"<html>"), route="r")


def test_a_list_where_an_object_belongs_is_refused() -> None:
    with pytest.raises(SystemDown):
        wire.decipher(answer(200, []), route="r")


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"party": {"id": 7, "type": "person"}}, {"id": 7, "type": "person"}),
        ({"party": {"id": 7, "isRestricted": True, "lastName": "Private"}}, None),
        ({"party": {"id": 8}}, None),
    ],
    ids=["found", "restricted", "another record"],
)
def test_one_record(document: dict[str, Any], expected: dict[str, Any] | None) -> None:
    assert wire.one(document, "party", 7) == expected


@pytest.mark.parametrize(
    "document", [{}, {"party": None}, {"party": {"id": "7"}}, {"party": {"id": True}}, {"party": [{"id": 7}]}]
)
def test_an_answer_without_the_record_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(SystemDown):
        wire.one(document, "party", 7)


@pytest.mark.parametrize("document", [{}, {"parties": {}}, {"parties": [7]}, {"parties": [{"name": "x"}]}])
def test_an_answer_without_the_list_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(SystemDown):
        wire.many(document, "parties", route="GET /parties")
