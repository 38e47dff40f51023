"""Which records a delivery of Capsule concerns: nothing more is taken from it.

Capsule's body is `{"event": "party/updated", "payload": [{"id": 1, ...}, ...]}` (reference/capsule.md §1.5 to §1.7). It is a
hint: only the event's entity and each item's `id` are read, so unknown keys, either form of a deleted record and an item
that comes twice need no rule of their own.
"""

from __future__ import annotations

from typing import Final

from mapping.errors import UnreadableDelivery

EVENTS: Final = (
    "party/created",
    "party/updated",
    "party/deleted",
    "kase/created",
    "kase/updated",
    "kase/deleted",
    "kase/closed",
    "kase/moved",
    "opportunity/created",
    "opportunity/updated",
    "opportunity/deleted",
    "opportunity/closed",
    "opportunity/moved",
    "task/created",
    "task/updated",
    "task/completed",
    "user/created",
    "user/updated",
    "user/deleted",
)
"""The events that a hook can be subscribed to (reference/capsule.md §1.4)."""

LARGEST_ID: Final = 2**63 - 1
"""Capsule's ids are Longs."""

_KIND_OF: Final = {event: event.partition("/")[0] for event in EVENTS}

_OF_INTEREST: Final = {
    "officernd": frozenset({"party", "opportunity"}),
    "unified": frozenset({"party", "opportunity", "kase", "task", "user"}),
}
DOWNSTREAMS: Final = tuple(_OF_INTEREST)
"""The values that a connection's `downstream` can have."""


def kinds_of_interest(downstream: str) -> frozenset[str]:
    """The kinds of record that a downstream of that name is kept true to.

    Raises:
        ValueError: no downstream has that name.
    """
    try:
        return _OF_INTEREST[downstream]
    except KeyError:
        raise ValueError(f"no downstream is called {downstream!r}; there are {', '.join(DOWNSTREAMS)}") from None


def records(event: str, payload: object) -> tuple[tuple[str, int], ...]:
    """The `(kind, id)` of every item of a delivery, each once, in the order in which they came.

    Raises:
        UnreadableDelivery: the event is unknown, the payload is not a list, or an item has no usable id; its
            `records` hold the items that could be read all the same.
    """
    kind = _KIND_OF.get(event)
    if kind is None:
        raise UnreadableDelivery("the event is none of those that Capsule documents")
    if not isinstance(payload, list):
        raise UnreadableDelivery("the payload is not a list", event=event)
    found: dict[tuple[str, int], None] = {}
    spoilt: list[int] = []
    for position, item in enumerate(payload):
        number = item.get("id") if isinstance(item, dict) else None
        # `type` and not isinstance: true is an int in Python, and is no id.
        if type(number) is int and 0 < number <= LARGEST_ID:
            found[kind, number] = None
        else:
            spoilt.append(position)
    if spoilt:
        raise UnreadableDelivery(
            f"{len(spoilt)} of {len(payload)} items have no id that is a positive whole number, first at position {spoilt[0]}",
            event=event,
            records=tuple(found),
        )
    return tuple(found)


def delivery(document: object) -> tuple[str, tuple[tuple[str, int], ...]]:
    """The event of a decoded body, and the `(kind, id)` of its records as `records` gives them.

    Raises:
        UnreadableDelivery: as `records`, and when the document is not an object or names no event.
    """
    if not isinstance(document, dict):
        raise UnreadableDelivery("the body is not a JSON object")
    event = document.get("event")
    if not isinstance(event, str):
        raise UnreadableDelivery("the body names no event")
    if "payload" not in document:
        raise UnreadableDelivery("the body has no payload", event=event if event in _KIND_OF else "")
    return event, records(event, document["payload"])
