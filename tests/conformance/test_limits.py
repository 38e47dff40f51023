from __future__ import annotations

import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from workers.errors import LeaseLost, QueueAway, RateLimited
from workers.limits import KEY, Limits, Observation, Window

if TYPE_CHECKING:
    from collections.abc import Callable

HOUR = 3_600_000
WINDOW = Window("capsule:acme", 10, HOUR)
DEADLINE_S = 10.0


def take(limits: Limits, *, times: int, lane: str = "live", window: Window = WINDOW) -> list[int]:
    return [limits.reserve((window,), lane=lane) for _ in range(times)]


def used(limits: Limits, name: str = WINDOW.name) -> int:
    return next(one.used for one in limits.usage() if one.name == name)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.005)


def test_a_window_grants_its_limit_and_not_one_more(store: redis.Redis) -> None:
    answers = take(Limits(store), times=11)

    assert answers[:10] == [0] * 10
    assert 0 < answers[10] <= HOUR


def test_waiters_are_told_different_times_at_the_pace_of_the_window(store: redis.Redis) -> None:
    limits = Limits(store)
    take(limits, times=10)

    waits = take(limits, times=25)

    # Ten calls an hour: a place every six minutes, from the end of this window on.
    gaps = [later - sooner for sooner, later in itertools.pairwise(waits)]
    assert all(abs(gap - HOUR / 10) < 1000 for gap in gaps)
    assert waits[0] <= HOUR


def test_many_clients_share_one_window(store: redis.Redis, server: object) -> None:
    del server
    clients = [Limits(redis.Redis(connection_pool=store.connection_pool)) for _ in range(4)]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: clients[n % 4].reserve((WINDOW,), lane="live"), range(40)))

    assert answers.count(0) == 10
    waits = [wait for wait in answers if wait]
    assert len(set(waits)) == len(waits)


def test_bulk_leaves_a_fifth_of_the_window_to_live(store: redis.Redis) -> None:
    limits = Limits(store)

    bulk = take(limits, times=9, lane="bulk")
    live = take(limits, times=3)

    assert bulk[:8] == [0] * 8
    assert bulk[8] > 0
    assert live[:2] == [0, 0]
    assert live[2] > 0


def test_the_lane_of_poison_records_counts_as_live(store: redis.Redis) -> None:
    assert take(Limits(store), times=10, lane="solo") == [0] * 10


def test_bulk_work_is_never_shut_out_for_good(store: redis.Redis) -> None:
    one = Window("token", 1, HOUR)

    assert Limits(store, bulk_share=0.5).reserve((one,), lane="bulk") == 0


