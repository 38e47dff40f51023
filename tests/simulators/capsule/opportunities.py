"""Writing opportunities (reference/capsule.md §4.2, §5.3)."""

from __future__ import annotations

import copy
import datetime as dt
from typing import TYPE_CHECKING

from tests.simulators.capsule.commit import commit_change, commit_new
from tests.simulators.capsule.countries import CURRENCY_CODES
from tests.simulators.capsule.errors import bad_request, invalid, required
from tests.simulators.capsule.merge import apply_nested
from tests.simulators.capsule.parties import apply_ownership
from tests.simulators.capsule.values import Body, choice, day, record_reference, reference, text, whole

if TYPE_CHECKING:
    from tests.simulators.capsule.account import Account, Record

RESOURCE = "opportunity"
BASES = frozenset({"FIXED", "HOUR", "DAY", "WEEK", "MONTH", "QUARTER", "YEAR"})
CERTAIN = 100


def create_opportunity(account: Account, body: Body, user: int) -> Record:
    """POST /opportunities."""
    record: Record = {
        "id": 0,
        "name": None,
        "party": None,
        "parties": [],
        "milestone": None,
        "description": None,
        "owner": None,
        "team": None,
        "value": None,
        "durationBasis": "FIXED",
        "duration": None,
        "probability": None,
        "expectedCloseOn": None,
        "closedOn": None,
        "lostReason": None,
        "lastContactedAt": None,
        "lastStageChangedAt": account.now(),
        "lastOpenMilestone": None,
        "tags": [],
        "fields": {},
    }
    if body.get("owner") is None and body.get("team") is None:
        record["owner"] = user
    apply_opportunity(account, record, body)
    record["id"] = account.next_id("opportunity")
    return commit_new(account, "opportunity", record)


def update_opportunity(account: Account, number: int, body: Body, _user: int) -> Record:
    """PUT /opportunities/{id}: a new milestone fires moved, and one that closes fires closed too (§1.4)."""
    before = account.get("opportunity", number)
    after = copy.deepcopy(before)
    apply_opportunity(account, after, body)
    special = []
    if after["milestone"] != before["milestone"]:
        special.append("moved")
        if account.reference["milestone"][after["milestone"]]["complete"] and before["closedOn"] is None:
            special.append("closed")
    return commit_change(account, "opportunity", before=before, after=after, special=special)


def apply_opportunity(account: Account, record: Record, body: Body) -> None:
    """Apply the keys of a body to an opportunity in place."""
    for key in ("name", "description"):
        if key in body:
            record[key] = text(body[key], key)
    if "party" in body:
        record["party"] = record_reference(account, "party", body["party"], resource=RESOURCE)
    for key in ("name", "party"):
        if record[key] is None:
            raise required(key, resource=RESOURCE)
    _milestone(account, record, body)
    _worth(record, body)
    if "expectedCloseOn" in body:
        record["expectedCloseOn"] = day(body["expectedCloseOn"], "expectedCloseOn", resource=RESOURCE)
    if "lostReason" in body:
        record["lostReason"] = reference(account, "lostReason", body["lostReason"], "lostReason", resource=RESOURCE)
    apply_nested(account, "opportunity", record, body)
    apply_ownership(account, record, body, resource=RESOURCE)
    if record["owner"] is None and record["team"] is None:
        raise invalid("owner or team is required", resource=RESOURCE, field="owner")


def _milestone(account: Account, record: Record, body: Body) -> None:
    """A milestone change closes or reopens; probability follows it, and can be set only while open."""
    now = account.now()
    changes = False
    if "milestone" in body:
        number = reference(account, "milestone", body["milestone"], "milestone", resource=RESOURCE)
        changes = number != record["milestone"]
        record["milestone"] = number
    if record["milestone"] is None:
        raise required("milestone", resource=RESOURCE)
    milestone = account.reference["milestone"][record["milestone"]]
    if body.get("probability") is not None and milestone["complete"]:
        raise invalid("probability can be updated only for open opportunity", resource=RESOURCE, field="probability")
    if changes:
        record["lastStageChangedAt"] = now
        record["probability"] = milestone["probability"]
        if not milestone["complete"]:
            record |= {"closedOn": None, "lostReason": None, "lastOpenMilestone": milestone["id"]}
        elif record["closedOn"] is None:
            record["closedOn"] = dt.datetime.fromtimestamp(now, dt.UTC).date().isoformat()
    if body.get("probability") is not None:
        probability = whole(body["probability"], "probability")
        if probability is None or not 0 <= probability <= CERTAIN:
            raise invalid("probability: invalid value", resource=RESOURCE, field="probability")
        record["probability"] = probability


def _worth(record: Record, body: Body) -> None:
    """Value, duration and its basis: a currency is needed with an amount; duration is null when FIXED."""
    if "value" in body:
        value = body["value"] if body["value"] is not None else {}
        if not isinstance(value, dict):
            raise bad_request("value: invalid type")
        amount = value.get("amount")
        if amount is not None and (isinstance(amount, bool) or not isinstance(amount, int | float)):
            raise bad_request("value.amount: invalid type")
        if amount is not None and value.get("currency") not in CURRENCY_CODES:
            raise invalid("value.currency is required", resource=RESOURCE, field="value")
        record["value"] = None if amount is None else {"amount": amount, "currency": value["currency"]}
    if "durationBasis" in body:
        record["durationBasis"] = choice(body["durationBasis"], "durationBasis", BASES, resource=RESOURCE) or "FIXED"
    if "duration" in body:
        record["duration"] = whole(body["duration"], "duration")
    if record["durationBasis"] == "FIXED":
        record["duration"] = None
