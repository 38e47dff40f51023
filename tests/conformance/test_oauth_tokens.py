"""The tokens of an account that was connected by OAuth, against the simulator: one refresh for all, and none lost."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import redis
from cryptography.fernet import Fernet, MultiFernet

from mapping import rules
from mapping.agenda import key
from tests.simulators.run import Simulator
from workers.accounts import SignInPause
from workers.agenda import Agenda, Timing
from workers.capsule import oauth
from workers.capsule.tokens import OAuthTokens
from workers.errors import CredentialsRefused, QueueAway, ReconnectNeeded, SystemDown
from workers.http import Http
from workers.tokens import KEY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.processes

VAULT = MultiFernet([Fernet(Fernet.generate_key())])
CONNECTIONS = rules.parse(
    {"connections": {"acme": {"downstream": "unified"}, "b": {"downstream": "unified", "capsule": {"account": "acme"}}}}
)


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator("capsule") as running:
        yield running


@pytest.fixture
def capsule(simulator: Simulator) -> Simulator:
    simulator.control("POST", "reset", {})
    simulator.control("DELETE", "requests")
    return simulator


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with Http(user_agent="capsule-relay/test") as running:
        yield running


@pytest.fixture
def make(capsule: Simulator, store: redis.Redis, http: Http) -> Callable[..., OAuthTokens]:
    """What one process has; each call stands for another process."""

    def build(**changes: Any) -> OAuthTokens:
        options: dict[str, Any] = {
            "http": http,
            "store": store,
            "vault": VAULT,
            "pause": SignInPause(Agenda(store, Timing()), CONNECTIONS, "acme"),
            "oauth_url": f"{capsule.url}/oauth",
            "client_id": "capsule-client",
            "client_secret": "capsule-secret",
        }
        return OAuthTokens("acme", **(options | changes))

    return build


def sign_in(capsule: Simulator, tokens: OAuthTokens, *, seconds: float = 3600) -> str:
    """As a call-back does it, with a token that lives so long; the access token."""
    capsule.control("POST", "limits", {"token_seconds": seconds})
    given = capsule.control("POST", "tokens", {})
    tokens.install(oauth.Granted(given["access_token"], given["refresh_token"], float(given["expires_in"]), "exampleco"))
    return str(given["access_token"])


def refreshes(capsule: Simulator) -> int:
    return int(capsule.control("GET", "counts").get("POST /oauth/token", 0))


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def due(tokens: OAuthTokens) -> None:
    """Waits until the token in Redis is to be refreshed."""

    def is_due() -> bool:
        now_ms, grant = tokens._stored()
        return grant is not None and now_ms >= grant.renew_ms

    until(is_due)


def test_many_processes_and_threads_refresh_once_and_all_get_the_new_token(
    make: Callable[..., OAuthTokens], capsule: Simulator
) -> None:
    processes = [make() for _ in range(4)]
    first = sign_in(capsule, processes[0], seconds=2)
    assert {one.bearer() for one in processes} == {first}
    due(processes[0])
    capsule.control("POST", "limits", {"token_seconds": 3600})

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda n: processes[n % 4].bearer(), range(64)))

    assert refreshes(capsule) == 1
    assert len({one.bearer() for one in processes}) == 1
    assert processes[0].bearer() != first


def test_a_token_that_a_refresh_ended_is_exchanged_without_another_refresh(
    make: Callable[..., OAuthTokens], capsule: Simulator
) -> None:
    one, other = make(), make()
    old = sign_in(capsule, one, seconds=2)
    assert other.bearer() == old
    due(one)
    capsule.control("POST", "limits", {"token_seconds": 3600})
    new = one.bearer()

    assert other.refused(old), "a call of the other process met 401"
    assert other.bearer() == new
    assert refreshes(capsule) == 1


def test_a_token_that_capsule_ended_early_is_refreshed_and_a_young_one_is_not(
    make: Callable[..., OAuthTokens], capsule: Simulator
) -> None:
    tokens = make()
    token = sign_in(capsule, tokens, seconds=5)
    assert not tokens.refused(token), "it is a moment old: a refresh would not help"
    until(lambda: tokens.refused(token))
    assert tokens.bearer() != token
    assert refreshes(capsule) == 1


def test_a_refresh_token_that_stays_is_kept(make: Callable[..., OAuthTokens], capsule: Simulator) -> None:
    capsule.control("POST", "switches", {"refresh_rotates": "no"})
    tokens = make()
    first = sign_in(capsule, tokens, seconds=1)
    for number in (1, 2):
        due(tokens)
        tokens.bearer()
        assert refreshes(capsule) == number
    assert tokens.bearer() != first


def test_tokens_rest_encrypted_and_an_older_key_still_opens_them(
    make: Callable[..., OAuthTokens], capsule: Simulator, store: redis.Redis
) -> None:
    old, new = Fernet(Fernet.generate_key()), Fernet(Fernet.generate_key())
    token = sign_in(capsule, make(vault=MultiFernet([old])))
    dump = store.dump(KEY)
    assert dump
    assert token.encode() not in dump
    assert make(vault=MultiFernet([new, old])).bearer() == token
    with pytest.raises(ReconnectNeeded):
        make(vault=MultiFernet([new])).bearer()
    assert token not in repr(make())


def test_a_refused_refresh_pauses_all_of_the_account_is_not_repeated_and_a_sign_in_ends_it(
    make: Callable[..., OAuthTokens], capsule: Simulator, store: redis.Redis
) -> None:
    one, other = make(), make()
    sign_in(capsule, one, seconds=2)
    due(one)
    fault = {"route": "POST /oauth/token", "count": 1, "kind": "status", "status": 400, "body": {"error": "invalid_grant"}}
    capsule.control("POST", "faults", fault)

    for tokens in (one, other, one):
        with pytest.raises(ReconnectNeeded, match="capsule-relay connect acme"):
            tokens.bearer()

    assert refreshes(capsule) == 1
    paused = {name.decode(): text.decode() for name, text in store.hgetall(key("paused")).items()}  # type: ignore[union-attr]
    assert set(paused) == {"acme", "b"}
    assert all("inf - 0 reconnect" in text for text in paused.values()), "nothing is probed"
    assert not one.signed_in()

    new = sign_in(capsule, other)
    assert one.bearer() == other.bearer() == new
    assert not store.hlen(key("paused"))


def test_a_sign_in_does_not_end_a_pause_that_a_person_made(
    make: Callable[..., OAuthTokens], capsule: Simulator, store: redis.Redis
) -> None:
    Agenda(store, Timing()).pause("b", reason="asked to")
    sign_in(capsule, make())
    assert store.hkeys(key("paused")) == [b"b"]


def test_a_wrong_secret_is_told_apart_from_a_refused_sign_in(make: Callable[..., OAuthTokens], capsule: Simulator) -> None:
    tokens = make(client_secret="wrong")
    sign_in(capsule, tokens, seconds=1)
    until(lambda: not usable(tokens))
    with pytest.raises(CredentialsRefused) as refused:
        tokens.bearer()
    assert not isinstance(refused.value, ReconnectNeeded)
    assert tokens.signed_in(), "mending the setting is enough"


def usable(tokens: OAuthTokens) -> bool:
    now_ms, grant = tokens._stored()
    return grant is not None and now_ms < grant.expires_ms


def test_while_capsule_is_down_the_old_token_is_used_until_it_ends(make: Callable[..., OAuthTokens], capsule: Simulator) -> None:
    tokens = make()
    token = sign_in(capsule, tokens, seconds=20)
    _, grant = tokens._stored()
    assert grant is not None
    tokens._refused = ""
    tokens._fresh = lambda *_: False  # type: ignore[method-assign] # its time has come
    capsule.control("POST", "faults", {"route": "POST /oauth/token", "count": 9, "kind": "status", "status": 503})
    assert tokens.bearer() == token
    assert tokens.bearer() == token
    assert refreshes(capsule) == 1, "not asked again at once"
    tokens._usable = lambda *_: False  # type: ignore[method-assign] # and it has ended
    with pytest.raises(SystemDown):
        tokens.bearer()


def test_a_new_refresh_token_is_kept_until_redis_takes_it(
    make: Callable[..., OAuthTokens], capsule: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a Redis that fails at the very moment after the refresh, Then what Capsule gave is not lost with the old one."""
    one, other = make(), make()
    sign_in(capsule, one, seconds=2)
    due(one)
    capsule.control("POST", "limits", {"token_seconds": 3600})
    replace, away = one._replace, threading.Event()

    def fails(*both: Any) -> bool:
        if not away.is_set():
            raise redis.ConnectionError
        return replace(*both)

    monkeypatch.setattr(one, "_replace", fails)
    with pytest.raises(QueueAway):
        one.bearer()
    # Another process tries with the old one meanwhile, and is refused: the account is paused.
    with pytest.raises(ReconnectNeeded):
        other.bearer()
    away.set()
    until(other.signed_in)
    assert other.bearer() == one.bearer()
    assert refreshes(capsule) == 2


def test_forgetting_gives_the_tokens_back_to_be_revoked(
    make: Callable[..., OAuthTokens], capsule: Simulator, store: redis.Redis
) -> None:
    tokens = make()
    token = sign_in(capsule, tokens)
    grant = tokens.forget()
    assert grant is not None
    assert grant.access == token
    tokens.revoke(grant)
    assert not store.hlen(KEY)
    with pytest.raises(ReconnectNeeded, match="not connected"):
        make().bearer()
    answer = tokens._http.request(
        "GET", f"{capsule.url}/api/v2/users", system="capsule", route="GET /users", headers={"Authorization": f"Bearer {token}"}
    )
    assert answer.status == 401


def test_a_lifetime_of_a_week_is_refreshed_most_of_a_day_ahead(make: Callable[..., OAuthTokens], capsule: Simulator) -> None:
    tokens = make()
    sign_in(capsule, tokens, seconds=604_799)
    _, grant = tokens._stored()
    assert grant is not None
    assert 16 * 3600 < (grant.expires_ms - grant.renew_ms) / 1000 <= 24 * 3600
