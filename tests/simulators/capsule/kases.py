"""Writing projects, which the wire calls kases (reference/capsule.md §4.3)."""

from __future__ import annotations

import copy
import datetime as dt
from typing import TYPE_CHECKING

from tests.simulators.capsule.commit import commit_change, commit_new
from tests.simulators.capsule.errors import invalid, required
from tests.simulators.capsule.merge import apply_nested
from tests.simulators.capsule.parties import apply_ownership
from tests.simulators.capsule.values import Body, choice, day, record_reference, reference, text

if TYPE_CHECKING:
    from tests.simulators.capsule.account import Account, Record

RESOURCE = "kase"


def create_kase(account: Account, body: Body, user: int) -> Record:
    """POST /kases."""
    record: Record = {
        "id": 0,
        "name": None,
        "party": None,
        "parties": [],
        "description": None,
        "owner": None,
        "team": None,
        "status": "OPEN",
        "opportunity": None,
        "stage": None,
        "expectedCloseOn": None,
        "closedOn": None,
        "startOn": None,
        "lastContactedAt": None,
        "tags": [],
        "fields": {},
    }
    if body.get("owner") is None and body.get("team") is None:
        record["owner"] = user
    apply_kase(account, record, body)
    record["id"] = account.next_id("kase")
    return commit_new(account, "kase", record)


def update_kase(account: Account, number: int, body: Body, _user: int) -> Record:
    """PUT /kases/{id}: a new stage fires moved, closing fires closed (§1.4)."""
    before = account.get("kase", number)
    after = copy.deepcopy(before)
    apply_kase(account, after, body)
    special = []
    if after["stage"] != before["stage"] and after["stage"] is not None:
        special.append("moved")
    if after["status"] == "CLOSED" and before["status"] == "OPEN":
        special.append("closed")
    return commit_change(account, "kase", before=before, after=after, special=special)


def apply_kase(account: Account, record: Record, body: Body) -> None:
    """Apply the keys of a body to a project in place."""
    record |= {key: text(body[key], key) for key in ("name", "description") if key in body}
    for kind in ("party", "opportunity"):
        if kind in body:
            record[kind] = record_reference(account, kind, body[kind], resource=RESOURCE)
    for key in ("name", "party"):
        if record[key] is None:
            raise required(key, resource=RESOURCE)
    for key in ("expectedCloseOn", "startOn"):
        if key in body:
            record[key] = day(body[key], key, resource=RESOURCE)
    if "stage" in body:
        record["stage"] = reference(account, "stage", body["stage"], "stage", resource=RESOURCE)
    _status(account, record, body)
    apply_nested(account, "kase", record, body)
    apply_ownership(account, record, body, resource=RESOURCE)
    if record["owner"] is None and record["team"] is None:
        raise invalid("owner or team is required", resource=RESOURCE, field="owner")


def _status(account: Account, record: Record, body: Body) -> None:
    """Open or closed; closing sets closedOn, reopening clears it."""
    status = choice(body.get("status"), "status", {"OPEN", "CLOSED"}, resource=RESOURCE)
    if status is not None and status != record["status"]:
        today = dt.datetime.fromtimestamp(account.now(), dt.UTC).date().isoformat()
        record |= {"status": status, "closedOn": today if status == "CLOSED" else None}
