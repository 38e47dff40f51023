"""The hook guard against the simulator: exactly once whoever asks, gaps that nobody forgets, accounts that are shared."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from mapping.agenda import key
from mapping.hooks import events_for
from tests.simulators.run import Simulator
from workers.capsule import oauth
from workers.errors import Misconfigured, ReconnectNeeded
from workers.flows import connect, subscribe
from workers.flows.reconcile import Outcome
from workers.guard import HookGuard
from workers.schedule import Reconciles
from workers.services import Services, build
from workers.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis

    from workers.embedded import EmbeddedServer

pytestmark = pytest.mark.processes

RULES = """
[connections.acme]
downstream = "unified"
{extra}
[connections.acme.capsule]
api_url = "{capsule}/api/v2"
oauth_url = "{capsule}/oauth"
[connections.b]
downstream = "officernd"
[connections.b.capsule]
account = "acme"
[connections.b.officernd]
organization = "acme-spaces"
"""


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator("capsule") as running:
        yield running


@pytest.fixture
def capsule(simulator: Simulator) -> Simulator:
    simulator.control("POST", "reset", {})
    simulator.control("DELETE", "faults")
    return simulator


@pytest.fixture
def make(tmp_path: Path, capsule: Simulator, server: EmbeddedServer, store: redis.Redis) -> Iterator[Callable[..., Services]]:
    """The services of a process; each call stands for another one."""
    del store  # emptied
    made: list[Services] = []

    def one(*, extra: str = "", **environment: str) -> Services:
        (tmp_path / "relay.toml").write_text(RULES.format(capsule=capsule.url, extra=extra), encoding="utf-8")
        environ = {
            "RELAY_CONFIG": str(tmp_path / "relay.toml"),
            "RELAY_SECRET_KEY": "k" * 32,
            "REDIS_URL": server.url,
            "RELAY_ACME_CAPSULE_CLIENT_ID": "capsule-client",
            "RELAY_ACME_CAPSULE_CLIENT_SECRET": "capsule-secret",
            "RELAY_B_OFFICERND_CLIENT_ID": "id",
            "RELAY_B_OFFICERND_CLIENT_SECRET": "secret",
        }
        services = build(load(environ | environment))
        services.start()
        made.append(services)
        return services

    yield one
    for services in made:
        services.close()


def signed_in(services: Services, capsule: Simulator) -> Services:
    given = capsule.control("POST", "tokens", {})
    tokens = services.oauth("acme")
    assert tokens is not None
    tokens.install(oauth.Granted(given["access_token"], given["refresh_token"], float(given["expires_in"]), ""))
    return services


def hooks(capsule: Simulator) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = capsule.control("GET", "hooks")["restHooks"]
    return found


def test_many_at_once_subscribe_each_event_once(make: Callable[..., Services], capsule: Simulator) -> None:
    processes = [signed_in(make(), capsule), make(), make()]
    with ThreadPoolExecutor(6) as threads:
        done = list(threads.map(lambda n: subscribe.ensure(processes[n % 3], "acme"), range(6)))
    wanted = events_for(processes[0].connections.values())
    assert sorted(hook["event"] for hook in hooks(capsule)) == sorted(wanted)
    assert sum(len(one.subscribed) for one in done) == len(wanted) == 19, "the unified side needs all, OfficeRnD some of them"


def test_a_second_look_changes_nothing_and_costs_one_call(make: Callable[..., Services], capsule: Simulator) -> None:
    services = signed_in(make(), capsule)
    subscribe.ensure(services, "acme")
    capsule.control("DELETE", "requests")
    done = subscribe.ensure(services, "acme")
    assert (done.subscribed, done.removed, done.kept) == ((), (), 19)
    assert capsule.control("GET", "counts") == {"GET /resthooks": 1}


def test_what_is_missing_is_noted_as_a_gap_from_when_it_was_last_seen(
    make: Callable[..., Services], capsule: Simulator, store: redis.Redis
) -> None:
    services = signed_in(make(), capsule)
    subscribe.ensure(services, "acme")
    subscribe.close_gap(services, "acme")
    assert subscribe.gap_since(services, "acme") is None
    subscribe.ensure(services, "acme")
    seen = int(store.hget(key("hooks-alive"), "acme") or 0)

    # Given one that Capsule has dropped, and a Capsule that fails before it is subscribed again
    rest = services.rest_hooks("acme")
    rest.unsubscribe(hooks(capsule)[3]["id"])
    capsule.control("POST", "faults", {"route": "POST /resthooks", "count": 1, "kind": "status", "status": 503})
    HookGuard(services, every_s=1).compare("acme")
    assert subscribe.gap_since(services, "acme") == seen
    assert b"503" in (store.hget(key("hooks-trouble"), "acme") or b"")

    # Then the gap begins where it began, however often it is tried
    HookGuard(services, every_s=1).compare("acme")
    assert len(hooks(capsule)) == 19
    assert subscribe.gap_since(services, "acme") == seen
    assert store.hget(key("hooks-trouble"), "acme") is None


def test_a_gap_is_not_crossed_out_by_a_first_sync_that_may_have_begun_before(
    make: Callable[..., Services], capsule: Simulator, store: redis.Redis
) -> None:
    services = signed_in(make(), capsule)
    subscribe.ensure(services, "acme")
    store.set(key("sync") + ":b", "somebody", px=60_000)
    with pytest.raises(Misconfigured, match="first sync of b is under way"):
        subscribe.close_gap(services, "acme")
    assert subscribe.gap_since(services, "acme") is not None


def test_a_hook_whose_answer_was_lost_is_found_and_not_subscribed_again(
    make: Callable[..., Services], capsule: Simulator
) -> None:
    services = signed_in(make(), capsule)
    capsule.control("POST", "faults", {"route": "POST /resthooks", "count": 1, "kind": "lost", "skip": 2})
    HookGuard(services, every_s=1).compare("acme")
    subscribe.ensure(services, "acme")
    events = [hook["event"] for hook in hooks(capsule)]
    assert len(events) == len(set(events)) == 19


def test_no_first_sync_begins_while_nobody_is_signed_in(
    make: Callable[..., Services], capsule: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would list what OfficeRnD holds first, and in vain."""
    services = make()
    begun: list[str] = []

    def sync(_: Services, name: str, **__: object) -> Outcome:
        begun.append(name)
        return Outcome(connection=name, found=0)

    monkeypatch.setattr("workers.schedule.full_sync", sync)
    Reconciles(services)._one("b")
    assert begun == []
    signed_in(services, capsule)
    Reconciles(services)._one("b")
    assert begun == ["b"]


