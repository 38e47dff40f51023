"""`capsule-relay status`: its numbers, from what stands in the data store."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from mapping.agenda import COUNTS, LETTERS, RecordKey, deliveries_key, held_key, key, tally_key
from mapping.rules import parse
from mapping.running import SIGN
from workers import overview, overview_words
from workers.agenda import Agenda, Timing
from workers.capsule.tokens import Grant
from workers.limits import Limits, Observation, Window

if TYPE_CHECKING:
    import redis

    from workers.embedded import EmbeddedServer
    from workers.views import ConnectionView

ROOT = Path(__file__).resolve().parents[2]


CONNECTIONS = parse(
    {
        "connections": {
            "acme": {"downstream": "unified", "capsule": {"auth": "oauth"}},
            "b": {"downstream": "unified", "capsule": {"auth": "token"}},
            "acme_2": {"downstream": "unified", "capsule": {"account": "acme"}},
        }
    }
)
KEY = "k" * 32


def test_the_numbers_of_each_connection_are_its_own(store: redis.Redis, server: EmbeddedServer) -> None:
    """Given two connections with work, letters and a pause, Then each shows its own, and the agenda shows the sum."""
    agenda = Agenda(store, Timing())
    agenda.open([RecordKey("acme", "party", number) for number in (1, 2, 3)], lane="live", why="event")
    agenda.open([RecordKey("b", "party", 1)], lane="bulk", why="finding")
    assert agenda.take("live", proc="test") is not None
    agenda.pause("b", reason="401 from Capsule, even with a new token", until_ms=None)
    store.hset(tally_key("acme"), mapping={"in_step": 5, "held": 2})
    store.hset(LETTERS, "acme|party|9", b"x")
    store.hset(deliveries_key("b"), "hash", b"x")
    store.hset(COUNTS, mapping={"delivery.admitted|acme": 7, "delivery.admitted|other": 9, "swept": 1})
    with overview.reading(server.url) as client:
        found = overview.read(client, CONNECTIONS)
    acme, b, _ = found.connections
    assert acme.tally == {"in_step": 5, "held": 2, "out": 0, "gone": 0}
    assert (acme.waiting, acme.letters, acme.unreadable, acme.paused) == (3, 1, 0, "")
    assert acme.counts == {"delivery.admitted": 7}
    assert (b.waiting, b.letters, b.unreadable, b.paused) == (1, 0, 1, "401 from Capsule, even with a new token")
    assert found.agenda == {
        "open": 4, "ready_live": 2, "ready_bulk": 1, "ready_solo": 0, "due": 0, "leases": 1, "parked": 0,
    }  # fmt: skip
    assert orjson.loads(orjson.dumps(found.document()))["connections"][1]["name"] == "b"


def test_it_says_the_same_in_words(store: redis.Redis, server: EmbeddedServer) -> None:
    Agenda(store, Timing()).pause("acme", reason="asked to", until_ms=None)
    with overview.reading(server.url) as client:
        said = "\n".join(overview_words.lines(overview.read(client, CONNECTIONS)))
    assert "acme  PAUSED: asked to" in said
    assert "0 in step, 0 held, 0 out, 0 gone" in said


@pytest.mark.parametrize(
    ("counts", "share", "bound"),
    [
        pytest.param({}, 0.5, None, id="nothing counted"),
        pytest.param({"lag.le.50": 1, "lag.le.100": 2, "lag.le.inf": 2}, 0.5, 50, id="half in the first bucket"),
        pytest.param({"lag.le.50": 1, "lag.le.100": 2, "lag.le.inf": 2}, 0.95, 100, id="nearly all in the second"),
        pytest.param({"lag.le.100": 10, "lag.le.1000": 94, "lag.le.inf": 100}, 0.95, None, id="slower than the last bucket"),
        pytest.param({"lag.le.inf": 3}, 0.5, None, id="all slow"),
    ],
)
def test_a_share_of_the_lags_is_told_by_its_bucket(counts: dict[str, int], share: float, bound: int | None) -> None:
    assert overview.quantile(counts, share) == bound


def test_connections_whose_names_begin_alike_are_told_apart(store: redis.Redis, server: EmbeddedServer) -> None:
    store.zadd(key("open"), {"acme|party|1": 1, "acme_2|party|1": 1})
    with overview.reading(server.url) as client:
        assert [view.waiting for view in overview.read(client, CONNECTIONS).connections] == [1, 0, 1]


def now_ms(store: redis.Redis) -> int:
    seconds, micros = store.time()
    return int(seconds) * 1000 + int(micros) // 1000


def view(server: EmbeddedServer, name: str = "acme") -> ConnectionView:
    with overview.reading(server.url) as client:
        found = overview.read(client, CONNECTIONS, overview.vault((KEY,)))
    return next(one for one in found.connections if one.name == name)


def test_held_records_are_grouped_by_reason_and_older_ones_are_told_apart(store: redis.Redis, server: EmbeddedServer) -> None:
    store.hset(tally_key("acme"), "held", 4)
    store.hset(held_key("acme"), mapping={"party|1": "no_location", "party|2": "no_location", "opportunity|1": "no_status"})
    assert view(server).held == {"no_location": 2, "no_status": 1, "not_noted_yet": 1}


def test_done_notes_why_a_record_is_held_and_forgets_it_when_it_is_not(store: redis.Redis) -> None:
    agenda, record = Agenda(store, Timing()), RecordKey("acme", "party", 7)
    for outcome, held, noted in (("held", "no_location", {b"party|7": b"no_location"}), ("in_step", "", {})):
        agenda.open([record], lane="live", why="event")
        taken = agenda.take("live", proc="test")
        assert taken is not None
        assert agenda.done(record, taken.token, wrote=False, entry=b"sealed", outcome=outcome, held=held).accepted
        assert store.hgetall(held_key("acme")) == noted


def test_passes_have_ages_and_a_guard_waits_for_a_person(store: redis.Redis, server: EmbeddedServer) -> None:
    now = now_ms(store)
    memory: Any = {
        "full": now - 7_200_000,
        "since": now - 60_000,
        "tagged": now - 600_000,
        "tags": "{}",
        "guard": 12,
    }
    store.hset("relay:reconcile:acme", mapping=memory)
    store.hset("relay:synced", "acme", now - 7_200_000)
    store.set("relay:sync:acme", "x")
    seen = view(server)
    assert (seen.full_s, seen.incremental_s, seen.tags_s) == (7200, 60, 600)
    assert (seen.guard, seen.tags_under_way, seen.reconciling, seen.synced) == (12, True, True, True)
    said = overview_words.passes(seen)
    assert "full 2 h ago, changes 1 min ago, round over tags 10 min ago (one under way)" in said
    assert "the guard stopped 12 releases" in said


def test_after_a_full_pass_alone_no_pass_over_changes_is_claimed(store: redis.Redis, server: EmbeddedServer) -> None:
    now = str(now_ms(store))
    store.hset("relay:reconcile:acme", mapping={"full": now, "since": now})
    assert view(server).incremental_s is None


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        pytest.param({}, "reconnect", id="an OAuth account that nobody connected"),
        pytest.param({"grant": True, "pause": "asked to"}, "paused", id="paused"),
        pytest.param({"grant": True, "guard": 3}, "guard", id="the guard waits"),
        pytest.param({"grant": True}, "first_sync", id="connected, never synced"),
        pytest.param({"grant": True, "synced": True, "open": True}, "working", id="with open records"),
        pytest.param({"grant": True, "synced": True}, "in_order", id="nothing to do"),
        pytest.param({"grant": True, "synced": True, "dead": True}, "reconnect", id="a refused refresh"),
    ],
)
def test_the_state_is_what_needs_a_person_first(
    store: redis.Redis, server: EmbeddedServer, changes: dict[str, Any], state: str
) -> None:
    now = now_ms(store)
    if "grant" in changes:
        grant = Grant("a", "r", now, now - 5_000, now + 60_000, dead=bool(changes.get("dead")))
        document = {name: getattr(grant, name) for name in Grant.__dataclass_fields__} | {"for": "x"}
        sealed = overview.vault((KEY,)).encrypt(orjson.dumps(document))
        store.hset("relay:tokens", "capsule:acme", b"hash " + sealed)
    if "pause" in changes:
        Agenda(store, Timing()).pause("acme", reason=changes["pause"])
    if "guard" in changes:
        store.hset("relay:reconcile:acme", "guard", changes["guard"])
    if "synced" in changes:
        store.hset("relay:synced", "acme", now)
    if "open" in changes:
        Agenda(store, Timing()).open([RecordKey("acme", "party", 1)], lane="live", why="event")
    seen = view(server)
    assert seen.state == state
    assert overview_words.headline(seen)
    if "grant" in changes:
        assert seen.token_expires_s in {59, 60}
        assert seen.token_overdue_s in {5, 6}


def test_processes_say_that_they_run_and_the_silent_ones_are_shown(store: redis.Redis, server: EmbeddedServer) -> None:
    sign = store.register_script(SIGN)
    sign(args=["host:1:x", "clock", "1.2"])
    sign(args=["host:2:x", "web", "1.3"])
    sign(args=["host:3:x", "solo", "1.3"])
    sign(args=["host:3:x", "", ""])
    store.hset("relay:running", "host:4:x", f"{now_ms(store) - 60_000} worker 1.2")
    store.hset("relay:running", "host:5:x", "not of this form")
    with overview.reading(server.url) as client:
        found = overview.read(client, CONNECTIONS)
    assert [(one.part, one.version, one.alive) for one in found.processes] == [
        ("web", "1.3", True),
        ("worker", "1.2", False),
        ("clock", "1.2", True),
    ]
    assert "SILENT for 1 min" in "\n".join(overview_words.lines(found))


def test_limits_are_shown_by_account_and_organisation(store: redis.Redis, server: EmbeddedServer) -> None:
    limits = Limits(store)
    hour, minute = Window("capsule:acme", 4000, 3_600_000), Window("officernd:spaces:read-minute", 400, 60_000)
    limits.reserve([hour], lane="live")
    limits.reserve([minute, Window("officernd:spaces:read-day", 0, 86_400_000)], lane="live")
    for window, left in ((hour, 3999), (minute, 399)):
        limits.learn([window], [Observation(window.name, limit=window.limit, remaining=left, reset_in_ms=1000)])
    with overview.reading(server.url) as client:
        found = {(one.system, one.who, one.window): one for one in overview.read(client, CONNECTIONS).budgets}
    assert found["capsule", "acme", "hour"].left == 3999
    assert found["officernd", "spaces", "read-minute"].left == 399
    assert overview_words.budget(found["officernd", "spaces", "read-day"]).endswith("the limit is not known yet")


def test_every_reason_for_holding_is_put_into_words() -> None:
    codes = set()
    for path in (*(ROOT / "mapping").glob("*.py"), *(ROOT / "workers").rglob("*.py")):
        codes.update(re.findall(r"Held\(\s*\"([a-z_]+)\"", path.read_text(encoding="utf-8")))
    assert len(codes) > 10
    assert codes | {"shared_email", "shared_name"} | {"not_noted_yet"} == set(overview_words.REASONS)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "never"),
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (7199, "119 min"),
        (7200, "2 h"),
        (172_799, "47 h"),
        (172_800, "2 days"),
    ],
)
def test_an_age_is_said_in_one_unit(seconds: int | None, said: str) -> None:
    assert overview_words.age(seconds) == said
