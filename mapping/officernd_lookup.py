"""What a name in the rules means in OfficeRnD: locations and opportunity statuses (reference/officernd.md §3.4, §3.5)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mapping.plan import Held
from mapping.values import text, word_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mapping.records import Milestone, Opportunity, Organisation, Party
    from mapping.rules import Connection

_SLASH: Final = re.compile(r"\s*/\s*")
_WON: Final = 100
_LOST: Final = 0


@dataclass(frozen=True, slots=True)
class Status:
    """An opportunity status; `description` is its name (§3.4)."""

    id: str
    description: str
    probability: int
    is_system: bool


@dataclass(frozen=True, slots=True)
class Context:
    """What the mapping of one record needs to know beside the record, read beforehand.

    `link` is called with Capsule's kind ("party" or "opportunity") and id, and answers OfficeRnD's id of that record if
    it is in step there (not if it is held, waiting or released), else None.
    """

    connection: Connection
    locations: Mapping[str, str]  # id -> name
    statuses: Mapping[str, Status]  # by id
    properties: Mapping[str, frozenset[str]]  # target (member, team, lead) -> keys of the custom properties set up there
    milestones: Mapping[int, Milestone]  # of all pipelines, by id
    link: Callable[[str, int], str | None]


def place(context: Context, party: Party, organisation: Organisation | None) -> tuple[str, str] | Held:
    """The location of a record as (id, name): by its own tags, its organisation's, or the default."""
    rules = context.connection
    name = location_by_tags(rules, party)
    if name is None and organisation is not None and not organisation.restricted:
        name = location_by_tags(rules, organisation)
    setting = "locations" if name is not None else "default_location"
    if name is None:
        name = rules.default_location
    if name is None:
        return Held("no_location", "no tag leads to a location; add a tag in Capsule, or set default_location")
    if name in context.locations:
        return name, context.locations[name]
    found = [(number, known) for number, known in context.locations.items() if word_key(known) == word_key(name)]
    if not found:
        return Held("location_unknown", f'{setting} names "{name}", which is no location in OfficeRnD')
    if len(found) > 1:
        return Held("location_ambiguous", f'{setting} names "{name}", and OfficeRnD has several of that name: use the id')
    return found[0]


def location_by_tags(rules: Connection, party: Party) -> str | None:
    """The name or id of the first location, in the order of the rules, that has one of the party's own tags."""
    keys = {word_key(tag) for tag in party.tags or ()}
    return next((name for name, tags in rules.locations.items() if any(word_key(tag) in keys for tag in tags)), None)


def status_for(context: Context, opportunity: Opportunity) -> Status | Held:
    """The status of an opportunity: its milestone by id, by "Pipeline / Milestone", or by name."""
    rules = {_milestone_key(key): value for key, value in context.connection.opportunity_statuses.items()}
    milestone = None if opportunity.milestone_id is None else context.milestones.get(opportunity.milestone_id)
    pipeline = milestone.pipeline_name if milestone is not None else ""
    name = milestone.name if milestone is not None else opportunity.milestone_name
    shown = text(f"{pipeline} / {name}") if pipeline else text(name)
    for key in (str(opportunity.milestone_id), f"{pipeline} / {name}", name):
        wanted = rules.get(_milestone_key(key))
        if wanted is not None:
            return _status(context, wanted)
    return Held("no_status", f'milestone "{shown}" (id {opportunity.milestone_id}) has no status; add it to opportunity_statuses')


def _status(context: Context, wanted: str) -> Status | Held:
    if wanted in context.statuses:
        return context.statuses[wanted]
    found = [status for status in context.statuses.values() if word_key(status.description) == word_key(wanted)]
    found = found or [status for status in context.statuses.values() if _system_word(status) == word_key(wanted)]
    if not found:
        return Held("status_unknown", f'opportunity_statuses names "{wanted}", which is no opportunity status in OfficeRnD')
    if len(found) > 1:
        return Held(
            "status_ambiguous", f'opportunity_statuses names "{wanted}", and OfficeRnD has several of that name: use the id'
        )
    return found[0]


def _system_word(status: Status) -> str | None:
    """The three system rows have long descriptions: in rules they may be called open, won and lost (§3.4)."""
    if not status.is_system:
        return None
    return {_WON: "won", _LOST: "lost"}.get(status.probability, "open")


def _milestone_key(value: str) -> str:
    return _SLASH.sub("/", word_key(value))
