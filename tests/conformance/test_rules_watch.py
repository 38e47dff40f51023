"""A changed relay.toml is taken over by a running process; one with faults is not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from workers.rules_watch import RulesWatch
from workers.services import build
from workers.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.embedded import EmbeddedServer
    from workers.services import Services

RULES = """
[connections.acme]
downstream = "officernd"
tags_to_sync = "{tags}"
[connections.acme.capsule]
auth = "token"
[connections.acme.officernd]
organization = "acme-spaces"
{more}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "relay.toml"
    path.write_text(RULES.format(tags="member", more=""), encoding="utf-8")
    return path


@pytest.fixture
def services(path: Path, server: EmbeddedServer) -> Iterator[Services]:
    environ = {
        "RELAY_SECRET_KEY": "k" * 40,
        "RELAY_CONFIG": str(path),
        "REDIS_URL": server.url,
        "RELAY_ACME_CAPSULE_TOKEN": "capsule-token",
        "RELAY_ACME_OFFICERND_CLIENT_ID": "id",
        "RELAY_ACME_OFFICERND_CLIENT_SECRET": "secret",
    }
    services = build(load(environ))
    yield services
    services.close()


def test_other_rules_are_taken_over_whole(services: Services, path: Path) -> None:
    watch = RulesWatch(services)
    before = services.downstream("acme")
    path.write_text(RULES.format(tags="member, vip", more=""), encoding="utf-8")

    assert watch.look()

    assert services.connections["acme"].tags_to_sync == "member, vip"
    assert services.downstream("acme") is not before
    assert not watch.look()


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        pytest.param("[connections.acme", 1, id="no TOML"),
        pytest.param(RULES.format(tags="[", more='colour = "blue"'), 2, id="two faults"),
        pytest.param(RULES.format(tags="member", more="# a remark"), 0, id="only a remark"),
    ],
)
def test_with_faults_the_old_rules_stay_and_every_fault_is_logged(services: Services, path: Path, text: str, faults: int) -> None:
    watch = RulesWatch(services)
    before = services.connections
    path.write_text(text, encoding="utf-8")

    with capture_logs() as said:
        assert not watch.look()
        assert not watch.look()

    assert services.connections is before
    assert sum(line["log_level"] == "error" for line in said) == faults


def test_a_new_connection_needs_a_restart(services: Services, path: Path) -> None:
    watch = RulesWatch(services)
    both = RULES.format(tags="vip", more="") + RULES.format(tags="x", more="").replace("acme", "beta")
    path.write_text(both, encoding="utf-8")

    assert watch.look()

    assert set(services.connections) == {"acme"}
    assert services.connections["acme"].tags_to_sync == "vip"
