"""`capsule-relay explain` for one record of each kind of answer, from whole processes (issue 5, "Shown by" 3)."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from mapping.agenda import RecordKey
from tests.acceptance.harness import until
from tests.acceptance.rules.world import Rules, World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

RULES = Rules(
    tags="member, [vip, london], !left",
    fields='"properties.plan" = "fields[?definition.name==\'Plan\'].value | [0]"',
)
REFUSAL = {"statusCode": 400, "message": ["phone must be a string"], "error": "Bad Request"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world"), {"acme": RULES}) as running:
        plan = {"key": "plan", "type": "String", "targets": ["member", "team", "lead"]}
        running.officernd.control("POST", "custom-properties", plan)
        yield running


def explained(world: World, kind: str, number: int, *, status: int = 0) -> tuple[dict[str, Any], str]:
    """The explanation as a document and as text, which is printed. Nothing that a worker would look at may change by it."""
    before = _state(world)
    words = ("explain", "acme", kind, str(number))
    with ThreadPoolExecutor(2) as pool:
        as_text, as_json = pool.submit(world.run, *words), pool.submit(world.run, *words, "--json")
        shown, told = as_text.result(), as_json.result()
    assert shown.returncode == status, shown.stdout + shown.stderr
    print(f"\n$ capsule-relay explain acme {kind} {number}\n{shown.stdout}")
    document: dict[str, Any] = json.loads(told.stdout)
    assert _state(world) == before
    return document, shown.stdout


def _state(world: World) -> dict[str, Any]:
    """What stands in Redis, without what processes note of themselves and what calls use up."""
    moving = ("relay:procs", "relay:running", "relay:limits", "relay:tick", "relay:audit", "relay:counts", "relay:tokens")
    held: dict[str, Any] = {}
    with world.store() as store:
        for name in (key.decode() for key in store.scan_iter("relay:*")):
            if name.startswith(moving):
                continue
            kind = store.type(name)
            held[name] = (
                store.hgetall(name)
                if kind == b"hash"
                else store.zrange(name, 0, -1, withscores=True)
                if kind == b"zset"
                else store.smembers(name)
                if kind == b"set"
                else store.dump(name)
            )
    return {"redis": held, "officernd": world.officernd_state()}


def _sources(told: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one["source"] for one in told["body"]}


def test_a_person_kept_out_by_tags(world: World) -> None:
    number = world.person("Olga", "vip", email="olga@out.example")
    told, text = explained(world, "person", number)
    assert (told["state"], told["in"]) == ("out", False)
    assert 'It is kept out: no tag matches "member, [vip, london], !left", and it has no organisation.' in text
    assert [step["text"] for step in told["rules"]][:3] == [
        'keeps out: tag "left": no',
        'tag "member": no',
        'tags "vip" and "london": no',
    ]
    assert (told["body"], told["last"]["wrote"], told["downstream"]["id"]) == ([], {}, None)
    assert told["links"]["capsule"].endswith(f"capsulecrm.com/party/{number}")


def test_a_person_kept_out_by_an_exclusion(world: World) -> None:
    number = world.person("Lena", "member", "left")
    told, _ = explained(world, "person", number)
    assert (told["state"], told["why"]) == ("out", 'tag "left" is excluded by "member, [vip, london], !left"')


def test_a_person_let_in_through_its_organisation(world: World) -> None:
    firm = world.organisation("Through Ltd", "member", "shoreditch")
    number = world.person("Theo", of=firm, email="theo@through.example")
    told, text = explained(world, "person", number)
    assert (told["state"], told["in"]) == ("in step", True)
    assert "its organisation is in" in told["why"]
    assert _sources(told)["location"] == 'locations: its organisation\'s tag "shoreditch"; it names "Shoreditch"'
    assert _sources(told)["company"] == f"OfficeRnD's company of its organisation, {firm}"
    assert "no difference" in text
    assert told["links"]["officernd_api"].endswith(f"/members/{told['downstream']['id']}")


def test_one_that_is_in_step(world: World) -> None:
    plan = {"definition": {"id": world.definition("Plan")}, "value": "Gold"}
    number = world.person("Ines", "Member", email="ines@step.example", phone="0113 496", fields=[plan])
    told, _ = explained(world, "party", number)
    assert (told["state"], told["differences"], told["would_send"]) == ("in step", [], [])
    assert _sources(told)["properties.plan"] == "own field: fields[?definition.name=='Plan'].value | [0]"
    assert _sources(told)["location"].startswith("default_location")
    assert told["last"]["wrote"]["email"] == "ines@step.example"
    # Nothing of it is logged.
    assert "ines@step.example" not in world.log()


def test_one_that_is_held(world: World) -> None:
    for name in ("One", "Two"):
        world.acme.seed("members", name=name, email="held@two.example")
    number = world.person("Hilda", "member", email="held@two.example")
    told, text = explained(world, "person", number)
    assert (told["state"], told["held"]["code"]) == ("held", "shared_email")
    assert "set capsule_link_id" in text
    assert _sources(told)["email"].startswith("Capsule:")


def test_one_that_is_dead(world: World) -> None:
    world.officernd.control(
        "POST", "faults", {"route": "POST /members", "count": 1, "kind": "status", "status": 400, "body": REFUSAL}
    )
    number = world.person("Dora", "member", email="dora@dead.example")
    told, text = explained(world, "person", number)
    assert (told["state"], told["letter"]["status"], told["in"]) == ("dead", 400, True)
    assert f"more: `capsule-relay dead show {told['letter']['id']}`" in text
    assert [(call["method"], call["path"]) for call in told["would_send"]] == [("POST", "/members")]
    assert "a run would send POST /members" in text


def test_one_that_officernd_holds_differently(world: World) -> None:
    number = world.person("Dirk", "member", phone="111")
    member = world.acme.member(number)
    world.officernd.control("POST", "edit", {"resource": "members", "id": member["_id"], "fields": {"phone": "222"}})
    told, text = explained(world, "person", number)
    assert told["state"] == "differs"
    assert told["differences"] == [{"name": "phone", "there": "222", "wanted": "111", "stuck": False}]
    assert "phone is 222, should be 111" in text


def test_one_that_waits_and_one_whose_connection_is_paused(world: World) -> None:
    busy = {"statusCode": 503, "message": "busy"}
    world.officernd.control(
        "POST", "faults", {"route": "POST /members", "count": 2, "kind": "status", "status": 503, "body": busy}
    )
    made = world.party(type="person", firstName="Wanda", lastName="Example", tags=[{"name": "member"}])
    record = RecordKey("acme", "party", made["id"])
    with world.store() as store:
        until(lambda: store.hget("relay:attempts", record.pack()) == b"2", "two attempts have failed")
        until(lambda: store.hget("relay:place", record.pack()) == b"due", "it waits")
        # Two explanations may take longer than the wait when the machine is busy.
        store.zincrby("relay:due", 600_000, record.pack())
    world.officernd.control("DELETE", "faults")
    told, text = explained(world, "person", made["id"])
    assert (told["state"], told["agenda"]["attempts"], told["agenda"]["error"]) == ("waiting", 2, "SystemDown")
    assert told["agenda"]["again"] is not None
    assert "attempt 3" in text
    with world.store() as store:
        store.hset("relay:paused", "acme", "inf - 0 a person asked for it")
    told, text = explained(world, "person", made["id"])
    assert (told["state"], told["agenda"]["paused"]["reason"]) == ("paused", "a person asked for it")
    with world.store() as store:
        store.hdel("relay:paused", "acme")
        store.zadd("relay:due", {record.pack(): 0}, xx=True)
    world.settle(seconds=60)


def test_one_that_was_never_seen_one_that_is_gone_and_one_of_another_kind(world: World) -> None:
    number = world.person("Nora", "member")
    with world.store() as store:
        store.hdel("relay:ledger:acme", f"party|{number}")
    told, _ = explained(world, "person", number)
    assert (told["state"], told["last"], told["agenda"]["place"]) == ("never seen", None, None)
    assert told["downstream"]["id"] == world.acme.member(number)["_id"]

    world.delete(number)
    told, text = explained(world, "person", number)
    assert (told["state"], told["capsule"]) == ("gone", None)
    assert "deleted or merged, or is hidden" in text
    assert explained(world, "party", 99_999_999)[0]["state"] == "gone"

    firm = world.organisation("Kind Ltd", "member")
    shown = world.run("explain", "acme", "person", str(firm))
    assert (shown.returncode, f"party {firm} is an organisation, not a person" in shown.stderr) == (0, True)
    hidden = world.person("Hugo", "member")
    world.capsule.control("POST", "restrict", {"kind": "party", "id": hidden})
    assert explained(world, "person", hidden)[0]["state"] == "gone"


def test_an_opportunity_by_its_party(world: World) -> None:
    firm = world.organisation("Deal Ltd", "member")
    deal = world.deal("Desks", firm, value={"amount": 12, "currency": "GBP"}, milestone="Bid")
    told, _ = explained(world, "opportunity", deal)
    assert told["state"] == "in step"
    assert "its party is in" in told["why"]
    assert _sources(told)["status"] == 'opportunity_statuses: milestone "Sales / Bid" has "Negotiation"'
    assert _sources(told)["dealSize"].startswith("Capsule: value.amount")


def test_words_that_are_wrong_are_sentences(world: World) -> None:
    for words, said in (
        (("nobody", "person", "1"), "there is no connection nobody"),
        (("acme", "lead", "1"), "is no kind of record"),
        (("acme", "person", "abc"), "is no id of Capsule"),
        (("acme", "person", "0"), "is no id of Capsule"),
    ):
        shown = world.run("explain", *words)
        assert (shown.returncode, said in shown.stderr, shown.stdout) == (1, True, ""), shown.stderr


def test_sides_that_are_down_leave_the_rest(world: World) -> None:
    number = world.person("Dana", "member")
    world.officernd.control(
        "POST", "faults", {"route": "*", "count": 50, "kind": "status", "status": 503, "body": {"message": "down"}}
    )
    told, text = explained(world, "person", number, status=2)
    assert (told["in"], set(told["unasked"]), told["last"]["outcome"]) == (True, {"officernd"}, "in_step")
    assert "Could not be asked" in text
    world.officernd.control("DELETE", "faults")
    world.capsule.stop()
    told, text = explained(world, "person", number, status=2)
    assert (told["state"], set(told["unasked"]), told["last"]["outcome"]) == ("unknown", {"capsule"}, "in_step")
    world.capsule.start()
