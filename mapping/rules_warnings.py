"""What is legal in `relay.toml` and surely mistaken: warnings of `capsule-relay check`, which stop nothing.

They are read from the tables as they stand in the file, so that a fault in one setting hides no warning about another.
What cannot be read is left out here: it is a fault already (`mapping.rules_faults`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from mapping import tags
from mapping.errors import Fault, TagsInvalid
from mapping.rules import Connection, OfficerndRules
from mapping.rules_faults import quoted
from mapping.values import milestone_key, word_key

if TYPE_CHECKING:
    from mapping.tags import Term

_ADDRESSES: Final = (("capsule", "api_url"), ("capsule", "oauth_url"), ("officernd", "api_url"), ("officernd", "token_url"))
_ENDS: Final = frozenset({"open", "won", "lost"})  # many milestones may rightly lead to one of the three system statuses
_DEFAULT_API: Final = OfficerndRules.model_fields["api_url"].default

Table = Mapping[str, Any]


def warnings(document: Mapping[str, object]) -> tuple[Fault, ...]:
    """Every warning about a rules file that was read as TOML, connection by connection."""
    connections = {name: table for name, table in _table(document, "connections").items() if isinstance(table, Mapping)}
    found: list[Fault] = []
    for name, table in connections.items():
        path = f"connections.{quoted(name)}"
        for about in (_switches, _tags, _locations, _statuses, _sides):
            found.extend(about(path, table))
    found.extend(_same_organisation(connections))
    return tuple(found)


def _switches(path: str, table: Table) -> Iterator[Fault]:
    if table.get("on_gone") == "former" and _is_blank(table.get("tags_to_sync", "")):
        message = "tags_to_sync is empty, so only what is deleted in Capsule becomes former: no record can leave the rules"
        yield Fault(f"{path}.on_gone", message, 'Name tags in tags_to_sync, or write on_gone = "keep".')
    if table.get("auto_sync") is False and "auto_sync_minutes" in table:
        yield Fault(f"{path}.auto_sync_minutes", "has no effect while auto_sync is false", "Remove one of the two.")


def _tags(path: str, table: Table) -> Iterator[Fault]:
    """Terms of `tags_to_sync` that contradict each other or stand twice."""
    text, where = table.get("tags_to_sync"), f"{path}.tags_to_sync"
    try:
        terms = tags.parse(text).terms if isinstance(text, str) else ()
    except TagsInvalid:
        return
    excluded = {word_key(term.words[0].tag) for term in terms if term.excludes and _is_plain(term)}
    seen: set[tuple[bool, frozenset[tuple[str, bool]]]] = set()
    for term in terms:
        words = {word_key(word.tag): word.tag for word in term.words}
        wanted = {word_key(word.tag) for word in term.words if not word.negated}
        both = wanted & {word_key(word.tag) for word in term.words if word.negated}
        never = sorted(both or (set() if term.excludes else wanted & excluded))
        if both:
            message = f'one group names "{words[never[0]]}" both with and without "!": it never holds'
            yield Fault(where, message, "Remove one of the two.")
        elif never:
            tag = words[never[0]]
            message = f'names "{tag}" and "!{tag}": what has the tag is excluded, so {term.describe()} never lets a record in'
            yield Fault(where, message, "Remove one of the two.")
        shape = (term.excludes, frozenset((word_key(word.tag), word.negated) for word in term.words))
        if shape in seen:
            yield Fault(where, f"{term.describe()} stands there twice", "Remove one of the two.")
        seen.add(shape)


def _is_plain(term: Term) -> bool:
    """Whether it is one tag without a further "!" of its own."""
    return len(term.words) == 1 and not term.words[0].negated


def _locations(path: str, table: Table) -> Iterator[Fault]:
    locations = _table(table, "locations")
    if table.get("downstream") == "officernd" and not locations and "default_location" not in table:
        message = "neither locations nor default_location is set, so every person and organisation is held"
        yield Fault(path, message, 'Add default_location = "<name>": every record of OfficeRnD needs a location.')
    first: dict[str, str] = {}
    for name, listed in locations.items():
        where = f"{path}.locations.{quoted(name)}"
        if not isinstance(listed, list):
            continue
        if not listed:
            yield Fault(where, "has no tags, so no record comes here by its tags", "List Capsule tags, or remove the line.")
        for number, tag in enumerate(listed):
            if not isinstance(tag, str) or _is_blank(tag):
                continue
            other = first.setdefault(word_key(tag), name)
            if other != name:
                message = f'the tag "{tag}" leads to {quoted(other)} already, which comes first'
                yield Fault(f"{where}.{number}", message, "Leave it at one location.")
            elif [word_key(str(one)) for one in listed[:number]].count(word_key(tag)):
                yield Fault(f"{where}.{number}", f'the tag "{tag}" stands there twice', "Remove one of the two.")


def _statuses(path: str, table: Table) -> Iterator[Fault]:
    statuses, where = _table(table, "opportunity_statuses"), f"{path}.opportunity_statuses"
    if table.get("sync_opportunities") is False:
        if statuses:
            yield Fault(where, "has no effect while sync_opportunities is false", "Remove one of the two.")
    elif table.get("downstream") == "officernd" and not statuses:
        message = "opportunity_statuses is empty, so every opportunity is held"
        yield Fault(where, message, "Give each milestone a status, or write sync_opportunities = false.")
    first: dict[str, str] = {}
    for milestone, status in statuses.items():
        if milestone in Connection.model_fields:
            message = f"is read as a milestone of that name, and {milestone} is a setting of [{path}]"
            yield Fault(f"{where}.{milestone}", message, f"Write it above the first of the other tables of [{path}].")
        if not isinstance(status, str) or word_key(status) in _ENDS:
            continue
        other = first.setdefault(word_key(status), milestone)
        # "Sales / Bid" and "Renewals / Bid" are the same step of two pipelines.
        if milestone_key(other).rpartition("/")[2] != milestone_key(milestone).rpartition("/")[2]:
            message = f'the status "{status}" stands for {quoted(other)} already: OfficeRnD cannot tell the two milestones apart'
            yield Fault(f"{where}.{quoted(milestone)}", message, "If that is meant, leave it.")


def _sides(path: str, table: Table) -> Iterator[Fault]:
    for side, setting in _ADDRESSES:
        address = _table(table, side).get(setting)
        if isinstance(address, str) and address.lower().startswith("http://"):
            message = "is plain http: right for a simulator on this machine and for nothing else"
            yield Fault(f"{path}.{side}.{setting}", message, "Remove the line for the vendor's own address.")
    capsule = _table(table, "capsule")
    if isinstance(capsule.get("account"), str) and "auth" in capsule:
        message = f"has no effect: the connection signs in as {capsule['account']} does, whose account it shares"
        yield Fault(f"{path}.capsule.auth", message, "Remove the line.")
    if table.get("downstream") == "officernd" and "unified" in table:
        yield Fault(f"{path}.unified", 'has no effect while downstream is "officernd"', "Remove one of the two.")
    if table.get("downstream") == "unified" and "officernd" in table:
        yield Fault(f"{path}.officernd", 'has no effect while downstream is "unified"', "Remove one of the two.")


def _same_organisation(connections: Mapping[str, Table]) -> Iterator[Fault]:
    """Two connections that write into one organisation: `capsule_link_id` holds Capsule's bare id and tells no accounts apart."""
    first: dict[tuple[str, str], str] = {}
    for name, table in connections.items():
        officernd = _table(table, "officernd")
        slug, address = officernd.get("organization"), officernd.get("api_url", _DEFAULT_API)
        if table.get("downstream") != "officernd" or not isinstance(slug, str) or not isinstance(address, str):
            continue
        other = first.setdefault((address.rstrip("/").lower(), slug), name)
        if other != name:
            message = f"is the organisation of the connection {other} too: each would take up and change the other's records"
            hint = "Give each connection an organisation of its own, or make one connection of the two."
            yield Fault(f"connections.{quoted(name)}.officernd.organization", message, hint)


def _table(table: Mapping[str, Any], key: str) -> Table:
    found = table.get(key)
    return found if isinstance(found, Mapping) else {}


def _is_blank(value: object) -> bool:
    return isinstance(value, str) and not value.strip()
