"""Triggers for workflows: what happened to a record, by its last known state and its state now. Pure.

Only the two states are compared: one that was left and regained between two reads is not seen, and is no trigger.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mapping.values import Json

TAGGED: Final = frozenset({"account", "contact", "opportunity", "project"})
CREATED: Final = ("account", "contact", "opportunity", "project", "task", "engagement", "note")
OWNED: Final = ("account", "contact", "opportunity", "project", "task")
NAMES: Final = (
    *(f"{model}.created" for model in CREATED),
    *(f"{model}.owner_changed" for model in OWNED),
    "opportunity.stage_changed",
    "opportunity.won",
    "opportunity.lost",
    "opportunity.reopened",
    "project.moved",
    "project.closed",
    "project.reopened",
    "task.completed",
    "task.reopened",
    "tag.added",
    "tag.removed",
)
"""Every trigger that can be asked for."""

# Of a model: a word of its status -> what it means to come to it from another.
STATUSES: Final = {
    ("opportunity", "won"): "opportunity.won",
    ("opportunity", "lost"): "opportunity.lost",
    ("opportunity", "open"): "opportunity.reopened",
    ("project", "closed"): "project.closed",
    ("project", "open"): "project.reopened",
    ("task", "completed"): "task.completed",
    ("task", "open"): "task.reopened",
}
STAGES: Final = {"opportunity": "opportunity.stage_changed", "project": "project.moved"}


@dataclass(frozen=True, slots=True)
class Trigger:
    """One thing that happened. `details` are what a workflow needs beside the record: `from` and `to`, or `tags`."""

    name: str
    details: Mapping[str, Json] = field(default_factory=dict, repr=False)


def triggers(model: str, was: Mapping[str, Any] | None, now: Mapping[str, Any], *, since: str) -> tuple[Trigger, ...]:
    """What happened to a record, in a fixed order.

    `was` is its last known state, None when there is none: then only its creation can be told, and only if Capsule says that it
    was created after `since` (ISO 8601, UTC, seconds), when this connection was first followed. What was there before is not new.
    """
    if was is None:
        new = str(now.get("created_at") or "") >= since
        return (Trigger(f"{model}.created"),) if new and model in CREATED else ()
    return tuple(_changes(model, was, now))


def _changes(model: str, was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Trigger]:
    if model in STAGES and _id(was.get("stage")) != _id(now.get("stage")):
        yield Trigger(STAGES[model], {"from": was.get("stage"), "to": now.get("stage")})
    status = STATUSES.get((model, str(now.get("status"))))
    if status is not None and was.get("status") != now.get("status"):
        yield Trigger(status, {"from": was.get("status"), "to": now.get("status")})
    if model in OWNED and _id(was.get("owner")) != _id(now.get("owner")):
        yield Trigger(f"{model}.owner_changed", {"from": was.get("owner"), "to": now.get("owner")})
    if model in TAGGED:
        before, after = _tags(was), _tags(now)
        if added := [after[name] for name in after if name not in before]:
            yield Trigger("tag.added", {"tags": added})
        if removed := [before[name] for name in before if name not in after]:
            yield Trigger("tag.removed", {"tags": removed})


def _id(nested: Any) -> Any:  # noqa: ANN401 - any JSON
    return nested.get("id") if isinstance(nested, dict) else None


def _tags(record: Mapping[str, Any]) -> dict[str, Json]:
    """The tags by name: Capsule leaves the id out in some answers."""
    return {str(tag["name"]).casefold(): tag for tag in record.get("tags") or ()}
