"""Throughput end to end: bursts of distinct records that have changed, known to both sides before.

The time runs from the first delivery until nothing is left to do; processor time is that of all processes of the contestant
without the data store. Each peer runs one task per event: fetch, search, upsert, with the same mapping.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.benchmarks.report import Result
from tests.benchmarks.stage import NAMES, Spent, contestants, edit, parties, running, slow, spent

if TYPE_CHECKING:
    from tests.faults.installation import Installation

CAPSULE_CALLS: Final = 0.15
JUDGED_FROM: Final = 1_000


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bursts of so many records for us and for the peers, and how long each call of the slow downstream takes."""

    bursts: tuple[int, ...]
    peers: tuple[int, ...]
    slow_bursts: tuple[int, ...]
    slow_seconds: float = 0.1


SIZES: Final = {
    "reduced": Sizes(bursts=(200, 1_000), peers=(200,), slow_bursts=(100,)),
    "tiny": Sizes(bursts=(40,), peers=(40,), slow_bursts=(20,)),
    "full": Sizes(bursts=(1_000, 5_000, 20_000), peers=(1_000,), slow_bursts=(1_000,)),
}


def run(sizes: Sizes) -> Result:
    """All contestants, one after another."""
    result = Result("throughput", (__doc__ or "").partition("\n\n")[2].replace("\n", " ").strip())
    ours: dict[tuple[int, bool], Spent] = {}
    for who in ("relay", *(one for one in contestants() if one != "relay")):
        bursts = sizes.bursts if who == "relay" else sizes.peers
        with running(who, max(bursts) * 2) as installation:
            for number in bursts:
                _burst(result, installation, who, number, 0.0, ours)
            for number in sizes.slow_bursts:
                _burst(result, installation, who, number, sizes.slow_seconds, ours)
    return result


def _burst(  # noqa: PLR0917 - one call site, in the order of the story
    result: Result, installation: Installation, who: str, number: int, wait: float, ours: dict[tuple[int, bool], Spent]
) -> None:
    people = parties(installation, number)
    edit(installation, people, f"B{number}{'s' if wait else ''}")
    slow(installation, wait)
    one = spent(installation, people, seconds=max(120.0, number * (0.2 + 3 * wait)))
    slow(installation, 0.0)
    if who == "relay" and one.writes < number:
        raise RuntimeError(f"{who}: {one.writes} writes for {number} records")
    if who == "relay":
        ours[number, bool(wait)] = one
    mine = ours.get((number, bool(wait)), one)
    said = f"{NAMES[who]}, {number:,} records, downstream {'at once' if not wait else f'{wait * 1000:.0f} ms'}"
    ratios = {} if who == "relay" else {"relay": mine.seconds / one.seconds}
    result.add(f"{said}: records", "/s", [number / one.seconds], ratios=ratios)
    wanted = {"most": CAPSULE_CALLS} if who == "relay" and number >= JUDGED_FROM else {}
    result.add(f"{said}: Capsule calls a record", "calls", [one.capsule_calls / number], **wanted)
    result.add(f"{said}: OfficeRnD reads a record", "calls", [one.reads / number])
    result.add(f"{said}: OfficeRnD writes a record", "calls", [one.writes / number])
    ratios = {} if who == "relay" else {"relay": one.cpu / mine.cpu}
    result.add(f"{said}: processor time for 1,000 records", "s", [1000 * one.cpu / number], ratios=ratios)
    result.extra.setdefault("calls", {})[said] = {"capsule": one.capsule, "officernd": one.officernd}
    if one.writes < number:
        result.add(f"{said}: records that never arrived", "", [number - one.writes])
    print(f"throughput: {said}: {one.seconds:.1f} s", file=sys.stderr, flush=True)
