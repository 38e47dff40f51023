"""`capsule-relay status`: its numbers, from what stands in the data store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest

from mapping.agenda import COUNTS, LETTERS, RecordKey, deliveries_key, key, tally_key
from workers import overview
from workers.agenda import Agenda, Timing

if TYPE_CHECKING:
    import redis

    from workers.embedded import EmbeddedServer


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
        found = overview.read(client, ("acme", "b"))
    acme, b = found.connections
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
        said = "\n".join(overview.lines(overview.read(client, ("acme",))))
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
    store.zadd(key("open"), {"acme|party|1": 1, "acme2|party|1": 1})
    with overview.reading(server.url) as client:
        assert [view.waiting for view in overview.read(client, ("acme", "acme2")).connections] == [1, 1]
