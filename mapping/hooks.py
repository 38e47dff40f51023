"""Which REST hooks a Capsule account needs, and what to change so that it has them. Pure (reference/capsule.md §1.1 to §1.4).

A hook is ours when its address begins with ours, or when we noted its id at subscribing. All others, which another
installation of the same application may have made, are left alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mapping.events import EVENTS, kinds_of_interest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from mapping.rules import Connection

MOST_HOOKS: Final = 20
"""Subscriptions that one Capsule account may have, whoever made them (reference/capsule.md §1.3)."""


@dataclass(frozen=True, slots=True)
class Want:
    """A hook that should be there. `embed` is Capsule's comma list; empty for none."""

    event: str
    url: str
    embed: str = ""


@dataclass(frozen=True, slots=True)
class Hook:
    """A hook that Capsule lists."""

    id: int
    event: str
    url: str
    embed: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """What to do for one event: subscribe first (None: it is there already), then take these away."""

    event: str
    subscribe: Want | None
    unsubscribe: tuple[Hook, ...]
    missing: bool
    """Nothing of ours carried this event: what happened meanwhile was not told."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is there and right (`kept`), what others made (`foreign`), and the steps to take, in their order."""

    kept: tuple[Hook, ...]
    foreign: tuple[Hook, ...]
    steps: tuple[Step, ...]

    @property
    def missing(self) -> tuple[str, ...]:
        """The events that nothing of ours carries."""
        return tuple(step.event for step in self.steps if step.missing)


def events_for(connections: Iterable[Connection]) -> tuple[str, ...]:
    """The events that these connections need, each once, in Capsule's own order."""
    kinds: set[str] = set()
    for connection in connections:
        mine = kinds_of_interest(connection.downstream)
        kinds |= mine if connection.sync_opportunities or connection.downstream != "officernd" else mine - {"opportunity"}
    return tuple(event for event in EVENTS if event.partition("/")[0] in kinds)


def wanted(connections: Iterable[Connection], url: str) -> tuple[Want, ...]:
    """The hooks of an account whose deliveries go to `url`.

    Nothing is embedded: what a delivery carries is not used, as the record is read again (DESIGN.md §2).
    """
    return tuple(Want(event, url) for event in events_for(connections))


def compare(have: Sequence[Hook], want: Sequence[Want], *, base: str, known: Collection[int] = ()) -> Comparison:
    """What to do so that each wanted hook is there exactly once.

    `base` is what the addresses of this account's hooks begin with, `known` the ids of hooks that we subscribed. The new one
    comes before the old one goes, event by event, so one free place is enough; where nothing is free, what is surplus goes first.
    """
    ours = [hook for hook in sorted(have, key=lambda hook: hook.id) if hook.url.startswith(base) or hook.id in known]
    names = {one.event for one in want}
    kept: list[Hook] = []
    surplus = dict.fromkeys(hook.event for hook in ours if hook.event not in names)
    steps = [Step(event, None, tuple(hook for hook in ours if hook.event == event), missing=False) for event in surplus]
    for one in want:
        there = [hook for hook in ours if hook.event == one.event]
        right = next((hook for hook in there if hook.url == one.url and _parts(hook.embed) == _parts(one.embed)), None)
        old = tuple(hook for hook in there if hook is not right)
        if right is not None:
            kept.append(right)
        if right is None or old:
            steps.append(Step(one.event, one if right is None else None, old, missing=not there))
    foreign = tuple(hook for hook in have if hook not in ours)
    return Comparison(tuple(kept), foreign, tuple(steps))


def _parts(embed: str) -> frozenset[str]:
    """The names in an `embed`, whose order says nothing."""
    return frozenset(part for part in (piece.strip() for piece in embed.split(",")) if part)
