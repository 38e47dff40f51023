"""Live changes do not wait until a reconcile's work leaves a thread to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.harness import NAME, System, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.processes]

THREADS = 16  # of the worker, as the Procfile has it
SLOW_SECONDS = 8


def test_a_live_edit_passes_while_bulk_work_waits_for_a_slow_side(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        made = system.party(type="person", firstName="Live", lastName="Before", tags=[{"name": "member"}])
        until(lambda: system.linked("members", made["id"]), "the member is there")
        until(system.idle, "nothing is open")
        # Given more creates than there are threads, each of which takes long
        system.capsule.control("POST", "seed", {"people": 40 * THREADS, "tags": ["member"]})
        before = system.last_request()
        slow = {"route": "POST /members", "kind": "slow", "seconds": SLOW_SECONDS, "count": None}
        system.officernd.control("POST", "faults", slow)
        assert system.run("sync", NAME, "--full", "--no-wait").returncode == 0
        until(lambda: under_way(system, before), "creates are under way")

        # When a person is edited
        system.edit(made["id"], lastName="After")
        until(lambda: (system.linked("members", made["id"]) or {})["name"] == "Live After", "the edit arrives")

        # Then no create had to end first
        creates = [one for one in system.writes(before) if one["method"] == "POST"]
        assert creates
        assert [one for one in creates if one["seconds"] is not None] == []
        system.officernd.control("DELETE", "faults")


def under_way(system: System, before: int) -> list[dict[str, Any]]:
    """The creates that OfficeRnD works on; half of the threads are left to others."""
    return [one for one in system.writes(before) if one["method"] == "POST" and one["seconds"] is None][THREADS // 2 - 1 :]
