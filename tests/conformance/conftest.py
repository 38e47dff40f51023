"""Fixtures of the conformance tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.conformance.capsule_desk import Capsule, Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def capsule() -> Iterator[Capsule]:
    """An empty simulated Capsule account."""
    simulator = Capsule(time_scale=0.0001)
    yield simulator
    simulator.close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of hooks."""
    server = Receiver()
    yield server
    server.close()
