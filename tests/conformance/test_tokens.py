from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import redis
from cryptography.fernet import Fernet, MultiFernet
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.conformance.peer import Peer, answer
from tests.simulators.run import Simulator
from workers.downstream.officernd.wire import SCOPES
from workers.errors import CredentialsRefused, LeaseLost, QueueAway, RateLimited, SystemDown
from workers.http import Http
from workers.limits import Limits
from workers.tokens import KEY, LOCK, ClientCredentials, PersonalToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.processes

DEADLINE_S = 10.0
VAULT = MultiFernet([Fernet(Fernet.generate_key())])


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with Simulator("officernd") as running:
        yield running


@pytest.fixture
def officernd(simulator: Simulator) -> Simulator:
    simulator.control("POST", "reset", {})
    simulator.control("DELETE", "requests")
    return simulator


@pytest.fixture(scope="module")
def http() -> Iterator[Http]:
    with Http(user_agent="capsule-relay/test") as running:
        yield running


@pytest.fixture
def make(officernd: Simulator, store: redis.Redis, http: Http) -> Callable[..., ClientCredentials]:
    """Makes what one process has; each call stands for another process."""

    def build(**changes: Any) -> ClientCredentials:
        options: dict[str, Any] = {
            "http": http,
            "store": store,
            "limits": Limits(store),
            "vault": VAULT,
            "token_url": f"{officernd.url}/oauth/token",
            "client_id": "officernd-client",
            "client_secret": "officernd-secret",
            "scopes": SCOPES,
        }
        return ClientCredentials("acme", **(options | changes))

    return build


def fetched(simulator: Simulator) -> int:
    return int(simulator.control("GET", "counts").get("POST /oauth/token", 0))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


def test_all_processes_and_threads_share_one_token_fetched_once(
    make: Callable[..., ClientCredentials], officernd: Simulator
) -> None:
    processes = [make() for _ in range(4)]

    with ThreadPoolExecutor(16) as threads:
        tokens = set(threads.map(lambda n: processes[n % 4].bearer(), range(64)))

    assert len(tokens) == 1
    assert fetched(officernd) == 1


def test_the_token_in_redis_is_encrypted(make: Callable[..., ClientCredentials], store: redis.Redis) -> None:
    token = make().bearer()

    dump = store.dump(KEY)
    assert dump
    assert token.encode() not in dump
    assert b"officernd-secret" not in dump


def test_a_token_written_with_an_older_key_is_still_read(make: Callable[..., ClientCredentials], officernd: Simulator) -> None:
    old, new = Fernet(Fernet.generate_key()), Fernet(Fernet.generate_key())
    token = make(vault=MultiFernet([old])).bearer()

    assert make(vault=MultiFernet([new, old])).bearer() == token
    assert make(vault=MultiFernet([new])).bearer() != token, "without the key there is no way but a new one"
    assert fetched(officernd) == 2


def test_the_scopes_asked_for_are_the_least_that_works(make: Callable[..., ClientCredentials], officernd: Simulator) -> None:
    make().bearer()

    request = officernd.control("GET", "requests?since=0")["requests"][-1]
    assert request["route"] == "/oauth/token"
    assert "delete" not in str(request["body"])


def test_a_refused_token_is_replaced_once_for_all(make: Callable[..., ClientCredentials], officernd: Simulator) -> None:
    one, other = make(), make()
    old = one.bearer()
    assert other.bearer() == old

    assert one.refused(old)
    new = one.bearer()
    # The other process is told the same of the same old token: what is in Redis by now is newer and survives.
    assert other.refused(old)

    assert other.bearer() == new != old
    assert fetched(officernd) == 2


def test_a_token_is_renewed_before_it_ends_while_the_others_go_on(
    make: Callable[..., ClientCredentials], officernd: Simulator
) -> None:
    officernd.control("POST", "limits", {"token_seconds": 20})
    tokens = make()
    first = tokens.bearer()
    held = tokens._held
    assert held is not None
    left = held.renew_at - time.monotonic()
    assert 17 < left < 18.1, "a tenth of a short life is left for the renewal"

    # Its time to renew has come, and another process has the lock already.
    tokens._held = None
    tokens._store.set(LOCK + "officernd:acme", "another", px=60_000)
    assert tokens.bearer() == first
    assert fetched(officernd) == 1


def test_an_hour_is_renewed_a_minute_before(make: Callable[..., ClientCredentials]) -> None:
    tokens = make()
    tokens.bearer()
    held = tokens._held
    assert held is not None
    assert 3_530 < held.renew_at - time.monotonic() < 3_541
    assert held.expires_at - held.renew_at == pytest.approx(60, abs=0.01)


def test_a_token_that_has_ended_is_not_used(make: Callable[..., ClientCredentials], officernd: Simulator) -> None:
    officernd.control("POST", "limits", {"token_seconds": 1})
    tokens = make()
    first = tokens.bearer()

    until(lambda: tokens.bearer() != first)

    assert fetched(officernd) == 2


def test_a_renewal_that_fails_leaves_the_token_that_is_still_good(
    make: Callable[..., ClientCredentials], officernd: Simulator
) -> None:
    officernd.control("POST", "limits", {"token_seconds": 600})
    tokens = make()
    first = tokens.bearer()
    officernd.control("POST", "faults", {"route": "POST /oauth/token", "kind": "status", "status": 503, "count": None})
    held = tokens._held
    assert held is not None

    assert tokens._renew(b"mark", held) == first


