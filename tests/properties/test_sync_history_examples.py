"""Short histories, each of which once ended otherwise than a fresh sync would, or that the long ones reach too seldom."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.properties.sync_world import Rules, Stage, World
from workers.breaker import PROBE_MS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mapping.agenda import RecordKey
    from workers.embedded import EmbeddedServer

pytestmark = [pytest.mark.processes]


@pytest.fixture(scope="module")
def stage(server: EmbeddedServer) -> Iterator[Stage]:
    made = Stage(server.url)
    yield made
    made.stop()


@pytest.fixture
def begin(stage: Stage) -> Iterator[Callable[..., World]]:
    """Begins a history, and ends it."""
    worlds = []

    def make(rules: Rules = Rules(), **switches: str) -> World:  # noqa: B008 - a frozen value
        worlds.append(World(stage, rules, {"capsule": {}, "officernd": switches}, events_alone=True))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


def new(world: World, kind: str = "party", **fields: Any) -> RecordKey:
    """A record in Capsule, worked on at once."""
    before = set(world.capsule.records)
    world.create(kind, fields, how="at once")
    world.relay.settle()
    (made,) = set(world.capsule.records) - before
    return made


def person(world: World, **fields: Any) -> RecordKey:
    return new(world, type="person", firstName="Ada", lastName="Example", **fields)


MEMBER = [{"name": "member"}]


@pytest.mark.parametrize("kind", ["lost", "slow"])
def test_a_value_whose_write_was_not_answered_is_cleared_when_capsule_clears_it(begin: Callable[..., World], kind: str) -> None:
    # Given a member whose phone was written by a call that was never answered
    world = begin()
    ada = person(world, tags=MEMBER)
    world.relay.pass_time(1_500)  # so that the next write need not wait for quiet
    world.fault("officernd", {"route": "PUT /members/{id}", "kind": kind, "seconds": 0.4 if kind == "slow" else 0})
    world.edit(ada, world.capsule.contact(ada, "phoneNumbers", {"number": "020 7946 0001"}), "worked")
    # When the phone is taken away in Capsule before the record is tried again
    world.edit(ada, world.capsule.contact(ada, "phoneNumbers", None), "event")
    # Then it is taken away in OfficeRnD too
    world.finish()


def test_a_create_that_was_not_answered_is_adopted_and_its_cleared_values_with_it(begin: Callable[..., World]) -> None:
    world = begin()
    world.fault("officernd", {"route": "POST /members", "kind": "lost"})
    world.create(
        "party",
        {"type": "person", "firstName": "Ada", "lastName": "Example", "tags": MEMBER, "phoneNumbers": [{"number": "020 1"}]},
        "worked",
    )
    (ada,) = world.capsule.visible("party")
    world.edit(ada, world.capsule.contact(ada, "phoneNumbers", None), "event")
    world.finish()


@pytest.mark.parametrize("leaves", ["tag", "deleted"])
@pytest.mark.parametrize("on_gone", ["keep", "former"])
def test_a_record_whose_create_was_not_answered_is_released_too(begin: Callable[..., World], on_gone: str, leaves: str) -> None:
    # Given a person whose member was created by a process that was killed before it could say so
    world = begin(Rules(on_gone=on_gone))
    ada = person(world)
    world.trap("kill after", at=1, writes=True, act=lambda: None)
    world.edit(ada, world.capsule.toggle_tag(ada, "member"), "worked")
    assert world.relay.kills == 1
    # When it leaves before anybody looks again
    if leaves == "tag":
        world.edit(ada, world.capsule.toggle_tag(ada, "member"), "at once")
    else:
        world.delete(ada, "at once")
    # Then its member is known, and released as on_gone says
    world.finish()


def test_a_held_party_and_its_deal_do_not_wake_each_other_without_end(begin: Callable[..., World]) -> None:
    # Given an organisation that is held (no location) and a deal of it
    world = begin(Rules(tags_to_sync="", default_location=False))
    firm = new(world, type="organisation", name="Nowhere Ltd")
    milestone = world.capsule.milestones[0]["id"]
    deal = new(world, "opportunity", name="A deal", party={"id": firm.id}, milestone={"id": milestone})
    # When Redis restarts, so that runs are looked at again after a window, and both are opened
    world.relay.redis_restarts()
    world.relay.open([deal, firm])
    # Then each runs a few times, not as fast as it can until the window ends
    world.finish()
    assert world.relay.runs < 30


def test_edits_by_staff_survive_where_a_put_replaces_the_bag(begin: Callable[..., World]) -> None:
    world = begin(properties_on_put="replace")
    ada = person(world, tags=MEMBER)
    world.staff_edits(0, "by the window")
    world.edit(ada, world.capsule.toggle_tag(ada, "shoreditch"), "worked")
    world.finish()


@pytest.mark.parametrize("side", ["officernd", "capsule"])
def test_a_pause_ends_although_the_first_probes_need_nothing_of_the_system_that_failed(
    begin: Callable[..., World], side: str
) -> None:
    # Given members whose edits meet an outage, so that the connection is paused
    world = begin()
    members = [person(world, tags=MEMBER) for _ in range(6)]
    strangers = [person(world) for _ in range(12)]
    world.relay.pass_time(1_500)  # so that no write need wait for quiet
    open_read = world.relay.read_ahead(strangers)
    world.fault(
        side, {"route": "GET *" if side == "capsule" else "*", "kind": "status", "status": 503, "body": {}, "count": None}
    )
    for number, one in enumerate(members):
        world.edit(one, {"lastName": f"Edit{number}"}, "worked")
    assert world.relay.paused_by() == side
    # and a long queue of records before theirs, which are judged without any call to the side that is down
    if side == "capsule":
        open_read()
    else:
        world.relay.open(strangers)
    world.relay.drain()
    for _ in members:
        world.relay.pass_time(PROBE_MS + 1)
        world.relay.drain()
    assert world.relay.paused_by() == side, "the outage goes on"
    # When the outage ends
    world.clear_faults()
    ended = world.relay.now
    world.relay.settle()
    # Then one probe is enough
    assert world.relay.now - ended < 2 * PROBE_MS
    world.finish()


def test_an_outage_of_writes_alone_spends_probes_and_no_attempts(begin: Callable[..., World]) -> None:
    # Given a side that answers reads and refuses writes for the moment, and others that need no write
    world = begin()
    members = [person(world, tags=MEMBER) for _ in range(6)]
    strangers = [person(world) for _ in range(6)]
    world.relay.pass_time(1_500)
    world.fault("officernd", {"route": "PUT *", "kind": "status", "status": 503, "body": {}, "count": None})
    for number, one in enumerate(members):
        world.edit(one, {"lastName": f"Edit{number}"}, "worked")
    spent = world.relay.attempts()
    # When it is probed for a while, by records of both sorts and by a process that has not failed yet
    for _ in range(20):
        world.relay.open(strangers)
        world.relay.pass_time(PROBE_MS + 1)
        world.relay.drain(world.relay.other())
    # Then nobody's attempts are spent by that
    assert world.relay.attempts() == spent
    world.clear_faults()
    world.finish()
