"""Capsule's simulator: the rate limit (reference/capsule.md §3.1)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.conformance.capsule_desk import Capsule


def test_a_success_says_what_is_left_and_when_the_window_ends(capsule: Capsule) -> None:
    """§3.1: epoch seconds."""
    first = capsule.ask("GET", "/site").headers
    second = capsule.ask("GET", "/site").headers
    assert first["x-ratelimit-limit"] == "4000"
    assert int(first["x-ratelimit-remaining"]) - int(second["x-ratelimit-remaining"]) == 1
    assert first["x-ratelimit-reset"] == second["x-ratelimit-reset"]
    assert 3_590 < int(first["x-ratelimit-reset"]) - time.time() < 3_602


def test_over_the_limit_is_429_with_its_own_body_and_no_retry_after(capsule: Capsule) -> None:
    """§3.1: key `error`, unlike every other error."""
    capsule.control("POST", "limits", {"requests_per_hour": 2})
    statuses = [capsule.ask("GET", "/site").status_code for _ in range(2)]
    answer = capsule.ask("GET", "/site")
    assert statuses == [200, 200]
    assert (answer.status_code, answer.content) == (429, b'{"error":"rate limit reached"}')
    assert answer.headers["x-ratelimit-remaining"] == "0"
    assert "x-ratelimit-reset" in answer.headers
    assert "retry-after" not in answer.headers


def test_the_window_is_fixed_and_begins_anew_at_its_reset(capsule: Capsule) -> None:
    """§3.1."""
    capsule.control("POST", "limits", {"requests_per_hour": 1})
    capsule.ask("GET", "/site")
    capsule.control("POST", "clock", {"advance": 3_500})
    assert capsule.ask("GET", "/site").status_code == 429
    capsule.control("POST", "clock", {"advance": 105})
    assert capsule.ask("GET", "/site").status_code == 200


def test_every_token_of_a_user_shares_the_limit_and_another_user_does_not(capsule: Capsule) -> None:
    """§3.1: per Capsule user."""
    other = next(row["id"] for row in capsule.get("/users")["users"] if row["username"] == "rupert")
    capsule.control("POST", "tokens", {"token": "other-user", "user": other})
    capsule.control("POST", "limits", {"requests_per_hour": 2})
    assert capsule.ask("GET", "/site", token=capsule.application).status_code == 200
    assert capsule.ask("GET", "/site").status_code == 429
    assert capsule.ask("GET", "/site", token="other-user").status_code == 200


def test_errors_carry_the_headers_only_by_switch(capsule: Capsule) -> None:
    """§3.1: promised on successes and on the 429."""
    assert "x-ratelimit-limit" not in capsule.ask("GET", "/parties/1").headers
    capsule.switch(limit_headers_on_errors="yes")
    assert "x-ratelimit-limit" in capsule.ask("GET", "/parties/1").headers


def test_a_failed_call_is_counted_too(capsule: Capsule) -> None:
    """§3.1: requests, not successes."""
    before = int(capsule.ask("GET", "/site").headers["x-ratelimit-remaining"])
    capsule.ask("GET", "/parties/1")
    assert int(capsule.ask("GET", "/site").headers["x-ratelimit-remaining"]) == before - 2
