"""A trace goes from whoever opens a record to its runs, decides nothing, and leaves nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from mapping.scripts import SCRIPTS
from mapping.traceparent import Trace
from tests.conformance.test_agenda_scripts import OTHER, Bench, R
from workers import tracing

if TYPE_CHECKING:
    import redis

    from mapping.agenda import Lane, RecordKey, Why


@pytest.fixture
def bench(store: redis.Redis) -> Bench:
    return Bench(store)


def opened(bench: Bench, *records: RecordKey, lane: Lane = "live", why: Why = "event") -> str:
    """Opens records in a trace of their own, and gives its id."""
    with tracing.work("test") as work:
        bench.agenda.open(records or (R,), lane=lane, why=why)
    return work.trace.id


def traces_held(store: Any, trace: str) -> list[str]:
    """The keys that hold this id in a value, a field or a member."""
    read = {b"hash": store.hgetall, b"zset": lambda key: store.zrange(key, 0, -1), b"set": store.smembers, b"string": store.get}
    read[b"list"] = lambda key: store.lrange(key, 0, -1)
    return [key.decode() for key in store.keys("*") if trace in str(read[store.type(key)](key))]


def test_a_run_has_the_trace_of_whoever_opened_its_record(bench: Bench) -> None:
    trace = opened(bench)
    taken = bench.take()
    assert taken.trace is not None
    assert taken.trace.id == trace


def test_of_several_deliveries_the_newest_names_the_run(bench: Bench) -> None:
    opened(bench)
    newest = opened(bench)
    taken = bench.take().trace
    assert taken is not None
    assert taken.id == newest


def test_a_delivery_during_a_run_names_the_next_run(bench: Bench) -> None:
    first = opened(bench)
    taken = bench.take()
    second = opened(bench)
    bench.done(taken)
    following = bench.take()
    assert taken.trace is not None
    assert following.trace is not None
    assert (taken.trace.id, following.trace.id) == (first, second)


def test_a_retry_keeps_the_trace(bench: Bench) -> None:
    trace = opened(bench)
    taken = bench.take()
    bench.agenda.later(R, taken.token, wait_ms=100, spend=True, touched=False)
    bench.move(101)
    bench.sweep()
    again = bench.take().trace
    assert again is not None
    assert again.id == trace


def test_what_a_reconcile_finds_does_not_take_the_place_of_an_event(bench: Bench) -> None:
    event = opened(bench)
    opened(bench, lane="bulk", why="finding")
    taken = bench.take().trace
    assert taken is not None
    assert taken.id == event


def test_an_event_takes_the_place_of_what_a_reconcile_found(bench: Bench) -> None:
    opened(bench, lane="bulk", why="finding")
    event = opened(bench)
    taken = bench.take().trace
    assert taken is not None
    assert taken.id == event


def test_an_opening_without_a_trace_leaves_the_one_that_is_there(bench: Bench) -> None:
    trace = opened(bench)
    bench.event()
    taken = bench.take().trace
    assert taken is not None
    assert taken.id == trace


def test_a_record_that_nobody_traced_has_none(bench: Bench) -> None:
    bench.event()
    assert bench.take().trace is None


def test_records_of_one_call_have_a_trace_each(bench: Bench) -> None:
    traces = [Trace("a" * 32, "b" * 16), Trace("c" * 32, "d" * 16, sampled=False)]
    packed = "".join(trace.pack() for trace in traces)
    bench.agenda._run("open", "live", "event", "", "0", packed, R.pack(), OTHER.pack())
    found = {taken.record: taken.trace for taken in (bench.take(), bench.take())}
    assert found == dict(zip((R, OTHER), traces, strict=True))


@pytest.mark.parametrize("end", ["done", "buried", "killed"])
def test_nothing_of_a_trace_is_left_when_the_record_is_closed(bench: Bench, end: str) -> None:
    trace = opened(bench)
    taken = bench.take()
    assert traces_held(bench.store, trace) == ["relay:seq"]
    if end == "done":
        bench.done(taken)
    elif end == "buried":
        bench.agenda.bury(R, taken.token, letter=b"1letter", touched=False)
    else:
        for _ in range(3):
            bench.move(60_000, alive=False)
            bench.sweep()
            bench.move(60_000, alive=False)
            bench.sweep()
            bench.agenda.take("solo", proc="proc1")
        bench.move(60_000, alive=False)
        bench.sweep()
    assert bench.agenda.sizes()["open"] == 0
    assert traces_held(bench.store, trace) == []


def test_a_trace_decides_nothing(bench: Bench) -> None:
    """The same steps with and without one leave the same behind, but for the trace itself."""

    def story(*, traced: bool) -> dict[str, object]:
        bench.store.flushall()
        fresh = Bench(bench.store)
        for record in (R, OTHER, R):
            if traced:
                opened(fresh, record)
            else:
                fresh.event(record)
        taken = fresh.take()
        if traced:
            opened(fresh, taken.record, lane="bulk", why="finding")
        else:
            fresh.agenda.open([taken.record], lane="bulk", why="finding")
        fresh.done(taken)
        seq = {name: value.split()[:2] for name, value in fresh.store.hgetall("relay:seq").items()}
        place = fresh.store.hgetall("relay:place")
        return {"seq": seq, "place": place, "sizes": fresh.agenda.sizes(), "tick": fresh.store.get("relay:tick")}

    assert story(traced=True) == story(traced=False)


def test_the_trace_costs_no_command(store: redis.Redis) -> None:
    """It lies in a field that is written and read anyway."""

    def commands(traces: str) -> int:
        store.flushall()
        records = [f"acme|party|{n}" for n in range(100)]
        store.eval(SCRIPTS["open"], 0, "live", "event", "", "0", traces, *records)
        before = sum(int(one["calls"]) for one in store.info("commandstats").values())
        store.eval(SCRIPTS["open"], 0, "live", "event", "", "0", traces, *records)
        return sum(int(one["calls"]) for one in store.info("commandstats").values()) - before

    assert commands("") == commands(Trace("a" * 32, "b" * 16).pack() * 100)
