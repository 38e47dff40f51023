from __future__ import annotations

import pytest

from workers.answers import EXCERPT, Answer, NotJson, copy_of, mask
from workers.errors import RateLimited, Refused, WorkerError

JSON = {"content-type": "application/json; charset=utf-8"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "text/html"}, b'{"ok": 1}'),
        ({}, b'{"ok": 1}'),
        ({"content-type": "application/jsonp"}, b"{}"),
        (JSON, b'{"ok": '),
        (JSON, b""),
    ],
    ids=["another type", "no type", "nearly the type", "broken", "empty"],
)
def test_only_whole_json_of_the_right_type_is_data(headers: dict[str, str], body: bytes) -> None:
    with pytest.raises(NotJson):
        Answer(200, headers, body).json()


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON ; charset=utf-8", "application/problem+json"])
def test_json_of_any_charset_or_suffix_is_read(kind: str) -> None:
    assert Answer(200, {"content-type": kind}, b'{"ok": 1}').json() == {"ok": 1}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"message": ["name must be a string", "x"]}', "name must be a string; x"),
        (b'{"message": "Unauthorized access"}', "Unauthorized access"),
        (b'{"error": "rate limit reached"}', "rate limit reached"),
        (b'{"message": 5}', ""),
        (b"[1]", ""),
        (b"<html>", ""),
    ],
    ids=["a list", "a string", "Capsule's 429", "neither", "no object", "no JSON"],
)
def test_messages_come_as_lists_and_as_strings(body: bytes, expected: str) -> None:
    assert Answer(400, JSON, body).message() == expected


def test_an_excerpt_is_short_and_on_one_line_and_names_nobody() -> None:
    body = b'{"message": "ada.lovelace+x@example.com exists\r\nFAKE LOG LINE"}' + b"y" * 5000

    excerpt = Answer(400, JSON, body).excerpt()

    assert "lovelace" not in excerpt
    assert "(e-mail) exists FAKE LOG LINE" in excerpt
    assert len(excerpt) == EXCERPT
    assert excerpt.isprintable()


def test_an_address_at_the_cut_is_masked_too() -> None:
    assert "ada" not in Answer(400, JSON, b" " * (EXCERPT - 4) + b"ada@example.com").excerpt()


def test_masking_leaves_other_text_alone() -> None:
    assert mask("property X should not exist") == "property X should not exist"


@pytest.mark.parametrize(
    "error",
    [RateLimited("wait", wait_ms=5, system="capsule"), Refused("no", method="PUT", body=b"{}", advice="Look.")],
    ids=lambda error: type(error).__name__,
)
def test_a_copied_error_says_the_same(error: WorkerError) -> None:
    twin = copy_of(error)

    assert twin is not error
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)
