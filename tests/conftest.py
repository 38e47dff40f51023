"""Fixtures that every test may use: the embedded server, and an environment without the project's variables."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
import redis

from workers.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test must not see the settings of the person who runs it."""
    for name in list(os.environ):
        if name.startswith("RELAY_") or name == "REDIS_URL":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One embedded Valkey server for the whole run."""
    directory: Path = tmp_path_factory.mktemp("valkey")
    with EmbeddedServer(directory) as running:
        yield running


@pytest.fixture
def store(server: EmbeddedServer) -> Iterator[redis.Redis]:
    """A client of the embedded server, emptied before the test."""
    client = redis.Redis.from_url(server.url, decode_responses=False)
    client.flushall()
    yield client
    client.close()
