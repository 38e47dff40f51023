"""The drill of changing RELAY_SECRET_KEY, on whole processes: new key first, the old one behind it, then back out of trouble."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import httpx
import pytest

from mapping.keys import hook_path, hook_token
from tests.acceptance.harness import NAME, System, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

# After a start soon after a stop, what is written is looked at once more when no earlier write can land any more: 30 s.
STRAY_SECONDS = 60.0


def deliver(system: System, secret: str, number: int) -> int:
    """One delivery at the address that belongs to a key; its status."""
    path = hook_path(NAME, hook_token(secret, NAME, 1))
    body = {"event": "party/updated", "payload": [{"id": number}]}
    return httpx.post(f"http://127.0.0.1:{system.web_port}{path}", json=body, timeout=10, trust_env=False).status_code


def test_a_new_key_before_the_old_one_loses_nothing_and_refuses_nobody(tmp_path: Path) -> None:
    with System(tmp_path) as system:
        old = system.secret
        ada = int(system.party(type="person", firstName="Ada", lastName="Before", tags=[{"name": "member"}])["id"])
        until(lambda: system.linked("members", ada), "the person is a member")
        until(system.idle, "nothing is open", seconds=STRAY_SECONDS)
        assert deliver(system, old, ada) == 202
        system.down()

        # 1. A new key, first in the list
        new = secrets.token_hex(24)
        system.secret = f"{new},{old}"
        system.up()
        mark = system.last_request()
        # Both addresses are good, so no delivery is refused while Capsule's hooks are exchanged
        assert [deliver(system, key, ada) for key in (old, new)] == [202, 202]
        # What was kept under the old key is read: an edit is one PUT of the same member, and nothing is created
        system.edit(ada, lastName="After")
        assert deliver(system, old, ada) == 202
        until(lambda: (system.linked("members", ada) or {}).get("name") == "Ada After", "the edit arrives")
        until(system.idle, "nothing is open", seconds=STRAY_SECONDS)
        assert {one["method"] for one in system.writes(mark)} == {"PUT"}
        done = system.run("sync", NAME, "--full")
        assert done.returncode == 0, done.stderr
        # And something new is written under the new one
        grace = int(system.party(type="person", firstName="Grace", lastName="New", tags=[{"name": "member"}])["id"])
        assert deliver(system, new, grace) == 202
        until(lambda: system.linked("members", grace), "the new person is a member")
        until(system.idle, "nothing is open", seconds=STRAY_SECONDS)
        system.down()

        # 2. Without the old key its addresses are refused, and what was kept under it is not taken for anything else
        system.secret = new
        system.up()
        assert [deliver(system, key, grace) for key in (old, new)] == [404, 202]
        until(system.idle, "nothing is open", seconds=STRAY_SECONDS)
        assert "Traceback" not in system.log()
        assert len(system.records("members")) == len({one["properties"]["capsule_link_id"] for one in system.records("members")})
