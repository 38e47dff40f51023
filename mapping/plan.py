"""What is, what should be, and the difference. Knows nothing of any downstream.

A `Wanted` says what a record should hold; `compare` says what to do about it; `remembered` says what the ledger keeps
afterwards as ours. The rule for clearing (DESIGN.md §6, own fields, and §3, ledger): a field that we wrote before and no
longer want is cleared, a field that was never ours is left alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mapping.values import Json, is_empty

if TYPE_CHECKING:
    from mapping.trace import Source

Same = Callable[[str, Json, Json], bool]


@dataclass(frozen=True, slots=True, order=True)
class Note:
    """Something that an operator is told once: no error, and nothing waits for it. `text` holds no personal data."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Held:
    """What a person must decide before this record can go on. `text` holds no personal data."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Waits:
    """Another record, Capsule's `(kind, id)`, must be in step before this one can be written."""

    kind: str
    id: int
    text: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one record should hold downstream, in flat field names; empty values are left out."""

    resource: str
    fields: Mapping[str, Json] = field(repr=False)  # brought into step whenever they differ
    notes: tuple[Note, ...] = ()
    initial: Mapping[str, Json] = field(default_factory=dict, repr=False)  # sent when creating; a later difference is only told
    fixed: frozenset[str] = frozenset()  # cannot be cleared; told when it should be
    untouched: frozenset[str] = frozenset()  # neither written nor cleared nor told in this run
    sources: Mapping[str, Source] = field(default_factory=dict, repr=False, compare=False)  # where each value comes from


@dataclass(frozen=True, slots=True)
class Create:
    """It is not there: create it with these fields."""

    fields: Mapping[str, Json] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Update:
    """These fields differ; None clears one. `stuck`: what should differ too and cannot be changed."""

    changed: Mapping[str, Json] = field(repr=False)
    stuck: Mapping[str, Json] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing to write. `stuck` as in `Update`."""

    stuck: Mapping[str, Json] = field(default_factory=dict, repr=False)


Plan = Create | Update | Nothing


def compare(wanted: Wanted, have: Mapping[str, Json] | None, same: Same, *, ours: Collection[str]) -> Plan:
    """What to do so that the record holds what is wanted.

    `have` is what it holds, flat: what the ledger says was written, or what was read back; None if there is no record.
    `ours` are the fields that we wrote before (the ledger's), the only ones that may be cleared. `same` compares two
    values of a field without regard to their form.
    """
    if have is None:
        return Create({name: value for name, value in {**wanted.initial, **wanted.fields}.items() if not is_empty(value)})
    changed: dict[str, Json] = {
        name: value for name, value in wanted.fields.items() if not is_empty(value) and not same(name, have.get(name), value)
    }
    stuck: dict[str, Json] = {
        name: value
        for name, value in wanted.initial.items()
        if name not in wanted.fields and not is_empty(value) and not same(name, have.get(name), value)
    }
    for name in sorted(_no_longer_wanted(wanted, have, ours)):
        if name in wanted.fixed:
            stuck[name] = None
        else:
            changed[name] = None
    return Update(changed, stuck) if changed else Nothing(stuck)


def remembered(wanted: Wanted, plan: Plan, have: Mapping[str, Json] | None, *, ours: Collection[str]) -> dict[str, Json]:
    """What the ledger keeps once the plan was carried out: our fields and the values that the record now holds for them.

    `have` and `ours` are what `compare` was given. The result, given as `have` and (its keys) as `ours` to the next
    comparison with the same `wanted`, yields Nothing.
    """
    if isinstance(plan, Create):
        return dict(plan.fields)
    before = have or {}
    kept = {*wanted.initial, *((set(plan.stuck) | wanted.untouched) & set(ours))}
    result: dict[str, Json] = {name: before[name] for name in kept if not is_empty(before.get(name))}
    result.update({name: value for name, value in wanted.fields.items() if not is_empty(value)})
    return result


def _no_longer_wanted(wanted: Wanted, have: Mapping[str, Json], ours: Collection[str]) -> set[str]:
    named = {name for name, value in {**wanted.initial, **wanted.fields}.items() if not is_empty(value)}
    return {name for name in set(ours) - named - wanted.untouched if not is_empty(have.get(name))}
