"""A breaker per connection: repeated failures of one side pause it, so that an outage spends probes and not attempts.

Failures in a row are counted in each process; the pause itself stands in Redis and holds for all (agenda.md §9.5).
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

from workers import errors

if TYPE_CHECKING:
    from workers.agenda import Agenda
    from workers.flows.run import Run

FAILURES_IN_A_ROW: Final = 5
PROBE_MS: Final = 5_000
CREDENTIALS_PROBE_MS: Final = 30_000


class Breaker:
    """Decides when a connection is paused and when it goes on."""

    def __init__(self, agenda: Agenda, *, probe_ms: int = PROBE_MS) -> None:
        self.agenda = agenda
        self.probe_ms = probe_ms
        self._lock = threading.Lock()
        self._failures: Counter[tuple[str, str]] = Counter()

    def failed(self, run: Run, error: Exception) -> bool:
        """Counts a failure; True when the connection is paused because of it, or was being probed."""
        if not isinstance(error, errors.Temporary) or isinstance(error, errors.RateLimited) or not error.system:
            return False
        if isinstance(error, errors.ReconnectNeeded | errors.Stopped):
            # The sign-in has paused the whole account already. A pause from here, later, could outlast a reconnect.
            return isinstance(error, errors.ReconnectNeeded) or self._stop(run, error)
        connection, probe_ms = run.record.connection, self.probe_ms
        with self._lock:
            self._failures[connection, error.system] += 1
            failures = self._failures[connection, error.system]
        refused = isinstance(error, errors.CredentialsRefused)
        if refused:
            probe_ms = max(probe_ms, CREDENTIALS_PROBE_MS)
        try:
            # Somebody else has opened it since this run began: the failure is the outage's and spends no attempt.
            if not (refused or run.taken.probing or failures >= FAILURES_IN_A_ROW):
                return self.agenda.is_paused(connection)
        except errors.QueueAway:
            return False
        reason = "credentials refused" if refused else f"{failures} failures in a row"
        try:
            if not self.agenda.is_paused(connection):
                run.services.counts.add("pauses", connection)
            self.agenda.pause(connection, reason=f"{error.system}: {reason}", probe_every_ms=probe_ms)
        except errors.QueueAway:
            return False
        run.services.log.warning("paused", connection=connection, system=error.system, reason=reason, probe_every_ms=probe_ms)
        return True

    def _stop(self, run: Run, error: errors.Temporary) -> bool:
        """Pauses without a probe: it is not for us to find out whether it wants messages again."""
        connection, reason = run.record.connection, f"{error.system}: it wants no more ({error.status})"
        try:
            self.agenda.pause(connection, reason=reason)
        except errors.QueueAway:
            return False
        run.services.counts.add("pauses", connection)
        run.services.log.error("paused", connection=connection, system=error.system, reason=reason, advice=error.advice)
        return True

    def ended(self, run: Run) -> None:
        """After a run that no failure of a system ended: forgets the failures of those that answered; a probe ends the pause.

        A probe that had nothing to ask of the system at fault asks it one cheap thing first: there may be any number of such
        records before the first that needs it, and each would cost an interval. Only the record itself shows whether writes
        work again, so after that the first failure is enough to pause anew, and spends no attempt.
        """
        with self._lock:
            for system in run.answered:
                self._failures.pop((run.record.connection, system), None)
        if not run.taken.probing:
            return
        try:
            self._end_pause(run)
        except errors.QueueAway:
            return
        except errors.WorkerError as error:
            run.services.log.info("probe", connection=run.record.connection, error=type(error).__name__, text=str(error))

    def _end_pause(self, run: Run) -> None:
        connection = run.record.connection
        at_fault = self.agenda.why_paused(connection).partition(":")[0]
        if at_fault not in run.answered:
            asked = {one.name: one for one in (run.services.capsule(connection), run.services.downstream(connection))}
            if at_fault not in asked or run.services.stopping.is_set():
                # Somebody has paused it for another reason meanwhile, or ended the pause.
                return
            asked[at_fault].ask(alive=_nothing)
            with self._lock:
                self._failures[connection, at_fault] = FAILURES_IN_A_ROW - 1
        self.agenda.resume(connection)
        run.services.log.info("resumed", connection=connection, asked=at_fault not in run.answered)


def _nothing() -> None:
    """The run has ended and holds no lease."""
