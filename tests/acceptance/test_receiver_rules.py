"""A changed relay.toml reaches a running receiver; a broken one does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mapping.keys import hook_path, hook_token
from tests.acceptance.receiving import RULES, SECRET, Receiver, body_of, opened, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis

    from workers.embedded import EmbeddedServer

pytestmark = pytest.mark.processes


@pytest.fixture
def receiver(server: EmbeddedServer, tmp_path: Path) -> Iterator[Receiver]:
    with Receiver(tmp_path, server.url) as running:
        yield running


def status(receiver: Receiver, connection: str, generation: int) -> int:
    return receiver.client.post(
        hook_path(connection, hook_token(SECRET, connection, generation)), content=body_of(generation)
    ).status_code


def rewrite(directory: Path, text: str) -> None:
    """As an editor does: a new file in the place of the old."""
    fresh = directory / "relay.toml.new"
    fresh.write_text(text, encoding="utf-8")
    fresh.rename(directory / "relay.toml")


def test_a_raised_generation_and_a_new_connection_are_answered_without_a_restart(
    receiver: Receiver, store: redis.Redis, tmp_path: Path
) -> None:
    assert [status(receiver, "acme", generation) for generation in (1, 2, 3)] == [202, 202, 404]
    assert status(receiver, "later", 1) == 404
    rewrite(
        tmp_path, RULES.replace("hook_generation = 2", "hook_generation = 3") + '[connections.later]\ndownstream = "unified"\n'
    )
    until(lambda: status(receiver, "acme", 3) == 202)
    # The one before stays good, and the one before that no longer is
    assert [status(receiver, "acme", generation) for generation in (1, 2)] == [404, 202]
    assert status(receiver, "later", 1) == 202
    assert "later|party|1" in opened(store)


def test_a_broken_file_keeps_the_old_rules_and_is_told_once(receiver: Receiver, store: redis.Redis, tmp_path: Path) -> None:
    assert store.ping()
    for broken in ("[connections", RULES.replace('"officernd"', '"nothing"', 1), ""):
        before = receiver.log.count("the old rules stay")
        rewrite(tmp_path, broken)
        until(lambda before=before: receiver.log.count("the old rules stay") > before)  # type: ignore[misc]
        assert status(receiver, "acme", 2) == 202
    told = receiver.log.count("the old rules stay")
    (tmp_path / "relay.toml").unlink()
    assert status(receiver, "acme", 2) == 202
    rewrite(tmp_path, RULES.replace("hook_generation = 2", "hook_generation = 3"))
    until(lambda: status(receiver, "acme", 3) == 202)
    assert receiver.log.count("the old rules stay") == told == 3
