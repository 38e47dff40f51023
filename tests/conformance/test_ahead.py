"""Reading ahead: a burst is read by pages, a few changes are not, and an event that comes later counts for more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import httpx
import orjson
import pytest

from mapping.agenda import RecordKey, key
from tests.conformance.letter_box import SECRET
from tests.simulators.run import Simulator
from workers.flows.ahead import AHEAD, NEAR, Ahead
from workers.services import build
from workers.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import redis

    from workers.embedded import EmbeddedServer
    from workers.services import Services

pytestmark = pytest.mark.processes

PEOPLE = 2 * NEAR + 50
ENOUGH = NEAR + 50
RULES = """
[connections.acme]
downstream = "officernd"
[connections.acme.capsule]
auth = "token"
api_url = "{}/api/v2"
[connections.acme.officernd]
organization = "acme-spaces"
"""
ENVIRON = {
    "RELAY_SECRET_KEY": SECRET,
    "RELAY_ACME_CAPSULE_TOKEN": "capsule-token",
    "RELAY_ACME_OFFICERND_CLIENT_ID": "id",
    "RELAY_ACME_OFFICERND_CLIENT_SECRET": "secret",
}


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator("capsule") as running:
        yield running


@pytest.fixture
def people(simulator: Simulator) -> list[RecordKey]:
    """Everybody in Capsule, changed a moment ago."""
    simulator.control("POST", "reset", {"people": PEOPLE})
    numbers = [one["id"] for one in simulator.control("GET", "state")["parties"]]
    with httpx.Client(base_url=f"{simulator.url}/api/v2/", headers={"Authorization": "Bearer capsule-token"}) as api:
        for number in numbers:
            assert api.put(f"parties/{number}", json={"party": {"jobTitle": "Changed"}}).is_success
    simulator.control("DELETE", "requests")
    return [RecordKey("acme", "party", number) for number in numbers]


@pytest.fixture
def services(store: redis.Redis, server: EmbeddedServer, simulator: Simulator, tmp_path: Path) -> Iterator[Services]:
    store.set(key("clean_stop"), 1)  # no write of anybody's is under way
    (tmp_path / "relay.toml").write_text(RULES.format(simulator.url))
    made = build(load({**ENVIRON, "REDIS_URL": server.url, "RELAY_CONFIG": str(tmp_path / "relay.toml")}))
    made.start()
    made.agenda.hello()
    yield made
    made.close()


def ahead_of(services: Services, worth_it: int = ENOUGH) -> Ahead:
    return Ahead(services, worth_it=worth_it, look_s=0.0)


def changed(services: Services, records: Sequence[RecordKey]) -> None:
    services.agenda.open(records, lane="live", why="event")


def bodies(services: Services) -> dict[int, Any]:
    held = cast("dict[bytes, bytes]", services.redis.hgetall(key("body")))
    return {RecordKey.unpack(packed.decode()).id: services.vault.open(sealed)["record"] for packed, sealed in held.items()}


def calls(simulator: Simulator) -> dict[str, int]:
    found: dict[str, int] = simulator.control("GET", "counts")
    return found


def test_a_burst_is_read_by_pages(services: Services, simulator: Simulator, people: list[RecordKey]) -> None:
    changed(services, people[:ENOUGH])

    ahead_of(services).look()

    assert calls(simulator) == {"GET /parties": 3}
    assert set(bodies(services)) == {record.id for record in people[:ENOUGH]}
    taken = services.agenda.take("live", proc="test")
    assert taken is not None
    assert services.vault.open(taken.body)["record"]["id"] == taken.record.id
    assert {"tags", "fields"} <= services.vault.open(taken.body)["record"].keys()
    assert services.agenda.sizes()["open"] == ENOUGH, "what does not wait is not opened by it"
    assert taken.lane == "live"


def test_a_few_changes_are_left_to_their_runs(services: Services, simulator: Simulator, people: list[RecordKey]) -> None:
    changed(services, people[: ENOUGH - 1])

    ahead_of(services).look()

    assert calls(simulator) == {}
    assert bodies(services) == {}


def test_an_event_that_comes_later_makes_the_run_read_for_itself(services: Services, people: list[RecordKey]) -> None:
    changed(services, people[:ENOUGH])
    ahead_of(services).look()
    edited = people[7]

    changed(services, [edited])

    assert edited.id not in bodies(services)
    assert len(bodies(services)) == ENOUGH - 1


def test_what_a_run_is_working_on_is_left_to_it(services: Services, people: list[RecordKey]) -> None:
    changed(services, people[:ENOUGH])
    taken = services.agenda.take("live", proc="test")
    assert taken is not None

    ahead_of(services, ENOUGH - 1).look()

    assert taken.record.id not in bodies(services)
    assert services.agenda.done(taken.record, taken.token, wrote=False, entry=b"", outcome="out").closed


def test_what_was_read_is_not_read_again(services: Services, simulator: Simulator, people: list[RecordKey]) -> None:
    changed(services, people[:ENOUGH])
    ahead = ahead_of(services)
    ahead.look()
    before = calls(simulator)

    ahead.look()
    ahead_of(services).look()  # another process

    assert calls(simulator) == before


def test_those_that_come_after_are_read_when_their_turn_is_near(
    services: Services, simulator: Simulator, people: list[RecordKey]
) -> None:
    ahead = ahead_of(services, worth_it=50)
    changed(services, people[:ENOUGH])
    ahead.look()
    before = calls(simulator)
    # Events come at times of their own; what is meant is "later than the walk".
    services.redis.hset(AHEAD, "acme|party", int(services.redis.time()[0]) * 1000 - 1)
    services.redis.zadd(key("ready:live"), {record.pack(): 1 for record in people[:ENOUGH]})
    changed(services, people[ENOUGH:])

    ahead.look()
    assert calls(simulator) == before, "there is enough that was read already"
    for _ in range(ENOUGH - NEAR + 1):
        assert services.agenda.take("live", proc="test")
    ahead.look()

    assert calls(simulator) != before
    assert {record.id for record in people[ENOUGH:]} <= set(bodies(services))


def test_a_list_that_shows_nothing_of_use_is_left_in_time(
    services: Services, simulator: Simulator, people: list[RecordKey]
) -> None:
    # Events of records that Capsule does not show
    changed(services, [RecordKey("acme", "party", 10_000_000 + number) for number in range(ENOUGH)])

    ahead_of(services).look()

    assert calls(simulator)["GET /parties"] * 10 <= ENOUGH
    assert bodies(services) == {}
    assert people


def test_after_a_walk_that_did_not_pay_more_must_wait(
    services: Services, simulator: Simulator, people: list[RecordKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead = ahead_of(services, worth_it=20)
    monkeypatch.setattr("workers.flows.ahead.moment", lambda _: "2000-01-01T00:00:00Z")
    # Twenty at the end of a list of which two calls by ids would have read as much
    changed(services, people[-20:])
    ahead.look()
    assert calls(simulator) == {"GET /parties": 2}
    assert bodies(services) == {}
    services.redis.delete(AHEAD)

    changed(services, people[-39:])
    ahead.look()
    assert calls(simulator) == {"GET /parties": 2}
    changed(services, people[-40:])
    ahead.look()

    assert calls(simulator) == {"GET /parties": 5}
    assert set(bodies(services)) == {record.id for record in people[-40:]}


def test_a_list_is_left_when_what_waits_stood_before(
    services: Services, simulator: Simulator, people: list[RecordKey], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.flows.ahead.POOR_IN_A_ROW", 1)
    changed(services, people[:99])

    ahead_of(services, worth_it=99).look()

    assert calls(simulator) == {"GET /parties": 2}
    assert set(bodies(services)) == {record.id for record in people[:99]}


def test_what_is_of_another_kind_or_connection_is_left(services: Services, simulator: Simulator, people: list[RecordKey]) -> None:
    changed(services, [RecordKey("acme", "task", record.id) for record in people])
    changed(services, [RecordKey("elsewhere", "party", record.id) for record in people])

    ahead_of(services).look()

    assert calls(simulator) == {}


@pytest.mark.parametrize("status", [401, 429, 503])
def test_a_list_that_is_refused_stops_nobody(
    services: Services, simulator: Simulator, people: list[RecordKey], status: int
) -> None:
    fault = {"route": "GET /parties", "kind": "status", "status": status, "count": None, "body": orjson.dumps({}).decode()}
    simulator.control("POST", "faults", fault)
    changed(services, people)
    services.stopping.set()  # a walk that has to wait for the limit ends with the process

    ahead_of(services).look()

    assert bodies(services) == {}
    assert services.agenda.take("live", proc="test") is not None
    simulator.control("DELETE", "faults")
