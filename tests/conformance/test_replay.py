"""Replay, discard, cancel and audit over a real store, with a worker in this process that ends runs as told."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import pytest
from structlog.contextvars import merge_contextvars
from structlog.testing import capture_logs

from mapping.agenda import RecordKey, deliveries_key
from tests.acceptance.harness import until
from tests.conformance.letter_box import SECRET, LetterBox, refusal
from workers.flows import replay as flow
from workers.flows.run import Run
from workers.letters import Filter
from workers.letters.jobs import MOST_ENTRIES, Jobs
from workers.services import build
from workers.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis

    from workers.embedded import EmbeddedServer
    from workers.services import Services

RULES = """
[connections.acme]
downstream = "officernd"

[connections.acme.capsule]
auth = "token"

[connections.acme.officernd]
organization = "acme-spaces"

[connections.acme_two]
downstream = "officernd"

[connections.acme_two.capsule]
account = "acme"

[connections.acme_two.officernd]
organization = "acme-two"
"""


@pytest.fixture
def box(store: redis.Redis) -> LetterBox:
    return LetterBox(store)


@pytest.fixture
def services(server: EmbeddedServer, tmp_path: Path, box: LetterBox) -> Iterator[Services]:
    assert box
    (tmp_path / "relay.toml").write_text(RULES)
    environ = {"RELAY_CONFIG": str(tmp_path / "relay.toml"), "RELAY_SECRET_KEY": SECRET, "REDIS_URL": server.url}
    environ |= {"RELAY_ACME_CAPSULE_TOKEN": "token"}
    for name in ("ACME", "ACME_TWO"):
        environ |= {f"RELAY_{name}_OFFICERND_CLIENT_ID": "id", f"RELAY_{name}_OFFICERND_CLIENT_SECRET": "secret"}
    built = build(load(environ))
    yield built
    built.close()


class Hands:
    """A worker thread: each record is buried again, or done, as `fails` says. `runs` counts what was tried."""

    def __init__(self, services: Services, *, fails: bool) -> None:
        self.services = services
        self.fails = fails
        self.runs: Counter[str] = Counter()
        self.traces: set[str] = set()
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        self.thread.join()

    def _work(self) -> None:
        while not self.stop.is_set():
            taken = self.services.agenda.take("bulk", proc="hands")
            if taken is None:
                self.stop.wait(0.005)
                continue
            self.runs[taken.record.pack()] += 1
            self.traces.add(taken.trace.id if taken.trace is not None else "")
            if self.fails:
                self.services.letters.bury(Run(self.services, taken), refusal(), {})
            else:
                self.services.agenda.done(taken.record, taken.token, wrote=False, entry=b"entry", outcome="in_step")
            self.services.agenda.sweep(counts_from_ms=0)


def letters(box: LetterBox, number: int) -> None:
    for one in range(1, number + 1):
        box.bury(one)
    now = box.agenda.hello()
    until(lambda: box.agenda.hello() > now, "the letters are older than what follows")


def go(services: Services, wanted: Filter | None = None, **change: Any) -> flow.Result:
    words: dict[str, Any] = {"who": "ada", "rate": 5_000} | change
    return flow.replay(services, wanted or Filter(), **words)


def test_letters_are_counted_by_what_is_wrong_with_them(services: Services, box: LetterBox) -> None:
    letters(box, 3)
    box.bury(9, refusal(status=404))
    box.agenda.open([box.record(1)], lane="live", why="event")

    summary = flow.count(services, Filter())

    assert (summary.total, summary.open) == (4, 1)
    assert [(group.number, group.error, group.status) for group in summary.groups] == [(3, "Refused", 400), (1, "Refused", 404)]
    assert summary.groups[0].oldest_ms <= summary.groups[0].newest_ms


def test_a_replay_says_in_one_line_how_it_ended_and_its_runs_have_its_trace(services: Services, box: LetterBox) -> None:
    letters(box, 3)
    with Hands(services, fails=False) as hands, capture_logs([merge_contextvars]) as said:
        result = go(services, Filter(connection="acme"), who="somebody")
    (line,) = [one for one in said if one["event"] == "replay"]
    assert (line["total"], line["done"], line["in_step"], line["failed"], line["end"]) == (3, 3, 3, 0, "done")
    assert (line["job"], line["filter"]["connection"]) == (result.job, "acme")
    assert hands.traces == {line["trace"]}
    assert "somebody" not in str(line)


def test_a_replay_that_is_broken_off_says_so(services: Services, box: LetterBox) -> None:
    letters(box, 3)

    def breaks(*_: object) -> None:
        raise RuntimeError("the terminal is gone")

    with capture_logs() as said, pytest.raises(RuntimeError):
        go(services, progress=breaks)
    (line,) = [one for one in said if one["event"] == "replay"]
    assert (line["end"], line["total"], line["done"]) == ("broken off", 3, 0)
    (entry,) = flow.audit(services)
    assert entry.result == "broken off"


def test_a_replay_that_succeeds_leaves_no_letter(services: Services, box: LetterBox) -> None:
    letters(box, 50)
    told: list[tuple[str, int, int | None]] = []
    with Hands(services, fails=False) as hands:
        result = go(services, progress=lambda *words: told.append(words))

    assert (result.total, result.done, result.in_step, result.failed, result.waiting, result.ended) == (50, 50, 50, 0, 0, "done")
    assert set(hands.runs.values()) == {1}
    assert flow.count(services, Filter()).total == 0
    assert ("replay", 50, 50) in told


def test_a_replay_by_filter_takes_what_it_names_alone(services: Services, box: LetterBox) -> None:
    letters(box, 3)
    box.bury(7, kind="opportunity")
    with Hands(services, fails=False) as hands:
        result = go(services, Filter(kind="opportunity", ids=frozenset()), rate=100)
        # The letter of the opportunity was written last: perhaps in the very millisecond in which the replay began.
        if not result.done:
            result = go(services, Filter(kind="opportunity"))
    assert set(hands.runs) == {"acme|opportunity|7"}
    assert flow.count(services, Filter()).total == 3


def test_a_replay_of_what_still_fails_stops_by_itself_and_never_tries_its_own_failures(
    services: Services, box: LetterBox
) -> None:
    letters(box, 200)
    with Hands(services, fails=True) as hands:
        result = go(services, rate=100)

    assert result.ended == "failing"
    assert 20 <= result.failed < 120
    assert set(hands.runs.values()) == {1}
    assert flow.count(services, Filter()).total == 200
    replayed = [one.replays for one in services.letters.find()]
    assert sum(replayed) == result.done


def test_a_replay_that_is_told_to_keep_going_tries_each_once(services: Services, box: LetterBox) -> None:
    letters(box, 100)
    with Hands(services, fails=True) as hands:
        result = go(services, keep_going=True)
    assert (result.done, result.failed, result.ended) == (100, 100, "done")
    assert set(hands.runs.values()) == {1}


def test_two_replays_at_once_try_each_letter_once_even_if_it_fails_again(services: Services, box: LetterBox) -> None:
    letters(box, 150)
    results: list[flow.Result] = []
    with Hands(services, fails=True) as hands:
        threads = [threading.Thread(target=lambda: results.append(go(services, keep_going=True, rate=400))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(result.done for result in results) == 150
    assert set(hands.runs.values()) == {1}


def test_a_cancelled_replay_leaves_the_rest_as_letters_and_goes_on_without_doubling(services: Services, box: LetterBox) -> None:
    letters(box, 60)
    with Hands(services, fails=True) as hands:
        seen: list[int] = []
        first = go(
            services, rate=100, keep_going=True, progress=lambda _, done, __: seen.append(done), cancelled=lambda: seen[-1] >= 20
        )
        assert first.ended == "cancelled"
        assert 20 <= first.done < 60
        second = go(services, Filter(before_ms=first.before_ms), keep_going=True)
    assert first.done + second.done == 60
    assert set(hands.runs.values()) == {1}


def test_a_replay_is_cancelled_from_elsewhere(services: Services, box: LetterBox) -> None:
    letters(box, 60)
    with Hands(services, fails=False):
        results: list[flow.Result] = []
        thread = threading.Thread(target=lambda: results.append(go(services, rate=10)))
        thread.start()
        until(lambda: Jobs(services.redis).active(), "it is under way")
        (asked,) = flow.cancel(services, who="bob")
        thread.join()
    assert results[0].ended == "cancelled"
    assert (asked.who, asked.action) == ("ada", "replay")
    assert flow.cancel(services, who="bob") == []


def test_a_paused_connection_is_waited_for_and_nothing_is_handed_over(services: Services, box: LetterBox) -> None:
    letters(box, 30)
    box.agenda.pause("acme", reason="test")
    stages: list[str] = []
    results: list[flow.Result] = []
    with Hands(services, fails=False):
        thread = threading.Thread(target=lambda: results.append(go(services, progress=lambda stage, *_: stages.append(stage))))
        thread.start()
        until(lambda: "paused" in stages, "it waits")
        assert box.store.zcard("relay:open") == 0
        box.agenda.resume("acme")
        thread.join()
    assert (results[0].done, results[0].in_step) == (30, 30)


def test_a_discard_takes_letters_away_and_opens_nothing(services: Services, box: LetterBox) -> None:
    letters(box, 10)
    box.agenda.open([box.record(4)], lane="live", why="event")
    box.store.hset(deliveries_key("acme"), "a" * 32, box.vault.seal({"reason": "x", "body": "", "last": 5}))

    result = flow.discard(services, Filter(), who="ada")

    assert (result.total, result.done, result.open, result.ended) == (11, 10, 1, "done")
    assert [one.field for one in services.letters.find(connections=["acme"])] == ["acme|party|4"]
    assert box.store.zcard("relay:open") == 1


@pytest.mark.parametrize(
    ("told", "opened"),
    [
        (
            {"body": "eyJldmVudCI6InBhcnR5L3VwZGF0ZWQiLCJwYXlsb2FkIjpbeyJpZCI6N31dfQ==", "size": 46},
            ["acme_two|party|7", "acme|party|7"],
        ),
        ({"body": "eyJldmVudCI6InBhcnR5L3VwZGF0ZWQiLCJwYXlsb2FkIjpbeyJpZCI6N31dfQ==", "size": 5_000}, []),
        ({"body": "eyJldmVudCI6InBhcnR5L3VwZGF0ZWQiLCJwYXlsb2FkIjpbeyJpZCI6N31dfQ==", "size": 46, "encoding": "gzip"}, []),
        ({"body": "e25vdCBqc29u", "size": 9}, []),
    ],
    ids=["readable now", "only its beginning is kept", "compressed", "still no JSON"],
)
def test_a_delivery_is_read_again_with_the_present_code(services: Services, box: LetterBox, told: Any, opened: list[str]) -> None:
    letter = {"reason": "x", "event": "", "encoding": "", "opened": 0, "count": 1, "first": 1, "last": 2} | told
    box.store.hset(deliveries_key("acme"), "a" * 32, box.vault.seal(letter))

    result = go(services, wait=False)

    assert sorted(name.decode() for name in box.store.zrange("relay:open", 0, -1)) == opened
    assert (result.done, result.unreadable) == (bool(opened), not opened)
    assert box.store.hlen(deliveries_key("acme")) == (not opened)


def test_what_was_done_is_written_down_without_personal_data(services: Services, box: LetterBox) -> None:
    letters(box, 2)
    letter = next(services.letters.find())
    with Hands(services, fails=False):
        go(services, Filter(ids=frozenset({letter.id})))
    flow.discard(services, Filter(error="Refused"), who="bob")
    flow.revealed(services, letter, who="eve")

    newest, middle, oldest = flow.audit(services)

    assert (oldest.who, oldest.action, oldest.filter, oldest.total) == ("ada", "replay", {"ids": [letter.id]}, 1)
    assert (oldest.result, oldest.counts["done"], oldest.counts["in_step"]) == ("done", 1, 1)
    assert (middle.who, middle.action, middle.filter, middle.counts["done"]) == ("bob", "discard", {"error": "Refused"}, 1)
    assert (newest.who, newest.action) == ("eve", "reveal")
    assert oldest.ended_ms is not None
    assert b"example.com" not in b"".join(box.store.lrange("relay:dead:audit", 0, -1))
    assert [entry.action for entry in flow.audit(services, 1)] == ["reveal"]


def test_an_action_whose_process_was_killed_shows_as_interrupted(services: Services) -> None:
    jobs = Jobs(services.redis)
    job = jobs.begin("replay", who="ada", asked={}, total=5)
    assert flow.audit(services)[0].result == "under way"
    services.redis.hdel("relay:dead:jobs", job.id)
    assert flow.audit(services)[0].result == "interrupted"


def test_the_audit_list_is_bounded(services: Services) -> None:
    services.redis.rpush("relay:dead:audit", *(["{}"] * (MOST_ENTRIES + 500)))
    Jobs(services.redis).begin("replay", who="ada", asked={}, total=5)
    assert services.redis.llen("relay:dead:audit") == MOST_ENTRIES


def test_the_key_of_another_record_opens_nothing(services: Services, box: LetterBox) -> None:
    letters(box, 2)
    result = go(services, Filter(ids=frozenset({RecordKey("acme", "party", 77).pack()})))
    assert (result.total, result.done) == (0, 0)
