"""The life of one worker process: signs of life, counters, the watchdog, and not outliving its parent."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import queue
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from dramatiq.middleware import Middleware

from workers.beat import until_beat
from workers.errors import QueueAway
from workers.signs import Signs

if TYPE_CHECKING:
    from collections.abc import Callable

    from dramatiq import Broker
    from dramatiq.worker import Worker

    from workers.services import Services

BEAT_SECONDS: Final = 1.0
WATCHDOG_STATUS: Final = 70  # sysexits' EX_SOFTWARE: ours is broken, start it again
PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> None:
    """On Linux: the kernel ends this process when its parent does, even by `kill -9` (dramatiq-redis.md D8)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:
        # It ended before the line above, so no signal will come.
        os._exit(WATCHDOG_STATUS)


class WorkQueue(queue.PriorityQueue[Any]):
    """Dramatiq's queue between its consumers and its threads, in which idle threads sleep until there is work.

    Dramatiq has each of them look once a second whether it is to end. Here that begins with `wake`.
    """

    def __init__(self) -> None:
        super().__init__()
        self._awake = False

    def get(self, block: bool = True, timeout: float | None = None) -> Any:  # noqa: ANN401 - as in the base
        """The next item; while nobody has called `wake`, an empty queue is waited for longer than `timeout`."""
        if block and timeout is not None:
            with self.not_empty:
                self.not_empty.wait_for(lambda: self._awake or self._qsize())
        return super().get(block, timeout)

    def wake(self) -> None:
        """From now on `get` keeps to its `timeout`."""
        with self.not_empty:
            self._awake = True
            self.not_empty.notify_all()


class ProcessLife(Middleware):
    """Starts and ends what a worker process needs beside its threads. `look` is called with each beat."""

    def __init__(self, services: Services, look: Callable[[], object] = lambda: None) -> None:
        self.services = services
        self.look = look
        self.ended = threading.Event()
        self.signs: Signs | None = None

    def after_process_boot(self, broker: Broker) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Before the worker threads start."""
        die_with_parent()
        self.services.start()

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Before there are threads that would ask the queue."""
        worker.work_queue = WorkQueue()

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Starts the thread that beats and watches."""
        part = "solo" if set(worker.consumers) == {"solo"} else "worker"
        self.signs = Signs(self.services.redis, self.services.proc, part)
        threading.Thread(target=self._beat, args=(worker,), name="heartbeat", daemon=True).start()

    def _beat(self, worker: Worker) -> None:
        while not self.ended.wait(until_beat(BEAT_SECONDS)):
            self.look()
            if self.signs is not None:
                self.signs.give()
            try:
                self.services.agenda.heartbeat(self.services.proc)
                self.services.counts.flush()
            except QueueAway:
                self.services.log.warning("heartbeat", error="Redis did not answer")
            if self.services.stopping.is_set():
                continue  # threads end on purpose now
            dead = [thread.name for thread in (*worker.consumers.values(), *worker.workers) if not thread.is_alive()]
            if dead:
                self.services.log.error("watchdog", dead_threads=dead, action="this process ends, to be started again")
                sys.stderr.flush()
                os._exit(WATCHDOG_STATUS)

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Runs that have not yet written hand their record back; threads without work see that they are to end."""
        self.services.stopping.set()
        if isinstance(worker.work_queue, WorkQueue):
            worker.work_queue.wake()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:  # noqa: ARG002 - Dramatiq's signature
        """Everything has ended: the last counters, and the connections."""
        self.ended.set()
        if self.signs is not None:
            self.signs.end()
        self.services.close()
