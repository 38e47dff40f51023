"""What follows from the answers of both sides for the rules of one connection: the pure part of `capsule-relay check --live`.

Names of the rules are looked up by the very functions that work on records (`mapping.officernd_lookup`), so that what is
said here is what a worker will do.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from mapping import officernd_fields as names
from mapping.errors import Fault
from mapping.officernd_lookup import Status, locations_named, milestone_keys, statuses_named
from mapping.rules_faults import quoted
from mapping.values import milestone_key, text, word_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mapping.records import Milestone
    from mapping.rules import Connection

_STATUS_WORDS: Final = ("open", "won", "lost")
_PEOPLE_CALL_IT: Final = {"member": "members", "team": "companies", "lead": "opportunities"}  # the targets' legacy names (§3.6)
_WHERE: Final = "OfficeRnD: Settings, Data & Extensibility, Custom Properties"


@dataclass(frozen=True, slots=True)
class Property:
    """A custom property of OfficeRnD (reference/officernd.md §3.6); `targets` are its words for the kinds of record."""

    key: str
    type: str
    targets: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """What was found: faults keep records from being written as the rules say, warnings do not or not surely."""

    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class _Need:
    """A property that the mapping writes: on these targets, of one of these types (the first is what to make)."""

    key: str
    types: tuple[str, ...]
    targets: tuple[str, ...]
    lost: str


def of_capsule(connection: Connection, *, milestones: Sequence[Milestone], tags: Iterable[str]) -> Found:
    """Rules that name what Capsule does not have, and milestones that the rules do not name. `tags` are those of parties."""
    path = f"connections.{quoted(connection.name)}"
    warnings = [*_tags(connection, path, list(tags))]
    if connection.sync_opportunities and connection.downstream == "officernd":
        warnings += _milestones(connection, path, milestones)
    return Found(warnings=tuple(warnings))


def of_officernd(
    connection: Connection, *, locations: Mapping[str, str], statuses: Mapping[str, Status], properties: Sequence[Property]
) -> Found:
    """Locations and statuses that the rules name and OfficeRnD does not have, or has twice, and properties that are not set up.

    `locations` are id -> name, `statuses` by id.
    """
    path = f"connections.{quoted(connection.name)}"
    faults = [*_locations(connection, path, locations)]
    if connection.sync_opportunities:
        faults += _statuses(connection, path, statuses)
    warnings: list[Fault] = []
    for fault, stops in [*_needed(connection, path, properties), *_own_fields(connection, path, properties)]:
        (faults if stops else warnings).append(fault)
    return Found(tuple(faults), tuple(warnings))


def _tags(connection: Connection, path: str, tags: list[str]) -> Iterator[Fault]:
    known = {word_key(tag): tag for tag in tags}
    named = [(f"{path}.tags_to_sync", tag) for tag in connection.tags.tags]
    for location, listed in connection.locations.items():
        where = f"{path}.locations.{quoted(location)}"
        named += [(f"{where}.{number}", tag) for number, tag in enumerate(listed)]
    for where, tag in named:
        if word_key(tag) not in known:
            message = f'no record carries the tag "{tag}": Capsule has no party tag of this name'
            yield Fault(where, message, _near(tag, known.values()) or "Nothing to do if it is yet to be made in Capsule.")


def _milestones(connection: Connection, path: str, milestones: Sequence[Milestone]) -> Iterator[Fault]:
    where = f"{path}.opportunity_statuses"
    rules = {milestone_key(key) for key in connection.opportunity_statuses}
    used: set[str] = set()
    for milestone in milestones:
        key_used = next((key for key in _keys(milestone) if key in rules), None)
        if key_used is not None:
            used.add(key_used)
        else:
            shown = text(f"{milestone.pipeline_name} / {milestone.name}" if milestone.pipeline_name else milestone.name)
            message = f'the milestone "{shown}" (id {milestone.id}) has no status, so opportunities there are held'
            yield Fault(where, message, f'Add {quoted(shown)} = "<status of OfficeRnD>".')
    there = {key for milestone in milestones for key in _keys(milestone)}
    shown_names = [milestone.name for milestone in milestones]
    shown_names += [f"{milestone.pipeline_name} / {milestone.name}" for milestone in milestones]
    for key in connection.opportunity_statuses:
        if milestone_key(key) not in there:
            hint = _near(key, shown_names) or 'Write a milestone\'s name, its id, or "Pipeline / Milestone".'
            yield Fault(f"{where}.{quoted(key)}", "no pipeline of Capsule has such a milestone", hint)
        elif milestone_key(key) not in used:
            message = "is never used: every milestone that it names has a line by its id or its pipeline"
            yield Fault(f"{where}.{quoted(key)}", message, "Remove the line.")


def _keys(milestone: Milestone) -> tuple[str, ...]:
    return milestone_keys(milestone.id, milestone.pipeline_name, milestone.name)


def _locations(connection: Connection, path: str, locations: Mapping[str, str]) -> Iterator[Fault]:
    named = [(f"{path}.locations.{quoted(name)}", name) for name in connection.locations]
    if connection.default_location is not None:
        named.append((f"{path}.default_location", connection.default_location))
    for where, name in named:
        ids = [number for number, _ in locations_named(name, locations)]
        if len(ids) != 1:
            yield _not_one(where, name, "location", ids=ids, known=list(locations.values()))


def _statuses(connection: Connection, path: str, statuses: Mapping[str, Status]) -> Iterator[Fault]:
    shown = [status.description for status in statuses.values() if not status.is_system]
    for milestone, name in connection.opportunity_statuses.items():
        ids = [status.id for status in statuses_named(name, statuses)]
        if len(ids) != 1:
            where = f"{path}.opportunity_statuses.{quoted(milestone)}"
            yield _not_one(where, name, "opportunity status", ids=ids, known=[*shown, *_STATUS_WORDS])


def _not_one(where: str, name: str, what: str, *, ids: list[str], known: list[str]) -> Fault:
    if ids:
        return Fault(where, f'OfficeRnD has {len(ids)} of the name "{name}": which {what} is meant?', f"Use one of {_list(ids)}.")
    return Fault(where, f'OfficeRnD has no {what} "{name}"', _near(name, known) or f"It has {_list(known) or 'none'}.")


def _needed(connection: Connection, path: str, properties: Sequence[Property]) -> Iterator[tuple[Fault, bool]]:
    """What the mapping itself writes (DESIGN.md §6, "Properties"); True: without it nothing is created."""
    deals = ("lead",) if connection.sync_opportunities else ()
    needs = [
        _Need(_key(names.LINK), ("String",), ("member", "team", *deals), "without it nothing is created there"),
        _Need(_key(names.TWITTER), ("String", "Text"), ("team",), "Twitter handles of organisations are left out"),
        _Need(_key(names.PHONE), ("String", "Text"), ("team",), "phone numbers of organisations are left out"),
        _Need(_key(names.LOCATION), ("String", "Text"), ("member",), "nothing shows where a member should be that has moved"),
        _Need(_key(names.DEAL_SIZE), ("Number",), deals, "a deal size that changes later is left out"),
        _Need(_key(names.PROBABILITY), ("Number",), deals, "Capsule's own probability is left out"),
    ]
    for need in needs:
        stops = need.key == _key(names.LINK)
        there = [one for one in properties if one.key == need.key]
        wanted = {word.lower() for word in need.types}
        missing = [target for target in need.targets if not any(target in one.targets for one in there)]
        if missing:
            message = f'the custom property "{need.key}" is not set up for {_targets(missing)}: {need.lost}'
            yield Fault(f"{path}.officernd", message, _how(need.key, need.types[0], need.targets)), stops
        for one in there:
            if one.type.lower() not in wanted and one.targets & set(need.targets):
                message = f'the custom property "{need.key}" has the type {one.type} and needs {need.types[0]}'
                hint = f"Remove it and make it anew. {_how(need.key, need.types[0], need.targets)}"
                yield Fault(f"{path}.officernd", message, hint), stops


def _own_fields(connection: Connection, path: str, properties: Sequence[Property]) -> Iterator[tuple[Fault, bool]]:
    """Own fields that go to properties which are not set up; True: for no kind of record that the rule is for."""
    fields = connection.fields
    tables: list[tuple[str, Mapping[str, str], tuple[str, ...]]] = [("", fields.every, names.RESOURCES)]
    tables += [(f".{kind}", getattr(fields, kind), (resource,)) for resource, kind in names.SOURCES.items()]
    for suffix, table, resources in tables:
        for target in table:
            if names.head(target) != "properties":
                continue
            key, wanted = _key(target), [names.TARGETS[resource] for resource in resources if _is_synced(connection, resource)]
            missing = [one for one in wanted if not any(one in each.targets for each in properties if each.key == key)]
            if missing:
                known = [each.key for each in properties if each.targets & set(missing)]
                message = f'OfficeRnD has no custom property "{key}" for {_targets(missing)}, so the value is left out there'
                hint = _near(key, known) or _how(key, "String", tuple(missing))
                yield Fault(f"{path}.fields{suffix}.{quoted(target)}", message, hint), missing == wanted


def _is_synced(connection: Connection, resource: str) -> bool:
    return resource != names.OPPORTUNITY or connection.sync_opportunities


def _key(field: str) -> str:
    return field.partition(".")[2]


def _how(key: str, type_: str, targets: Sequence[str]) -> str:
    """How a person adds a property: the API cannot (§3.6)."""
    return f'{_WHERE}, add: key "{key}", type {type_}, for {_targets(targets)}, privacy Admin only.'


def _targets(targets: Iterable[str]) -> str:
    return " and ".join(f"{_PEOPLE_CALL_IT[target]} (target {target})" for target in targets)


def _near(name: str, known: Iterable[str]) -> str:
    """A suggestion, or nothing."""
    by_key = {word_key(one): one.strip() for one in reversed(list(known)) if one.strip()}
    near = get_close_matches(word_key(name), by_key)
    return f'Did you mean "{by_key[near[0]]}"?' if near else ""


def _list(words: list[str]) -> str:
    most = 12
    return ", ".join(dict.fromkeys(words[:most])) + (", …" if len(words) > most else "")
