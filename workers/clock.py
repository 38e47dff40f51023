"""The clock (`capsule-relay clock`): four times a second a sweep of the agenda, for ever, whatever Redis does meanwhile.

Running two is harmless, and so is a late or a missed round: everything that a sweep does is safe to repeat. A connection
with `auto_sync` that was never read whole gets its first full sync from here, beside the sweeps; so does the hook guard its turn.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import redis

from mapping.errors import MappingError
from workers.errors import QueueAway, WorkerError
from workers.flows.reconcile import full_sync, was_synced
from workers.guard import HookGuard
from workers.services import build

if TYPE_CHECKING:
    from workers.services import Services
    from workers.settings import Settings

SWEEP_SECONDS: Final = 0.25  # a record that waits for a moment of its own waits no longer than this beyond it
FIRST_SYNC_EVERY_SECONDS: Final = 30.0


class Clock:
    """Keeps from when deaths count: neither a restart of everything nor one of Redis blames a record (agenda.md §5)."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.counts_from_ms: int | None = None
        self.away_since: float | None = None

    def tick(self) -> dict[str, int]:
        """One sweep. Returns what it did; empty when Redis did not answer."""
        agenda, log = self.services.agenda, self.services.log
        try:
            if self.counts_from_ms is None:
                self.counts_from_ms = agenda.hello()
            swept = agenda.sweep(counts_from_ms=self.counts_from_ms)
            self.services.counts.flush()
        except QueueAway as error:
            if self.away_since is None:
                self.away_since = time.monotonic()
                log.warning("sweep", error=str(error), action="trying again")
            self.counts_from_ms = None  # set anew when Redis is back
            return {}
        if self.away_since is not None:
            log.info("sweep", redis="back", away_s=round(time.monotonic() - self.away_since, 1))
            self.away_since = None
        if swept["bugs"]:
            log.error("audit", mended=swept["bugs"], advice="an open record was in no place; please report this with the log")
        notable = {name: number for name, number in swept.items() if number and name not in {"bells", "due", "unparked"}}
        if notable:
            log.info("sweep", **notable)
        return swept


class FirstSyncs:
    """Reads a connection whole that never was, one connection after the other, and tries again until it succeeds."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def run(self) -> None:
        """Until the process is to stop."""
        while not self.services.stopping.is_set():
            for name, connection in self.services.connections.items():
                if connection.auto_sync:
                    self._one(name)
            self.services.stopping.wait(FIRST_SYNC_EVERY_SECONDS)

    def _one(self, name: str) -> None:
        log = self.services.log
        try:
            # Without a sign-in nothing could be read, and what OfficeRnD holds would be listed in vain.
            if was_synced(self.services, name) or not self.services.signed_in(name):
                return
            outcome = full_sync(self.services, name, wait=False)
            log.info("first sync", connection=name, found=outcome.found, seconds=round(outcome.seconds, 1))
        except (WorkerError, MappingError, redis.RedisError) as error:
            log.warning("first sync", connection=name, error=type(error).__name__, text=str(error), action="tried again")


def run(settings: Settings, stop: threading.Event) -> None:
    """Sweeps until `stop` is set."""
    services = build(settings)
    services.start()
    clock = Clock(services)
    first = threading.Thread(target=FirstSyncs(services).run, name="first-sync", daemon=True)
    first.start()
    guard = threading.Thread(target=HookGuard(services, every_s=settings.hooks_every_s).run, name="hook-guard", daemon=True)
    guard.start()
    try:
        while not stop.is_set():
            began = time.monotonic()
            clock.tick()
            stop.wait(max(0.0, SWEEP_SECONDS - (time.monotonic() - began)))
    finally:
        services.stopping.set()
        first.join(1.0)
        guard.join(1.0)
        services.close()
