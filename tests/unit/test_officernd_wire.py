from __future__ import annotations

from typing import Any, Literal

import orjson
import pytest

from workers.answers import Answer
from workers.downstream.officernd import wire
from workers.errors import (
    CredentialsRefused,
    Misconfigured,
    NoAnswer,
    RateLimited,
    Refused,
    SystemDown,
    WorkerError,
)
from workers.limits import Observation

JSON = {"content-type": "application/json; charset=utf-8"}
ID = "64b0c0ffee00000000000101"
DATE = "Fri, 20 Nov 2026 12:00:00 GMT"
NOON = 1_795_176_000


def answer(status: int, document: object = None, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, JSON | (headers or {}), orjson.dumps(document))


def failure(status: int, message: object) -> Answer:
    return answer(status, {"statusCode": status, "message": message, "error": "x"})


@pytest.mark.parametrize(
    ("read", "route", "url"),
    [
        (wire.one("member", ID), "GET /members/{id}", f"/members/{ID}"),
        (wire.page("company", {}), "GET /companies", "/companies?%24limit=50"),
        (
            wire.page("member", {"email": "a+b@example.com"}, cursor="eyJ+/="),
            "GET /members",
            "/members?email=a%2Bb%40example.com&%24limit=50&%24cursorNext=eyJ%2B%2F%3D",
        ),
        (
            wire.page("company", wire.by_link(11587)),
            "GET /companies",
            "/companies?properties%5Bcapsule_link_id%5D=11587&%24limit=50",
        ),
        (wire.page("opportunity-status", {}), "GET /opportunity-statuses", "/opportunity-statuses?%24limit=50"),
    ],
    ids=["one", "a list", "values are encoded", "by link", "statuses"],
)
def test_each_read_has_its_address_and_a_route_without_values(read: wire.Read, route: str, url: str) -> None:
    base = wire.base_url("https://app.example/api/v2/", "acme-spaces")

    assert read.route == route
    assert read.url(base) == "https://app.example/api/v2/organizations/acme-spaces" + url


@pytest.mark.parametrize("text", ["", "../x", ID[:-1], ID + "0", "z" * 24])
def test_only_an_object_id_becomes_part_of_an_address(text: str) -> None:
    with pytest.raises(ValueError, match="24 hex"):
        wire.one("member", text)


def test_no_scope_lets_the_application_delete() -> None:
    assert not [scope for scope in wire.SCOPES if scope.endswith(".delete")]


@pytest.mark.parametrize(
    ("path", "expected"),
    [(f"/members/{ID}/status", "/members/{id}/status"), ("/members/{id}", "/members/{id}"), ("/companies", "/companies")],
)
def test_a_route_is_named_without_ids(path: str, expected: str) -> None:
    assert wire.template(path) == expected


@pytest.mark.parametrize(
    ("resource", "body", "expected"),
    [
        ("member", {"email": " Ada@Example.COM "}, "ada@example.com"),
        ("member", {"email": ""}, ""),
        ("member", {"email": None, "name": "Ada"}, ""),
        ("company", {"name": " Acme ", "email": "x@example.com"}, "Acme"),
        ("opportunity", {"name": "Deal"}, ""),
    ],
    ids=["e-mail in lower case", "empty", "members not by name", "companies by name", "opportunities by nothing"],
)
def test_what_a_record_is_matched_by(resource: str, body: dict[str, Any], expected: str) -> None:
    assert wire.match_of(resource, body) == expected


def minute(side: Literal["read", "write"], **told: int | str) -> dict[str, str]:
    return {f"x-ratelimit-{name}-{side}-minute": str(value) for name, value in told.items()}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            minute("read", limit=400, remaining=399, reset=57),
            (Observation("officernd:acme:read-minute", limit=400, remaining=399, reset_in_ms=57_000),),
        ),
        (
            minute("write", limit=100, remaining=0, reset=NOON + 30) | {"date": DATE},
            (Observation("officernd:acme:write-minute", limit=100, remaining=0, reset_in_ms=30_000),),
        ),
        (minute("read", remaining=1, reset=NOON), (Observation("officernd:acme:read-minute", remaining=1),)),
        ({"x-ratelimit-remaining-read-day": "7"}, (Observation("officernd:acme:read-day", remaining=7),)),
        ({"x-ratelimit-limit-read-minute": "many"}, ()),
        ({}, ()),
    ],
    ids=["seconds left", "a point in time", "a point in time without a date", "the day", "no number", "none"],
)
def test_the_limit_headers(headers: dict[str, str], expected: tuple[Observation, ...]) -> None:
    assert wire.observations(headers, "acme") == expected


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"retry-after-write-minute": "12"}, ("minute", 12_000)),
        ({"retry-after": "7", "retry-after-write-minute": "12"}, ("minute", 12_000)),
        ({"retry-after": "900"}, ("minute", 60_000)),
        ({"retry-after-write-day": "7200"}, ("day", 7_200_000)),
        (minute("write", remaining=0, reset=21), ("minute", 21_000)),
        ({"x-ratelimit-remaining-write-day": "0", "retry-after": "7200"}, ("day", 7_200_000)),
        ({"x-ratelimit-remaining-write-day": "0", "x-ratelimit-reset-write-day": "999999"}, ("day", 86_400_000)),
        ({"retry-after": "Fri, 20 Nov 2026"}, ("minute", 30_000)),
        ({"retry-after": "0"}, ("minute", 30_000)),
        ({}, ("minute", 30_000)),
    ],
    ids=[
        "suffixed",
        "the largest",
        "a minute's wait is cut",
        "the day's is not",
        "the empty bucket's reset",
        "the empty bucket says which",
        "never more than a day",
        "a date",
        "nothing",
        "no header",
    ],
)
def test_what_a_429_means(headers: dict[str, str], expected: tuple[str, int]) -> None:
    assert wire.refusal(headers, "write") == expected


