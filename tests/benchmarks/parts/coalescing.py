"""Coalescing: many events for few records. Calls and writes that each contestant makes of them.

The records are changed once in Capsule, then told of again and again as fast as deliveries are accepted.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.report import Result
from tests.benchmarks.stage import NAMES, contestants, edit, parties, running, spent

MOST_WRITES: Final = 2.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Events for one record, and events over several; `peers` is how much of the second they are given."""

    one: int = 100
    events: int = 1_000
    records: int = 100
    peer_events: int = 500
    rounds: int = 3


SIZES: Final = {"reduced": Sizes(), "full": Sizes(events=10_000, peer_events=10_000, rounds=7)}


def run(sizes: Sizes) -> Result:
    """All contestants, one after another."""
    result = Result("coalescing", (__doc__ or "").partition("\n\n")[2].replace("\n", " ").strip())
    for who in contestants():
        with running(who, sizes.records * 2) as installation:
            people = parties(installation, sizes.records)
            found = []
            for number in range(sizes.rounds):
                edit(installation, people[:1], f"One{number}x")
                found.append(spent(installation, people[:1] * sizes.one, seconds=300))
            said = f"{NAMES[who]}, {sizes.one} events for one record"
            judged = {"most": MOST_WRITES} if who == "relay" else {}
            result.add(f"{said}: writes", "calls", [one.writes for one in found], **judged)
            result.add(f"{said}: Capsule calls", "calls", [one.capsule_calls for one in found])
            result.add(f"{said}: first delivery to the end", "s", [one.seconds for one in found])
            events = sizes.events if who == "relay" else sizes.peer_events
            told = people * (events // sizes.records)
            random.Random(1).shuffle(told)
            edit(installation, people, "Many")
            one = spent(installation, told, seconds=900)
            said = f"{NAMES[who]}, {events:,} events over {sizes.records} records"
            result.add(f"{said}: writes for 1,000 events", "calls", [1000 * one.writes / events])
            result.add(f"{said}: Capsule calls for 1,000 events", "calls", [1000 * one.capsule_calls / events])
            result.add(f"{said}: OfficeRnD reads for 1,000 events", "calls", [1000 * one.reads / events])
            result.add(f"{said}: processor time for 1,000 events", "s", [1000 * one.cpu / events])
            print(f"coalescing: {NAMES[who]} done", file=sys.stderr, flush=True)
    return result
