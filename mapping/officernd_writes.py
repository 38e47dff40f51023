"""A plan -> the calls that carry it out on OfficeRnD's v2 API, within what each verb accepts (reference/officernd.md §3)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from mapping import officernd_fields as fields
from mapping.plan import Create, Note, Nothing, Plan, Update

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mapping.values import Json

# The pages that could be read show no verb for a member's status and company (§2.3); `otherwise` has the other one.
OWN_ENDPOINT_METHOD: Final = "PUT"

_NO_ROUTE: Final = 404
_BAD_REQUEST: Final = 400

_STUCK: Final[Mapping[tuple[str, str], Note]] = {
    (fields.MEMBER, "location"): Note(
        "location_fixed",
        "OfficeRnD's API cannot move a member to another location; capsule_location says where it should be",
    ),
    (fields.MEMBER, "company"): Note(
        "company_stays", "OfficeRnD's API cannot take a member out of its company; it no longer has this one in Capsule"
    ),
    (fields.OPPORTUNITY, "dealSize"): Note(
        "deal_size_fixed", "OfficeRnD's API cannot change a deal size after creation; capsule_deal_size holds the current one"
    ),
    (fields.OPPORTUNITY, "member"): Note(
        "party_fixed", "OfficeRnD's API cannot give an opportunity to another member; in Capsule it has another party"
    ),
    (fields.OPPORTUNITY, "company"): Note(
        "company_fixed", "OfficeRnD's API cannot give an opportunity to another company; in Capsule it has another one"
    ),
}
# The start date of a member or company is only given at creation, and staff may change it; probability follows the status.
_SILENT: Final = frozenset({(fields.COMPANY, "startDate"), (fields.MEMBER, "startDate"), (fields.OPPORTUNITY, "probability")})


@dataclass(frozen=True, slots=True)
class Write:
    """One call. `{id}` in the path stands for the id that an earlier call of the same plan will answer.

    `path` begins after the organisation's slug; `covers` are the flat names of the fields that it brings into step.
    """

    method: Literal["POST", "PUT", "PATCH"]
    path: str
    body: Mapping[str, Json] = field(repr=False)
    creates: bool
    covers: tuple[str, ...]


def needs_current(plan: Plan) -> bool:
    """Whether the record must be read before the plan is written.

    A bag such as `properties` is sent whole, laid over what is there, since it is unknown whether PUT merges it (§2.3).
    """
    return isinstance(plan, Update) and any(fields.head(name) in fields.BAGS for name in plan.changed)


def writes(
    resource: str, plan: Plan, *, downstream_id: str | None, current: Mapping[str, Json] | None
) -> tuple[tuple[Write, ...], tuple[Note, ...]]:
    """The calls for a plan, in order, and what cannot be written.

    `current` is the record as OfficeRnD answered it last, or None if it was not read.
    """
    if isinstance(plan, Nothing):
        return (), _stuck(resource, plan.stuck)
    if isinstance(plan, Create):
        posted = {name: value for name, value in plan.fields.items() if fields.head(name) in fields.POST[resource]}
        rest = {name: value for name, value in plan.fields.items() if name not in posted}
        first = Write("POST", fields.PATHS[resource], _body(posted, None), creates=True, covers=tuple(posted))
        later, notes = _changes(resource, rest, "{id}", None)
        return (first, *later), notes
    calls, notes = _changes(resource, plan.changed, downstream_id or "{id}", current)
    return calls, notes + _stuck(resource, plan.stuck)


def otherwise(write: Write, *, status: int, message: str) -> Write | None:
    """The same call in the other form in which the API may want it, after a refusal that shows so; None if there is none.

    Both are unknown (§2.3): the verb of an endpoint of its own (a 404 that says "Cannot PUT" speaks of the route and not of
    the record), and whether an optional text is cleared by `""` or by null (a 400 that names a field sent as `""`).
    `message` is the refusal's, its lines joined by "; ". Neither refusal has had an effect.
    """
    if status == _NO_ROUTE and write.method == "PUT" and message.startswith("Cannot PUT"):
        return replace(write, method="PATCH")
    if status != _BAD_REQUEST:
        return None
    named = {line.partition(" ")[0] for line in message.split("; ")}
    body = _nulled(write.body, named, "")
    return None if body == write.body else replace(write, body=body)


def _nulled(body: Mapping[str, Json], named: set[str], prefix: str) -> dict[str, Json]:
    """The body with null in place of `""` wherever a field is among those named."""
    return {
        name: _nulled(value, named, f"{prefix}{name}.")
        if isinstance(value, dict)
        else None
        if value == "" and prefix + name in named
        else value
        for name, value in body.items()
    }


def _changes(
    resource: str, changed: Mapping[str, Json], number: str, current: Mapping[str, Json] | None
) -> tuple[tuple[Write, ...], tuple[Note, ...]]:
    """Calls that change an existing record; a value of None clears."""
    path = f"{fields.PATHS[resource]}/{number}"
    before = fields.observed(resource, current or {})
    full = {name: fields.cleared(name, before.get(name)) if value is None else value for name, value in changed.items()}
    own = fields.OWN_ENDPOINT[resource]
    put = {name: value for name, value in full.items() if fields.head(name) in fields.PUT[resource]}
    calls = [Write("PUT", path, _body(put, current), creates=False, covers=tuple(put))] if put else []
    calls += [
        Write(OWN_ENDPOINT_METHOD, f"{path}/{name}", {name: value}, creates=False, covers=(name,))
        for name, value in full.items()
        if name in own
    ]
    notes = tuple(
        Note("not_writable", f'OfficeRnD\'s API cannot change "{name}" of a {resource} after creation')
        for name in full
        if name not in put and name not in own
    )
    return tuple(calls), notes


def _body(flat: Mapping[str, Json], current: Mapping[str, Json] | None) -> dict[str, Json]:
    """Flat fields as a JSON body; bags are laid over the current ones."""
    body: dict[str, Json] = {}
    for name, value in flat.items():
        head, _, inner = name.partition(".")
        if head not in fields.BAGS:
            body[name] = value
            continue
        bag = body.get(head)
        if not isinstance(bag, dict):
            there = (current or {}).get(head)
            bag = dict(there) if isinstance(there, dict) else {}
            body[head] = bag
        bag[inner] = value
    return body


def _stuck(resource: str, stuck: Mapping[str, Json]) -> tuple[Note, ...]:
    """What should differ and cannot be changed, in an operator's words."""
    return tuple(
        _STUCK.get(
            (resource, name),
            Note("not_writable", f'OfficeRnD\'s API cannot change "{name}" of a {resource} after creation'),
        )
        for name in stuck
        if (resource, name) not in _SILENT
    )
