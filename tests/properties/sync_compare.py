"""Two OfficeRnD organisations compared: the one with a history, and one that a fresh sync of the same Capsule state has filled.

Every difference that a history may leave by design stands in EXCEPTIONS, with the line that allows it. Anything else is a defect.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mapping.agenda import RecordKey
from mapping.officernd import observed, same
from tests.properties.sync_relay import NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from workers.ledger import Entry

Document = dict[str, Any]

RESOURCES: Final = {"companies": "party", "members": "party", "opportunities": "opportunity"}
# What the relay writes, flat.
OURS: Final = {
    "companies": ("name", "email", "url", "location", "startDate", "properties.capsule_twitter", "properties.capsule_phone"),
    "members": (
        "name",
        "email",
        "phone",
        "company",
        "location",
        "startDate",
        "socialProfiles.twitter",
        "properties.capsule_location",
        "properties.plan",
    ),
    "opportunities": (
        "name",
        "status",
        "startDate",
        "probability",
        "dealSize",
        "member",
        "company",
        "properties.capsule_deal_size",
        "properties.capsule_probability",
    ),
}
LINK: Final = "capsule_link_id"
# For looking further while a defect is open: what an unanswered call wrote or created is not known to be ours.
PAST_KNOWN: Final = "HISTORIES_PAST_KNOWN" in os.environ


@dataclass(frozen=True)
class Pair:
    """One field of one record in both, with references as Capsule ids. `entry` is the ledger's after the history."""

    old: Any
    fresh: Any
    entry: Entry
    fresh_entry: Entry

    def noted(self, code: str) -> bool:
        """Whether the relay has told of it."""
        return any(note[0] == code for note in self.entry.state.get("notes", []))


@dataclass(frozen=True)
class Allowed:
    """A difference that is right: in which field, by which line, and what must hold for it."""

    resource: str
    field: str
    line: str
    when: Callable[[Pair], bool]


FORM: Final = (
    "issue A2: names, e-mails, phones, Twitter, URLs normalised on both sides so that nothing is written twice for its form"
)
REFUSED: Final = (
    "DESIGN §6: what OfficeRnD refuses to change after creation (member location, deal size, probability) goes to a capsule_… "
    "property and is reported as such"
)
PARTY: Final = (
    "DESIGN §6, edges, Release and Links with officernd.md §3.3: an opportunity's member and company are given by POST alone"
)
EXCEPTIONS: Final = (
    Allowed("members", "location", REFUSED, lambda pair: pair.noted("location_fixed")),
    Allowed("opportunities", "dealSize", REFUSED, lambda pair: pair.noted("deal_size_fixed")),
    Allowed("opportunities", "member", PARTY, lambda pair: pair.noted("party_fixed")),
    Allowed("opportunities", "company", PARTY, lambda pair: pair.noted("company_fixed")),
    Allowed(
        "opportunities",
        "company",
        "officernd.md §3.3: a POST with a member alone may take that member's company, which is not ours to change",
        lambda pair: "company" not in pair.entry.wrote and "company" not in pair.fresh_entry.wrote,
    ),
    Allowed(
        "members",
        "company",
        "DESIGN §6, edges: v2 cannot detach a company: what stays behind is reported",
        lambda pair: pair.fresh is None and pair.noted("company_stays"),
    ),
    Allowed("members", "phone", FORM, lambda pair: digits(pair.old) == digits(pair.fresh)),
    Allowed("companies", "properties.capsule_phone", FORM, lambda pair: digits(pair.old) == digits(pair.fresh)),
    Allowed("members", "socialProfiles.twitter", FORM, lambda pair: folded(pair.old) == folded(pair.fresh)),
    Allowed("companies", "properties.capsule_twitter", FORM, lambda pair: folded(pair.old) == folded(pair.fresh)),
)
# What the server changes by itself after we wrote it, so that "what was last written" (DESIGN §3, ledger) is not what is there:
# a member's status by hand reads as it is calculated, an opportunity's probability follows its status (officernd.md §3.3, §3.8).
SERVERS_OWN: Final = frozenset({("member", "status"), ("opportunity", "probability")})
# Of ledgers: a record that was written before what it rests on came to be held stays as it is, though a fresh sync would hold it
# (DESIGN §6, Held: "tried again when the rules or the record change", and neither has).
HELD_WITH_ANOTHER: Final = frozenset({"other_held"})
# Beside these: a record that is no longer in has no counterpart in a fresh sync at all, and is judged by `left_behind`
# (DESIGN §6, edges, Release: "keep changes nothing and remembers; former sets members' status to former"; "We never delete").


def digits(value: object) -> str:
    return re.sub(r"\D", "", value) if isinstance(value, str) else ""


def folded(value: object) -> str:
    return value.casefold() if isinstance(value, str) else ""


def flat(resource: str, body: Document, capsule_ids: Mapping[str, str]) -> Document:
    """Our fields of a record; what is absent, null or empty is left out; references are Capsule ids."""
    found: Document = {}
    for name in OURS[resource]:
        head, _, inner = name.partition(".")
        value = (body.get(head) or {}).get(inner) if inner else body.get(head)
        if value in (None, "", [], {}):
            continue
        found[name] = capsule_ids.get(value, f"unlinked {value}") if name in {"company", "member"} else value
    return found


def link_of(body: Document) -> str:
    return str((body.get("properties") or {}).get(LINK) or "")


