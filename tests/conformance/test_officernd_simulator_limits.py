"""The OfficeRnD simulator: rate limits."""

from __future__ import annotations

import pytest

from tests.conformance.officernd_desk import COMPANY, MEMBER, Desk

ALL = {f"x-ratelimit-{part}-{{}}-{span}" for part in ("limit", "remaining", "reset") for span in ("minute", "day")}


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", "/members", id="a list"),
        pytest.param("GET", "/members/nobody", id="a 404"),
        pytest.param("GET", "/members?$skip=1", id="a 400"),
        pytest.param("GET", "/leads", id="no route"),
        pytest.param("POST", "/companies", id="a write"),
        pytest.param("DELETE", "/companies/nobody", id="a failed write"),
    ],
)
def test_every_answer_carries_the_limits_of_its_kind(desk: Desk, method: str, path: str) -> None:
    """reference/officernd.md §2.8: reads and writes are counted apart, for a minute and for a day."""
    kind, minute, day = ("read", 400, 20_000) if method == "GET" else ("write", 100, 5_000)
    headers = desk.ask(method, path, **({"json": COMPANY} if method == "POST" else {})).headers
    found = {name for name in headers if name.startswith("x-ratelimit")}
    assert found == {name.format(kind) for name in ALL}
    assert headers[f"x-ratelimit-limit-{kind}-minute"] == str(minute)
    assert headers[f"x-ratelimit-limit-{kind}-day"] == str(day)
    assert headers[f"x-ratelimit-remaining-{kind}-minute"] == str(minute - 1)
    assert headers[f"x-ratelimit-remaining-{kind}-day"] == str(day - 1)


def test_the_reset_is_in_seconds_left(desk: Desk) -> None:
    """reference/officernd.md §2.8: the window begins with its first request."""
    assert desk.ask("GET", "/members").headers["x-ratelimit-reset-read-minute"] == "60"
    desk.advance(45)
    assert int(desk.ask("GET", "/members").headers["x-ratelimit-reset-read-minute"]) in {14, 15}
    desk.switch(ratelimit_reset="epoch")
    now = desk.control("GET", "clock")["now"]
    assert 0 < int(desk.ask("GET", "/members").headers["x-ratelimit-reset-read-minute"]) - now <= 16


def test_a_full_minute_is_429_until_it_is_over(desk: Desk) -> None:
    """reference/officernd.md §2.8: the body of the throttler, a suffixed Retry-After, and nothing is applied."""
    desk.limit(write_minute=2)
    for _ in range(2):
        desk.post("/members", MEMBER)
    answer = desk.ask("POST", "/members", json=MEMBER)
    assert answer.status_code == 429
    assert answer.json() == {"statusCode": 429, "message": "ThrottlerException: Too Many Requests"}
    assert int(answer.headers["retry-after-write-minute"]) in {59, 60}
    assert {name for name in answer.headers if name.startswith("retry-after")} == {"retry-after-write-minute"}
    assert answer.headers["x-ratelimit-remaining-write-minute"] == "0"
    assert desk.get("/members/count") == {"total": 2}
    desk.advance(60)
    desk.post("/members", MEMBER)


def test_reads_and_writes_do_not_share_a_limit(desk: Desk) -> None:
    """reference/officernd.md §2.8."""
    desk.limit(read_minute=1)
    desk.get("/members")
    desk.get("/members", expect=429)
    desk.post("/members", MEMBER)


def test_a_full_day_outlasts_the_minute(desk: Desk) -> None:
    """reference/officernd.md §2.8: its header names the day."""
    desk.limit(read_day=2)
    desk.get("/members")
    desk.get("/members")
    desk.advance(120)
    answer = desk.ask("GET", "/members")
    assert answer.status_code == 429
    assert int(answer.headers["retry-after-read-day"]) == pytest.approx(86_400 - 120, abs=2)
    desk.advance(86_400)
    desk.token = desk.new_token()
    desk.get("/members")


@pytest.mark.parametrize(("position", "names"), [("plain", {"retry-after"}), ("none", set())])
def test_the_form_of_retry_after_is_a_switch(desk: Desk, position: str, names: set[str]) -> None:
    """reference/officernd.md §2.8: AVILA and MCP read a plain Retry-After."""
    desk.switch(retry_after=position)
    desk.limit(read_minute=0)
    answer = desk.ask("GET", "/members")
    assert answer.status_code == 429
    assert {name for name in answer.headers if name.startswith("retry-after")} == names


def test_the_length_of_a_window_can_be_set(desk: Desk) -> None:
    """reference/officernd.md §2.8: all of it is adjustable."""
    desk.limit(read_minute=1, minute_seconds=2)
    desk.get("/members")
    desk.get("/members", expect=429)
    desk.advance(2)
    desk.get("/members")


def test_a_refused_request_spends_nothing(desk: Desk) -> None:
    """reference/officernd.md §2.8: a limit that is raised leaves what was not admitted."""
    desk.limit(read_minute=1)
    desk.get("/members")
    for _ in range(3):
        desk.get("/members", expect=429)
    desk.limit(read_minute=3)
    assert desk.ask("GET", "/members").headers["x-ratelimit-remaining-read-minute"] == "1"


def test_refused_tokens_are_counted_too(desk: Desk) -> None:
    """reference/officernd.md §2.8: the headers stand on every answer, a 401 among them."""
    desk.token = "nothing"
    assert desk.ask("GET", "/members").headers["x-ratelimit-remaining-read-minute"] == "399"


def test_every_limit_can_be_multiplied_from_the_start() -> None:
    """reference/officernd.md §2.8: a demonstration raises them."""
    desk = Desk(limit_factor=100)
    headers = desk.ask("GET", "/members").headers
    assert headers["x-ratelimit-limit-read-minute"] == "40000"
    desk.control("POST", "reset", {})
    assert desk.control("GET", "limits")["limits"]["write_minute"] == 10_000
