"""The agenda's scripts one by one, on a real server, with a clock that the test moves (reference/agenda.md §3 to §6).

Orders of steps that nobody thought of are the matter of tests/properties/test_agenda_stateful.py; here each rule has its
example, and the guards that a random walk seldom meets are switched off to see the example fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from dramatiq import Message

from mapping.agenda import LANES, RecordKey
from tests.properties.agenda_world import START_US, TIMING, texts
from workers.agenda import Agenda, Taken
from workers.errors import LeaseLost, QueueAway

if TYPE_CHECKING:
    import redis

R = RecordKey("acme", "party", 1)
OTHER = RecordKey("acme", "party", 2)
D, S, L, W = TIMING.call_ms, TIMING.stray_ms, TIMING.lease_ms, TIMING.window_ms


class Bench:
    """An agenda whose clock stands still until it is moved, in ms from its start."""

    def __init__(self, store: redis.Redis, *, off: str | None = None, fresh: bool = True) -> None:
        self.store: Any = store
        self.at = 0
        self._set()
        store.set("test:run_id", "run1")
        self.agenda = Agenda(store, TIMING, texts=texts(off=off))
        if fresh:
            store.set("relay:clean_stop", START_US // 1000 - W - 1)
        self.agenda.hello()
        self.agenda.heartbeat("proc1")

    def _set(self) -> None:
        self.store.set("test:now", START_US + self.at * 1000)

    @property
    def now(self) -> int:
        return START_US // 1000 + self.at

    def move(self, ms: int, *, alive: bool = True) -> None:
        self.at += ms
        self._set()
        if alive:
            self.agenda.heartbeat("proc1")

    def event(self, *records: RecordKey) -> None:
        self.agenda.open(records or (R,), lane="live", why="event")

    def take(self, lane: str = "live", *, proc: str = "proc1") -> Taken:
        taken = self.agenda.take(lane, proc=proc)  # type: ignore[arg-type]
        assert taken is not None
        return taken

    def done(self, taken: Taken, *, wrote: bool = False) -> Any:
        return self.agenda.done(taken.record, taken.token, wrote=wrote, entry=b"entry", outcome="in_step")

    def place(self, record: RecordKey = R) -> str | None:
        found = self.store.hget("relay:place", record.pack())
        return found.decode() if found is not None else None

    def sweep(self, *, counts_from: int = 0) -> dict[str, int]:
        return self.agenda.sweep(counts_from_ms=counts_from)

    def intent(self) -> int:
        return int(self.store.hget("relay:intent", R.pack()) or 0) - START_US // 1000


@pytest.fixture
def bench(store: redis.Redis) -> Bench:
    return Bench(store)


def test_many_events_of_one_record_are_one_open_entry(bench: Bench) -> None:
    bench.event(R, R, R)
    bench.event()
    assert bench.agenda.sizes()["open"] == 1
    bench.done(bench.take())
    assert bench.agenda.sizes()["open"] == 0
    assert bench.agenda.take("live", proc="proc1") is None


def test_a_bell_is_a_message_that_dramatiq_reads_and_names_no_record(bench: Bench) -> None:
    bench.event()
    (number,) = bench.store.lrange("dramatiq:live", 0, -1)
    message: Message[Any] = Message.decode(bench.store.hget("dramatiq:live.msgs", number))
    assert (message.actor_name, message.queue_name, message.args) == ("work", "live", ())
    assert message.options["redis_message_id"] == number.decode()
    assert b"acme" not in bench.store.hget("dramatiq:live.msgs", number)


def test_sleepers_are_woken_and_their_list_stays_short(bench: Bench) -> None:
    bench.event(*(RecordKey("acme", "party", n) for n in range(1, 201)))
    assert bench.store.llen("dramatiq:live") == 200
    assert bench.store.llen("relay:wake:live") == 64


def test_the_oldest_comes_first_and_a_live_event_brings_a_bulk_record_forward(bench: Bench) -> None:
    bench.agenda.open([OTHER, R], lane="bulk", why="finding")
    bench.event()
    assert bench.place() == "live"
    assert bench.place(OTHER) == "bulk"
    assert bench.take("live").record == R
    assert bench.take("bulk").record == OTHER


def test_done_does_not_close_what_came_during_the_run(bench: Bench) -> None:
    bench.event()
    taken = bench.take()
    bench.event()
    assert bench.place() == "lease"
    assert not bench.done(taken).closed
    assert bench.place() == "live"


def test_only_the_holder_of_the_lease_is_heard(bench: Bench) -> None:
    bench.event()
    first = bench.take()
    bench.move(L + 1)
    bench.sweep()
    second = bench.take()
    with pytest.raises(LeaseLost):
        bench.agenda.hold(R, first.token, writing=True)
    assert not bench.done(first).accepted
    assert not bench.agenda.later(R, first.token, wait_ms=0, spend=True, touched=False)
    assert bench.agenda.bury(R, first.token, letter=b"x", touched=False) == "refused"
    assert bench.done(second).accepted


def test_without_the_token_a_worker_that_lost_its_lease_would_be_heard(store: redis.Redis) -> None:
    bench = Bench(store, off="token")
    bench.event()
    first = bench.take()
    bench.move(L + 1)
    bench.sweep()
    bench.take()
    assert bench.done(first).accepted


def test_hold_prolongs_the_lease(bench: Bench) -> None:
    bench.event()
    taken = bench.take()
    for _ in range(4):
        bench.move(L - 1)
        bench.agenda.hold(R, taken.token, writing=False)
        bench.sweep()
    assert bench.done(taken).accepted


# ---------------------------------------------------------------------- later, bury, letters
def test_later_waits_and_counts_attempts_until_an_event_clears_them(bench: Bench) -> None:
    bench.event()
    for attempt in range(3):
        taken = bench.take()
        assert taken.attempts == attempt
        bench.agenda.later(R, taken.token, wait_ms=500, spend=True, touched=False, trouble={"error": "x"})
        assert bench.place() == "due"
        bench.sweep()
        assert bench.place() == "due"
        bench.move(501)
        bench.sweep()
    bench.event()
    assert bench.take().attempts == 0


def test_an_event_brings_a_waiting_record_forward(bench: Bench) -> None:
    bench.event()
    bench.agenda.later(R, bench.take().token, wait_ms=3_600_000, spend=True, touched=False)
    bench.event()
    assert bench.place() == "live"


def test_a_letter_is_written_when_buried_and_closed_when_in_step(bench: Bench) -> None:
    bench.event()
    assert bench.agenda.bury(R, bench.take().token, letter=b"1sealed", touched=False) == "buried"
    assert bench.store.hget("relay:letters", R.pack()) == b"1sealed"
    assert bench.agenda.sizes()["open"] == 0
    bench.agenda.open([R], lane="live", why="replay")
    taken = bench.take()
    assert taken.read_back
    bench.done(taken)
    assert not bench.store.hexists("relay:letters", R.pack())


def test_something_newer_is_never_buried(bench: Bench) -> None:
    bench.event()
    taken = bench.take()
    bench.event()
    assert bench.agenda.bury(R, taken.token, letter=b"x", touched=False) == "reopened"
    assert bench.place() == "live"
    assert not bench.store.hexists("relay:letters", R.pack())


# ---------------------------------------------------------------------- the write that cannot be fenced
def test_a_clean_write_leaves_no_doubt(bench: Bench) -> None:
    bench.event()
    taken = bench.take()
    assert not taken.read_back
    bench.agenda.hold(R, taken.token, writing=True)
    assert bench.intent() == W
    assert bench.done(taken, wrote=True).closed
    assert bench.intent() == -START_US // 1000


def killed_while_writing(bench: Bench) -> Taken:
    """A worker is killed after it noted a write; the record is taken again by another."""
    bench.event()
    taken = bench.take(proc="dead")
    bench.agenda.hold(R, taken.token, writing=True)
    bench.move(L + 1)
    bench.sweep(counts_from=bench.now)
    return bench.take()


def test_after_a_kill_the_next_run_reads_back_creates_nothing_and_looks_again(bench: Bench) -> None:
    taken = killed_while_writing(bench)
    assert taken.read_back
    assert taken.create_nothing
    assert not bench.done(taken).closed
    assert bench.place() == "due"
    bench.move(W - L)
    bench.sweep()
    again = bench.take()
    assert again.read_back
    assert not again.create_nothing
    assert bench.done(again).closed


def test_without_the_look_back_it_would_be_closed_while_the_write_may_still_land(store: redis.Redis) -> None:
    bench = Bench(store, off="lookback")
    assert bench.done(killed_while_writing(bench)).closed


def late_doubt(bench: Bench) -> Any:
    """A run notes its own write; meanwhile a late worker whose write landed raises a doubt; then the run ends."""
    bench.event()
    late = bench.take()
    bench.agenda.hold(R, late.token, writing=True)
    bench.move(L + 1)
    bench.sweep()
    bench.move(W)
    running = bench.take()
    bench.agenda.hold(R, running.token, writing=True)
    bench.done(late, wrote=True)
    return bench.done(running, wrote=True)


def test_done_clears_only_the_doubt_that_its_own_write_raised(bench: Bench) -> None:
    assert not late_doubt(bench).closed
    assert bench.store.hexists("relay:intent", R.pack())


def test_without_that_guard_the_doubt_would_be_gone(store: redis.Redis) -> None:
    bench = Bench(store, off="own_intent")
    late_doubt(bench)
    assert not bench.store.hexists("relay:intent", R.pack())


def test_a_late_worker_that_wrote_opens_the_record_again(bench: Bench) -> None:
    bench.event()
    late = bench.take()
    bench.agenda.hold(R, late.token, writing=True)
    bench.move(L + 1)
    bench.sweep()
    bench.move(W)
    bench.done(bench.take())
    bench.move(W)
    bench.sweep()
    if bench.place() is not None:
        bench.done(bench.take())
    assert bench.place() is None
    assert not bench.done(late, wrote=True).accepted
    assert bench.place() == "live"
    assert bench.take().read_back


def test_giving_up_on_an_answer_starts_the_window_anew(bench: Bench) -> None:
    bench.event()
    taken = bench.take()
    bench.agenda.hold(R, taken.token, writing=True)
    bench.move(D)
    bench.agenda.later(R, taken.token, wait_ms=0, spend=True, touched=True)
    assert bench.intent() == D + W
    assert bench.take().create_nothing


def test_the_next_run_learns_which_fields_an_unanswered_write_set_until_all_is_clean(bench: Bench) -> None:
    bench.event()
    taken = bench.take()
    assert taken.sent == frozenset()
    for _ in range(2):
        bench.agenda.hold(R, taken.token, writing=True, names=("phone", "properties.a b"))
    bench.agenda.hold(R, taken.token, writing=True, names=("company",))
    bench.agenda.later(R, taken.token, wait_ms=0, spend=True, touched=True)
    again = bench.take()
    assert again.sent == {"phone", "properties.a b", "company"}
    bench.move(W + 1)
    bench.done(again)
    bench.move(W + 1)
    bench.sweep()
    bench.done(bench.take())
    assert not bench.store.exists("relay:sent")


def test_a_run_that_sent_nothing_takes_its_note_back(bench: Bench) -> None:
    bench.event()
    taken = bench.take()
    bench.agenda.hold(R, taken.token, writing=True, names=("phone",))
    bench.agenda.later(R, taken.token, wait_ms=0, spend=False, touched=False)
    again = bench.take()
    assert not again.read_back
    assert not again.sent


# ---------------------------------------------------------------------- the poison guard
def test_a_killer_runs_alone_after_its_first_death_and_is_buried_at_the_third(bench: Bench) -> None:
    bench.event()
    lanes = []
    for _ in range(3):
        lanes.append(bench.place())
        bench.take(bench.place() or "", proc="dead")
        bench.move(L + 1)
        bench.sweep()
        bench.move(30_001)
        bench.sweep()
    assert lanes == ["live", "solo", "solo"]
    assert bench.place() is None
    assert b'"class":"killer"' in bench.store.hget("relay:letters", R.pack())


def test_slow_is_not_dead(bench: Bench) -> None:
    bench.event()
    for _ in range(5):
        bench.take()
        bench.move(L + 1)
        assert bench.sweep()["deaths"] == 0
    assert bench.place() == "live"


def test_a_restart_of_everything_blames_nobody(bench: Bench) -> None:
    bench.event()
    for _ in range(5):
        bench.take(proc="dead")
        bench.move(L + 1)
        bench.sweep(counts_from=bench.now)
    assert bench.place() == "live"


# ---------------------------------------------------------------------- pause and probe
def test_a_paused_connection_starts_nothing_and_others_go_on(bench: Bench) -> None:
    elsewhere = RecordKey("other", "party", 1)
    bench.event()
    bench.agenda.pause("acme", reason="test")
    bench.event(OTHER, elsewhere)
    assert bench.take().record == elsewhere
    assert bench.agenda.take("live", proc="proc1") is None
    assert (bench.place(), bench.place(OTHER)) == ("parked", "parked")
    bench.sweep()
    assert bench.place() == "parked"
    bench.agenda.resume("acme")
    bench.sweep()
    assert (bench.place(), bench.place(OTHER)) == ("live", "live")


def test_a_pause_with_an_end_ends_by_itself(bench: Bench) -> None:
    bench.agenda.pause("acme", reason="test", until_ms=bench.now + 1_000)
    bench.event()
    assert bench.agenda.take("live", proc="proc1") is None
    bench.move(1_001)
    bench.sweep()
    assert bench.take().record == R


def test_while_probing_one_record_at_a_time_may_run(bench: Bench) -> None:
    bench.agenda.pause("acme", reason="down", probe_every_ms=1_000)
    bench.event(R, OTHER)
    assert bench.sweep()["probes"] == 0
    bench.move(1_001)
    assert bench.sweep()["probes"] == 1
    assert bench.sweep()["probes"] == 0
    probe = bench.take()
    assert probe.probing
    assert bench.agenda.take("live", proc="proc1") is None
    bench.move(1_001)
    assert bench.sweep()["probes"] == 0
    bench.agenda.later(probe.record, probe.token, wait_ms=0, spend=False, touched=False)
    assert bench.place(probe.record) == "parked"
    assert bench.sweep()["probes"] == 1


# ---------------------------------------------------------------------- snapshots
def snapshot(bench: Bench, mark: int) -> None:
    bench.agenda.open_read([(R, b"body")], lane="bulk", mark=mark)


def test_what_a_page_held_is_handed_on_once(bench: Bench) -> None:
    snapshot(bench, bench.agenda.mark())
    taken = bench.take("bulk")
    assert taken.body == b"body"
    bench.agenda.later(R, taken.token, wait_ms=0, spend=False, touched=False)
    assert bench.take("bulk").body == b""


def test_a_run_that_had_only_to_wait_keeps_its_snapshot_unless_an_event_came(bench: Bench) -> None:
    snapshot(bench, bench.agenda.mark())
    taken = bench.take("bulk")
    bench.agenda.later(R, taken.token, wait_ms=0, spend=False, touched=False, unused=taken.body)
    again = bench.take("bulk")
    assert again.body == b"body"
    bench.event()
    bench.agenda.later(R, again.token, wait_ms=0, spend=False, touched=False, unused=again.body)
    assert bench.take("live").body == b""


@pytest.mark.parametrize("when", ["event before", "event after", "run ended", "run under way"])
def test_what_a_page_held_is_refused_when_it_may_be_older_than_an_event_or_a_run(bench: Bench, when: str) -> None:
    if when in {"run ended", "run under way"}:
        bench.event()
        running = bench.take()
    mark = bench.agenda.mark()
    bench.move(1)
    if when == "event before":
        bench.event()
    if when == "run ended":
        bench.done(running)
    snapshot(bench, mark)
    if when == "event after":
        bench.event()
    if when == "run under way":
        bench.done(running)
    lane = bench.place()
    assert lane is not None
    assert bench.take(lane).body == b""


# ---------------------------------------------------------------------- Redis itself
def test_after_a_restart_of_redis_every_run_counts_as_begun_in_a_stray_window(bench: Bench) -> None:
    bench.store.set("test:run_id", "run2")
    bench.agenda.hello()
    bench.event()
    taken = bench.take()
    assert taken.read_back
    assert taken.create_nothing
    bench.done(taken)
    bench.move(W + 1)
    bench.sweep()
    again = bench.take()
    assert not again.create_nothing
    assert bench.done(again).closed


def test_after_flushall_an_old_token_is_refused_and_nothing_is_created_for_a_while(bench: Bench) -> None:
    bench.event()
    old = bench.take()
    for name in bench.store.keys("relay:*"):
        bench.store.delete(name)
    assert not bench.done(old).accepted
    bench.event()
    assert bench.take().create_nothing


def test_a_clean_stop_leaves_no_window_and_its_mark_is_used_once(store: redis.Redis) -> None:
    bench = Bench(store)
    assert not bench.store.exists("relay:clean_stop")
    bench.event()
    assert not bench.take().read_back


def test_the_tick_never_goes_back_even_if_the_clock_does(bench: Bench) -> None:
    first = bench.agenda.mark()
    bench.move(-60_000)
    assert bench.agenda.mark() > first


def test_without_memory_open_and_take_are_refused_whole(bench: Bench) -> None:
    bench.event()
    before = {name: bench.store.dump(name) for name in bench.store.keys("relay:*")}
    bench.store.config_set("maxmemory", "1mb")
    try:
        with pytest.raises(QueueAway):
            bench.event(OTHER)
        with pytest.raises(QueueAway):
            bench.agenda.take("live", proc="proc1")
    finally:
        bench.store.config_set("maxmemory", "0")
    assert {name: bench.store.dump(name) for name in bench.store.keys("relay:*")} == before
    assert bench.take().record == R


# ---------------------------------------------------------------------- bells and the audit
def test_lost_bells_are_rung_again_and_never_more_than_records_wait(bench: Bench) -> None:
    bench.event(R, OTHER)
    for lane in LANES:
        bench.store.delete(f"dramatiq:{lane}")
    assert bench.sweep()["bells"] == 2
    assert bench.sweep()["bells"] == 0
    assert bench.store.llen("dramatiq:live") == 2


def test_an_open_record_in_no_place_is_mended_and_counted(bench: Bench) -> None:
    bench.event()
    bench.store.zrem("relay:ready:live", R.pack())
    assert bench.sweep()["bugs"] == 1
    assert bench.place() == "bulk"
    assert bench.sweep()["bugs"] == 0
