"""The rules of a connection: `relay.toml` as typed, frozen values, with every fault named at once (DESIGN.md §6).

Secrets never stand in this file; they come from the environment (DESIGN.md, "Edges, decided").
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from functools import cached_property, partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from mapping import fields as own_fields
from mapping import rules_faults as faults
from mapping import tags as tag_rules
from mapping.agenda import CONNECTION_NAME
from mapping.errors import ExpressionInvalid, Fault, RulesInvalid, TagsInvalid
from mapping.unified.deliveries import MODELS
from mapping.unified.triggers import NAMES
from mapping.urls import checked_url

if TYPE_CHECKING:
    from mapping.fields import OwnField
    from mapping.tags import TagRule

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._~-]*")


def _refuse(message: str, hint: str) -> PydanticCustomError:
    """A fault in the form in which pydantic carries it; braces would be read as a template."""
    return PydanticCustomError("rule", "{message}", {"message": message, "hint": hint})


def _url(value: str) -> str:
    try:
        return checked_url(value)
    except ValueError as error:
        raise _refuse(str(error), 'Write "https://host/path"; plain http only to this machine (localhost).') from None


def _tag_rule(value: str) -> str:
    try:
        tag_rules.parse(value)
    except TagsInvalid as error:
        raise _refuse(str(error), error.hint) from None
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise _refuse("is blank", "Write a name, or remove the setting.")
    return value.strip()


def _slug(value: str) -> str:
    if not _SLUG.fullmatch(value):
        raise _refuse("is no organisation slug", "Copy it from the address of the admin portal: /admin/<slug>.")
    return value


def _expression(value: Any) -> str:  # noqa: ANN401 - whatever stands in the file
    if not isinstance(value, str):
        raise _refuse("is no expression", "Write a JMESPath expression in quotes.")
    try:
        own_fields.compile_field("", value)
    except ExpressionInvalid as error:
        raise _refuse(str(error), error.hint) from None
    return value


def _known(names: Collection[str], value: str) -> str:
    if value not in names:
        near = get_close_matches(value, names)
        hint = f'Did you mean "{near[0]}"?' if near else f"There are {', '.join(names)}."
        raise _refuse("is none of those that there are", hint)
    return value


Model = Annotated[str, AfterValidator(partial(_known, MODELS))]
Trigger = Annotated[str, AfterValidator(partial(_known, NAMES))]
Url = Annotated[str, AfterValidator(_url)]
Name = Annotated[str, AfterValidator(_not_blank)]
Expression = Annotated[str, BeforeValidator(_expression)]


class _Rules(BaseModel):
    """What all tables have in common: nothing unknown, nothing converted, nothing changed afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class CapsuleRules(_Rules):
    """`[connections.NAME.capsule]`: where the Capsule account is and how we sign in."""

    api_url: Url = "https://api.capsulecrm.com/api/v2"
    oauth_url: Url = "https://api.capsulecrm.com/oauth"  # the part before /authorise and /token
    auth: Literal["oauth", "token"] = "oauth"
    account: str | None = None  # the connection whose Capsule account, tokens and hooks this one shares


class OfficerndRules(_Rules):
    """`[connections.NAME.officernd]`: which organisation, and where; hosts differ by region (reference/officernd.md §1.5)."""

    organization: Annotated[str, AfterValidator(_slug)]
    api_url: Url = "https://app.officernd.com/api/v2"
    token_url: Url = "https://identity.officernd.com/oauth/token"  # noqa: S105 - an address, not a token


class UnifiedRules(_Rules):
    """`[connections.NAME.unified]`: the product that is told of unified records (reference/unified-crm.md §7)."""

    url: Url
    models: Annotated[list[Model], Field(min_length=1)] | None = None  # None: all
    triggers: list[Trigger] = Field(default_factory=list)
    keep_copy: bool = False
    allow_private_addresses: bool = False


