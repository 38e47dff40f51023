"""What a name in the rules means in OfficeRnD: locations and opportunity statuses (reference/officernd.md §3.4, §3.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mapping.plan import Held
from mapping.trace import Source, unheard
from mapping.values import milestone_key, text, word_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mapping.records import Milestone, Opportunity, Organisation, Party
    from mapping.rules import Connection
    from mapping.trace import Told

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


def place(context: Context, party: Party, organisation: Organisation | None, *, told: Told = unheard) -> tuple[str, str] | Held:
    """The location of a record as (id, name): by its own tags, its organisation's, or the default."""
    rules = context.connection
    found, whose = _by_tags(rules, party), "its own"
    if found is None and organisation is not None and not organisation.restricted:
        found, whose = _by_tags(rules, organisation), "its organisation's"
    setting = "locations" if found is not None else "default_location"
    name = found[0] if found is not None else rules.default_location
    if name is None:
        return Held("no_location", "no tag leads to a location; add a tag in Capsule, or set default_location")
    by = "default_location: no tag leads to a location" if found is None else f'locations: {whose} tag "{found[1]}"'
    told(Source(f'{by}; it names "{name}"', ("tags",)))
    there = locations_named(name, context.locations)
    if not there:
        return Held("location_unknown", f'{setting} names "{name}", which is no location in OfficeRnD')
    if len(there) > 1:
        return Held("location_ambiguous", f'{setting} names "{name}", and OfficeRnD has several of that name: use the id')
    return there[0]


def locations_named(name: str, locations: Mapping[str, str]) -> list[tuple[str, str]]:
    """The locations as (id, name) that a name or id of the rules may mean: one, if the rule is to be carried out."""
    if name in locations:
        return [(name, locations[name])]
    return [(number, known) for number, known in locations.items() if word_key(known) == word_key(name)]


def location_by_tags(rules: Connection, party: Party) -> str | None:
    """The name or id of the first location, in the order of the rules, that has one of the party's own tags."""
    found = _by_tags(rules, party)
    return None if found is None else found[0]


def _by_tags(rules: Connection, party: Party) -> tuple[str, str] | None:
    """That location, and the tag of the rules that leads there."""
    keys = {word_key(tag) for tag in party.tags or ()}
    return next(((name, tag) for name, tags in rules.locations.items() for tag in tags if word_key(tag) in keys), None)


def status_for(context: Context, opportunity: Opportunity, *, told: Told = unheard) -> Status | Held:
    """The status of an opportunity: its milestone by id, by "Pipeline / Milestone", or by name."""
    rules = {milestone_key(key): value for key, value in context.connection.opportunity_statuses.items()}
    milestone = None if opportunity.milestone_id is None else context.milestones.get(opportunity.milestone_id)
    pipeline = milestone.pipeline_name if milestone is not None else ""
    name = milestone.name if milestone is not None else opportunity.milestone_name
    shown = text(f"{pipeline} / {name}") if pipeline else text(name)
    wanted = next((rules[key] for key in milestone_keys(opportunity.milestone_id, pipeline, name) if key in rules), None)
    if wanted is None:
        return Held(
            "no_status", f'milestone "{shown}" (id {opportunity.milestone_id}) has no status; add it to opportunity_statuses'
        )
    told(Source(f'opportunity_statuses: milestone "{shown}" has "{wanted}"', ("milestone",)))
    found = statuses_named(wanted, context.statuses)
    if not found:
        return Held("status_unknown", f'opportunity_statuses names "{wanted}", which is no opportunity status in OfficeRnD')
    if len(found) > 1:
        return Held(
            "status_ambiguous", f'opportunity_statuses names "{wanted}", and OfficeRnD has several of that name: use the id'
        )
    return found[0]


def milestone_keys(number: int | None, pipeline: str, name: str) -> tuple[str, ...]:
    """How the rules may name a milestone, the most exact first (DESIGN.md, "Tags … Milestones")."""
    return tuple(milestone_key(one) for one in (str(number), f"{pipeline} / {name}", name))


def statuses_named(name: str, statuses: Mapping[str, Status]) -> list[Status]:
    """The statuses that a name or id of the rules may mean: one, if the rule is to be carried out."""
    if name in statuses:
        return [statuses[name]]
    found = [status for status in statuses.values() if word_key(status.description) == word_key(name)]
    return found or [status for status in statuses.values() if _system_word(status) == word_key(name)]


def _system_word(status: Status) -> str | None:
    """The three system rows have long descriptions: in rules they may be called open, won and lost (§3.4)."""
    if not status.is_system:
        return None
    return {_WON: "won", _LOST: "lost"}.get(status.probability, "open")
