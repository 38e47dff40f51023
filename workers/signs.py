"""Signs of life of this process for `status` and metrics (`mapping/running.py`)."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Final

import redis

from mapping.running import SIGN
from workers.errors import QueueAway
from workers.version import VERSION

if TYPE_CHECKING:
    from workers.counts import Counts

BEAT_SECONDS: Final = 1.0


class Signs:
    """Gives signs of life. `proc` names the process, `part` is one of `mapping.running.PARTS`."""

    def __init__(self, client: redis.Redis, proc: str, part: str) -> None:
        self.proc = proc
        self.part = part
        self._client = client
        self._sign = client.register_script(SIGN)
        self._next = 0.0

    def give(self) -> None:
        """Says that this process runs, at most once a second. A Redis that is away is no matter: others say so."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + BEAT_SECONDS
        with contextlib.suppress(redis.RedisError):
            self._sign(args=[self.proc, self.part, VERSION])

    def end(self) -> None:
        """Says that this process ends in good order."""
        with contextlib.suppress(redis.RedisError):
            self._sign(args=[self.proc, "", VERSION])

    def keep(self, counts: Counts, stopping: threading.Event) -> None:
        """Gives signs of life and hands on the counters from a thread of its own, until the process is to stop."""

        def beat() -> None:
            while not stopping.wait(BEAT_SECONDS):
                self.give()
                with contextlib.suppress(QueueAway):
                    counts.flush()
            self.end()

        self.give()
        threading.Thread(target=beat, name="signs", daemon=True).start()
