"""The signs of life of processes, as they are read back."""

from __future__ import annotations

import pytest

from mapping.running import ALIVE_MS, Process, parse


def test_processes_are_read_in_the_order_of_their_parts_and_then_by_name() -> None:
    held = [
        ("a:1:x", "9000 console 1.2.3"),
        ("c:3:x", "8000 worker 1.2.3 of a branch"),
        ("b:2:x", "10500 worker 1.2.3"),
        ("d:4:x", "1 web "),
    ]
    assert parse(held, 10_000) == (
        Process(name="d:4:x", part="web", version="", silent_ms=9_999),
        Process(name="b:2:x", part="worker", version="1.2.3", silent_ms=0),
        Process(name="c:3:x", part="worker", version="1.2.3 of a branch", silent_ms=2_000),
        Process(name="a:1:x", part="console", version="1.2.3", silent_ms=1_000),
    )


@pytest.mark.parametrize("held", ["", "9000", "9000 baker 1", "now web 1", "-9 web 1", "web 9000 1"])
def test_what_is_not_of_the_right_form_is_left_out(held: str) -> None:
    assert parse([("a:1:x", held)], 10_000) == ()


@pytest.mark.parametrize(("silent_ms", "alive"), [(0, True), (ALIVE_MS, True), (ALIVE_MS + 1, False)])
def test_who_was_silent_for_longer_does_not_run(silent_ms: int, alive: bool) -> None:
    assert Process(name="a:1:x", part="web", version="1", silent_ms=silent_ms).alive is alive
