"""The query keys of each list and what they match (reference/officernd.md §2.6)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from tests.simulators.officernd.answers import CAST_MESSAGE, Refusal, is_object_id, read_date
from tests.simulators.officernd.schemas import COMPANY_STATUSES, MEMBER_STATUSES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.simulators.control import Control, Document
    from tests.simulators.officernd.store import Store

Kind = Literal["own_id", "reference", "text", "email", "status", "date", "bag", "flag"]

FILTERS: Mapping[str, Mapping[str, Kind]] = {
    "members": {
        "_id": "own_id",
        "name": "text",
        "email": "email",
        "location": "reference",
        "company": "reference",
        "status": "status",
        "createdAt": "date",
        "modifiedAt": "date",
        "properties": "bag",
    },
    "companies": {
        "_id": "own_id",
        "name": "text",
        "location": "reference",
        "status": "status",
        "createdAt": "date",
        "modifiedAt": "date",
        "properties": "bag",
    },
    "opportunities": {
        "_id": "own_id",
        "company": "reference",
        "member": "reference",
        "createdAt": "date",
        "modifiedAt": "date",
    },
    "locations": {"_id": "own_id", "name": "text", "isOpen": "flag", "isPublic": "flag"},
    "opportunity-statuses": {},
    "custom-properties": {},
}
STATUSES = {"members": MEMBER_STATUSES, "companies": COMPANY_STATUSES}
BEFORE_AND_AFTER: Mapping[str, Callable[[str, str], bool]] = {
    "$gt": lambda stored, wanted: stored > wanted,
    "$gte": lambda stored, wanted: stored >= wanted,
    "$lt": lambda stored, wanted: stored < wanted,
    "$lte": lambda stored, wanted: stored <= wanted,
}

Values = dict[tuple[str, ...], list[str]]
"""The values of one query key by what stands in its brackets: `modifiedAt[$gte]=a` is {("$gte",): ["a"]}."""


@dataclass(slots=True)
class Filters:
    """What a list was asked to match: tests that all must pass, and exact matches that an index knows."""

    tests: list[Callable[[Document], bool]] = field(default_factory=list)
    exact: list[tuple[str, str]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    casts: bool = False

    def passes(self, row: Document) -> bool:
        """Whether a record matches everything."""
        return all(test(row) for test in self.tests)


def read_filters(store: Store, control: Control, resource: str, keys: Mapping[str, Values]) -> Filters:
    """The filters in a query. Their faults are collected, for the answer names all of them together.

    Raises:
        Refusal: 500, for an id that is none, where nothing else was wrong.
    """
    reader = _Reader(store, control, resource)
    for name, values in keys.items():
        kind = FILTERS[resource].get(name)
        if kind is None:
            reader.found.faults.append(f"property {name} should not exist")
        else:
            reader.read(name, kind, values)
    if reader.found.casts and not reader.found.faults:
        raise Refusal(500, CAST_MESSAGE)
    return reader.found


class _Reader:
    """Reads the filters of one query, one key at a time."""

    def __init__(self, store: Store, control: Control, resource: str) -> None:
        self._store = store
        self._switches = control.switches
        self._resource = resource
        self.found = Filters()

    def read(self, name: str, kind: Kind, values: Values) -> None:
        """Add the filters of one query key."""
        if kind == "bag":
            self._read_bag(values)
        elif kind == "date":
            self._read_date(name, values)
        elif set(values) == {("$in",)} and self._takes_lists(kind) and len(values["$in",]) == 1:
            self._read_one_of(name, kind, values["$in",][0].split(","))
        elif set(values) != {()} or len(values[()]) != 1:
            self.found.faults.append(f"{name} must be a string")
        elif kind == "flag":
            self._read_flag(name, values[()][0])
        elif kind == "status":
            self._read_one_of(name, kind, values[()])
        else:
            self._read_exact(name, kind, values[()][0])

    def _takes_lists(self, kind: Kind) -> bool:
        references_too = self._switches["in_operator"] == "references_too"
        return kind == "status" or (references_too and kind in {"own_id", "reference"})

    def _read_exact(self, name: str, kind: Kind, wanted: str) -> None:
        """`field=value`: the same string, or without regard to case where a switch says so."""
        if kind in {"own_id", "reference"} and not is_object_id(wanted):
            self.found.casts = True
        if kind in {"text", "email"} and self._switches[f"{name}_filter_case"] == "ignored":
            folded = wanted.casefold()
            self.found.tests.append(lambda row: str(row.get(name, "")).casefold() == folded)
        else:
            self.found.exact.append((name, wanted))

    def _read_one_of(self, name: str, kind: Kind, wanted: list[str]) -> None:
        """`field[$in]=a,b`, and a single status."""
        if kind != "status":
            self.found.casts |= not all(is_object_id(identity) for identity in wanted)
            self.found.tests.append(lambda row: row.get(name) in wanted)
            return
        known = STATUSES[self._resource]
        if not set(wanted) <= set(known):
            self.found.faults.append(f"{name} must be one of the following values: {', '.join(known)}")
        self.found.tests.append(lambda row: self._store.status_of(self._resource, row) in wanted)

    def _read_flag(self, name: str, wanted: str) -> None:
        if wanted not in {"true", "false"}:
            self.found.faults.append(f"{name} must be a boolean value")
        self.found.tests.append(lambda row: row.get(name) is (wanted == "true"))

    def _read_date(self, name: str, values: Values) -> None:
        """`modifiedAt[$gte]=…` and the like; stored times are strings of one form, so they compare as strings."""
        for brackets, given in values.items():
            operator = brackets[0] if len(brackets) == 1 else ""
            if brackets and operator not in BEFORE_AND_AFTER:
                self.found.faults.append(f"{name}.property {operator} should not exist")
                continue
            wanted = read_date(given[0]) if len(given) == 1 else None
            if wanted is None:
                self.found.faults.append(f"{name} must be a valid ISO 8601 date string")
            else:
                self.found.tests.append(_date_test(name, operator, wanted))

    def _read_bag(self, values: Values) -> None:
        """`properties[key]=value`."""
        for brackets, given in values.items():
            if len(brackets) != 1 or not brackets[0] or len(given) != 1:
                self.found.faults.append("properties must be an object")
                continue
            self._read_property(brackets[0], given[0])

    def _read_property(self, key: str, wanted: str) -> None:
        """One custom property; a key that is not set up does what the switch `undefined_property_filter` says."""
        undefined = self._store.custom_property(self._resource, key) is None
        position = self._switches["undefined_property_filter"] if undefined else "match"
        if position == "refuse":
            self.found.faults.append(f"properties.property {key} should not exist")
        elif position == "nothing":
            self.found.tests.append(lambda _row: False)
        elif position == "match" and self._switches["number_property_filter"] == "match":
            self.found.tests.append(lambda row: _as_text((row.get("properties") or {}).get(key)) == wanted)
        elif position == "match":
            self.found.exact.append((f"properties.{key}", wanted))


def _date_test(name: str, operator: str, wanted: str) -> Callable[[Document], bool]:
    """A comparison of one date; a record without it never matches."""
    if not operator:
        return lambda row: row.get(name) == wanted
    compare = BEFORE_AND_AFTER[operator]
    return lambda row: row.get(name) is not None and compare(row[name], wanted)


def _as_text(value: object) -> str | None:
    """A property's value as a query would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)
