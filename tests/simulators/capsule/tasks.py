"""Writing tasks (reference/capsule.md §4.4). There is no task/deleted event (§1.4)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.simulators.capsule.commit import commit_change, commit_new
from tests.simulators.capsule.errors import bad_request, invalid, required
from tests.simulators.capsule.values import Body, choice, day, instant, record_reference, reference, text

if TYPE_CHECKING:
    from tests.simulators.capsule.account import Account, Record

RESOURCE = "task"
PARENTS = ("party", "opportunity", "kase")
CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")


def create_task(account: Account, body: Body, user: int) -> Record:
    """POST /tasks."""
    record: Record = {
        "id": 0,
        "description": None,
        "dueOn": None,
        "dueTime": None,
        "detail": None,
        "category": None,
        "status": "OPEN",
        **dict.fromkeys(PARENTS),
        "owner": user,
        "completedBy": None,
        "completedAt": None,
        "repeat": None,
    }
    apply_task(account, record, body, user)
    record["id"] = account.next_id("task")
    return commit_new(account, "task", record)


def update_task(account: Account, number: int, body: Body, user: int) -> Record:
    """PUT /tasks/{id}: completing fires completed."""
    before = account.get("task", number)
    after = dict(before)
    apply_task(account, after, body, user)
    special = ["completed"] if after["status"] == "COMPLETED" and before["status"] != "COMPLETED" else []
    return commit_change(account, "task", before=before, after=after, special=special)


def apply_task(account: Account, record: Record, body: Body, user: int) -> None:
    """Apply the keys of a body to a task in place."""
    for key in ("description", "detail", "dueTime"):
        if key in body:
            record[key] = text(body[key], key)
    if "dueOn" in body:
        record["dueOn"] = day(body["dueOn"], "dueOn", resource=RESOURCE)
    for key in ("description", "dueOn"):
        if record[key] is None:
            raise required(key, resource=RESOURCE)
    if record["dueTime"] is not None and not CLOCK.fullmatch(record["dueTime"]):
        raise invalid("dueTime: invalid value", resource=RESOURCE, field="dueTime")
    _parent(account, record, body)
    if body.get("owner") is not None:
        record["owner"] = reference(account, "user", body["owner"], "owner", resource=RESOURCE)
    if "category" in body:
        record["category"] = reference(account, "category", body["category"], "category", resource=RESOURCE)
    if "repeat" in body:
        record["repeat"] = _repeat(body["repeat"])
    _status(account, record, body, user)


def _repeat(value: object) -> Body | None:
    """How a task repeats: kept as it came (§4.4)."""
    if value is not None and not isinstance(value, dict):
        raise bad_request("repeat: invalid type")
    return value


def _parent(account: Account, record: Record, body: Body) -> None:
    """The one record that a task belongs to, if any."""
    for kind in PARENTS:
        if kind in body:
            record[kind] = record_reference(account, kind, body[kind], resource=RESOURCE)
    if sum(record[kind] is not None for kind in PARENTS) > 1:
        raise invalid("task can be related to at most one entity", resource=RESOURCE)


def _status(account: Account, record: Record, body: Body, user: int) -> None:
    """Open and completed can be set; pending cannot."""
    status = choice(body.get("status"), "status", {"OPEN", "COMPLETED", "PENDING"}, resource=RESOURCE)
    if status == "PENDING":
        raise invalid("cannot set task status to PENDING", resource=RESOURCE, field="status")
    if status == "COMPLETED" and record["status"] != "COMPLETED":
        completed = instant(body.get("completedAt"), "completedAt")
        record["completedAt"] = account.now() if completed is None else int(completed)
        record["completedBy"] = account.reference["user"][user]["username"]
    if status == "OPEN":
        record["completedAt"] = record["completedBy"] = None
    record["status"] = status or record["status"]
