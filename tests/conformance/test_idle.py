"""Who has nothing to do asks the data store little: the clock's rests, the consumers' waits, the threads' sleep."""

from __future__ import annotations

import queue
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mapping.agenda import RecordKey, key
from workers.agenda import Agenda, Timing, connect
from workers.broker import BellBroker
from workers.clock import BUSY_SECONDS, IDLE_SECONDS, Clock
from workers.errors import QueueAway
from workers.process import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from workers.embedded import EmbeddedServer

R = RecordKey("acme", "party", 1)
NOTHING: dict[str, int] = {"due": 0, "bells": 0, "expired": 0}


@pytest.fixture
def agenda(store: redis.Redis) -> Agenda:
    return Agenda(store, Timing())


def clock(agenda: Any) -> Clock:
    counts = SimpleNamespace(flush=lambda: None)
    log = SimpleNamespace(info=lambda *_, **__: None, warning=lambda *_, **__: None, error=lambda *_, **__: None)
    services: Any = SimpleNamespace(agenda=agenda, counts=counts, log=log)
    return Clock(services)


def test_a_clock_with_nothing_to_do_sweeps_once_a_second(agenda: Agenda) -> None:
    assert agenda.due_in_ms() is None
    assert BUSY_SECONDS < IDLE_SECONDS
    assert 0 < clock(agenda).rest(NOTHING) <= 1.01 * IDLE_SECONDS


def test_a_sweep_comes_when_a_record_is_due_and_not_a_second_later(agenda: Agenda, store: redis.Redis) -> None:
    """Given a record that waits for a moment of its own, Then the clock rests until then, and the sweep makes it ready."""
    made = clock(agenda)
    made.tick()
    agenda.open([R], lane="live", why="event")
    taken = agenda.take("live", proc="p")
    assert taken is not None
    assert agenda.later(R, taken.token, wait_ms=300, spend=False, touched=False)
    due_ms = agenda.due_in_ms()
    assert due_ms is not None
    assert 0 < due_ms <= 300
    rests = 0.0
    swept = made.tick()
    while not swept["due"]:
        rested = made.rest(NOTHING)
        assert rested <= 0.3
        rests += rested
        time.sleep(rested)
        swept = made.tick()
    assert rests <= 0.35
    assert store.zcard(key("ready:live")) == 1
    assert made.rest(swept) == BUSY_SECONDS, "what has begun is looked at again soon"


def test_a_record_that_is_late_is_not_waited_for(agenda: Agenda, store: redis.Redis) -> None:
    store.zadd(key("due"), {"acme|party|1": 1})
    late = agenda.due_in_ms()
    assert late is not None
    assert late < 0
    assert clock(agenda).rest(NOTHING) == 0


def test_a_data_store_that_is_away_is_looked_for_often() -> None:
    class Away:
        def due_in_ms(self) -> int:
            raise QueueAway("away")

    made = clock(Away())
    assert made.rest({}) == BUSY_SECONDS
    assert made.rest(NOTHING) == BUSY_SECONDS


@pytest.fixture
def consumer(server: EmbeddedServer, store: redis.Redis) -> Iterator[Any]:
    store.ping()
    client = connect(server.url)
    broker = BellBroker(client, middleware=[])
    yield broker.consume("live", prefetch=4, timeout=200)
    client.close()


def test_a_consumer_without_a_bell_fetches_once_for_each_wait(consumer: Any, store: redis.Redis) -> None:
    store.config_resetstat()
    for _ in range(3):
        assert next(consumer) is None
    told: Any = store.info("commandstats")
    assert told["cmdstat_blpop"]["calls"] == 3
    assert told["cmdstat_lpop"]["calls"] == 3


def test_a_bell_whose_wake_was_lost_is_found_after_the_wait(consumer: Any, agenda: Agenda, store: redis.Redis) -> None:
    """A consumer that had popped the wake was killed before it fetched."""
    assert next(consumer) is None
    agenda.open([R], lane="live", why="event")
    store.delete(key("wake:live"))
    assert next(consumer) is not None


def test_a_bell_wakes_a_consumer_that_waits(consumer: Any, agenda: Agenda) -> None:
    found: list[Any] = []
    waiting = threading.Thread(target=lambda: found.extend(next(consumer) for _ in range(20) if not any(found)))
    waiting.start()
    agenda.open([R], lane="live", why="event")
    waiting.join(10)
    assert any(found)


def test_threads_without_work_sleep_until_there_is_some() -> None:
    waits = WorkQueue()
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(waits.get(timeout=0.001)))
    thread.start()
    thread.join(0.1)
    assert thread.is_alive(), "Dramatiq's own queue gives up after its time-out"
    waits.put(1)
    thread.join(5)
    assert found == [1]


def test_threads_that_sleep_are_woken_for_the_end() -> None:
    waits = WorkQueue()
    ended: list[str] = []

    def work() -> None:
        try:
            waits.get(timeout=0.001)
        except queue.Empty:
            ended.append("empty")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    waits.wake()
    for thread in threads:
        thread.join(5)
    assert ended == ["empty"] * 4
