"""The clock (`capsule-relay clock`): sweeps the agenda for ever, whatever Redis does meanwhile.

Once a second, which heals what was lost within that time; when a record that waits becomes due; and four times a second while
sweeps find something to do. So a record whose moment was set after the last sweep waits at most a second longer than its being
set, and every other no longer than its moment.

Running two is harmless, and so is a late or a missed round: everything that a sweep does is safe to repeat. Reconciles that
are due run in a thread beside the sweeps (`workers/schedule.py`); so does the hook guard its turn.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from workers.beat import until_beat
from workers.errors import QueueAway
from workers.guard import HookGuard
from workers.schedule import Reconciles
from workers.services import build
from workers.signs import Signs

if TYPE_CHECKING:
    from workers.services import Services
    from workers.settings import Settings

BUSY_SECONDS: Final = 0.25
IDLE_SECONDS: Final = 1.0


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

    def rest(self, swept: dict[str, int]) -> float:
        """Seconds until the next sweep, by what the last one did."""
        if not swept or any(swept.values()):
            return BUSY_SECONDS
        try:
            due_ms = self.services.agenda.due_in_ms()
        except QueueAway:
            return BUSY_SECONDS  # the sweep says so
        idle = until_beat(IDLE_SECONDS)
        return idle if due_ms is None else min(max(due_ms / 1000, 0.0), idle)


def run(settings: Settings, stop: threading.Event) -> None:
    """Sweeps until `stop` is set."""
    services = build(settings)
    services.start()
    clock, signs = Clock(services), Signs(services.redis, services.proc, "clock")
    reconciles = threading.Thread(target=Reconciles(services).run, name="reconciles", daemon=True)
    reconciles.start()
    guard = threading.Thread(target=HookGuard(services, every_s=settings.hooks_every_s).run, name="hook-guard", daemon=True)
    guard.start()
    try:
        while not stop.is_set():
            signs.give()
            stop.wait(clock.rest(clock.tick()))
    finally:
        services.stopping.set()
        reconciles.join(1.0)
        guard.join(1.0)
        signs.end()
        services.close()
