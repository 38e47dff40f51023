"""Stock Dramatiq on Redis: the default broker, the default retries (20, from 15 s on)."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from tests.benchmarks.peers.task import Shared

dramatiq.set_broker(RedisBroker(url=os.environ["REDIS_URL"]))  # type: ignore[no-untyped-call]
shared = Shared()


@dramatiq.actor
def bring(kind: str, number: int) -> None:
    """One event."""
    shared.bring(kind, number)


def queue(kind: str, number: int) -> None:
    """What the webhook does."""
    bring.send(kind, number)
