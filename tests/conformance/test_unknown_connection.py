"""A record whose connection this worker does not know: new in relay.toml, or taken out of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mapping.agenda import LETTERS, RecordKey, key
from tests.conformance.letter_box import SECRET
from workers.flows.sync import synchronise
from workers.services import build
from workers.settings import load

if TYPE_CHECKING:
    from pathlib import Path

    import redis

    from workers.embedded import EmbeddedServer

RULES = """
[connections.acme]
downstream = "officernd"
[connections.acme.capsule]
auth = "token"
[connections.acme.officernd]
organization = "acme-spaces"
"""
ENVIRON = {
    "RELAY_SECRET_KEY": SECRET,
    "RELAY_ACME_CAPSULE_TOKEN": "token",
    "RELAY_ACME_OFFICERND_CLIENT_ID": "id",
    "RELAY_ACME_OFFICERND_CLIENT_SECRET": "secret",
}


def test_it_waits_for_a_restart_and_is_not_given_up_at_once(store: redis.Redis, server: EmbeddedServer, tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text(RULES)
    services = build(load({**ENVIRON, "REDIS_URL": server.url, "RELAY_CONFIG": str(tmp_path / "relay.toml")}))
    try:
        record = RecordKey("new", "party", 7)
        services.agenda.hello()
        services.agenda.open([record], lane="live", why="event")
        taken = services.agenda.take("live", proc=services.proc)
        assert taken is not None
        synchronise(services, taken)
        assert store.hexists(LETTERS, record.pack()) is False
        assert store.zscore(key("due"), record.pack()) is not None
        assert store.hget(key("attempts"), record.pack()) == b"1"
    finally:
        services.close()