def test_changed_credentials_do_not_find_the_old_token(make: Callable[..., ClientCredentials], officernd: Simulator) -> None:
    first = make().bearer()
    fewer = make(scopes=SCOPES[:3])

    assert fewer.bearer() != first
    assert fetched(officernd) == 2


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"scopes": (*SCOPES, "flex.billing.fees.read")}, "invalid_scope"),
    ],
    ids=["a wrong secret", "a scope that is not granted"],
)
def test_refused_credentials_are_told_with_what_to_check(
    make: Callable[..., ClientCredentials], changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(CredentialsRefused, match=word) as caught:
        make(**changes).bearer()

    assert "flex.community.members.create" in caught.value.advice
    assert "officernd-secret" not in str(caught.value) + caught.value.advice + caught.value.answer


def test_the_token_endpoint_is_asked_at_most_five_times_a_minute(
    make: Callable[..., ClientCredentials], officernd: Simulator
) -> None:
    tokens = make()
    for _ in range(5):
        tokens.refused(tokens.bearer())

    with pytest.raises(RateLimited) as caught:
        tokens.bearer()

    assert 0 < caught.value.wait_ms <= 60_000
    assert fetched(officernd) == 5


def test_however_many_wait_for_the_token_endpoint_none_waits_beyond_its_minute(make: Callable[..., ClientCredentials]) -> None:
    tokens = make()
    for _ in range(5):
        tokens.refused(tokens.bearer())

    waits = []
    for _ in range(50):
        with pytest.raises(RateLimited) as caught:
            tokens.bearer()
        waits.append(caught.value.wait_ms)

    assert min(waits) > 0
    assert max(waits) <= 60_000


def test_a_429_of_the_token_endpoint_holds_everybody_back(make: Callable[..., ClientCredentials], officernd: Simulator) -> None:
    officernd.control("POST", "limits", {"token_minute": 0})

    for _ in range(3):
        with pytest.raises(RateLimited):
            make().bearer()

    assert fetched(officernd) == 1


@pytest.mark.parametrize(
    "fault",
    [{"kind": "status", "status": 503}, {"kind": "html"}, {"kind": "html", "status": 200}, {"kind": "cut"}, {"kind": "lost"}],
    ids=["503", "a gateway's page", "a page with 200", "cut", "answer lost"],
)
def test_an_identity_server_that_fails_has_written_nothing_anywhere(
    make: Callable[..., ClientCredentials], officernd: Simulator, fault: dict[str, Any]
) -> None:
    officernd.control("POST", "faults", {"route": "POST /oauth/token", **fault})
    tokens = make()

    with pytest.raises(SystemDown):
        tokens.bearer()

    assert tokens.bearer(), "the lock was given back"


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"access_token": 5}', b'{"access_token": "a\\r\\nX-Evil: 1"}'])
def test_an_answer_without_a_usable_token_is_refused(make: Callable[..., ClientCredentials], body: bytes) -> None:
    with Peer(lambda link, _: link.sendall(answer(body))) as peer, pytest.raises(SystemDown, match="no token"):
        make(token_url=peer.url).bearer()


def test_a_lifetime_that_is_not_told_is_an_hour(make: Callable[..., ClientCredentials]) -> None:
    with Peer(lambda link, _: link.sendall(answer(b'{"access_token": "0123456789abcdef"}'))) as peer:
        tokens = make(token_url=peer.url)
        assert tokens.bearer() == "0123456789abcdef"
    assert tokens._held is not None
    assert tokens._held.expires_at - time.monotonic() > 3_500


def test_who_waits_for_another_process_keeps_its_lease_alive_and_gets_its_token(
    make: Callable[..., ClientCredentials], store: redis.Redis, officernd: Simulator
) -> None:
    store.set(LOCK + "officernd:acme", "another", px=60_000)
    beats: list[float] = []
    waiting = make()
    with ThreadPoolExecutor(1) as threads:
        answered = threads.submit(waiting.bearer, lambda: beats.append(time.monotonic()))
        until(lambda: len(beats) > 3)
        store.delete(LOCK + "officernd:acme")
        assert answered.result(DEADLINE_S)
    assert fetched(officernd) == 1


def test_a_lost_lease_ends_the_wait_for_a_token(make: Callable[..., ClientCredentials], store: redis.Redis) -> None:
    store.set(LOCK + "officernd:acme", "another", px=60_000)

    def lost() -> None:
        raise LeaseLost("another has it")

    with pytest.raises(LeaseLost):
        make().bearer(lost)


def test_a_process_that_died_with_the_lock_holds_nobody_for_ever(
    make: Callable[..., ClientCredentials], store: redis.Redis
) -> None:
    store.set(LOCK + "officernd:acme", "a dead one", px=300)

    assert make().bearer()


def test_a_process_that_is_slow_with_the_lock_holds_others_only_so_long(
    make: Callable[..., ClientCredentials], store: redis.Redis
) -> None:
    store.set(LOCK + "officernd:acme", "a slow one", px=60_000)

    with pytest.raises(SystemDown, match="another process"):
        make(max_wait_s=0.2).bearer()


def test_without_redis_the_queue_is_away(make: Callable[..., ClientCredentials]) -> None:
    nobody = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2, retry=Retry(NoBackoff(), 0))

    with pytest.raises(QueueAway):
        make(store=nobody).bearer()
    nobody.close()


def test_a_personal_token_is_what_it_is_and_does_not_show_itself() -> None:
    token = PersonalToken("capsule-token")

    assert token.bearer(threading.Event().set) == "capsule-token"
    assert token.refused("capsule-token") is False
    assert "capsule-token" not in repr(token)
