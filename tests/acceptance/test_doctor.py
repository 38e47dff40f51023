"""`capsule-relay doctor` over the whole system: in order while all runs, and a sentence for each thing that is taken away."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.harness import until
from tests.acceptance.signing_in import OAuthSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OAuthSystem]:
    # The guard looks once: what a test breaks stays broken.
    with OAuthSystem(tmp_path_factory.mktemp("system"), hooks_every=3600) as running:
        running.officernd.control("POST", "limits", {"token_minute": 1000})  # each run signs in anew
        yield running


def examined(system: OAuthSystem, *words: str, status: int) -> dict[str, dict[str, Any]]:
    """The worst result of each check, by name."""
    done = system.run("doctor", *words, "--json")
    assert done.returncode == status, done.stdout + done.stderr
    worst = ("ok", "warning", "unasked", "wrong")
    found: dict[str, dict[str, Any]] = {}
    for one in json.loads(done.stdout)["checks"]:
        if one["check"] not in found or worst.index(one["state"]) > worst.index(found[one["check"]]["state"]):
            found[one["check"]] = one
    return found


def test_before_anybody_has_signed_in_it_says_how_to(system: OAuthSystem) -> None:
    found = examined(system, status=1)
    assert found["hooks"]["state"] == "wrong"
    assert "capsule-relay connect acme" in found["hooks"]["advice"]
    assert found["Capsule token"]["state"] == "unasked"
    assert found["snapshot"]["state"] == "wrong"


def test_a_system_that_is_well_is_in_order(system: OAuthSystem) -> None:
    system.connect()
    with system.store() as store:
        until(lambda: store.hexists("relay:reconcile:acme", "full"), "the first sync is done", seconds=60)
    until(system.idle, "nothing is open", seconds=60)
    done = system.run("doctor")
    print(f"\n$ capsule-relay doctor\n{done.stdout}")
    assert done.returncode == 0, done.stdout + done.stderr
    found = examined(system, "acme", status=0)
    assert {one["state"] for one in found.values()} <= {"ok", "warning"}
    assert found["hooks"]["said"] == "8 alive"
    assert set(found) >= {"settings", "clock", "eviction", "agenda", "receiver", "clock alive", "custom properties"}


def test_hooks_that_are_gone_from_capsule(system: OAuthSystem) -> None:
    assert system.run("hooks", "acme", "remove").returncode == 0
    found = examined(system, status=1)["hooks"]
    assert (found["state"], "party/updated" in found["said"]) == ("wrong", True)
    assert "hooks acme ensure" in found["advice"]
    assert system.run("hooks", "acme", "ensure").returncode == 0
    assert examined(system, status=0)["hooks"]["state"] == "ok"


def test_without_processes_and_without_a_data_store_it_says_what_it_can(system: OAuthSystem) -> None:
    system.down()
    found = examined(system, status=1)
    wrong = {name for name, one in found.items() if one["state"] == "wrong"}
    assert wrong == {"data store", "receiver"}
    assert {found[name]["state"] for name in ("clock", "eviction", "agenda", "hooks")} == {"unasked"}
    # What needs neither is asked all the same.
    assert {found[name]["state"] for name in ("dramatiq", "custom properties", "locations")} == {"ok"}


def test_settings_with_a_fault_come_first(system: OAuthSystem) -> None:
    path = system.directory / "relay.toml"
    path.write_text(path.read_text().replace('downstream = "officernd"', 'downstream = "oficernd"'))
    found = examined(system, status=1)
    assert found["settings"]["state"] == "wrong"
    assert "relay.toml:3" in found["settings"]["said"]
    assert found["everything else"]["state"] == "unasked"
