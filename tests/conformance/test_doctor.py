"""Each check of `capsule-relay doctor`, made to fail by what it is there to find (issue 5), and in order without it."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dramatiq.brokers.redis as dramatiq_redis
import pytest
import redis

from tests.acceptance.harness import RULES
from tests.simulators.run import Simulator, free_port
from workers.embedded import EmbeddedServer
from workers.flows import doctor_machine, doctor_sides, doctor_store
from workers.flows.diagnosis import Check, Result, examine
from workers.http import Http
from workers.settings import Settings, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

R = "acme|party|501"
NAMES = ("acme",)


def states(results: Iterable[Result]) -> list[str]:
    return [result.state for result in results]


def only(results: Iterable[Result]) -> Result:
    (one,) = results
    return one


def now_ms() -> int:
    return int(time.time() * 1000)


# ---------------------------------------------------------------------- the data store
@pytest.fixture(scope="module")
def spare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """A server of its own, whose settings a test may spoil."""
    with (
        EmbeddedServer(tmp_path_factory.mktemp("spare")) as running,
        redis.Redis.from_url(running.url, decode_responses=True) as client,
    ):
        yield client


@pytest.fixture
def spoil(spare: redis.Redis) -> Iterator[Callable[[str, str], None]]:
    before: dict[str, str] = {}

    def one(name: str, value: str) -> None:
        before.setdefault(name, str(spare.config_get(name)[name]))
        spare.config_set(name, value)

    yield one
    for name, value in before.items():
        spare.config_set(name, value)


@pytest.mark.parametrize("off", [42.0, -42.0], ids=["ahead", "behind"])
def test_a_clock_that_is_off(spare: redis.Redis, off: float) -> None:
    found = only(doctor_store.clock(spare, lambda: time.time() + off))
    assert found.state == "wrong"
    assert "42" in found.said
    assert ("ahead of" in found.said) == (off > 0)
    assert only(doctor_store.clock(spare)).state == "ok"


def test_a_server_without_an_append_only_file(spare: redis.Redis, spoil: Callable[[str, str], None]) -> None:
    assert only(doctor_store.persistence(spare)).state == "ok"
    spoil("appendonly", "no")
    found = only(doctor_store.persistence(spare))
    assert (found.state, "appendonly yes" in found.advice) == ("wrong", True)


def test_a_server_that_may_throw_keys_away(spare: redis.Redis, spoil: Callable[[str, str], None]) -> None:
    assert only(doctor_store.eviction(spare)).state == "ok"
    spoil("maxmemory-policy", "allkeys-lru")
    found = only(doctor_store.eviction(spare))
    assert (found.state, "allkeys-lru" in found.said) == ("wrong", True)


@pytest.mark.parametrize(("room", "state"), [(1.02, "wrong"), (1.2, "warning"), (10.0, "ok")])
def test_a_server_that_is_nearly_full(spare: redis.Redis, spoil: Callable[[str, str], None], room: float, state: str) -> None:
    used = int(spare.info("memory")["used_memory"])
    spoil("maxmemory", str(int(used * room)))
    found = only(doctor_store.memory(spare))
    assert (found.state, "maxmemory" in found.said) == (state, True)


def test_a_server_that_is_too_old(spare: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    found = only(doctor_store.version(spare))
    assert (found.state, found.said.partition(" ")[0]) == ("ok", "valkey")
    monkeypatch.setattr(doctor_store, "LEAST_VERSION", (99, 0))
    assert only(doctor_store.version(spare)).state == "wrong"


# ---------------------------------------------------------------------- what lies there
def _open(store: redis.Redis, place: str, score: int) -> None:
    """An open record in a place; `score` is its time there."""
    store.zadd("relay:open", {R: score})
    store.hset("relay:seq", R, "1 live")
    if place:
        store.hset("relay:place", R, place)
        where = {"due": "due", "lease": "leases", "parked": "parked:acme"}.get(place, f"ready:{place}")
        store.zadd(f"relay:{where}", {R: score})


@pytest.mark.parametrize(
    ("place", "ago_ms", "said"),
    [
        pytest.param("lease", 15_000, "ran out and nobody took it back", id="lease"),
        pytest.param("due", 15_000, "should have been tried again", id="due"),
        pytest.param("parked", 15_000, "parked though acme is not paused", id="parked"),
        pytest.param("live", 90_000, "for more than a minute and no worker has any", id="ready"),
        pytest.param("", 0, "open and in no place", id="nowhere"),
    ],
)
def test_a_stuck_entry(store: redis.Redis, place: str, ago_ms: int, said: str) -> None:
    _open(store, place, now_ms() - ago_ms)
    found = only(doctor_store.agenda(store, NAMES))
    assert (found.state, said in found.said, R in found.said) == ("wrong", True, True)
    assert states(doctor_store.agenda(store, ("other",))) == ["ok"]


def test_entries_that_only_wait_are_not_stuck(store: redis.Redis) -> None:
    assert only(doctor_store.agenda(store, NAMES)).said == "0 open, 0 looked at, none stuck"
    _open(store, "due", now_ms() + 60_000)
    assert only(doctor_store.agenda(store, NAMES)).said == "1 open, 1 looked at, none stuck"
    store.flushall()
    _open(store, "parked", now_ms() - 15_000)
    store.hset("relay:paused", "acme", "inf - 0 reconnect")
    assert states(doctor_store.agenda(store, NAMES)) == ["ok"]
    store.hset("relay:paused", "acme", f"{now_ms() - 1} - 0 over")
    assert states(doctor_store.agenda(store, NAMES)) == ["wrong"]


def test_an_entry_whose_place_is_not_where_it_is(store: redis.Redis) -> None:
    _open(store, "live", now_ms())
    store.hset("relay:place", R, "bulk")
    assert "in no place" in only(doctor_store.agenda(store, NAMES)).said


def test_dead_letters(store: redis.Redis) -> None:
    assert states(doctor_store.letters(store, NAMES)) == ["ok"]
    store.hset("relay:letters", R, b"0{}")
    store.hset("relay:letters", "other|party|1", b"0{}")
    store.hset("relay:deliveries:acme", "hash", b"x")
    found = only(doctor_store.letters(store, NAMES))
    assert (found.state, found.said, found.about) == ("wrong", "1 of records, 1 unreadable deliveries", "acme")


def test_a_comparison_that_was_never_made_is_old_or_was_stopped(store: redis.Redis, settings: Settings) -> None:
    rules = settings.connections["acme"].model_copy(update={"auto_sync": True})
    key = "relay:reconcile:acme"

    def ask(**rule: Any) -> Result:
        return only(doctor_store.snapshot(store, "acme", rules.model_copy(update=rule)))

    assert "no full pass" in ask().said
    now = now_ms()
    store.hset(key, mapping={"full": now - 30 * 60_000, "since": now - 60_000})
    assert (ask().state, ask().said) == ("ok", "the last full pass began 30 min ago")
    store.hset(key, "since", now - 3 * 3_600_000)
    assert ask().state == "wrong"
    assert "15 minutes are set" in ask().said
    assert ask(auto_sync=False).state == "ok"
    store.hset(key, "full", now - 30 * 3_600_000)
    assert (ask().state, ask(auto_sync=False).state) == ("wrong", "warning")
    store.hset(key, mapping={"full": now, "guard": 12})
    assert "stopped 12 releases" in ask().said


def test_processes_that_are_silent(store: redis.Redis) -> None:
    assert states(doctor_machine.processes(store)) == ["wrong"] * 4
    now = now_ms()
    for part in ("web", "worker", "solo", "clock"):
        store.hset("relay:running", f"host:1:{part}", f"{now} {part} 0.1.0")
    assert states(doctor_machine.processes(store)) == ["ok"] * 4
    store.hset("relay:running", "host:1:clock", f"{now - 20_000} clock 0.1.0")
    *others, clock = doctor_machine.processes(store)
    assert (states(others), clock.state, "20 s old" in clock.said) == (["ok"] * 3, "wrong", True)


# ---------------------------------------------------------------------- this machine
def test_dramatiq_without_what_we_lean_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert states(doctor_machine.dramatiq()) == ["ok"]
    assert "not the one that was reviewed" in only(doctor_machine.dramatiq(lambda: "0" * 64)).said
    assert states(doctor_machine.dramatiq(lambda: "")) == ["wrong"]
    monkeypatch.delattr(dramatiq_redis, "_RedisConsumer")
    assert "no _RedisConsumer" in only(doctor_machine.dramatiq()).said


@pytest.mark.parametrize(("free", "state"), [(100 << 20, "wrong"), (500 << 20, "warning"), (5 << 30, "ok")])
def test_a_disk_without_room(tmp_path: Path, free: int, state: str) -> None:
    found = only(doctor_machine.disk(tmp_path / "not" / "there" / "yet", lambda _: free))
    assert found.state == state
    assert only(doctor_machine.disk(tmp_path)).state in {"ok", "warning"}


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(user_agent="capsule-relay/test") as client:
        yield client


def test_a_receiver_that_does_not_run(settings: Settings, http: Http) -> None:
    found = only(doctor_machine.receiver(replace(settings, web_port=free_port()), http))
    assert (found.state, "does not answer" in found.said) == ("wrong", True)


def test_a_receiver_that_is_somebody_else(settings: Settings, http: Http, capsule: Simulator) -> None:
    found = only(doctor_machine.receiver(replace(settings, web_port=capsule.port), http))
    assert (found.state, "answers 404" in found.said) == ("wrong", True)


# ---------------------------------------------------------------------- both sides
@pytest.fixture(scope="module")
def capsule() -> Iterator[Simulator]:
    with Simulator("capsule") as running:
        yield running


@pytest.fixture(scope="module")
def officernd() -> Iterator[Simulator]:
    with Simulator("officernd") as running:
        yield running


ENVIRON = {
    "RELAY_SECRET_KEY": "k" * 32,
    "RELAY_ACME_CAPSULE_TOKEN": "capsule-token",
    "RELAY_ACME_OFFICERND_CLIENT_ID": "officernd-client",
    "RELAY_ACME_OFFICERND_CLIENT_SECRET": "officernd-secret",
}


@pytest.fixture
def make(tmp_path: Path, capsule: Simulator, officernd: Simulator) -> Callable[..., Settings]:
    """Settings between both simulators, which are reset; each pair of `changes` is replaced in the rules."""
    capsule.control("POST", "reset")
    officernd.control("POST", "reset", {})
    officernd.control("POST", "limits", {"token_minute": 1000})

    def one(*changes: tuple[str, str], **environ: str) -> Settings:
        text = RULES.format(capsule=capsule.url, officernd=officernd.url, extra="")
        for old, new in changes:
            text = text.replace(old, new)
        (tmp_path / "relay.toml").write_text(text, encoding="utf-8")
        return load({**ENVIRON, "RELAY_CONFIG": str(tmp_path / "relay.toml"), **environ})

    return one


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "relay.toml").write_text(RULES.format(capsule="http://localhost:1", officernd="http://localhost:1", extra=""))
    return load({**ENVIRON, "RELAY_CONFIG": str(tmp_path / "relay.toml")})


def asked(settings: Settings, http: Http) -> dict[str, Result]:
    """The results by name; of a check with several, the worst."""
    worst = {"ok": 0, "unasked": 1, "warning": 2, "wrong": 3}
    found: dict[str, Result] = {}
    for one in doctor_sides.sides(settings, http, lambda _: None, signed_in=lambda _: None):
        if one.check not in found or worst[one.state] > worst[found[one.check].state]:
            found[one.check] = one
    return found


def test_both_sides_in_order(make: Callable[..., Settings], http: Http) -> None:
    found = asked(make(), http)
    right = {"Capsule token", "OfficeRnD token and scopes", "custom properties", "statuses", "locations"}
    assert {name for name, one in found.items() if one.state == "ok"} >= right, found


def test_a_custom_property_that_was_removed(make: Callable[..., Settings], http: Http, officernd: Simulator) -> None:
    settings = make()
    officernd.control("DELETE", "custom-properties", {"key": "capsule_link_id"})
    found = asked(settings, http)["custom properties"]
    assert (found.state, found.about) == ("wrong", "acme")
    assert 'add: key "capsule_link_id", type String' in found.advice
    officernd.control(
        "POST", "custom-properties", {"key": "capsule_link_id", "type": "Number", "targets": ["member", "team", "lead"]}
    )
    assert "has the type Number and needs String" in asked(settings, http)["custom properties"].said
    officernd.control("DELETE", "custom-properties", {"key": "capsule_phone"})
    officernd.control("DELETE", "custom-properties", {"key": "capsule_link_id"})
    officernd.control(
        "POST", "custom-properties", {"key": "capsule_link_id", "type": "String", "targets": ["member", "team", "lead"]}
    )
    assert asked(settings, http)["custom properties"].state == "warning"


@pytest.mark.parametrize(
    ("old", "new", "check", "said"),
    [
        ('default_location = "London Bridge"', 'default_location = "London Brigde"', "locations", 'no location "London Brigde"'),
        ('"Bid" = "Negotiation"', '"Bid" = "Negotiating"', "statuses", 'no opportunity status "Negotiating"'),
    ],
)
def test_names_in_the_rules_that_officernd_does_not_have(  # noqa: PLR0917 - two fixtures and a row of the table
    make: Callable[..., Settings], http: Http, old: str, new: str, check: str, said: str
) -> None:
    found = asked(make((old, new)), http)
    assert (found[check].state, said in found[check].said, bool(found[check].advice)) == ("wrong", True, True)
    assert found["OfficeRnD token and scopes"].state == "ok"


def test_a_milestone_without_a_status_and_a_tag_that_nobody_has(make: Callable[..., Settings], http: Http) -> None:
    found = asked(make(('"Won" = "won"', "")), http)
    assert (found["milestones"].state, found["tags"].state) == ("warning", "warning")


def test_tokens_that_are_refused(make: Callable[..., Settings], http: Http) -> None:
    found = asked(make(RELAY_ACME_CAPSULE_TOKEN="wrong", RELAY_ACME_OFFICERND_CLIENT_SECRET="wrong"), http)
    assert {name: one.state for name, one in found.items()} == {
        "Capsule token": "wrong",
        "milestones": "unasked",
        "tags": "unasked",
        "OfficeRnD token and scopes": "wrong",
        "statuses": "unasked",
        "locations": "unasked",
        "custom properties": "unasked",
    }
    assert "401" in found["Capsule token"].said


def test_sides_that_do_not_answer(settings: Settings, http: Http) -> None:
    assert {one.state for one in asked(settings, http).values()} == {"unasked"}


# ---------------------------------------------------------------------- how checks are made
def test_a_check_that_takes_too_long_or_fails_says_so_and_the_others_go_on() -> None:
    gate = threading.Event()

    def hang() -> list[Result]:
        gate.wait(30)
        return []

    def fail() -> list[Result]:
        raise KeyError("canary")

    def away() -> list[Result]:
        raise redis.ConnectionError("canary")

    told: list[str] = []
    good = Result("d", "ok", "fine")
    checks = [Check("a", hang, 0.05), Check("b", fail), Check("c", away), Check("d", lambda: [good])]
    found = list(examine(checks, told.append))
    gate.set()
    assert told == ["a", "b", "c", "d"]
    assert states(found) == ["unasked", "unasked", "unasked", "ok"]
    assert not any("canary" in one.said for one in found)
    assert "within 0.05 s" in found[0].said
