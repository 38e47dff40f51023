"""Where the records of a list come from: the cheapest of Capsule's lists that holds all of them (reference/capsule.md §3, §5).

A source may hold more than was asked for; `Question.holds` decides.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from workers.console.unified import capsule_calls as calls
from workers.console.unified import filters
from workers.console.unified.problems import failures

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mapping.unified.parts import Definitions
    from workers.answers import Body
    from workers.capsule.caller import Caller
    from workers.console.unified.queries import Ask, Condition

KIND_OF: Final = {
    "accounts": "party",
    "contacts": "party",
    "engagements": "entry",
    "notes": "entry",
    "opportunities": "opportunity",
    "projects": "kase",
    "tasks": "task",
}
TYPE_OF: Final = {"accounts": "organisation", "contacts": "person"}
# The order in which Capsule answers is documented for entries alone (§5.5).
ORDER: Final = {"engagements": ("start_time", "desc"), "notes": ("entry_at", "desc")}
NOBODY: Final = "0"


@dataclass(frozen=True, slots=True)
class Source:
    """A list of Capsule, by pages. `exact`: every record of it is asked for, so that pages need not be filled up."""

    path: str
    wrapper: str
    route: str
    query: tuple[tuple[str, str], ...] = ()
    conditions: tuple[Mapping[str, Any], ...] | None = None
    largest: int = calls.LARGEST
    exact: bool = False

    def page(self, caller: Caller, number: int, size: int) -> tuple[list[Body], bool]:
        """One page, and whether another follows. Raises as `capsule_calls.page`."""
        return calls.page(
            caller,
            self.path,
            self.wrapper,
            number=number,
            size=size,
            query=self.query,
            conditions=self.conditions,
            route=self.route,
        )


def holds(model: str, ask: Ask, definitions: Definitions | None, record: filters.Record) -> bool:
    """Whether a record is one of those that were asked for."""
    known = filters.FILTERS[model]
    return all(
        filters.custom_holds(record, definitions, one) if one.name == "custom_fields" else known[one.name].holds(record, one)
        for one in ask.conditions
    )


def check(model: str, ask: Ask) -> None:
    """Refuses what this model's list cannot do.

    Raises:
        Problem: 400.
    """
    if ask.sort is not None and ask.sort != ORDER.get(model):
        order = ORDER.get(model)
        hint = f"Only sort_by[{order[0]}]={order[1]} can be served." if order else "Capsule documents no order for this list."
        raise failures(400, "The question cannot be served.", [("sort_by", "cannot be served here", hint)])
    if ask.search and KIND_OF.get(model) not in ("party", "opportunity", "kase"):
        raise failures(400, "The question cannot be served.", [("search_term", "Capsule has no search for this model", "")])
    for one in ask.conditions:
        filters.FILTERS[model][one.name].check(one)


def of(model: str, ask: Ask, definitions: Callable[[], Definitions]) -> Source:
    """The source for a question.

    Raises:
        Problem: 400, a custom field is not known.
    """
    parents = {one.name: one.value for one in ask.conditions if one.name in filters.PARENTS}
    kind = KIND_OF[model]
    embed = (("embed", calls.EMBED[kind]),)
    if kind == "entry":
        root = _parent(parents)
        place = f"/{root}/entries" if root else "/entries"
        return Source(place, "entries", _route(place), embed, largest=calls.LARGEST_ENTRIES)
    if kind == "task":
        wanted = {one.value.lower() for one in ask.conditions if one.name == "status"}
        status = {"open": "open,pending", "completed": "completed"}.get("".join(wanted), "open,completed,pending")
        return Source("/tasks", "tasks", "/tasks", (("status", status), *embed), exact=not ask.conditions)
    path = calls.PATHS[kind]
    if ask.search:
        return Source(f"/{path}/search", path, f"/{path}/search", (("q", ask.search), *embed))
    if place := _related(model, parents):
        return Source(place, path, _route(place), embed)
    return _filtered(model, ask, definitions)


def _filtered(model: str, ask: Ask, definitions: Callable[[], Definitions]) -> Source:
    kind = KIND_OF[model]
    path, embed = calls.PATHS[kind], (("embed", calls.EMBED[kind]),)
    narrowed = _narrowed(model, ask.conditions, definitions)
    lower = [one.value for one in ask.conditions if one.name == "updated_at" and one.operator in ("gt", "gte")]
    if lower and all(one.name == "updated_at" for one in ask.conditions):
        since = max(filters.parsed(value) for value in lower) - dt.timedelta(seconds=1)
        moment = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        return Source(f"/{path}", path, f"/{path}", (("since", moment), *embed))
    if kind == "party":
        narrowed.insert(0, {"field": "type", "operator": "is", "value": TYPE_OF[model]})
    if narrowed:
        place = f"/{path}/filters/results"
        return Source(place, path, place, embed, tuple(narrowed), exact=not ask.conditions)
    return Source(f"/{path}", path, f"/{path}", embed, exact=not ask.conditions)


def _narrowed(model: str, conditions: Sequence[Condition], definitions: Callable[[], Definitions]) -> list[filters.Question]:
    found: list[filters.Question] = []
    for one in conditions:
        narrow = filters.FILTERS[model][one.name].narrow
        if one.name == "custom_fields":
            found.append(filters.custom(definitions(), one))
        elif narrow is not None:
            found += narrow(one.operator, one.value)
    return found


def _parent(parents: Mapping[str, str]) -> str:
    """`parties/12`, of the record whose entries are asked for; empty for those of all."""
    for name, word in (
        ("contact.id", "parties"),
        ("account.id", "parties"),
        ("opportunity.id", "opportunities"),
        ("project.id", "kases"),
    ):
        if name in parents:
            return f"{word}/{_number(parents[name])}"
    return ""


def _related(model: str, parents: Mapping[str, str]) -> str:
    """The list that leads from one record to others, empty where there is none."""
    if model == "contacts" and "account.id" in parents:
        return f"/parties/{_number(parents['account.id'])}/people"
    if model == "projects" and "opportunity.id" in parents:
        return f"/opportunities/{_number(parents['opportunity.id'])}/kases"
    party = parents.get("contact.id") or parents.get("account.id")
    if model in ("opportunities", "projects") and party:
        return f"/parties/{_number(party)}/{calls.PATHS[KIND_OF[model]]}"
    return ""


def _number(value: str) -> str:
    return value if value.isascii() and value.isdigit() and len(value) <= len("100000000000000000") else NOBODY


def _route(place: str) -> str:
    return "/".join("{id}" if part.isdigit() else part for part in place.split("/"))
