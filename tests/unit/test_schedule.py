"""When a reconcile is due."""

from __future__ import annotations

import pytest

from mapping import drift
from mapping.rules import Connection
from workers.flows.restored import is_in_doubt
from workers.schedule import FULL_EVERY_MS, MINUTE_MS, due

NOW = 1_800_000_000_000
ACME = Connection(name="acme", downstream="officernd", tags_to_sync="member", auto_sync_minutes=15)
RULES = drift.rules_digests(ACME)


def kept(*, full_ago: int, looked_ago: int | None = None, **more: str) -> dict[str, str]:
    looked = {} if looked_ago is None else {"looked": str(NOW - looked_ago)}
    return {"full": str(NOW - full_ago), "since": str(NOW - full_ago), "rules": RULES, **looked, **more}


@pytest.mark.parametrize(
    ("remembered", "synced", "expected"),
    [
        pytest.param({}, False, "full", id="never read whole"),
        pytest.param(kept(full_ago=FULL_EVERY_MS), True, "full", id="a day after the last full pass"),
        pytest.param(kept(full_ago=MINUTE_MS, rules="other"), True, "full", id="the rules changed"),
        pytest.param(kept(full_ago=14 * MINUTE_MS), True, None, id="too early"),
        pytest.param(kept(full_ago=15 * MINUTE_MS), True, "incremental", id="the minutes have passed since the full pass"),
        pytest.param(kept(full_ago=60 * MINUTE_MS, looked_ago=MINUTE_MS), True, None, id="a double tick"),
        pytest.param(kept(full_ago=600 * MINUTE_MS, looked_ago=300 * MINUTE_MS), True, "incremental", id="late: once"),
        pytest.param({"not_before": str(NOW + 1)}, False, None, id="one that failed a moment ago"),
    ],
)
def test_what_is_due(remembered: dict[str, str], synced: bool, expected: str | None) -> None:
    assert due(ACME, remembered, NOW, synced=synced) == expected


@pytest.mark.parametrize(
    ("remembered", "synced", "expected"),
    [
        pytest.param(kept(full_ago=MINUTE_MS), True, "incremental", id="at once"),
        pytest.param(kept(full_ago=2 * FULL_EVERY_MS), True, "incremental", id="before the daily one"),
        pytest.param({}, False, "full", id="nothing is known: whole"),
        pytest.param(kept(full_ago=MINUTE_MS, not_before=str(NOW + 1)), True, None, id="one that failed a moment ago"),
    ],
)
@pytest.mark.parametrize("auto", [True, False])
def test_a_store_that_may_have_come_back_older(
    remembered: dict[str, str], synced: bool, expected: str | None, *, auto: bool
) -> None:
    rules = ACME.model_copy(update={"auto_sync": auto})
    assert due(rules, remembered, NOW, synced=synced, doubt=True) == (expected if auto or synced else None)


@pytest.mark.parametrize(
    ("remembered", "now", "doubt"),
    [
        pytest.param({}, "b 5000", False, id="no pass has ended yet"),
        pytest.param({"born": "a 1000"}, "a 1000", False, id="the same server"),
        pytest.param({"born": "a 1000"}, "b 5000", True, id="another one"),
        pytest.param({"born": "a 1000"}, "b 2999", False, id="another one after a clean stop"),
        pytest.param({"born": "a 1000"}, "", False, id="it is not known which"),
    ],
)
def test_when_the_ledger_is_doubted(remembered: dict[str, str], now: str, *, doubt: bool) -> None:
    assert is_in_doubt(remembered, now, started_ms=5_000) is doubt


def test_nothing_is_due_with_auto_sync_off() -> None:
    off = ACME.model_copy(update={"auto_sync": False})
    assert due(off, {}, NOW, synced=False) is None
