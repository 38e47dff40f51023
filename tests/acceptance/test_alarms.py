"""Alarms are made to fire by faults: real processes, scraped by a real Prometheus, whose answer to each expression counts.

What the alarms wait for (`for:`) is left out here; tests/unit/test_alerts.py shows that with promtool.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mapping.running import SIGN
from tests.acceptance.harness import System, until
from tests.simulators.run import free_port
from tests.unit.test_alerts import rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis

pytestmark = [pytest.mark.processes, pytest.mark.timeout(280)]

PROMETHEUS = shutil.which("prometheus")
INSTALL = "SKIPPED: no Prometheus here (Debian: apt-get install prometheus)"


class Watcher:
    """A Prometheus server on loopback that scrapes one console every second."""

    def __init__(self, folder: Path, console_port: int) -> None:
        self.port = free_port()
        (folder / "prometheus.yml").write_text(
            json.dumps(
                {
                    "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
                    "scrape_configs": [
                        {"job_name": "capsule-relay", "static_configs": [{"targets": [f"127.0.0.1:{console_port}"]}]}
                    ],
                }
            ),
            encoding="utf-8",
        )
        assert PROMETHEUS is not None
        with (folder / "prometheus.log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    PROMETHEUS,
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--query.lookback-delta=5s",
                ],
                stdout=log,
                stderr=log,
            )

    def query(self, expression: str) -> list[dict[str, Any]]:
        with contextlib.suppress(httpx.HTTPError, KeyError):
            url = f"http://127.0.0.1:{self.port}/api/v1/query"
            answer = httpx.get(url, params={"query": expression}, timeout=5, trust_env=False).json()
            found: list[dict[str, Any]] = answer["data"]["result"]
            return found
        return []

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[System, Watcher]]:
    if PROMETHEUS is None:
        print(INSTALL)
        pytest.skip(INSTALL)
    with System(tmp_path) as system:
        watcher = Watcher(tmp_path, system.console_port)
        try:
            until(lambda: watcher.query("relay_data_store_up == 1"), "the first scrape", seconds=60)
            yield system, watcher
        finally:
            watcher.stop()


def now_ms(store: redis.Redis) -> int:
    return int(store.time()[0]) * 1000


def test_alarms_are_made_to_fire_by_what_they_are_for(watched: tuple[System, Watcher]) -> None:
    system, watcher = watched
    fired: list[str] = []

    def fires(name: str, *, seconds: float = 40) -> None:
        until(lambda: watcher.query(rules()[name]), f"{name} fires", seconds=seconds, every=0.2)
        fired.append(name)

    # Nothing is wrong: nothing fires.
    for name in rules():
        assert watcher.query(rules()[name]) == [], name

    faults: dict[str, Callable[[], object]] = {}
    store = system.store()
    # A member that OfficeRnD refuses becomes a letter.
    refused = {"route": "POST /members", "kind": "status", "status": 400, "count": 50, "body": {"message": ["no"]}}
    system.officernd.control("POST", "faults", refused)
    number = system.party(type="person", firstName="Dead", tags=[{"name": "member"}])["id"]
    until(lambda: store.hexists("relay:letters", f"acme|party|{number}"), "the letter")
    fires("RelayDeadLetters")
    # Something that is not what Capsule documents, at the right address.
    assert httpx.post(system.hook_url(), content=b"no JSON", trust_env=False).status_code == 202
    fires("RelayUnreadableDeliveries")
    # What faults of many hours or days leave in the data store.
    faults["RelayRecordsHeld"] = lambda: store.hset("relay:held:acme", "party|1", "no_location")
    faults["RelayReconcileOld"] = lambda: store.hset("relay:reconcile:acme", "full", now_ms(store) - 3 * 86_400_000)
    faults["RelayGuardStopped"] = lambda: store.hset("relay:reconcile:acme", "guard", 12)
    faults["RelayMixedVersions"] = lambda: store.register_script(SIGN)(args=["host:1:x", "worker", "0.0.9"])
    faults["RelayHooksInTrouble"] = lambda: store.hset("relay:hooks-trouble", "acme", "no room")
    for name, make in faults.items():
        make()
        fires(name)
    print("fired:", ", ".join(fired))
