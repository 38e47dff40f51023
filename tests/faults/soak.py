"""Random faults for a long time, and whether the processes come back to what they were: `make soak MINUTES=60`.

Cycles of load, one fault and peace, until the time is over. Whenever nothing is open any more, memory (PSS), file descriptors and
threads of each process are noted, and the keys and the memory of Redis. Relay processes are not killed here, or their memory
would tell nothing; Redis is. The slopes leave out the first fifth, in which caches fill.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults import book
from tests.faults.cases import CASES
from tests.faults.installation import Installation
from tests.faults.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.installation import Kind

FAULTS = (
    *("kill-redis", "redis-stall", "redis-flap", "redis-answers", "redis-refuses", "throttled", "storm", "slow"),
    *("unreachable", "ambiguous", "expired", "disorder", "freeze-worker"),
)
KINDS: tuple[Kind, ...] = ("receiver", "worker child", "worker master", "solo", "clock")
WARM_UP = 0.2
MIB = 1 << 20


def main() -> int:
    """Prints each cycle and the slopes; exit status 0 when every cycle was clean."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--records", type=int, default=300)
    parser.add_argument("--cycle", type=float, default=20.0, help="seconds of faults in each cycle")
    parser.add_argument("--results", type=Path, default=book.DEFAULT)
    parser.add_argument("--samples", type=Path, help="where the samples go, a JSON document on each line")
    given = parser.parse_args()
    seed = given.seed or random.randrange(1, 1_000_000)
    print(f"seed {seed}, {given.minutes:g} minutes, commit {book.commit()}", flush=True)
    chance = random.Random(seed)
    samples: list[dict[str, Any]] = []
    wrong = cycles = 0
    ends = time.monotonic() + given.minutes * 60
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        Installation(Path(folder), own_redis=True, vendor_proxy=True) as installation,
    ):
        scene = Scene(installation, seed=seed)
        scene.settle(given.records)
        samples.append(sample(installation, "start"))
        while time.monotonic() < ends:
            name = chance.choice(FAULTS)
            scene.seed = chance.randrange(1, 1_000_000)
            verdict = scene.run(CASES[name], seconds=given.cycle)
            cycles += 1
            wrong += not verdict.clean
            book.write(
                given.results,
                name=name,
                seed=scene.seed,
                seconds=given.cycle,
                verdict=verdict,
                faults=scene.faults,
                figures={"soak": seed},
            )
            samples.append(sample(installation, name))
            said = {kind: round(figures["pss_mib"], 1) for kind, figures in samples[-1]["processes"].items()}
            print(f"{cycles:4} {name:15} {'clean' if verdict.clean else 'WRONG'} {said} {samples[-1]['redis']}", flush=True)
            for example in verdict.examples:
                print(f"     {example}", flush=True)
    if given.samples is not None:
        given.samples.write_text("".join(json.dumps(one) + "\n" for one in samples), encoding="utf-8")
    print(f"{cycles} cycles, {wrong} of them wrong")
    print(report(samples))
    return int(wrong > 0)


def sample(installation: Installation, after: str) -> dict[str, Any]:
    """Everything that might grow."""
    found: dict[str, Any] = {"at": time.time(), "after": after, "processes": {}}
    for kind in KINDS:
        for process in installation.find(kind):
            with contextlib.suppress(OSError):
                found["processes"][kind] = {"pid": process, **of_process(process)}
    with installation.store() as store:
        memory = store.info("memory")
        keys = {name.decode() for name in store.scan_iter("*", count=1000)}
        sizes = {name: size(store, name) for name in keys if name.startswith(("relay:", "dramatiq:"))}
    bounded = ("relay:ledger", "relay:link", "relay:email", "relay:seen", "relay:limits")
    others = sum(number for name, number in sizes.items() if not name.startswith(bounded))
    found["redis"] = {"keys": len(keys), "entries": others, "records": sum(sizes.values()) - others}
    found["redis"]["mib"] = round(memory["used_memory"] / MIB, 2)
    return found


def of_process(process: int) -> dict[str, float]:
    """Proportional memory in MiB, open file descriptors and threads of a process."""
    rollup = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
    pss = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    descriptors = len(list(Path(f"/proc/{process}/fd").iterdir()))
    threads = len(list(Path(f"/proc/{process}/task").iterdir()))
    return {"pss_mib": pss / 1024, "descriptors": descriptors, "threads": threads}


def size(store: Any, name: str) -> int:
    """How many entries a key of Redis has."""
    kind = store.type(name).decode()
    count = {"hash": store.hlen, "zset": store.zcard, "set": store.scard, "list": store.llen}.get(kind)
    return int(count(name)) if count is not None else 1


def slope(points: Sequence[tuple[float, float]]) -> float:
    """By least squares, per hour; points are (seconds, value)."""
    if len(points) < 2:
        return 0.0
    mean_at, mean = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    spread = sum((at - mean_at) ** 2 for at, _ in points)
    return 3600 * sum((at - mean_at) * (value - mean) for at, value in points) / spread if spread else 0.0


def report(samples: Sequence[dict[str, Any]]) -> str:
    """First and last value after the warm-up, and the slope, of everything that was noted."""
    begin = samples[0]["at"] + WARM_UP * (samples[-1]["at"] - samples[0]["at"])
    series: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for one in samples:
        if one["at"] < begin:
            continue
        for kind, figures in one["processes"].items():
            for name in ("pss_mib", "descriptors", "threads"):
                series[f"{kind} {name}"].append((one["at"], figures[name]))
        for name, value in one["redis"].items():
            series[f"redis {name}"].append((one["at"], value))
    lines = ["| what | first | last | highest | slope an hour |", "|---|---|---|---|---|"]
    for name, points in sorted(series.items()):
        values = [value for _, value in points]
        lines.append(f"| {name} | {values[0]:.1f} | {values[-1]:.1f} | {max(values):.1f} | {slope(points):+.2f} |")
    restarted = {kind: len({one["processes"][kind]["pid"] for one in samples if kind in one["processes"]}) for kind in KINDS}
    return "\n".join(
        [
            *lines,
            "",
            f"Processes of each kind in that time: {restarted}; minutes: {(samples[-1]['at'] - samples[0]['at']) / 60:.1f}.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
