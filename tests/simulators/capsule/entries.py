"""Writing notes (reference/capsule.md §4.5, §5.5): only notes can be made, and no event tells of them (§1.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulators.capsule.commit import commit_change, commit_new
from tests.simulators.capsule.errors import invalid, required
from tests.simulators.capsule.values import Body, instant, record_reference, reference, text

if TYPE_CHECKING:
    from tests.simulators.capsule.account import Account, Record

RESOURCE = "entry"
PARENTS = ("party", "opportunity", "kase")
NOTE = -1


def create_entry(account: Account, body: Body, user: int) -> Record:
    """POST /entries: a note on exactly one parent, whose lastContactedAt moves, and its organisation's."""
    if body.get("type") != "note":
        raise invalid("type: invalid value", resource=RESOURCE, field="type")
    parents = {kind: record_reference(account, kind, body.get(kind), resource=RESOURCE) for kind in PARENTS}
    if sum(number is not None for number in parents.values()) != 1:
        raise invalid("entry must be linked to either a party, opportunity or kase", resource=RESOURCE)
    written = instant(body.get("entryAt"), "entryAt")
    record: Record = {
        "id": account.next_id("entry"),
        "content": text(body.get("content"), "content"),
        "creator": user,
        "activityType": reference(account, "activityType", body.get("activityType", NOTE), "activityType", resource=RESOURCE)
        or NOTE,
        "entryAt": account.now() if written is None else int(written),
        **parents,
    }
    if record["content"] is None:
        raise required("content", resource=RESOURCE)
    commit_new(account, "entry", record)
    if account.reference["activityType"][record["activityType"]]["updateLastContacted"]:
        for kind, number in parents.items():
            if number is not None:
                _contacted(account, kind, number, record["entryAt"])
    return record


def update_entry(account: Account, number: int, body: Body, _user: int) -> Record:
    """PUT /entries/{id}: content and time; the parent and the type are fixed at creation."""
    before = account.get("entry", number)
    after = dict(before)
    if "content" in body:
        after["content"] = text(body["content"], "content")
        if after["content"] is None:
            raise required("content", resource=RESOURCE)
    written = instant(body.get("entryAt"), "entryAt")
    if written is not None:
        after["entryAt"] = int(written)
    return commit_change(account, "entry", before=before, after=after)


def _contacted(account: Account, kind: str, number: int, at: int) -> None:
    """Move lastContactedAt of a record and of a person's organisation; updatedAt stays, unless the switch says otherwise."""
    record = account.records[kind][number]
    loud = account.control.is_on("note_fires_updated")
    after = {**record, "lastContactedAt": max(at, record["lastContactedAt"] or 0)}
    if loud:
        after["updatedAt"] = account.now()
    account.put(kind, after)
    if loud:
        account.fire(kind, "updated", after)
    if kind == "party" and record.get("organisation") is not None:
        _contacted(account, "party", record["organisation"], at)
