"""A changed relay.toml in the running system, and the clock's own passes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.harness import RULES, System, until

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
