"""One run: a record that this thread has leased, and what it did for it so far."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from workers.errors import RateLimited, ShuttingDown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mapping.agenda import Lane
    from workers.agenda import Taken
    from workers.services import Services

WAIT_STEP_SECONDS: Final = 0.25


class Run:
    """Keeps the lease alive, notes each write before it is sent, and remembers whether one may have had an effect.

    `touched` means: a write was sent that is not known to have had no effect. `wrote` means: one is known to have succeeded.
    `first_pass` means: the record was handed on by a pass that opens every record of the connection. `tried` is the last write
    that was sent or about to be, of the downstream's own kind.
    """

    def __init__(self, services: Services, taken: Taken) -> None:
        self.services = services
        self.taken = taken
        self.record = taken.record
        self.touched = False
        self.wrote = False
        self.first_pass = False
        self.tried: Any = None
        self.calls: dict[str, int] = {}
        self.answered: set[str] = set()
        self._renewed = time.monotonic()

    @property
    def lane(self) -> Lane:
        """`live` before `bulk` at every limit."""
        return self.taken.lane

    @property
    def max_wait_ms(self) -> int:
        """A wait longer than this frees the thread: the record is handed back without spending an attempt."""
        return self.services.timing.lease_ms // 2

    def alive(self) -> None:
        """Called before each read and while waiting: renews the lease when a quarter of it has passed.

        Raises:
            LeaseLost: the record is another's now.
            ShuttingDown: the process is to stop and nothing was written yet.
        """
        if self.services.stopping.is_set() and not self.touched:
            raise ShuttingDown(f"{self.record.pack()}: handed back, the process is stopping.")
        if time.monotonic() - self._renewed >= self.services.timing.lease_ms / 4000:
            self.services.agenda.hold(self.record, self.taken.token, writing=False)
            self._renewed = time.monotonic()

    def about_to_write(self, names: Sequence[str]) -> None:
        """Called right before a write is sent: notes the intent, and makes sure that the call will end before the lease.

        `names` are the fields that the write sets. Should its answer never come, they count as ours all the same, so that
        a value that has meanwhile gone from Capsule is cleared.

        Raises:
            LeaseLost: the record is another's now.
        """
        timing = self.services.timing
        while True:
            began = time.monotonic()
            self.services.agenda.hold(self.record, self.taken.token, writing=True, names=names)
            self._renewed = began
            if time.monotonic() - began <= timing.slack_ms / 1000:
                return

    def wait(self, wait_ms: int, *, system: str) -> None:
        """Waits for a slot of a limit, keeping the lease.

        Raises:
            RateLimited: it would take too long; the thread is needed elsewhere.
        """
        if wait_ms > self.max_wait_ms:
            raise RateLimited(f"{system}: the limit is used up for {wait_ms} ms.", wait_ms=wait_ms, system=system)
        ends = time.monotonic() + wait_ms / 1000
        while (left := ends - time.monotonic()) > 0:
            self.alive()
            self.services.stopping.wait(min(left, WAIT_STEP_SECONDS))
