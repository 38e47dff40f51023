"""Triggers: what happened to a record, by its last known state and its state now."""

from __future__ import annotations

from typing import Any

import pytest

from mapping.unified.triggers import NAMES, triggers

SINCE = "2026-01-01T00:00:00Z"
NEW, BID = {"id": "opportunity:1", "name": "New"}, {"id": "opportunity:2", "name": "Bid"}
VIP, OLD = {"id": "1", "name": "VIP"}, {"id": "2", "name": "old"}
JO, AL = {"id": "1", "name": "Jo"}, {"id": "2", "name": "Al"}

WON_FROM_NOTHING = {
    "opportunity.stage_changed": {"from": None, "to": BID},
    "opportunity.won": {"from": None, "to": "won"},
}

CASES: list[tuple[str, dict[str, Any] | None, dict[str, Any], dict[str, Any]]] = [
    ("opportunity", {"stage": NEW}, {"stage": BID}, {"opportunity.stage_changed": {"from": NEW, "to": BID}}),
    ("opportunity", {"stage": NEW}, {"stage": {**NEW, "name": "renamed"}}, {}),
    ("opportunity", {"status": "open"}, {"status": "won"}, {"opportunity.won": {"from": "open", "to": "won"}}),
    ("opportunity", {"status": "open"}, {"status": "lost"}, {"opportunity.lost": {"from": "open", "to": "lost"}}),
    ("opportunity", {"status": "won"}, {"status": "open"}, {"opportunity.reopened": {"from": "won", "to": "open"}}),
    ("opportunity", {"status": "open"}, {"status": "closed"}, {}),
    ("opportunity", {"stage": BID}, {"stage": None}, {"opportunity.stage_changed": {"from": BID, "to": None}}),
    ("opportunity", {}, {"stage": BID, "status": "won"}, WON_FROM_NOTHING),
    ("contact", {"stage": NEW, "status": "open"}, {"stage": BID, "status": "won"}, {}),
    ("project", {"stage": None}, {"stage": BID}, {"project.moved": {"from": None, "to": BID}}),
    ("project", {"status": "open"}, {"status": "closed"}, {"project.closed": {"from": "open", "to": "closed"}}),
    ("project", {"status": "closed"}, {"status": "open"}, {"project.reopened": {"from": "closed", "to": "open"}}),
    ("task", {"status": "open"}, {"status": "completed"}, {"task.completed": {"from": "open", "to": "completed"}}),
    ("task", {"status": "completed"}, {"status": "open"}, {"task.reopened": {"from": "completed", "to": "open"}}),
    ("contact", {"owner": JO}, {"owner": AL}, {"contact.owner_changed": {"from": JO, "to": AL}}),
    ("contact", {"tags": [OLD]}, {"tags": [OLD, VIP]}, {"tag.added": {"tags": [VIP]}}),
    ("account", {"tags": [OLD, VIP]}, {"tags": [VIP]}, {"tag.removed": {"tags": [OLD]}}),
    ("contact", {"tags": [VIP]}, {"tags": [{"id": None, "name": "vip"}]}, {}),
    ("contact", {}, {"tags": [VIP]}, {"tag.added": {"tags": [VIP]}}),
    ("contact", {"tags": [VIP]}, {"tags": None}, {"tag.removed": {"tags": [VIP]}}),
    ("task", {"tags": [VIP]}, {"tags": []}, {}),
    ("task", {"owner": None}, {"owner": AL}, {"task.owner_changed": {"from": None, "to": AL}}),
    ("contact", {"owner": JO}, {"owner": {**JO, "name": "Joe"}}, {}),
    ("note", {"owner": JO}, {"owner": AL}, {}),
    ("contact", {"name": "Ada"}, {"name": "Eve"}, {}),
    ("contact", None, {"created_at": "2026-01-01T00:00:00Z"}, {"contact.created": {}}),
    ("contact", None, {"created_at": "2025-12-31T23:59:59Z"}, {}),
    ("user", None, {"created_at": None}, {}),
    ("contact", None, {"created_at": None}, {}),
    ("user", None, {"created_at": SINCE}, {}),
    ("opportunity", None, {"created_at": SINCE, "status": "won", "stage": BID}, {"opportunity.created": {}}),
]


@pytest.mark.parametrize(("model", "was", "now", "told"), CASES, ids=[f"{one[0]}-{'+'.join(one[3]) or 'none'}" for one in CASES])
def test_what_happened(model: str, was: dict[str, Any] | None, now: dict[str, Any], told: dict[str, Any]) -> None:
    found = triggers(model, was, now, since=SINCE)
    assert {one.name: dict(one.details) for one in found} == told
    assert {one.name for one in found} <= set(NAMES)


def test_several_things_at_once_are_told_in_a_fixed_order() -> None:
    was = {"stage": NEW, "status": "open", "tags": [OLD], "owner": JO}
    now = {"stage": BID, "status": "won", "tags": [VIP], "owner": AL}
    names = [one.name for one in triggers("opportunity", was, now, since=SINCE)]
    assert names == ["opportunity.stage_changed", "opportunity.won", "opportunity.owner_changed", "tag.added", "tag.removed"]


def test_a_state_left_and_regained_between_two_reads_is_not_told() -> None:
    assert triggers("opportunity", {"status": "open", "stage": NEW}, {"status": "open", "stage": NEW}, since=SINCE) == ()
