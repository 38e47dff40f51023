"""The watchdog of a worker process."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from workers import process
from workers.errors import QueueAway


class Ended(Exception):
    """Instead of the end of the test's own process."""


class Agenda:
    """Counts signs of life; raises when it is told to."""

    def __init__(self, *, away: bool = False) -> None:
        self.beats = 0
        self.away = away

    def heartbeat(self, proc: str) -> None:
        self.beats += 1
        if self.away:
            raise QueueAway(f"{proc}: Redis did not answer")


def life(agenda: Agenda) -> process.ProcessLife:
    log = SimpleNamespace(error=lambda *_, **__: None, warning=lambda *_, **__: None)
    services: Any = SimpleNamespace(
        agenda=agenda, counts=SimpleNamespace(flush=lambda: None), proc="p", log=log, stopping=threading.Event()
    )
    return process.ProcessLife(services)


def worker(*, consumer_alive: bool = True, thread_alive: bool = True) -> Any:
    def thread(alive: bool) -> Any:
        return SimpleNamespace(name="thread", is_alive=lambda: alive)

    return SimpleNamespace(consumers={"live": thread(consumer_alive)}, workers=[thread(thread_alive)])


@pytest.fixture(autouse=True)
def exits(monkeypatch: pytest.MonkeyPatch) -> None:
    def end(status: int) -> None:
        raise Ended(status)

    monkeypatch.setattr("workers.process.os._exit", end)
    monkeypatch.setattr(process, "BEAT_SECONDS", 0.001)


@pytest.mark.parametrize("dead", ["consumer_alive", "thread_alive"])
def test_a_process_whose_thread_has_died_ends_so_that_it_is_started_again(dead: str) -> None:
    made = life(Agenda())
    with pytest.raises(Ended) as ended:
        made._beat(worker(**{dead: False}))
    assert ended.value.args == (process.WATCHDOG_STATUS,)


def test_threads_that_end_on_purpose_end_nothing() -> None:
    agenda = Agenda()
    made = life(agenda)
    made.services.stopping.set()
    thread = threading.Thread(target=made._beat, args=(worker(consumer_alive=False),))
    thread.start()
    while agenda.beats < 3:
        assert thread.is_alive()
    made.ended.set()
    thread.join(5)
    assert not thread.is_alive()


def test_an_outage_of_redis_does_not_end_the_heartbeat() -> None:
    agenda = Agenda(away=True)
    made = life(agenda)
    thread = threading.Thread(target=made._beat, args=(worker(),))
    thread.start()
    while agenda.beats < 3:
        assert thread.is_alive()
    made.ended.set()
    thread.join(5)
