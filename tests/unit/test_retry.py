from __future__ import annotations

import pytest

from workers.errors import (
    CredentialsRefused,
    LeaseLost,
    Misconfigured,
    NoAnswer,
    QueueAway,
    RateLimited,
    Refused,
    ShuttingDown,
    SystemDown,
)
from workers.retry import HOUR, MOST_ATTEMPTS, Again, GiveUp, again, give_up, next_wait_ms


def test_twelve_attempts_are_spread_over_about_a_day() -> None:
    waits = [next_wait_ms(attempt, 0.5) for attempt in range(1, MOST_ATTEMPTS)]

    assert MOST_ATTEMPTS == 12
    assert waits == sorted(waits)
    assert 22 * HOUR <= sum(waits) <= 24 * HOUR


@pytest.mark.parametrize("attempt", [1, 5, 11, 40], ids=lambda number: f"attempt {number}")
def test_jitter_moves_a_wait_by_at_most_a_quarter_and_not_its_mean(attempt: int) -> None:
    least, middle, most = (next_wait_ms(attempt, random) for random in (0.0, 0.5, 1.0))

    assert least == pytest.approx(0.75 * middle)
    assert most == pytest.approx(1.25 * middle)


@pytest.mark.parametrize(("attempts", "expected"), [(0, False), (11, False), (12, True), (13, True)])
def test_the_twelfth_failure_is_the_last(attempts: int, expected: bool) -> None:
    assert give_up(attempts) is expected


@pytest.mark.parametrize(
    ("error", "attempts", "expected"),
    [
        pytest.param(NoAnswer("x"), 0, Again(5_000, spend=True), id="no answer: soon, one attempt spent"),
        pytest.param(SystemDown("x"), 3, Again(180_000, spend=True), id="down: later each time"),
        pytest.param(SystemDown("x"), 11, GiveUp("exhausted"), id="the twelfth failure buries"),
        pytest.param(RateLimited("x", wait_ms=777), 11, Again(777, spend=False), id="a limit never spends"),
        pytest.param(CredentialsRefused("x"), 11, Again(60_000, spend=False), id="credentials never spend"),
        pytest.param(ShuttingDown("x"), 11, Again(0, spend=False), id="a stop hands back at once"),
        pytest.param(Refused("x"), 0, GiveUp("permanent"), id="a refusal buries at once"),
        pytest.param(Misconfigured("x"), 0, GiveUp("permanent"), id="a wrong setting buries at once"),
        pytest.param(KeyError("x"), 0, Again(5_000, spend=True), id="a fault of ours is tried again"),
        pytest.param(KeyError("x"), 11, GiveUp("exhausted"), id="a fault of ours ends as a letter"),
    ],
)
def test_what_follows_from_an_error(error: Exception, attempts: int, expected: Again | GiveUp) -> None:
    assert again(error, attempts, random=0.5) == expected


@pytest.mark.parametrize("error", [LeaseLost("x"), QueueAway("x")], ids=lambda error: type(error).__name__)
def test_a_run_without_a_say_is_not_answered(error: Exception) -> None:
    with pytest.raises(TypeError):
        again(error, 0)
