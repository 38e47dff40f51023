"""What `capsule-relay sync` shows and how it leaves."""

from __future__ import annotations

import io

import orjson
import pytest
from rich.console import Console

from workers.flows.reconcile import Outcome
from workers.progress import Bar, Lines, Rate, Result


def outcome(**changes: object) -> Outcome:
    given: dict[str, object] = {"connection": "acme", "found": 7, "outcomes": {"in_step": 5, "out": 2}, "seconds": 1.25}
    return Outcome(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("result", "status", "said"),
    [
        pytest.param(
            Result(outcome(), waited=True), 0, "7 records found, 0 opened in 1.2 s; now 5 in step, 2 out", id="all well"
        ),
        pytest.param(Result(outcome(guarded=30), waited=True), 3, "--allow-release", id="the guard"),
        pytest.param(Result(outcome(failed=1), waited=True), 1, "2 out, 1 failed", id="one failed"),
        pytest.param(Result(outcome(waiting=3), waited=True), 1, "3 still waiting", id="ended too early"),
        pytest.param(Result(outcome(found=0, outcomes={}), waited=True), 0, "nothing to do", id="an empty account"),
        pytest.param(Result(outcome(outcomes={}, waiting=7), waited=False), 0, "capsule-relay status", id="not waited for"),
    ],
)
def test_the_end_is_told_and_decides_the_exit_status(result: Result, status: int, said: str) -> None:
    assert result.exit_status == status
    assert said in result.sentence()
    assert orjson.loads(orjson.dumps(result.document()))["found"] == result.outcome.found


def test_nobody_who_did_not_wait_is_told_that_all_is_well() -> None:
    assert Result(outcome(), waited=False).document()["ok"] is None
    assert Result(outcome(), waited=True).document()["ok"] is True


def test_without_a_terminal_a_stage_s_beginning_and_the_end_are_lines() -> None:
    stream = io.StringIO()
    with Lines(stream) as lines:
        for done in range(0, 1100, 100):
            lines("read", done, None)
        for done in range(0, 1001, 10):
            lines("sync", done, 1000)
    said = stream.getvalue().splitlines()
    assert said[0] == "reading Capsule: 0"
    assert "bringing in step: 0 of 1000" in said
    assert said[-1] == "bringing in step: 1000 of 1000"
    assert len(said) <= 5


def test_on_a_terminal_each_stage_has_a_bar_that_ends_full() -> None:
    stream = io.StringIO()
    with Bar(Console(file=stream, force_terminal=True, width=100)) as bar:
        bar("read", 100, None)
        bar("read", 250, None)
        bar("sync", 250, 250)
    assert "reading Capsule" in stream.getvalue()
    assert "250/250" in stream.getvalue()


def test_the_rate_and_what_is_left_of_the_limits_stand_beside() -> None:
    stream = io.StringIO()
    with Bar(Console(file=stream, force_terminal=True, width=160), left=lambda: "90 calls left of capsule|acme") as bar:
        bar("read", 100, 300)
        bar("read", 200, 300)
    assert "90 calls left of capsule|acme" in stream.getvalue()
    lines_stream = io.StringIO()
    with Lines(lines_stream, left=lambda: "90 calls left of capsule|acme") as lines:
        lines("read", 100, 300)
    assert lines_stream.getvalue().splitlines() == ["reading Capsule: 100 of 300, 90 calls left of capsule|acme"]


@pytest.mark.parametrize(("speed", "finished", "said"), [(12.4, None, "12/s"), (None, 250.0, "250/s"), (None, None, "")])
def test_the_rate_is_told_once_it_is_known(speed: float | None, finished: float | None, said: str) -> None:
    class Seen:
        def __init__(self) -> None:
            self.speed, self.finished_speed = speed, finished

    assert Rate().render(Seen()).plain == said  # type: ignore[arg-type] # of a task, it looks at these two alone
