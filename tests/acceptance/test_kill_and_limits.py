"""What a kill leaves behind, and what the vendors' real limits do to a first sync."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.harness import System, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.slow]


def worker_processes(system: System) -> list[int]:
    """The Dramatiq processes of the lanes live and bulk: the master and its child."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            mine = f"RELAY_DATA_DIR={system.directory / 'data'}".encode() in (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if mine and b"workers.main:setup" in words and b"live" in words:
            found.append(int(entry.name))
    return found


def ended(process: int) -> bool:
    """Whether a process is gone, or is a zombie that nobody has fetched yet."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path) as running:
        yield running


def in_step(system: System) -> tuple[int, int]:
    """How many of Capsule's parties that are in have their one right record in OfficeRnD, and how many are in."""
    state = system.capsule.control("GET", "state")
    parties = state["parties"].values() if isinstance(state["parties"], dict) else state["parties"]
    twins = Counter(
        one["properties"]["capsule_link_id"]
        for resource in ("members", "companies")
        for one in system.records(resource)
        if one.get("properties", {}).get("capsule_link_id")
    )
    assert not [link for link, count in twins.items() if count > 1], "duplicates in OfficeRnD"
    held = {
        one["properties"]["capsule_link_id"]: one for resource in ("members", "companies") for one in system.records(resource)
    }
    right = wanted = 0
    for party in parties:
        if "member" not in {tag["name"] for tag in party.get("tags") or ()}:
            continue
        wanted += 1
        name = party.get("name") or f"{party['firstName']} {party['lastName']}"
        twin = held.get(str(party["id"]))
        right += twin is not None and twin["name"] == " ".join(name.split())
    return right, wanted


@pytest.mark.timeout(300)
def test_a_killed_worker_group_leaves_nothing_out_of_step_and_nothing_doubled(system: System) -> None:
    # Given 500 people and companies that arrive by hooks, and a worker that is killed twice while it works
    for number in range(100):
        system.party(type="organisation", name=f"Company {number}", tags=[{"name": "member"}])
    for number in range(400):
        system.party(type="person", firstName="Person", lastName=str(number), tags=[{"name": "member"}])
        if number in {100, 250}:
            for process in worker_processes(system):
                os.kill(process, signal.SIGKILL)
    killed = time.monotonic()

    # Then both sides are in step within 60 s of the last kill
    until(lambda: system.idle() and in_step(system) == (500, 500), "both sides are in step", seconds=60)

    print(f"in step {time.monotonic() - killed:.1f} s after the last edit; {in_step(system)}")
    with system.store() as store:
        assert store.hlen("relay:letters") == 0


def master_and_child(system: System) -> tuple[int, int] | None:
    """The worker's two processes; None until both run."""
    there = worker_processes(system)
    try:
        parents = {process: int(Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[1]) for process in there}
    except FileNotFoundError:
        return None
    return next(((parent, process) for process, parent in parents.items() if parent in there), None)


@pytest.mark.timeout(120)
def test_a_killed_master_leaves_no_orphan_and_work_goes_on(system: System) -> None:
    master, child = until(lambda: master_and_child(system), "the worker has forked", seconds=30)

    os.kill(master, signal.SIGKILL)

    until(lambda: ended(child), "the child ended with its master", seconds=5)
    until(lambda: worker_processes(system), "the workers were started again")
    made = system.party(type="person", firstName="After", lastName="Restart", tags=[{"name": "member"}])
    until(lambda: system.linked("members", made["id"]), "a change comes over", seconds=30)


@pytest.mark.timeout(900)
def test_a_first_sync_at_the_vendors_real_limits_buries_nothing(tmp_path: Path) -> None:
    # Given 300 records in Capsule and the vendors' own limits: 100 writes a minute, 400 reads a minute, 4,000 calls an hour
    with System(tmp_path, real_limits=True, hooks=False) as system:
        seeded = {"organisations": 60, "people": 240, "opportunities": 0, "seed": 3, "tags": ["member"]}
        system.capsule.control("POST", "seed", seeded)

        # When a first sync runs to its end
        began = time.monotonic()
        answer = system.run("sync", "acme", "--full", "--json", timeout=800)
        print(answer.stdout[-600:], answer.stderr[-600:])

        # Then it took its time, and nothing was buried or put on the lane of the killers
        assert answer.returncode == 0
        with system.store() as store:
            assert store.hlen("relay:letters") == 0
            assert store.zcard("relay:ready:solo") == 0
            assert store.hlen("relay:deaths") == 0
            assert not store.zcard("relay:open")
        right, wanted = in_step(system)
        print(f"first sync of {wanted} records in {time.monotonic() - began:.0f} s at the real limits")
        assert right == wanted > 0
        print("OfficeRnD:", system.officernd.control("GET", "counts"))
        asked = system.capsule.control("GET", "counts")
        print("Capsule:", asked)
        # What a list page held is not read again by a record that had to wait for its turn to be written.
        assert sum(asked.values()) <= 150