def test_a_new_public_address_takes_the_old_hooks_with_it(make: Callable[..., Services], capsule: Simulator) -> None:
    subscribe.ensure(signed_in(make(RELAY_PUBLIC_URL="https://one.example"), capsule), "acme")
    done = subscribe.ensure(make(RELAY_PUBLIC_URL="https://two.example"), "acme")
    assert (len(done.subscribed), len(done.removed), done.missing) == (19, 19, ())
    assert all(hook["targetUrl"].startswith("https://two.example/hooks/capsule/acme/") for hook in hooks(capsule))


def test_disconnecting_removes_hooks_and_ends_the_tokens(make: Callable[..., Services], capsule: Simulator) -> None:
    services = signed_in(make(), capsule)
    foreign = {"event": "party/created", "targetUrl": "https://elsewhere.example/x"}
    capsule.control("POST", "hooks", foreign)
    subscribe.ensure(services, "acme")
    done = connect.disconnect(services, "acme")
    assert (done.hooks, done.revoked, done.trouble) == (19, True, ())
    assert [hook["targetUrl"] for hook in hooks(capsule)] == [foreign["targetUrl"]]
    with pytest.raises(ReconnectNeeded):
        make().capsule("b").milestones()
    assert services.agenda.is_paused("b"), "it lives on that account too"


def test_without_a_public_address_no_hook_is_subscribed_at_the_real_capsule(
    make: Callable[..., Services], capsule: Simulator, tmp_path: Path
) -> None:
    services = make()
    rules = tmp_path / "relay.toml"
    rules.write_text(rules.read_text().replace(f"{capsule.url}/api", "https://api.capsulecrm.com/api"))
    far = build(load({**_environ(services), "RELAY_CONFIG": str(rules)}))
    with pytest.raises(Misconfigured, match="RELAY_PUBLIC_URL"):
        subscribe.look(far, "acme")


def _environ(services: Services) -> dict[str, str]:
    return {
        "RELAY_SECRET_KEY": "k" * 32,
        "REDIS_URL": services.redis_url,
        "RELAY_ACME_CAPSULE_CLIENT_ID": "id",
        "RELAY_ACME_CAPSULE_CLIENT_SECRET": "secret",
        "RELAY_B_OFFICERND_CLIENT_ID": "id",
        "RELAY_B_OFFICERND_CLIENT_SECRET": "secret",
    }
