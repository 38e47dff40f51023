"""What a product sends -> bodies for Capsule, with only what differs from the record as it is (reference/unified-crm.md §5).

Capsule merges what is put (reference/capsule.md §5.2): a list entry that is sent again without its id would be doubled, so
entries are matched with those that are there. `current` is Capsule's body of the record, None when creating.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mapping import values
from mapping.unified import lists
from mapping.unified.draft import Change, Draft, bare, listed, nested_id

if TYPE_CHECKING:
    from mapping.unified.parts import Body, Definitions
    from mapping.values import Json

ENGAGEMENT: Final = {"note": -1, "meeting": -2, "call": -3}
ADDITIONAL: Final = "additionalParties"


def account(sent: Mapping[str, Any], current: Body | None, definitions: Definitions) -> Change:
    """An organisation. Raises BodyInvalid, as all of this module."""
    draft = Draft(sent, current)
    if current is None:
        draft.body["type"] = "organisation"
    draft.simple({"name": "name", "description": "about"})
    _party(draft, definitions)
    if "website" in sent:
        lists.website(draft)
    return draft.done()


def contact(sent: Mapping[str, Any], current: Body | None, definitions: Definitions) -> Change:
    """A person."""
    draft = Draft(sent, current)
    if current is None:
        draft.body["type"] = "person"
    simple = {"first_name": "firstName", "last_name": "lastName", "title": "jobTitle", "salutation": "title"}
    draft.simple({**simple, "description": "about"})
    draft.reference("account", "organisation")
    _party(draft, definitions)
    return draft.done()


def opportunity(sent: Mapping[str, Any], current: Body | None, definitions: Definitions) -> Change:
    """A deal. The first contact, or else the account, is its main party; further contacts are additional ones."""
    draft = Draft(sent, current)
    draft.simple({"name": "name", "description": "description", "duration": "duration", "duration_basis": "durationBasis"})
    draft.simple({"probability": "probability", "expected_close_date": "expectedCloseOn"})
    if "close_date" in sent and "expected_close_date" not in sent and (current or {}).get("closedOn") != sent["close_date"]:
        draft.put("expectedCloseOn", sent["close_date"], have=(current or {}).get("expectedCloseOn"))
    _value(draft)
    _owner(draft)
    draft.reference("lost_reason", "lostReason")
    _stage(draft, "milestone", "opportunity")
    more = _main_party(draft)
    _labels(draft, definitions)
    return draft.done(more)


def project(sent: Mapping[str, Any], current: Body | None, definitions: Definitions) -> Change:
    """A kase."""
    draft = Draft(sent, current)
    draft.simple(
        {"name": "name", "description": "description", "expected_close_date": "expectedCloseOn", "start_date": "startOn"}
    )
    if "close_date" in sent and "expected_close_date" not in sent and (current or {}).get("closedOn") != sent["close_date"]:
        draft.put("expectedCloseOn", sent["close_date"], have=(current or {}).get("expectedCloseOn"))
    if sent.get("status") is not None:
        draft.put("status", sent["status"].upper(), have=(current or {}).get("status"))
    _owner(draft)
    _stage(draft, "stage", "project")
    _only(draft, "opportunity", "opportunity")
    more = _main_party(draft)
    _labels(draft, definitions)
    return draft.done(more)


def task(sent: Mapping[str, Any], current: Body | None, *, timezone: str | None = None) -> Change:
    """A task. `timezone` is its owner's, in which Capsule keeps the time of day."""
    draft = Draft(sent, current)
    draft.simple({"subject": "description", "content": "detail", "completed_at": "completedAt"})
    draft.reference("type", "category")
    draft.reference("owner", "owner")
    if sent.get("status") is not None:
        now = (current or {}).get("status")
        # PENDING is shown as open and only tracks set it (reference/capsule.md §4.4).
        draft.put("status", sent["status"].upper(), have="OPEN" if now == "PENDING" else now)
    if "due_date" in sent:
        _due(draft, timezone)
    _one_parent(draft, required=False)
    return draft.done()


