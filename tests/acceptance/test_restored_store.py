"""The data store comes back older than it was: a server that was killed with its machine may lose what it took last."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.harness import System, until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(180)]


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with System(tmp_path, environment={"RELAY_STRAY": "1", "RELAY_CALL_DEADLINE": "1"}, hooks=False) as running:
        yield running


def email(system: System, number: int) -> str | None:
    member = system.linked("members", number)
    return None if member is None else str(member["email"])


def test_a_write_that_the_ledger_has_forgotten_is_found_and_an_event_that_was_lost_too(system: System) -> None:
    # Given two people in step, a full pass behind them, and no hooks: no event tells of any change
    tagged = {"type": "person", "lastName": "Example", "tags": [{"name": "member"}]}
    there_and_back, changed = (
        system.party(**tagged, firstName=name, emailAddresses=[{"address": f"{name.lower()}@old.example"}])
        for name in ("Ada", "Ben")
    )
    numbers = there_and_back["id"], changed["id"]
    assert system.run("sync", "acme", "--full").returncode == 0
    until(lambda: [email(system, one) for one in numbers] == ["ada@old.example", "ben@old.example"], "both are in step")
    with system.store() as store:
        assert until(lambda: store.info("persistence")["aof_pending_bio_fsync"] == 0, "the file is on the disk")
        # and a copy of the append-only file of this moment
        shutil.copytree(system.directory / "data", system.directory / "copy", ignore=shutil.ignore_patterns("*.pid"))

    # When one is changed and brought in step, the machine dies, and both are changed while nothing of ours runs
    system.edit(numbers[0], emailAddresses=[{"id": there_and_back["emailAddresses"][0]["id"], "address": "ada@new.example"}])
    assert system.run("sync", "acme").returncode == 0
    assert email(system, numbers[0]) == "ada@new.example"
    until(system.idle, "nothing is open")
    assert system.process is not None
    with system.store() as store:
        server = int(store.info("server")["process_id"])
    os.killpg(system.process.pid, signal.SIGKILL)
    system.process.wait()
    until(lambda: not Path(f"/proc/{server}").exists(), "the data store is gone")
    system.process = None
    system.edit(numbers[0], emailAddresses=[{"id": there_and_back["emailAddresses"][0]["id"], "address": "ada@old.example"}])
    system.edit(numbers[1], emailAddresses=[{"id": changed["emailAddresses"][0]["id"], "address": "ben@new.example"}])
    #  and the store comes back as it was before: its ledger holds just what Capsule shows again
    shutil.rmtree(system.directory / "data")
    shutil.copytree(system.directory / "copy", system.directory / "data")
    system.up()

    # Then the first pass of the clock doubts the ledger, and both are in step long before a pass would be due
    until(
        lambda: [email(system, one) for one in numbers] == ["ada@old.example", "ben@new.example"],
        "both are in step again",
        seconds=60,
    )
