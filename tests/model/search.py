"""Breadth-first search over the states of a small machine, with checks of safety and liveness.

A machine names its states by hashable keys and gives, for each, the steps that may come next. A step is *fair* if it
happens sooner or later; the others are faults, or acts of people and of the outside. Checked are:

- every step: the machine itself raises `Violation` where something forbidden happens;
- every state in which nothing but faults can happen: the machine's `judge` says what is wrong there, if anything;
- fair steps form no cycle: so each run in which the faults end comes to such a state.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from dataclasses import dataclass, replace
from typing import Any, Protocol

Key = tuple[Any, ...]
Step = tuple[str, bool, Key]  # what happens, is it fair, the state after it

LIMIT = 3_000_000


class Violation(Exception):
    """A step did what must never happen. `step` is the label of that step, once it is known."""

    def __init__(self, text: str, step: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.step = step


class Machine(Protocol):
    """What can be searched."""

    name: str

    def start(self) -> Key:
        """The first state."""

    def steps(self, key: Key, off: frozenset[str]) -> list[Step]:
        """The steps from a state, with the guards named in `off` left out; raises Violation."""

    def judge(self, key: Key) -> str | None:
        """What is wrong with a state in which nothing but faults can happen."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search found: `wrong` is None if the machine is clean, and `trace` is a shortest way to the fault.

    For steps that go round for ever it is a way to the circle, and once round it.
    """

    name: str
    off: frozenset[str]
    states: int
    steps: int
    seconds: float
    wrong: str | None = None
    trace: tuple[str, ...] = ()


def search(machine: Machine, off: frozenset[str] = frozenset(), limit: int = LIMIT) -> Outcome:  # noqa: C901 - one loop, told at once
    """Visits every state of the machine, or stops at the first fault."""
    began = time.monotonic()
    first = machine.start()
    ids: dict[Key, int] = {first: 0}
    keys, labels, parents = [first], [""], array("l", [-1])
    edges_from, edges_to = array("l"), array("l")
    queue, taken = deque([0]), 0

    def found(wrong: str | None, n: int = 0, last: str | None = None) -> Outcome:
        path = [last] if last else []
        while wrong and n > 0:
            path.append(labels[n])
            n = parents[n]
        return Outcome(machine.name, off, len(ids), taken, time.monotonic() - began, wrong, tuple(reversed(path)))

    while queue:
        n = queue.popleft()
        try:
            following = machine.steps(keys[n], off)
        except Violation as violation:
            return found(violation.text, n, violation.step)
        fair_left = False
        for label, fair, key in following:
            taken += 1
            m = ids.get(key)
            if m is None:
                m = ids[key] = len(keys)
                keys.append(key)
                parents.append(n)
                labels.append(label)
                queue.append(m)
            if fair:
                fair_left = True
                edges_from.append(n)
                edges_to.append(m)
        if not fair_left:
            wrong = machine.judge(keys[n])
            if wrong:
                return found(wrong, n)
        if len(ids) > limit:
            return found("limit of states reached: make the scenario smaller")
    circle = _cycle(len(keys), edges_from, edges_to)
    if not circle:
        return found(None)
    way = found("fair steps can go round for ever", circle[0])
    return replace(way, trace=(*way.trace, *_labels(machine, [keys[n] for n in circle], off)))


def _cycle(count: int, edges_from: array[int], edges_to: array[int]) -> list[int]:
    """The states of one cycle of these edges, in order and the first one found first; empty if there is none (Kahn)."""
    degree = array("l", [0]) * count
    heads: list[list[int]] = [[] for _ in range(count)]
    for a, b in zip(edges_from, edges_to, strict=True):
        degree[b] += 1
        heads[a].append(b)
    free = [n for n in range(count) if degree[n] == 0]
    removed = 0
    while free:
        n = free.pop()
        removed += 1
        for m in heads[n]:
            degree[m] -= 1
            if degree[m] == 0:
                free.append(m)
    if removed == count:
        return []
    # Each state that is left has another that is left before it: going backwards comes round.
    before = {b: a for a, b in zip(edges_from, edges_to, strict=True) if degree[a] and degree[b]}
    path = [next(iter(before))]
    while (n := before[path[-1]]) not in path:
        path.append(n)
    circle = path[path.index(n) :][::-1]
    first = circle.index(min(circle))
    return circle[first:] + circle[:first]


def _labels(machine: Machine, circle: list[Key], off: frozenset[str]) -> list[str]:
    """The steps that lead round the circle."""
    following = circle[1:] + circle[:1]
    return [
        next(label for label, fair, key in machine.steps(here, off) if fair and key == there)
        for here, there in zip(circle, following, strict=True)
    ]
