"""Writing parties (reference/capsule.md §4.1, §5.2, §5.3)."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from tests.simulators.capsule.commit import commit_change, commit_new
from tests.simulators.capsule.countries import TITLES
from tests.simulators.capsule.errors import invalid, required
from tests.simulators.capsule.merge import apply_nested, blank_contacts
from tests.simulators.capsule.values import Body, choice, record_reference, reference, text

if TYPE_CHECKING:
    from tests.simulators.capsule.account import Account, Record

PERSON_TEXTS = ("firstName", "lastName", "jobTitle")


def create_party(account: Account, body: Body, user: int) -> Record:
    """POST /parties."""
    sort = choice(body.get("type"), "type", {"person", "organisation"}, resource="party")
    if sort is None:
        raise required("type", resource="party")
    record: Record = {
        "id": 0,
        "type": sort,
        "about": None,
        "owner": user if account.control.switches["party_owner_default"] == "user" else None,
        "team": None,
        "lastContactedAt": None,
        "tags": [],
        "fields": {},
        **blank_contacts(),
    }
    record |= {"name": None} if sort == "organisation" else {**dict.fromkeys(PERSON_TEXTS), "title": None, "organisation": None}
    apply_party(account, record, body, user, new=True)
    record["id"] = account.next_id("party")
    return commit_new(account, "party", record)


def update_party(account: Account, number: int, body: Body, user: int) -> Record:
    """PUT /parties/{id}."""
    before = account.get("party", number)
    if body.get("type", before["type"]) != before["type"]:
        raise invalid("type cannot be changed", resource="party", field="type")
    after = copy.deepcopy(before)
    apply_party(account, after, body, user, new=False)
    return commit_change(account, "party", before=before, after=after)


def apply_party(account: Account, record: Record, body: Body, user: int, *, new: bool) -> None:
    """Apply the keys of a body to a party in place."""
    if "about" in body:
        record["about"] = text(body["about"], "about")
    if record["type"] == "person":
        for key in PERSON_TEXTS:
            if key in body:
                record[key] = text(body[key], key)
        if "title" in body:
            record["title"] = choice(body["title"], "title", TITLES, resource="party")
        if record["firstName"] is None and record["lastName"] is None:
            raise required("firstName", resource="party")
    else:
        if "name" in body:
            record["name"] = text(body["name"], "name")
        if record["name"] is None:
            raise required("name", resource="party")
    apply_nested(account, "party", record, body)
    apply_ownership(account, record, body, resource="party")
    if record["type"] == "person" and "organisation" in body:
        record["organisation"] = _organisation(account, body["organisation"], user, new=new)


def apply_ownership(account: Account, record: Record, body: Body, *, resource: str) -> None:
    """Owner and team: an owner without a team clears the team; a team alone keeps the owner (§5.3)."""
    if "owner" in body:
        record["owner"] = reference(account, "user", body["owner"], "owner", resource=resource)
        if "team" not in body:
            record["team"] = None
    if "team" in body:
        record["team"] = reference(account, "team", body["team"], "team", resource=resource)
    if record["owner"] is not None and record["team"] is not None:
        members = account.reference["team"][record["team"]]["members"]
        if record["owner"] not in members:
            raise invalid("owner is not a member of the team", resource=resource, field="owner")


def _organisation(account: Account, value: object, user: int, *, new: bool) -> int | None:
    """The organisation of a person; on creating a person a name links to one, or makes one (§5.2)."""
    if new and isinstance(value, dict) and value.get("id") is None and isinstance(value.get("name"), str):
        for party in account.records["party"].values():
            if party["type"] == "organisation" and party["name"] == value["name"] and account.visible("party", party["id"]):
                return int(party["id"])
        return int(create_party(account, {"type": "organisation", "name": value["name"]}, user)["id"])
    number = record_reference(account, "party", value, resource="party")
    if number is not None and account.records["party"][number]["type"] != "organisation":
        raise invalid("organisation not found", resource="party", field="organisation")
    return number
