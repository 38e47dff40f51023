"""All processes of a machine do at the same moment what each does once a second."""

from __future__ import annotations

import time

import pytest

from mapping.running import ALIVE_MS, SIGN_S
from workers import signs
from workers.beat import until_beat


def at(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: seconds)


@pytest.mark.parametrize(("now", "every", "left"), [(100.25, 1, 0.75), (101.0, 1, 1.0), (100.25, 3, 1.75), (7.5, 0.5, 0.5)])
def test_it_waits_for_the_next_full_beat(monkeypatch: pytest.MonkeyPatch, now: float, every: float, left: float) -> None:
    at(monkeypatch, now)
    assert until_beat(every) == pytest.approx(left)


def test_whoever_wakes_a_moment_early_does_not_beat_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    at(monkeypatch, 100.9995)
    assert until_beat(1) == pytest.approx(1.0005)


class Client:
    """Counts the calls of the one script that is registered with it."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def register_script(self, _: str) -> Client:
        return self

    def __call__(self, args: list[str]) -> None:
        self.calls.append(args)


def test_a_sign_of_life_is_given_at_once_and_then_once_in_each_period(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client()
    given = signs.Signs(client, "p", "clock")  # type: ignore[arg-type]
    for second in (100, 100.5, 101, 102, 103, 104, 105, 106):
        at(monkeypatch, second)
        given.give()
    assert len(client.calls) == 3, "at 100, 102 and 105: the periods begin at multiples of three"


def test_three_signs_may_be_lost_before_a_process_counts_as_gone() -> None:
    assert 3 * SIGN_S * 1000 < ALIVE_MS
