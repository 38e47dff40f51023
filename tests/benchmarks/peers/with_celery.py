"""Celery on Redis with its defaults; `PEER_ACKS_LATE=1` for what its documentation advises where tasks must not be lost.

Celery retries nothing by itself, so that a failed call is not simply gone both variants have `autoretry_for` with its back-off.
"""

from __future__ import annotations

import os

from celery import Celery

from tests.benchmarks.peers.task import Shared

late = os.environ.get("PEER_ACKS_LATE") == "1"
app = Celery("peer", broker=os.environ["REDIS_URL"])
app.conf.update(task_acks_late=late, task_reject_on_worker_lost=late, broker_connection_retry_on_startup=True)
shared = Shared()


def work(kind: str, number: int) -> None:
    """One event."""
    shared.bring(kind, number)


bring = app.task(work, name="bring", autoretry_for=(Exception,), retry_backoff=True, max_retries=20, ignore_result=True)


def queue(kind: str, number: int) -> None:
    """What the webhook does."""
    bring.delay(kind, number)