@pytest.mark.parametrize("share", [-0.1, 0.51])
def test_the_share_kept_from_bulk_is_at_most_half(store: redis.Redis, share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        Limits(store, bulk_share=share)


def test_several_windows_are_taken_all_or_none(store: redis.Redis) -> None:
    limits = Limits(store)
    minute, day = Window("w-minute", 5, 60_000), Window("w-day", 2, 24 * HOUR)

    answers = [limits.reserve((minute, day), lane="live") for _ in range(3)]

    assert answers[:2] == [0, 0]
    assert answers[2] > HOUR, "the longer of the waits is told"
    assert (used(limits, "w-minute"), used(limits, "w-day")) == (2, 2)


def test_an_unknown_limit_holds_nobody_up_until_an_answer_names_it(store: redis.Redis) -> None:
    limits = Limits(store)
    day = Window("w-day", 0, 24 * HOUR)
    assert take(limits, times=50, window=day) == [0] * 50

    limits.learn((day,), [Observation("w-day", limit=51, remaining=1, reset_in_ms=HOUR)])

    assert limits.reserve((day,), lane="live") == 0
    assert 0 < limits.reserve((day,), lane="live") <= HOUR


def test_looking_takes_and_books_nothing(store: redis.Redis) -> None:
    limits = Limits(store)
    assert [limits.room((WINDOW,), lane="live") for _ in range(20)] == [0] * 20
    take(limits, times=10)
    before = store.hgetall(KEY)

    looks = [limits.room((WINDOW,), lane="live") for _ in range(3)]

    assert all(0 < look <= HOUR for look in looks)
    assert store.hgetall(KEY) == before


def test_a_window_that_has_ended_begins_anew(store: redis.Redis) -> None:
    limits = Limits(store)
    short = Window("short", 2, 150)
    assert take(limits, times=2, window=short) == [0, 0]
    assert limits.room((short,), lane="live") > 0

    until(lambda: limits.room((short,), lane="live") == 0)

    assert take(limits, times=2, window=short) == [0, 0]
    assert limits.reserve((short,), lane="live") > 0


def test_headers_correct_limit_use_and_end(store: redis.Redis) -> None:
    limits = Limits(store)
    take(limits, times=1)

    # Another integration of the same user has used most of the window, which ends in two seconds.
    limits.learn((WINDOW,), [Observation(WINDOW.name, limit=20, remaining=3, reset_in_ms=2000)])

    usage = limits.usage()[0]
    assert (usage.limit, usage.used) == (20, 17)
    assert usage.ends_in_ms <= 2000
    assert take(limits, times=3) == [0, 0, 0]
    assert 0 < limits.reserve((WINDOW,), lane="live") <= 2000


def test_calls_under_way_are_not_forgotten_when_an_earlier_answer_comes(store: redis.Redis) -> None:
    limits = Limits(store)
    take(limits, times=6)

    limits.learn((WINDOW,), [Observation(WINDOW.name, limit=10, remaining=9, reset_in_ms=HOUR // 2)])

    assert used(limits) == 6


def test_a_late_answer_of_the_window_before_changes_nothing(store: redis.Redis) -> None:
    limits = Limits(store)
    take(limits, times=1)
    limits.learn((WINDOW,), [Observation(WINDOW.name, limit=10, remaining=9, reset_in_ms=HOUR)])

    limits.learn((WINDOW,), [Observation(WINDOW.name, limit=10, remaining=0, reset_in_ms=1000)])

    assert used(limits) == 1
    assert limits.usage()[0].ends_in_ms > HOUR // 2


def test_a_window_that_began_over_there_begins_here_too(store: redis.Redis) -> None:
    limits = Limits(store)
    take(limits, times=9)
    limits.learn((WINDOW,), [Observation(WINDOW.name, limit=10, remaining=1, reset_in_ms=1000)])

    limits.learn((WINDOW,), [Observation(WINDOW.name, limit=10, remaining=8, reset_in_ms=HOUR)])

    assert used(limits) == 2


def test_observations_of_other_windows_are_left_out(store: redis.Redis) -> None:
    limits = Limits(store)

    limits.learn((WINDOW,), [Observation("officernd:acme:read-minute", limit=5, remaining=0)])

    assert limits.usage() == ()


@pytest.mark.parametrize("limit", [10, 0], ids=["a known limit", "an unknown limit"])
def test_a_429_closes_the_window_for_everybody_until_it_said(store: redis.Redis, limit: int) -> None:
    limits, other = Limits(store), Limits(store)
    window = Window("w", limit, HOUR)
    take(limits, times=1, window=window)

    limits.exhausted(window, 200)

    assert 0 < other.room((window,), lane="live") <= 200
    first, second = take(other, times=2, window=window)
    assert 0 < first < second
    assert limits.usage()[0].refused == 1
    until(lambda: other.room((window,), lane="live") == 0)


def test_every_window_is_a_field_of_one_key(store: redis.Redis) -> None:
    limits = Limits(store)

    for number in range(5):
        take(limits, times=1, window=Window(f"w{number}", 5, HOUR))

    assert list(store.scan_iter()) == [KEY.encode()]
    assert [one.name for one in limits.usage()] == ["w0", "w1", "w2", "w3", "w4"]


def test_acquiring_waits_for_a_place_and_keeps_its_lease_alive(store: redis.Redis) -> None:
    limits = Limits(store)
    short = Window("short", 1, 200)
    take(limits, times=1, window=short)
    beats: list[float] = []

    limits.acquire(
        (short,),
        lane="live",
        system="capsule",
        max_wait_ms=5000,
        alive=lambda: beats.append(time.monotonic()),
        alive_every_s=0.02,
    )

    assert len(beats) >= 3


def test_a_wait_that_is_too_long_frees_the_caller_at_once(store: redis.Redis) -> None:
    limits = Limits(store)
    take(limits, times=10)

    with pytest.raises(RateLimited, match="capsule:acme") as caught:
        limits.acquire((WINDOW,), lane="live", system="capsule", max_wait_ms=1000, alive=lambda: None, alive_every_s=1)

    assert caught.value.wait_ms > HOUR // 2


def test_a_lost_lease_ends_the_wait(store: redis.Redis) -> None:
    limits = Limits(store)
    short = Window("short", 1, 60_000)
    take(limits, times=1, window=short)

    def lost() -> None:
        raise LeaseLost("another has it")

    with pytest.raises(LeaseLost):
        limits.acquire((short,), lane="live", system="capsule", max_wait_ms=90_000, alive=lost, alive_every_s=1)


@pytest.mark.parametrize(
    "ask",
    [
        lambda limits: limits.reserve((WINDOW,), lane="live"),
        lambda limits: limits.learn((WINDOW,), [Observation(WINDOW.name, limit=1)]),
        lambda limits: limits.exhausted(WINDOW, 5),
        lambda limits: limits.usage(),
    ],
    ids=["reserve", "learn", "exhausted", "usage"],
)
def test_without_redis_the_queue_is_away(ask: Callable[[Limits], object]) -> None:
    nobody = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0))

    with pytest.raises(QueueAway):
        ask(Limits(nobody))
    nobody.close()
