"""Each alarm is made to fire by a fault of real processes, which a real Prometheus scrapes; its answer to the expression counts.

What the alarms wait for (`for:`) is left out here; tests/unit/test_alerts.py shows that with promtool. Three thresholds of half
an hour and more are lowered, and nothing else: the faults are real.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from tests.acceptance.harness import EVENTS, NAME, ROOT, System, until
from tests.acceptance.signing_in import OAuthSystem, member
from tests.acceptance.watching import Watcher, prometheus_or_skip
from tests.unit.test_alerts import rules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.simulators.run import Simulator

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(280)]

# A clock as the release before had it.
OLD_CLOCK: Final = "import mapping.version as v; v.VERSION = '0.0.9'; from workers.cli import main; main()"
SHOWN: set[str] = set()


def processes(system: System, part: str) -> list[int]:
    """The processes that give signs of life as this part."""
    with system.store() as store:
        running = store.hgetall("relay:running")
    return [int(name.decode().split(":")[1]) for name, said in running.items() if said.decode().split(" ")[1] == part]


@contextlib.contextmanager
def standing_still(*pids: int) -> Iterator[None]:
    """Processes that live and do nothing, as on a machine without memory, or under a debugger."""
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def fault(simulator: Simulator, **what: Any) -> None:
    simulator.control("POST", "faults", {"kind": "status", "count": None, **what})


def test_a_vendor_that_is_away_and_an_account_that_capsule_refuses(tmp_path: Path) -> None:
    prometheus_or_skip()
    with OAuthSystem(tmp_path) as system:
        system.capsule.control("POST", "limits", {"token_seconds": 20})
        assert "Connected to Capsule" in system.connect()
        until(lambda: len(system.hook_events()) == len(EVENTS), "the hooks")
        with system.store() as store:
            until(lambda: store.hexists("relay:synced", NAME), "the first sync")
        with Watcher(tmp_path, system.console_port) as watcher:
            watcher.is_quiet()
            # OfficeRnD has a bad day: after five failures in a row one record goes out as a probe every five seconds.
            fault(system.officernd, route="*", status=503)
            for number in range(8):
                member(system, firstName=f"Late{number}")
            watcher.fires("RelayPaused")
            watcher.fires("RelayVendorErrors", system="officernd")
            # Capsule does not let us look after the hooks.
            fault(system.capsule, route="* /resthooks", status=403, body={"message": "no"})
            watcher.fires("RelayHooksInTrouble")
            # It does not answer when the token is to be renewed.
            fault(system.capsule, route="POST /oauth/token", status=503)
            watcher.fires("RelayTokenOverdue", sooner=("> 1800", "> 2"))
            # It refuses the refresh token for good.
            system.capsule.control("DELETE", "faults")
            fault(system.capsule, route="POST /oauth/token", status=400, body={"error": "invalid_grant"})
            watcher.fires("RelayReconnectNeeded")
            SHOWN.update(name.split(" ")[0] for name in watcher.fired)


def test_records_that_fail_passes_that_are_not_made_and_a_budget_that_is_used_up(tmp_path: Path) -> None:
    prometheus_or_skip()
    with System(tmp_path) as system, Watcher(tmp_path, system.console_port) as watcher:
        watcher.is_quiet()
        # A member that OfficeRnD refuses becomes a letter.
        fault(system.officernd, route="POST /members", count=1, status=400, body={"message": ["no"]})
        member(system, firstName="Dead")
        watcher.fires("RelayDeadLetters")
        # Something that is not what Capsule documents, at the right address.
        assert httpx.post(system.hook_url(), content=b"no JSON", trust_env=False).status_code == 202
        watcher.fires("RelayUnreadableDeliveries")
        # Two members might be this person.
        twins = [{"name": f"Twin {n}", "email": "twin@example.com"} for n in (1, 2)]
        system.officernd.control("POST", "seed", {"members": twins})
        member(system, firstName="Twin", emailAddresses=[{"address": "twin@example.com"}])
        watcher.fires("RelayRecordsHeld")
        # A process of another release was left running.
        environment = system.env | {"REDIS_URL": system.redis_url()}
        old = subprocess.Popen([sys.executable, "-c", OLD_CLOCK, "clock"], cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        try:
            watcher.fires("RelayMixedVersions")
        finally:
            old.terminate()
            old.wait(30)
        # Somebody takes the tag from everybody, and no event tells it.
        people = [member(system, firstName=f"P{n}") for n in range(12)]
        until(lambda: all(system.linked("members", number) for number in people) and system.idle(), "all are members", seconds=60)
        for hook in system.capsule.control("GET", "hooks")["restHooks"]:
            system.api.delete(f"resthooks/{hook['id']}")
        for number in people:
            tag = system.api.get(f"parties/{number}", params={"embed": "tags"}).json()["party"]["tags"][0]["id"]
            system.edit(number, tags=[{"id": tag, "_delete": True}])
        assert system.run("sync", NAME, "--full").returncode == 3
        watcher.fires("RelayGuardStopped")
        # No pass is made any more.
        watcher.fires("RelayReconcileOld", sooner=("> 172800", "> 10"))
        # OfficeRnD allows little more than what was used today.
        system.officernd.control("POST", "limits", {"write_day": len(system.writes()) + 3})

        def told() -> list[dict[str, Any]]:
            member(system, firstName="Busy")
            return watcher.query(rules()["RelayBudgetLow"])

        until(told, "RelayBudgetLow fires", seconds=60, every=0.3)
        watcher.fires("RelayBudgetLow")
        SHOWN.update(name.split(" ")[0] for name in watcher.fired)


def test_processes_and_a_data_store_that_do_not_answer(tmp_path: Path) -> None:
    prometheus_or_skip()
    small = {"RELAY_SPOOL_BYTES": "65536"}
    with System(tmp_path, environment=small) as system, Watcher(tmp_path, system.console_port) as watcher:
        watcher.is_quiet()
        # The workers stand still, and so does what they should do.
        with standing_still(*processes(system, "worker")):
            member(system, firstName="Waits")
            watcher.fires("RelayProcessMissing", part="worker")
            watcher.fires("RelayRecordOpenLong", sooner=("> 21600", "> 20"))
            watcher.fires("RelayWorkNotPickedUp", lane="live", seconds=120)
        # They go on, and the change has come late.
        watcher.fires("RelayLagHigh")
        with standing_still(*processes(system, "clock")):
            watcher.fires("RelayProcessMissing", part="clock")
        # The data store has died, and what starts it again stands still too.
        with system.store() as store:
            server = int(store.info("server")["process_id"])
        assert system.process is not None
        with standing_still(system.process.pid):
            os.kill(server, signal.SIGKILL)
            watcher.fires("RelayDataStoreDown")
            # The spool is full soon, and then senders are told to come again.
            assert 503 in {delivery(system, first) for first in range(1_000_000, 1_010_000, 500)}
        watcher.fires("RelayDeliveriesRefused")
        # The console answers nobody.
        with standing_still(*processes(system, "console")):
            watcher.fires("RelayMetricsMissing")
        SHOWN.update(name.split(" ")[0] for name in watcher.fired)


def delivery(system: System, first: int) -> int:
    """Posts one delivery of 500 records; the answer's status."""
    body = {"event": "party/updated", "payload": [{"id": number} for number in range(first, first + 500)]}
    return httpx.post(system.hook_url(), json=body, timeout=15, trust_env=False).status_code


def test_no_alarm_was_left_out() -> None:
    """After the three above, in the same run."""
    prometheus_or_skip()
    if len(SHOWN) == 0:
        pytest.skip("run together with the tests above")
    assert set(rules()) == SHOWN
    print(f"{len(SHOWN)} of {len(rules())} alarms fired")
