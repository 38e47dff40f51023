from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from workers.capsule.batch import UNSETTLED, Batch, Found
from workers.errors import LeaseLost, RateLimited, SystemDown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DEADLINE_S = 10.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.002)


class Source:
    """What is fetched: each call waits for `gate`, is noted, and answers a body for every id but those of `missing`."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.calls: list[tuple[int, ...]] = []
        self.lanes: list[str] = []
        self.waits: list[int] = []
        self.missing: set[int] = set()
        self.gone: set[int] = set()
        self.error: BaseException | None = None
        self.latency_s = 0.0

    def fetch(self, ids: tuple[int, ...]) -> Mapping[int, dict[str, Any] | None]:
        self.calls.append(ids)
        assert self.gate.wait(DEADLINE_S)
        time.sleep(self.latency_s)
        if self.error is not None:
            raise self.error
        return {number: None if number in self.gone else {"id": number} for number in ids if number not in self.missing}

    def slot(self, lane: str) -> int:
        self.lanes.append(lane)
        return self.waits.pop(0) if self.waits else 0


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def batch_of(source: Source, *, crowd: int = 10, gather_s: float = 0.0, max_wait_ms: int = 5000) -> Batch:
    return Batch(
        source.fetch,
        source.slot,
        system="capsule",
        size=10,
        crowd=crowd,
        gather_s=gather_s,
        max_wait_ms=max_wait_ms,
        alive_every_s=0.02,
    )


def nothing() -> None:
    pass


class Asking:
    """Requests from threads of their own."""

    def __init__(self, batch: Batch, threads: ThreadPoolExecutor) -> None:
        self.batch = batch
        self.threads = threads

    def __call__(self, number: int, *, lane: str = "live", alive: Callable[[], None] = nothing) -> Future[Found]:
        return self.threads.submit(self.batch.get, number, lane=lane, alive=alive)

    def waiting(self, count: int) -> None:
        until(lambda: len(self.batch._waiting) == count)

    def askers(self, number: int, count: int) -> None:
        until(lambda: number in self.batch._waiting and self.batch._waiting[number].askers == count)


def test_a_single_request_is_sent_at_once(source: Source) -> None:
    assert batch_of(source, gather_s=60).get(7, lane="live", alive=nothing) == {"id": 7}
    assert source.calls == [(7,)]


def test_ids_gather_while_a_call_is_under_way(source: Source, threads: ThreadPoolExecutor) -> None:
    ask = Asking(batch_of(source), threads)
    source.gate.clear()
    first = ask(1)
    until(lambda: source.calls == [(1,)])
    rest = [ask(number) for number in range(2, 8)]
    ask.waiting(6)

    source.gate.set()

    assert first.result(DEADLINE_S) == {"id": 1}
    assert [one.result(DEADLINE_S) for one in rest] == [{"id": number} for number in range(2, 8)]
    assert [sorted(ids) for ids in source.calls] == [[1], [2, 3, 4, 5, 6, 7]]


def test_a_batch_holds_ten_ids_and_live_goes_before_bulk(source: Source, threads: ThreadPoolExecutor) -> None:
    ask = Asking(batch_of(source), threads)
    source.gate.clear()
    first = ask(1)
    until(lambda: len(source.calls) == 1)
    everybody = [first]
    for number in range(100, 108):
        everybody.append(ask(number, lane="bulk"))
        ask.waiting(len(everybody) - 1)
    for number in range(200, 208):
        everybody.append(ask(number, lane="live"))
        ask.waiting(len(everybody) - 1)

    source.gate.set()
    for one in everybody:
        one.result(DEADLINE_S)

    assert source.calls[1] == (*range(200, 208), 100, 101)
    assert source.calls[2] == tuple(range(102, 108))
    assert source.lanes[1:] == ["live", "bulk"]


def test_several_who_ask_for_the_same_record_share_one_place(source: Source, threads: ThreadPoolExecutor) -> None:
    ask = Asking(batch_of(source), threads)
    source.gate.clear()
    first = ask(1)
    until(lambda: len(source.calls) == 1)
    same = [ask(7, lane="bulk"), ask(7, lane="live"), ask(7, lane="bulk")]
    ask.askers(7, 3)

    source.gate.set()

    assert [one.result(DEADLINE_S) for one in (*same, first)] == [{"id": 7}] * 3 + [{"id": 1}]
    assert source.calls == [(1,), (7,)]
    assert source.lanes == ["live", "live"], "the place is live as soon as one who asks is"


def test_a_request_never_joins_a_call_that_is_already_sent(source: Source, threads: ThreadPoolExecutor) -> None:
    ask = Asking(batch_of(source), threads)
    source.gate.clear()
    early = ask(7)
    until(lambda: source.calls == [(7,)])
    late = ask(7)
    ask.waiting(1)

    source.gate.set()
    early.result(DEADLINE_S)
    late.result(DEADLINE_S)

    assert source.calls == [(7,), (7,)], "the second read begins after it was asked for"


def test_gone_and_unsettled_are_told_apart(source: Source) -> None:
    source.gone, source.missing = {1}, {2}
    batch = batch_of(source)

    assert batch.get(1, lane="live", alive=nothing) is None
    assert batch.get(2, lane="live", alive=nothing) is UNSETTLED


def test_ids_that_come_together_wait_until_the_crowd_is_complete(source: Source, threads: ThreadPoolExecutor) -> None:
    ask = Asking(batch_of(source, crowd=4, gather_s=60), threads)
    source.gate.clear()
    first = ask(1)
    until(lambda: len(source.calls) == 1)
    rest = [ask(2), ask(3)]
    ask.waiting(2)
    source.gate.set()
    first.result(DEADLINE_S)
    assert len(source.calls) == 1, "two of four: more may come"

    rest += [ask(4), ask(5)]

    for one in rest:
        one.result(DEADLINE_S)
    assert [sorted(ids) for ids in source.calls] == [[1], [2, 3, 4, 5]]


def test_an_incomplete_crowd_leaves_when_the_time_is_over(source: Source, threads: ThreadPoolExecutor) -> None:
    ask = Asking(batch_of(source, crowd=4, gather_s=0.1), threads)
    source.gate.clear()
    first = ask(1)
    until(lambda: len(source.calls) == 1)
    rest = [ask(2), ask(3)]
    ask.waiting(2)
    source.gate.set()

    for one in (first, *rest):
        one.result(DEADLINE_S)

    assert [sorted(ids) for ids in source.calls] == [[1], [2, 3]]


def test_an_error_of_the_call_reaches_everybody_in_it_as_their_own(source: Source, threads: ThreadPoolExecutor) -> None:
    ask = Asking(batch_of(source), threads)
    source.gate.clear()
    first = ask(1)
    until(lambda: len(source.calls) == 1)
    rest = [ask(2), ask(3)]
    ask.waiting(2)
    source.error = SystemDown("capsule: 503", system="capsule", status=503)
    source.gate.set()

    errors = [one.exception(DEADLINE_S) for one in (first, *rest)]

    assert all(isinstance(error, SystemDown) and error.status == 503 for error in errors)
    assert len({id(error) for error in errors}) == 3


def test_a_leader_that_is_broken_off_leaves_nobody_waiting(source: Source, threads: ThreadPoolExecutor) -> None:
    ask = Asking(batch_of(source), threads)
    source.gate.clear()
    first = ask(1)
    until(lambda: len(source.calls) == 1)
    source.error = KeyboardInterrupt()
    source.gate.set()
    assert isinstance(first.exception(DEADLINE_S), KeyboardInterrupt)
    source.error = None

    assert ask(2).result(DEADLINE_S) == {"id": 2}


def test_a_leader_that_has_lost_its_lease_hands_the_lead_on(source: Source, threads: ThreadPoolExecutor) -> None:
    ask = Asking(batch_of(source), threads)
    source.waits = [300]
    beats = 0

    def loses_it() -> None:
        nonlocal beats
        beats += 1
        if beats > 1:
            raise LeaseLost("another has it")

    leader = ask(1, alive=loses_it)
    until(lambda: bool(source.lanes))
    follower = ask(2)

    assert isinstance(leader.exception(DEADLINE_S), LeaseLost)
    assert follower.result(DEADLINE_S) == {"id": 2}
    assert source.calls == [(2,)], "nobody asks for the first any more"


def test_who_waits_is_asked_to_keep_its_lease_alive(source: Source, threads: ThreadPoolExecutor) -> None:
    ask = Asking(batch_of(source), threads)
    source.gate.clear()
    leader = ask(1)
    until(lambda: len(source.calls) == 1)
    beats: list[float] = []
    follower = ask(2, alive=lambda: beats.append(time.monotonic()))

    until(lambda: len(beats) >= 5)

    source.gate.set()
    leader.result(DEADLINE_S)
    follower.result(DEADLINE_S)


def test_a_follower_that_loses_its_lease_leaves_its_place(source: Source, threads: ThreadPoolExecutor) -> None:
    ask = Asking(batch_of(source), threads)
    source.gate.clear()
    leader = ask(1)
    until(lambda: len(source.calls) == 1)
    lost = threading.Event()

    def alive() -> None:
        if lost.is_set():
            raise LeaseLost("another has it")

    follower = ask(2, alive=alive)
    ask.waiting(1)
    lost.set()

    assert isinstance(follower.exception(DEADLINE_S), LeaseLost)
    source.gate.set()
    leader.result(DEADLINE_S)
    assert source.calls == [(1,)]


def test_a_slot_too_far_away_sends_the_whole_batch_away_with_one_time(source: Source, threads: ThreadPoolExecutor) -> None:
    ask = Asking(batch_of(source, max_wait_ms=1000), threads)
    source.gate.clear()
    first = ask(1)
    until(lambda: len(source.calls) == 1)
    rest = [ask(2), ask(3), ask(4)]
    ask.waiting(3)
    source.waits = [60_000]
    source.gate.set()
    first.result(DEADLINE_S)

    errors = [one.exception(DEADLINE_S) for one in rest]

    # They share a call now and must share it when they come back, so only one place was booked.
    assert [error.wait_ms for error in errors if isinstance(error, RateLimited)] == [60_000] * 3
    assert len(source.lanes) == 2
    assert source.calls == [(1,)]


def test_a_live_request_does_not_wait_for_the_place_of_bulk_work(source: Source, threads: ThreadPoolExecutor) -> None:
    ask = Asking(batch_of(source, max_wait_ms=60_000), threads)
    source.waits = [50_000]
    bulk = ask(1, lane="bulk")
    until(lambda: source.lanes == ["bulk"])

    live = ask(2, lane="live")

    assert live.result(DEADLINE_S) == {"id": 2}
    assert bulk.result(DEADLINE_S) == {"id": 1}
    assert source.lanes == ["bulk", "live"]


def test_a_burst_from_many_threads_fills_its_calls(source: Source, threads: ThreadPoolExecutor) -> None:
    source.latency_s = 0.005
    batch = batch_of(source, gather_s=0.05)

    def several(start: int) -> None:
        for number in range(start, start + 25):
            assert batch.get(number, lane="live", alive=nothing) == {"id": number}

    for one in [threads.submit(several, start) for start in range(0, 800, 25)]:
        one.result(60)

    assert sorted(number for ids in source.calls for number in ids) == list(range(800))
    assert len(source.calls) <= 0.15 * 800
