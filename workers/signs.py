"""Signs of life of this process for `status` and metrics (`mapping/running.py`)."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import redis

from mapping.running import SIGN, SIGN_S
from workers.beat import until_beat
from workers.errors import QueueAway
from workers.version import VERSION

if TYPE_CHECKING:
    from workers.counts import Counts


class Signs:
    """Gives signs of life. `proc` names the process, `part` is one of `mapping.running.PARTS`."""

    def __init__(self, client: redis.Redis, proc: str, part: str) -> None:
        self.proc = proc
        self.part = part
        self._client = client
        self._sign = client.register_script(SIGN)
        self._given = -1

    def give(self) -> None:
        """Says that this process runs, at most once in SIGN_S. A Redis that is away is no matter: others say so."""
        beat = int(time.monotonic() // SIGN_S)
        if beat == self._given:
            return
        self._given = beat
        with contextlib.suppress(redis.RedisError):
            self._sign(args=[self.proc, self.part, VERSION])

    def end(self) -> None:
        """Says that this process ends in good order."""
        with contextlib.suppress(redis.RedisError):
            self._sign(args=[self.proc, "", VERSION])

    def keep(self, counts: Counts, stopping: threading.Event) -> None:
        """Gives signs of life and hands on the counters from a thread of its own, until the process is to stop."""

        def beat() -> None:
            while not stopping.wait(until_beat(SIGN_S)):
                self.give()
                with contextlib.suppress(QueueAway):
                    counts.flush()
            self.end()

        self.give()
        threading.Thread(target=beat, name="signs", daemon=True).start()
