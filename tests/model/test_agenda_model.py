"""A small part of the agenda's model, in the ordinary test run.

All of it: `python -m tests.model.agenda_model`, then the same with `--break all`; see there.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.model import agenda_model

SMALL = (
    *("two kills", "queue", "lanes", "letters", "pause", "reconcile", "flushall", "clean stop"),
    *("poison", "probe", "fan-out", "replay"),
)
QUICK_GUARDS = (
    *(
        "token",
        "seq",
        "bury_seq",
        "later_seq",
        "intent",
        "keep_foreign",
        "lookback",
        "create_wait",
        "read_after_take",
        "live_first",
    ),
    *("snap_drop", "snap_mark", "snap_seen", "topup", "expiry", "due", "unpark", "pause", "born", "clean_stop"),
    *("solo", "boot", "heartbeat", "proc", "probe", "probe_one", "probe_own", "probe_spend"),
    *("fanout_before_done", "fanout_repeats", "fanout_judge", "fanout_agree", "fanout_letter"),
    *("held_closed", "company_first"),
    *("replay_same", "replay_closed", "replay_keeps", "replay_atomic", "discard_marks"),
)


@pytest.mark.parametrize("name", SMALL)
def test_the_protocol_is_clean_in_every_interleaving_of(name: str) -> None:
    outcome = agenda_model.run(name)

    assert outcome.wrong is None, "\n".join((outcome.wrong or "", *outcome.trace))
    assert outcome.states > 1_000, "a search that hardly began proves nothing"


@pytest.mark.parametrize("guard", QUICK_GUARDS)
def test_the_model_sees_what_goes_wrong_without(guard: str) -> None:
    outcome = agenda_model.run(agenda_model.GUARDS[guard].scenario, frozenset((guard,)))

    assert outcome.wrong, f"left out, {guard} is not missed: {agenda_model.GUARDS[guard].text}"
    assert outcome.trace, "a violation comes with the way to it"


def test_every_guard_has_a_scenario_and_is_asked_for_in_the_model() -> None:
    text = "".join(
        path.read_text() for path in Path(agenda_model.__file__).parent.glob("*.py") if path.stem not in _NOT_THE_MODEL
    )
    asked = set(re.findall(r'on\("(\w+)"\)|"(\w+)" (?:not )?in (?:self\.)?off', text))

    assert {a or b for a, b in asked} == set(agenda_model.GUARDS)
    assert {guard.scenario for guard in agenda_model.GUARDS.values()} <= set(agenda_model.SCENARIOS)


_NOT_THE_MODEL = ("agenda_model", "test_agenda_model")


def test_the_command_line_reports_a_clean_scenario_with_status_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert agenda_model.main(["--only", "letters", "--jobs", "1"]) == 0
    assert "violations: 0" in capsys.readouterr().out


def test_the_command_line_prints_the_trace_of_a_violation_with_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert agenda_model.main(["--only", "letters", "--break", "bury_seq", "--jobs", "1"]) == 1

    printed = capsys.readouterr().out
    assert "an event of record 0 was buried unread" in printed
    assert "worker 0 buries 0" in printed
