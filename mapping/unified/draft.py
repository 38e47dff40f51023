"""A body for Capsule in the making: what was sent, the record as it is, and what of it differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mapping import values
from mapping.errors import BodyInvalid, Fault

if TYPE_CHECKING:
    from mapping.unified.parts import Body
    from mapping.values import Json


@dataclass(frozen=True, slots=True)
class Change:
    """What must be sent to Capsule: a body under the record's own word, and parties to add beside the main one.

    An empty body and no parties: there is nothing to do.
    """

    body: Mapping[str, Json] = field(repr=False)
    parties: tuple[int, ...] = ()

    @property
    def nothing(self) -> bool:
        """Whether the record already is as it was asked for."""
        return not self.body and not self.parties


@dataclass(slots=True)
class Draft:
    """A body that is being made, and what is wrong with what was sent."""

    sent: Mapping[str, Any]
    current: Body | None
    body: dict[str, Json] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)

    def put(self, key: str, value: Json, *, have: Json) -> None:
        """Sets a key unless the record holds this value already; null and blank are one."""
        if values.is_empty(value) and values.is_empty(have):
            return
        if value != have:
            self.body[key] = value

    def simple(self, names: Mapping[str, str]) -> None:
        """Fields that have the same value on both sides, by Capsule's key."""
        for name, key in names.items():
            if name in self.sent:
                self.put(key, self.sent[name], have=(self.current or {}).get(key))

    def reference(self, name: str, key: str) -> None:
        """A field that points to another record."""
        if name not in self.sent:
            return
        wanted = self.sent[name]
        number = None if wanted is None else bare(wanted["id"])
        if number != nested_id(self.current, key):
            self.body[key] = None if number is None else {"id": number}

    def fault(self, path: str, message: str, hint: str = "") -> None:
        """Notes something that is wrong."""
        self.faults.append(Fault(path, message, hint))

    def done(self, parties: tuple[int, ...] = ()) -> Change:
        """The change.

        Raises:
            BodyInvalid: something was wrong.
        """
        if self.faults:
            raise BodyInvalid(tuple(self.faults))
        return Change(self.body, parties)


def bare(number: str) -> int:
    """`opportunity:14` -> 14."""
    return int(number.rpartition(":")[2])


def nested_id(body: Body | None, key: str) -> int | None:
    """The id of a nested record."""
    nested = (body or {}).get(key)
    found = nested.get("id") if isinstance(nested, Mapping) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def listed(body: Body | None, key: str) -> Sequence[Json]:
    """The entries of a list, none if there is no list."""
    found = (body or {}).get(key)
    return found if isinstance(found, list) else []
