"""What a write moves and which events it fires (reference/capsule.md §1.4; what it leaves open is a switch)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.simulators.capsule.account import TAGGED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.simulators.capsule.account import Account, Record

NOT_CONTENT = frozenset({"tags", "fields", "updatedAt", "_written"})


def commit_new(account: Account, kind: str, record: Record) -> Record:
    """Store a new record with its times, and fire created."""
    record["createdAt"] = record["updatedAt"] = account.now()
    account.put(kind, record)
    if kind != "entry":
        account.fire(kind, "created", record)
    return record


def commit_change(account: Account, kind: str, *, before: Record, after: Record, special: Sequence[str] = ()) -> Record:
    """Store a changed record; `special` holds moved, closed or completed. The writer's own events are not suppressed (§1.4)."""
    moves, fires = weigh(account, before, after)
    if special:
        moves = True
        fires = account.control.is_on("updated_fires_with_moved_closed")
    if moves:
        after["updatedAt"] = account.now()
    account.put(kind, after)
    if kind != "entry":
        for operation in (*special, *(["updated"] if fires else [])):
            account.fire(kind, operation, after)
    return after


def weigh(account: Account, before: Record, after: Record) -> tuple[bool, bool]:
    """Whether a change moves updatedAt, and whether it fires updated."""
    control = account.control
    if any(before.get(key) != value for key, value in after.items() if key not in NOT_CONTENT):
        return True, True
    moves = fires = False
    for key, name in (("tags", "tag"), ("fields", "field")):
        if before.get(key) != after.get(key):
            moves = moves or control.is_on(f"{name}_change_moves_updated_at")
            fires = fires or control.is_on(f"{name}_change_fires_updated")
    if before.get("tags") == after.get("tags") and before.get("fields") == after.get("fields"):
        moves = fires = control.is_on("unchanged_put_counts")
    return moves, fires


def commit_delete(account: Account, kind: str, number: int) -> int:
    """Delete a record for good, with what goes with it (§5.6). Returns how many other records went too."""
    record = account.get(kind, number)
    children = dependants(account, kind, number)
    for child_kind, child in children:
        _delete_child(account, child_kind, child)
    if kind == "party":
        release_people(account, number)
        for other in ("opportunity", "kase"):
            for holder in account.records[other].values():
                if number in holder["parties"]:
                    holder["parties"] = [party for party in holder["parties"] if party != number]
    _unlink(account, kind, number)
    account.drop(kind, number)
    if kind in TAGGED:
        account.fire(kind, "deleted", record)
    return len(children)


def dependants(account: Account, kind: str, number: int) -> list[tuple[str, int]]:
    """The records that go when this one goes: children first, each once."""
    found: dict[tuple[str, int], None] = {}
    for child_kind in ("opportunity", "kase", "task", "entry"):
        for child, record in account.records[child_kind].items():
            if child_kind == "kase" and kind == "opportunity":
                continue  # a project outlives the opportunity that it came from: only its link goes
            if record.get(kind) == number:
                for deeper in dependants(account, child_kind, child) if child_kind in TAGGED else ():
                    found[deeper] = None
                found[child_kind, child] = None
    return list(found)


def release_people(account: Account, organisation: int) -> None:
    """What happens to the people of a deleted organisation (§5.6: not stated; switch people_of_deleted_organisation)."""
    fate = account.control.switches["people_of_deleted_organisation"]
    for person in sorted(account.people_of.get(organisation, ())):
        if fate == "deleted":
            for child_kind, child in dependants(account, "party", person):
                _delete_child(account, child_kind, child)
            _delete_child(account, "party", person)
            continue
        after = {**account.records["party"][person], "organisation": None}
        if fate == "updated":
            after["updatedAt"] = account.now()
        account.put("party", after)
        if fate == "updated":
            account.fire("party", "updated", after)


def _delete_child(account: Account, kind: str, number: int) -> None:
    """Delete one record that goes with another."""
    record = account.records[kind][number]
    _unlink(account, kind, number)
    account.drop(kind, number, listed=account.control.is_on("cascade_in_deleted_lists"))
    if kind in TAGGED and account.control.is_on("cascade_fires_deleted"):
        account.fire(kind, "deleted", record)


def _unlink(account: Account, kind: str, number: int) -> None:
    """Take away the links to a record that goes from those that stay."""
    if kind == "opportunity":
        for kase in account.records["kase"].values():
            if kase["opportunity"] == number:
                kase["opportunity"] = None
    if kind == "party":
        for user in account.reference["user"].values():
            if user["party"] == number:
                user["party"] = None