def note(sent: Mapping[str, Any], current: Body | None) -> Change:
    """A plain note."""
    draft = Draft(sent, current)
    if current is None:
        draft.body["type"] = "note"
    draft.simple({"content": "content", "title": "subject", "entry_at": "entryAt"})
    _one_parent(draft, required=current is None)
    return draft.done()


def engagement(sent: Mapping[str, Any], current: Body | None) -> Change:
    """A call, a meeting or another activity: for Capsule a note of that activity type."""
    draft = Draft(sent, current)
    if current is None:
        draft.body["type"] = "note"
    draft.simple({"content": "content", "subject": "subject", "start_time": "entryAt"})
    number = sent.get("engagement_type_id")
    wanted = int(number) if number is not None else ENGAGEMENT.get(sent.get("engagement_type") or "")
    if wanted is not None:
        there = (current or {}).get("activityType")
        if wanted != (there.get("id") if isinstance(there, Mapping) else None):
            draft.body["activityType"] = {"id": wanted}
    _one_parent(draft, required=current is None)
    return draft.done()


# Pieces --------------------------------------------------------------------------------------------------------------


def _party(draft: Draft, definitions: Definitions) -> None:
    lists.entries(draft, "addresses", "addresses", lists.address_row, lists.address_key)
    lists.entries(draft, "email_addresses", "emailAddresses", lists.email_row, lists.email_key)
    lists.entries(draft, "phone_numbers", "phoneNumbers", lists.phone_row, lists.phone_key)
    lists.entries(draft, "urls", "websites", lists.url_row, lists.url_key)
    _owner(draft)
    _labels(draft, definitions)


def _labels(draft: Draft, definitions: Definitions) -> None:
    if draft.sent.get("tags"):
        lists.tags(draft)
    if draft.sent.get("custom_fields"):
        lists.custom_fields(draft, definitions)


def _owner(draft: Draft) -> None:
    """A put of `owner` without `team` clears the team (reference/capsule.md §5.3), so that one goes along."""
    draft.reference("owner", "owner")
    draft.reference("team", "team")
    team = nested_id(draft.current, "team")
    if "owner" in draft.body and "team" not in draft.sent and team is not None:
        draft.body["team"] = {"id": team}


def _stage(draft: Draft, key: str, entity: str) -> None:
    wanted = draft.sent.get("stage")
    if wanted is not None and ":" in wanted["id"] and not wanted["id"].startswith(f"{entity}:"):
        draft.fault("stage.id", f"is not a stage of {entity} pipelines", "take it from /unified/crm/stages")
        return
    draft.reference("stage", key)


def _value(draft: Draft) -> None:
    """Amount and currency are one value in Capsule, and an amount needs its currency (reference/capsule.md §4.2)."""
    if "amount" not in draft.sent and "currency" not in draft.sent:
        return
    there = (draft.current or {}).get("value")
    now: Mapping[str, Json] = there if isinstance(there, Mapping) else {}
    amount = draft.sent.get("amount", now.get("amount"))
    currency = draft.sent.get("currency", now.get("currency"))
    if amount is None:
        if now and "amount" in draft.sent:
            draft.body["value"] = None
        return
    if currency is None:
        draft.fault("currency", "is needed with an amount", 'such as "GBP"')
        return
    if values.decimal(amount) != values.decimal(now.get("amount")) or currency != now.get("currency"):
        exact = values.decimal(amount)
        draft.body["value"] = {"amount": amount if exact is None else values.number(exact), "currency": currency}