class FieldRules(_Rules):
    """`[connections.NAME.fields]`: own mappings, target -> JMESPath; for every kind, or for one."""

    every: dict[str, Expression] = Field(default_factory=dict)
    person: dict[str, Expression] = Field(default_factory=dict)
    organisation: dict[str, Expression] = Field(default_factory=dict)
    opportunity: dict[str, Expression] = Field(default_factory=dict)

    @cached_property
    def _compiled(self) -> Mapping[str, tuple[OwnField, ...]]:
        tables = {"person": self.person, "organisation": self.organisation, "opportunity": self.opportunity}
        return {
            kind: tuple(own_fields.compile_field(target, text) for target, text in {**self.every, **table}.items())
            for kind, table in tables.items()
        }

    def of(self, kind: str) -> tuple[OwnField, ...]:
        """The compiled fields of "person", "organisation" or "opportunity"; one of the kind's own replaces the general one."""
        return self._compiled[kind]


def _field_rules(value: Any) -> Any:  # noqa: ANN401 - whatever stands in the file
    """Expressions for every kind stand beside the tables of single kinds: they are told apart by being no table."""
    if not isinstance(value, Mapping):
        return value
    every, tables = own_fields.split(value)
    return {**tables, "every": every}


class Connection(_Rules):
    """`[connections.NAME]`: everything that decides what comes over and how."""

    name: str
    downstream: Literal["officernd", "unified"]
    tags_to_sync: Annotated[str, AfterValidator(_tag_rule)] = ""
    sync_opportunities: bool = True
    sync_untagged_contacts: bool = True
    auto_sync: bool = True
    auto_sync_minutes: Annotated[int, Field(ge=1, le=24 * 60)] = 15
    default_location: Name | None = None
    on_gone: Literal["keep", "former"] = "keep"
    hook_generation: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    guard_percent: Annotated[float, Field(ge=0, le=100)] = 5.0  # releases that stop a reconcile: above this share …
    guard_records: Annotated[int, Field(ge=0)] = 10  # … and above this number
    capsule: CapsuleRules = CapsuleRules()
    officernd: OfficerndRules | None = None
    unified: UnifiedRules | None = None
    locations: dict[Name, list[Name]] = Field(default_factory=dict)
    opportunity_statuses: dict[Name, Name] = Field(default_factory=dict)
    fields: Annotated[FieldRules, BeforeValidator(_field_rules)] = FieldRules()

    @cached_property
    def tags(self) -> TagRule:
        """`tags_to_sync`, parsed."""
        return tag_rules.parse(self.tags_to_sync)

    def prepare(self) -> None:
        """Parses and compiles what is otherwise done at first use, so that threads only ever read it."""
        _ = self.tags, self.fields.of("person")


def parse(document: Mapping[str, object]) -> dict[str, Connection]:
    """The connections of a `relay.toml` that was read as TOML, by name, in their order.

    Raises:
        RulesInvalid: with every fault of the whole document.
    """
    found: list[Fault] = [faults.at_top(key) for key in document if key != "connections"]
    tables = document.get("connections")
    if not isinstance(tables, Mapping) or not tables:
        found.append(Fault("connections", "no connection is defined", "Add a table such as [connections.acme]."))
        raise RulesInvalid(tuple(found))
    connections: dict[str, Connection] = {}
    for name, table in tables.items():
        path = f"connections.{faults.quoted(name)}"
        if not CONNECTION_NAME.fullmatch(name):
            found.append(
                Fault(
                    path,
                    "is no name for a connection",
                    "Use a to z, 0 to 9 and _, beginning with a letter, at most 31 characters.",
                )
            )
        if not isinstance(table, Mapping):
            found.append(Fault(path, "is not a table", f"Write [{path}] and its settings below."))
            continue
        if "name" in table:
            found.append(Fault(f"{path}.name", "unknown setting", "The table's own name is the connection's name."))
        try:
            connections[name] = Connection.model_validate({**table, "name": name})
        except ValidationError as error:
            found.extend(faults.of_pydantic(path, name, error, Connection))
        found.extend(faults.across(path, table))
    found.extend(faults.of_accounts(tables))
    if found:
        raise RulesInvalid(tuple(found))
    for connection in connections.values():
        connection.prepare()
    return connections
