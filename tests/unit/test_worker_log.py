"""Log lines of the workers: one form for everybody's, and nothing secret in them even by accident."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import pytest
import structlog

from workers import log
from workers.errors import SystemDown

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def said() -> io.StringIO:
    stream = io.StringIO()
    log.configure("json", process="worker", stream=stream)
    return stream


def last(said: io.StringIO) -> dict[str, object]:
    document: dict[str, object] = json.loads(said.getvalue().splitlines()[-1])
    return document


def fail(text: str) -> None:
    raise ValueError(text)


def test_a_line_says_what_which_record_and_who(said: io.StringIO) -> None:
    log.get("workers.flows").info("in_step", connection="acme", record="party|7", ms=12)
    found = last(said)
    assert found.pop("timestamp")
    assert found == {
        "event": "in_step",
        "connection": "acme",
        "record": "party|7",
        "ms": 12,
        "level": "info",
        "logger": "workers.flows",
        "process": "worker",
    }


def test_a_library_s_line_has_the_same_form(said: io.StringIO) -> None:
    logging.getLogger("dramatiq.worker").warning("queue %s", "live")
    assert last(said)["event"] == "queue live"


def test_httpx_does_not_log_addresses(said: io.StringIO) -> None:
    logging.getLogger("httpx").info("HTTP Request: GET https://api.example.org/?q=canary")
    assert said.getvalue() == ""


@pytest.mark.parametrize(
    "text",
    [
        "mail canary@example.org now",
        "Authorization: Bearer canary.canary-canary",
        "POST /hooks/capsule/acme/canary_canary-canary 202",
        "GET https://app.example.org/members?email=canary",
        "redis://relay:canary@cache:6379/0",
        "key whsec_canarycanary/canary+canary=",
        "gAAAAABcanarycanarycanarycanary==",
    ],
)
def test_what_looks_secret_is_hidden_wherever_it_stands(said: io.StringIO, text: str) -> None:
    logger = log.get("workers")
    logger.info(text, note=text, deep={"list": [text, (text,)]}, odd=ValueError(text))
    try:
        fail(text)
    except ValueError:
        logger.exception("failed")
        logging.getLogger("dramatiq").exception("failed: %s", text)
    assert len(said.getvalue().splitlines()) == 3
    assert "canary" not in said.getvalue()


@pytest.mark.parametrize("name", ["capsule_token", "client_secret", "Authorization", "body", "payload", "email", "first_name"])
def test_a_field_whose_name_says_so_is_hidden(said: io.StringIO, name: str) -> None:
    log.get("workers").info("x", **{name: "canary"}, outer={name: ["canary"]}, raw=b"canary")
    assert "canary" not in said.getvalue()


def test_what_is_not_secret_stays_readable(said: io.StringIO) -> None:
    log.get("workers").info("x", address="https://api.example.org/v2/parties/7", tokens_left=3, ratio=0.5, none=None)
    found = last(said)
    assert (found["address"], found["tokens_left"], found["ratio"]) == ("https://api.example.org/v2/parties/7", 3, 0.5)


def test_text_is_for_people_and_hides_the_same() -> None:
    stream = io.StringIO()
    log.configure("text", stream=stream)
    try:
        fail("canary@example.org")
    except ValueError:
        log.get("workers").exception("failed", record="party|7")
    assert "failed" in stream.getvalue()
    assert "party|7" in stream.getvalue()
    assert "canary" not in stream.getvalue()


def test_a_level_below_the_chosen_one_is_not_written() -> None:
    stream = io.StringIO()
    log.configure("json", "WARNING", stream=stream)
    log.get("workers").info("quiet")
    log.get("workers").warning("loud")
    assert "quiet" not in stream.getvalue()
    assert "loud" in stream.getvalue()


def test_a_stranger_s_exception_is_told_by_type_and_place_alone(said: io.StringIO) -> None:
    def digest() -> None:
        try:
            fail("invalid literal: 'Canary Person'")
        except ValueError as error:
            raise KeyError("Canary") from error

    try:
        digest()
    except KeyError as error:
        log.get("workers").exception("bug")
        log.get("workers").error("bug", exc_info=error)
        logging.getLogger("library").exception("failed")
    lines = [json.loads(line) for line in said.getvalue().splitlines()]
    assert len(lines) == 3
    for line in lines:
        assert "builtins.KeyError\nafter:\n" in line["exception"]
        assert "builtins.ValueError" in line["exception"]
        assert "test_worker_log.py" in line["exception"]
        # The quoted lines of our own source are no data; the values are.
        assert "Canary Person'\nafter" not in line["exception"]
        assert not line["exception"].endswith("Person'")


def test_our_own_exceptions_keep_their_words(said: io.StringIO) -> None:
    log.get("workers").error("bug", exc_info=SystemDown("capsule: GET /parties: 503"))
    assert last(said)["exception"].endswith("workers.errors.SystemDown: capsule: GET /parties: 503")  # type: ignore[attr-defined]