def by_link(state: Document) -> dict[tuple[str, int], Document]:
    """The records that carry a Capsule id, once each. Raises AssertionError for twins."""
    found: dict[tuple[str, int], Document] = {}
    for resource in RESOURCES:
        for body in state[resource]:
            link = link_of(body)
            if link:
                assert (resource, int(link)) not in found, f"two {resource} carry {LINK} {link}"
                found[resource, int(link)] = body
    return found


def differences(
    state: Document,
    fresh: Document,
    entries: Mapping[RecordKey, Entry],
    fresh_entries: Mapping[RecordKey, Entry],
    *,
    on_gone: str,
) -> list[str]:
    """What differs without leave, in words."""
    found = _ledgers(entries, fresh_entries)
    old, new = by_link(state), by_link(fresh)
    ids = {body["_id"]: str(number) for (_, number), body in old.items()}
    fresh_ids = {body["_id"]: str(number) for (_, number), body in new.items()}
    for where in sorted({*old, *new}):
        resource, number = where
        key = RecordKey(NAME, RESOURCES[resource], number)
        entry, fresh_entry = entries.get(key), fresh_entries.get(key)
        if where not in old:
            found.append(f"{where}: is not there; a fresh sync makes it")
        elif entry is None or entry.id != old[where]["_id"]:
            if not (PAST_KNOWN and (entry is None or (entry.id is None and entry.outcome != "in_step"))):
                found.append(f"{where}: the ledger does not know it: {entry}")
        elif where not in new:
            if not _held_since(entry, fresh_entry):
                found += left_behind(where, old[where], entry, manual=state["manual_statuses"], on_gone=on_gone)
        elif fresh_entry is not None and entry.outcome == fresh_entry.outcome == "in_step":
            mine, theirs = flat(resource, old[where], ids), flat(resource, new[where], fresh_ids)
            found += _fields(where, {name: Pair(mine.get(name), theirs.get(name), entry, fresh_entry) for name in OURS[resource]})
            if old[where]["_id"] in state["manual_statuses"]:
                found.append(f"{where}: its status is still set by hand: {state['manual_statuses'][old[where]['_id']]}")
    return found


def _fields(where: tuple[str, int], pairs: Mapping[str, Pair]) -> list[str]:
    return [
        f"{where}: {name} is {pair.old!r}, a fresh sync makes it {pair.fresh!r}"
        for name, pair in pairs.items()
        if pair.old != pair.fresh and not _is_allowed(where[0], name, pair)
    ]


def _is_allowed(resource: str, name: str, pair: Pair) -> bool:
    if PAST_KNOWN and pair.fresh is None and name not in pair.entry.wrote:
        return True
    return any(one.when(pair) for one in EXCEPTIONS if (one.resource, one.field) == (resource, name))


def _ledgers(entries: Mapping[RecordKey, Entry], fresh: Mapping[RecordKey, Entry]) -> list[str]:
    """The same verdicts: every record that Capsule shows has ended alike; every other is gone or was never met."""
    found = []
    for key in sorted({*entries, *fresh}):
        mine, theirs = entries.get(key), fresh.get(key)
        if theirs is None:
            if mine is not None and mine.outcome != "gone":
                found.append(f"{key.field}: is not in Capsule, and its entry says {mine.outcome}")
        elif mine is None:
            found.append(f"{key.field}: was never judged; a fresh sync ends {theirs.outcome}")
        elif _told(mine) != _told(theirs) and not _held_since(mine, theirs):
            found.append(f"{key.field}: ended as {_told(mine)}, a fresh sync ends {_told(theirs)}")
    return found


def _held_since(mine: Entry, theirs: Entry | None) -> bool:
    """Whether only what it rests on is held, and it was written before."""
    return mine.outcome == "in_step" and theirs is not None and (theirs.state.get("held") or [""])[0] in HELD_WITH_ANOTHER


def _told(entry: Entry) -> tuple[Any, ...]:
    held = entry.state.get("held") or [""]
    return entry.outcome, entry.is_in, held[0], entry.state.get("passes_on")


def left_behind(where: tuple[str, int], body: Document, entry: Entry, *, manual: Mapping[str, str], on_gone: str) -> list[str]:
    """What a record that a fresh sync would not make should look like: left, hidden, deleted or held in Capsule since."""
    if entry.outcome not in {"out", "gone", "held"}:
        return [f"{where}: a fresh sync does not make it, and its entry says {entry.outcome}"]
    left = entry.outcome != "held"
    expected = "former" if left and on_gone == "former" and where[0] == "members" else None
    if manual.get(body["_id"]) != expected and left:
        return [f"{where}: it left; its status by hand is {manual.get(body['_id'])}, and on_gone = {on_gone}"]
    return []


def ledger_lies(state: Document, entries: Mapping[RecordKey, Entry]) -> list[str]:
    """Where the ledger says that something was written that OfficeRnD does not hold."""
    bodies = {body["_id"]: body for resource in RESOURCES for body in state[resource]}
    found = []
    for key, entry in entries.items():
        if entry.id is None or entry.resource is None or entry.id not in bodies:
            continue
        have = observed(entry.resource, bodies[entry.id])
        for name, value in entry.wrote.items():
            if (entry.resource, name) not in SERVERS_OWN and not same(name, have.get(name), value):
                found.append(f"{key.field}: the ledger says {name} = {value!r}, OfficeRnD holds {have.get(name)!r}")
    return found
