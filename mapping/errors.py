"""Errors of the mapping, named by what the caller should do.

MappingError
├── RulesInvalid           ask a person to mend relay.toml; holds every fault at once
├── TagsInvalid            the text of tags_to_sync has no meaning: shown as one fault of relay.toml
├── ExpressionInvalid      an own field's target or expression has no meaning: shown as one fault of relay.toml
├── ValueUnusable          an own field gave nothing that can be written for this record: left alone and noted
├── UnreadableDelivery     keep the delivery as a dead letter of kind `delivery`, open what could be read, answer 202
├── UnreadableRecord       Capsule answered something that is not a record of this kind: bury it with the reason
└── BodyInvalid            a caller of the unified API sent what cannot be written: answer 422 with every fault

No message holds anything of a body, a name or an address: they are logged and kept.
"""

from __future__ import annotations

from dataclasses import dataclass


class MappingError(Exception):
    """Root of what the mapping raises on purpose."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong in a setting: where (`connections.acme.tags_to_sync`), what, and what to do about it."""

    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class RulesInvalid(MappingError):
    """The rules of `relay.toml` cannot be used; `faults` names everything that is wrong with them."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = faults


class UnreadableDelivery(MappingError):
    """A delivery that is authentic but not of the form of reference/capsule.md §1.5.

    `reason` says what is wrong without a word of the body. `records` are those items that could be read, as
    `(kind, id)`: one spoilt item must not cost its neighbours their event.
    """

    def __init__(self, reason: str, *, event: str = "", records: tuple[tuple[str, int], ...] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        self.event = event
        self.records = records


class UnreadableRecord(MappingError):
    """What was read is not a record of the kind that was asked for."""


class TagsInvalid(MappingError):
    """A text of `tags_to_sync` that cannot be read. `position` is the character (counted from 1) where the reading stopped."""

    def __init__(self, message: str, *, position: int, hint: str) -> None:
        super().__init__(f"character {position}: {message}")
        self.position = position
        self.hint = hint


class ExpressionInvalid(MappingError):
    """An own field of `[connections.NAME.fields]` that can never work, whatever the record."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class ValueUnusable(MappingError):
    """The result of an own field for one record is not of a type that its target takes. The message holds no value."""


class BodyInvalid(MappingError):
    """What a caller wants to write cannot be written; `faults` names everything that is wrong, by path and never by value."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults = faults