def _main_party(draft: Draft) -> tuple[int, ...]:
    """Sets `party` if it is to be another one, and returns the ids of additional parties."""
    contacts = [bare(one["id"]) for one in draft.sent.get("contact") or ()]
    outer = draft.sent.get("account")
    wanted = [*contacts, *([bare(outer["id"])] if outer is not None else [])]
    now = nested_id(draft.current, "party")
    if not wanted:
        return ()
    if now is None:
        draft.body["party"] = {"id": wanted[0]}
        return tuple(contacts[1:])
    known = _parties_of(draft.current)
    if not contacts and _is_its_organisation(draft, wanted[0]):
        return ()
    if now not in wanted:
        draft.body["party"] = {"id": wanted[0]}
        now = wanted[0]
    return tuple(number for number in contacts if number not in (now, *known))


def _parties_of(current: Body | None) -> tuple[int, ...]:
    """The additional parties, which the caller laid beside the record under this key after reading them."""
    found = [one.get("id") for one in listed(current, ADDITIONAL) if isinstance(one, dict)]
    return tuple(one for one in found if isinstance(one, int))


def _only(draft: Draft, name: str, key: str) -> None:
    """A list of at most one reference."""
    if name not in draft.sent:
        return
    several = draft.sent[name] or []
    number = bare(several[0]["id"]) if several else None
    if number != nested_id(draft.current, key):
        draft.body[key] = None if number is None else {"id": number}


def _one_parent(draft: Draft, *, required: bool) -> None:
    """A task or an entry hangs on at most one of party, opportunity and kase (reference/capsule.md §4.4, §4.5)."""
    keys = {"account": "party", "contact": "party", "opportunity": "opportunity", "project": "kase"}
    wanted: dict[str, int] = {}
    for name, key in keys.items():
        value = draft.sent.get(name)
        one = value[0] if isinstance(value, list) and value else value
        if isinstance(one, Mapping):
            number = bare(one["id"])
            if key == "party" and _is_its_organisation(draft, number):
                continue
            if wanted.get(key, number) != number:
                draft.fault(name, "only one of account and contact can be its parent")
            wanted[key] = number
    if len(wanted) > 1:
        draft.fault("account, contact, opportunity, project", "only one of them can be its parent", "send one")
        return
    if required and not wanted:
        draft.fault("account, contact, opportunity, project", "one of them must be its parent", "send one")
        return
    cleared = {keys[name] for name in keys if name in draft.sent and not draft.sent[name]} - set(wanted)
    for key in ("party", "opportunity", "kase"):
        now, new = nested_id(draft.current, key), wanted.get(key)
        if new is not None and new != now:
            draft.body[key] = {"id": new}
        elif now is not None and new is None and (key in cleared or wanted) and not _party_stays(draft, key, wanted):
            draft.body[key] = None


def _party_stays(draft: Draft, key: str, wanted: Mapping[str, int]) -> bool:
    """An empty `account` beside a person that stays does not take the person off."""
    if key != "party" or wanted:
        return False
    there = (draft.current or {}).get("party")
    name = "account" if isinstance(there, Mapping) and there.get("type") == "organisation" else "contact"
    return name not in draft.sent or bool(draft.sent[name])


def _is_its_organisation(draft: Draft, number: int) -> bool:
    """A person's organisation is shown as the account beside it; sent back, it is no parent of its own."""
    there = (draft.current or {}).get("party")
    return isinstance(there, Mapping) and nested_id(there, "organisation") == number


def _due(draft: Draft, timezone: str | None) -> None:
    wanted, now = draft.sent["due_date"], draft.current or {}
    if wanted is None:
        draft.fault("due_date", "cannot be cleared: a task of Capsule has one")
        return
    day, clock = wanted, None
    if "T" in wanted:
        try:
            local = dt.datetime.fromisoformat(wanted).astimezone(zoneinfo.ZoneInfo(timezone or ""))
        except (ValueError, zoneinfo.ZoneInfoNotFoundError):
            draft.fault("due_date", "the time zone of the task's owner is not known", "send the day alone, YYYY-MM-DD")
            return
        day, clock = local.strftime("%Y-%m-%d"), local.strftime("%H:%M")
    draft.put("dueOn", day, have=now.get("dueOn"))
    before = now.get("dueTime")
    draft.put("dueTime", clock, have=before[:5] if isinstance(before, str) else before)
