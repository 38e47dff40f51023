"""A changed relay.toml in the running system, and the clock's own passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.harness import NAME, RULES, System, until
from workers.flows.reconcile import memory_key
from workers.schedule import LOOK_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]


class Automatic(System):
    """With `auto_sync`; no hook tells anything."""

    tags = "member"

    def rules(self) -> str:
        text = RULES.replace("auto_sync = false", "auto_sync = true").replace('"member"', f'"{self.tags}"')
        return text.format(capsule=self.capsule.url, officernd=self.officernd.url, extra=self.extra)


def test_a_change_of_rules_is_taken_over_and_judged_anew_without_a_restart(tmp_path: Path) -> None:
    with Automatic(tmp_path, hooks=False) as system:
        first = system.party(type="person", firstName="Ada", lastName="Member", tags=[{"name": "member"}])
        other = system.party(type="person", firstName="Vera", lastName="Vip", tags=[{"name": "vip"}])
        until(lambda: system.linked("members", first["id"]), "the clock's first pass", seconds=30)
        until(system.idle, "nothing is open")
        assert system.linked("members", other["id"]) is None

        system.tags = "member, vip"
        (tmp_path / "relay.toml").write_text(system.rules(), encoding="utf-8")

        until(lambda: system.linked("members", other["id"]), "judged by the new rules", seconds=40)


def test_after_auto_sync_minutes_the_clock_looks_by_itself_and_not_before(tmp_path: Path) -> None:
    with Automatic(tmp_path, hooks=False, extra="auto_sync_minutes = 20") as system, system.store() as store:
        made = system.party(type="person", firstName="Ada", lastName="Member", tags=[{"name": "member"}])
        until(lambda: system.linked("members", made["id"]), "the clock's first pass", seconds=30)
        until(lambda: store.hget(memory_key(NAME), "looked"), "the pass is over", seconds=30)
        system.edit(made["id"], lastName="Unheard")

        def name() -> str:
            return str((system.linked("members", made["id"]) or {})["name"])

        # Nineteen minutes later the time has not come; two looks of the clock show it.
        looked = int(store.hget(memory_key(NAME), "looked") or 0)
        store.hset(memory_key(NAME), "looked", looked - 19 * 60_000)
        seen = store.time()[0]
        until(lambda: store.time()[0] > seen + 2 * LOOK_SECONDS, "the clock has looked twice", seconds=30)
        assert int(store.hget(memory_key(NAME), "looked") or 0) == looked - 19 * 60_000
        assert name() == "Ada Member"

        store.hset(memory_key(NAME), "looked", looked - 20 * 60_000)
        until(lambda: name() == "Ada Unheard", "found by the clock's own pass", seconds=30)