SHARED = [
    pytest.param(answer(302, None, {"location": "/login"}), SystemDown, id="302 to the login page: wrong slug"),
    pytest.param(failure(400, ["name must be a string"]), Refused, id="400 with a list"),
    pytest.param(failure(401, "Unauthorized access"), CredentialsRefused, id="401"),
    pytest.param(failure(403, "Forbidden"), CredentialsRefused, id="403"),
    pytest.param(failure(429, "ThrottlerException: Too Many Requests"), RateLimited, id="429"),
    pytest.param(failure(500, "Organization not found"), Misconfigured, id="500 unknown slug"),
    pytest.param(failure(500, "Path 'name' is required."), Refused, id="500 required"),
    pytest.param(failure(500, "Specified office was not found"), Refused, id="500 unknown location"),
    pytest.param(failure(500, "Cast to ObjectId failed for value"), Refused, id="500 BSON"),
    pytest.param(failure(502, "x"), NoAnswer, id="502"),
    pytest.param(answer(503, None), SystemDown, id="503"),
    pytest.param(failure(504, "x"), NoAnswer, id="504"),
]


@pytest.mark.parametrize(("got", "kind"), SHARED)
def test_what_an_error_means_for_a_read(got: Answer, kind: type[WorkerError]) -> None:
    with pytest.raises(kind, match=rf"officernd: GET /members: {got.status}"):
        wire.decipher_read(got, route="GET /members")


@pytest.mark.parametrize(("got", "kind"), SHARED)
def test_what_an_error_means_for_a_write(got: Answer, kind: type[WorkerError]) -> None:
    with pytest.raises(kind, match=rf"officernd: POST /members: {got.status}"):
        wire.decipher_write(got, route="POST /members", body=b"{}")


def test_an_unknown_500_is_a_failure_to_read_but_may_have_written() -> None:
    got = failure(500, "Something else")

    with pytest.raises(SystemDown):
        wire.decipher_read(got, route="GET /members")
    with pytest.raises(NoAnswer):
        wire.decipher_write(got, route="POST /members", body=b"")


def test_a_refused_write_keeps_what_was_tried_and_masks_the_answer() -> None:
    with pytest.raises(Refused) as caught:
        wire.decipher_write(failure(400, ["ada@example.com is taken"]), route="POST /members", body=b'{"x":1}')

    assert (caught.value.method, caught.value.route, caught.value.body) == ("POST", "POST /members", b'{"x":1}')
    assert "(e-mail) is taken" in caught.value.answer
    assert "ada" not in caught.value.answer


def test_a_missing_item_is_none_but_a_missing_route_is_a_wrong_address() -> None:
    assert wire.decipher_read(failure(404, f"Item with Id ({ID})"), route="GET /members/{id}") is None
    with pytest.raises(Misconfigured):
        wire.decipher_read(failure(404, "Cannot GET /api/v3/organizations/x"), route="GET /members/{id}")


@pytest.mark.parametrize("status", [200, 404])
def test_a_page_of_a_proxy_is_no_answer_to_a_read(status: int) -> None:
    with pytest.raises(SystemDown):
        wire.decipher_read(Answer(status, {"content-type": "text/html"}, b"<html>"), route="r")


@pytest.mark.parametrize("body", [b"<html>", b"[]"], ids=["HTML", "no object"])
def test_a_success_that_cannot_be_read_may_have_written(body: bytes) -> None:
    kind = "text/html" if body.startswith(b"<") else "application/json"
    with pytest.raises(NoAnswer):
        wire.decipher_write(Answer(201, {"content-type": kind}, body), route="r", body=b"")


def test_a_write_without_content_answers_an_empty_record() -> None:
    assert wire.decipher_write(Answer(204, {}, b""), route="r", body=b"") == {}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"results": [{"_id": ID}], "cursorNext": "c"}, ([{"_id": ID}], "c")),
        ({"results": [{"_id": ID}], "cursorNext": ""}, ([{"_id": ID}], None)),
        ({"results": [{"_id": ID}], "cursorNext": None}, ([{"_id": ID}], None)),
        ({"results": []}, ([], None)),
        ([{"_id": ID}], ([{"_id": ID}], None)),
    ],
    ids=["a cursor", "an empty one", "null", "absent", "a bare array"],
)
def test_a_page_and_its_cursor(document: object, expected: tuple[list[dict[str, Any]], str | None]) -> None:
    assert wire.results(document, route="r") == expected


@pytest.mark.parametrize("document", [None, {}, {"results": {}}, {"results": [5]}, {"results": [{"name": "x"}]}])
def test_a_page_without_records_is_refused(document: object) -> None:
    with pytest.raises(SystemDown):
        wire.results(document, route="r")
