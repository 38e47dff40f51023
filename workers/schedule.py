"""When reconciles run: an incremental pass every `auto_sync_minutes`, a full one every day and whenever the rules changed.

The slots are kept in Redis (`workers.flows.reconcile.memory`), so a restart forgets none, a late tick runs what is due once,
and a second clock finds that there is nothing to do: one reconcile of a connection runs at a time, and what it remembers says
when the next is due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import redis

from mapping import drift
from mapping.errors import MappingError
from workers import tracing
from workers.errors import QueueAway, WorkerError
from workers.flows.reconcile import full_sync, incremental_sync, memory, memory_key, was_synced
from workers.flows.restored import in_doubt
from workers.rules_watch import RulesWatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mapping.rules import Connection
    from workers.services import Services

LOOK_SECONDS: Final = 5.0
FULL_EVERY_MS: Final = 24 * 3_600_000
MINUTE_MS: Final = 60_000
# After a pass that failed, so that a side that is down is not asked every few seconds.
AGAIN_MS: Final = 30_000

Due = Literal["full", "incremental"]


def due(connection: Connection, remembered: Mapping[str, str], now_ms: int, *, synced: bool, doubt: bool = False) -> Due | None:
    """Which pass is due. Pure; times are ms of Redis' clock.

    `doubt`: the data store may have come back older than it was, which is mended even where nothing is synced by itself.
    """
    if now_ms < int(remembered.get("not_before", 0)):
        return None
    if doubt and synced and "since" in remembered:
        return "incremental"
    if not connection.auto_sync:
        return None
    if not synced or "full" not in remembered or now_ms - int(remembered["full"]) >= FULL_EVERY_MS:
        return "full"
    if remembered.get("rules") != drift.rules_digests(connection):
        return "full"
    last = int(remembered.get("looked", remembered["full"]))
    return "incremental" if now_ms - last >= connection.auto_sync_minutes * MINUTE_MS else None


class Reconciles:
    """Runs what is due, one connection after the other, and tries again what failed."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.rules = RulesWatch(services)

    def run(self) -> None:
        """Until the process is to stop."""
        while not self.services.stopping.is_set():
            if self.rules.look():
                # Time for the workers to take the same rules over: what they judge by the old ones would be left so.
                self.services.stopping.wait(LOOK_SECONDS)
            for name in tuple(self.services.connections):
                self._one(name)
            self.services.stopping.wait(LOOK_SECONDS)

    def _one(self, name: str) -> None:
        services, log = self.services, self.services.log
        try:
            connection = services.connections.get(name)
            now = services.agenda.hello()
            # Without a sign-in nothing could be read, and what OfficeRnD holds would be listed in vain.
            if connection is None or services.agenda.is_paused(name) or not services.signed_in(name):
                return
            kept = memory(services, name)
            what = due(connection, kept, now, synced=was_synced(services, name), doubt=in_doubt(services, kept))
            if what is None:
                return
            # Noted before, so that a pass which ends the process or fails is not begun again at once.
            services.redis.hset(memory_key(name), "not_before", str(now + AGAIN_MS))
            with tracing.work("reconcile", connection=name, kind=what):
                self._run(name, what, now)
        except (QueueAway, redis.RedisError) as error:
            log.warning("reconcile", connection=name, error=type(error).__name__, text=str(error), action="tried again")
        except (WorkerError, MappingError) as error:
            log.warning("reconcile", connection=name, error=type(error).__name__, text=str(error), action="tried again")

    def _run(self, name: str, what: Due, now: int) -> None:
        services = self.services
        if what == "full":
            run = full_sync(services, name, wait=False, resume=True)
        else:
            run = incremental_sync(services, name, wait=False)
        services.redis.hset(memory_key(name), "looked", str(now))
        services.redis.hdel(memory_key(name), "not_before")
        services.log.info(
            "reconcile",
            connection=name,
            pass_=what,
            found=run.found,
            opened=run.opened,
            findings=dict(run.findings),
            guarded=run.guarded,
            resumed=run.resumed,
            seconds=round(run.seconds, 1),
        )
