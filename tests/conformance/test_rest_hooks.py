"""Managing hooks at Capsule, against the simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.simulators.run import Simulator
from workers.capsule.hooks import RestHooks
from workers.errors import CredentialsRefused, Misconfigured, RateLimited, Refused, SystemDown
from workers.http import Http
from workers.limits import Limits
from workers.tokens import PersonalToken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

pytestmark = pytest.mark.processes

URL = "https://relay.example/hooks/capsule/acme/x"


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
def make(capsule: Simulator, store: redis.Redis) -> Iterator[Callable[[str], RestHooks]]:
    """The hooks as the holder of a bearer token sees them."""
    with Http(user_agent="capsule-relay/test") as http:
        yield lambda token: RestHooks("acme", http, Limits(store), PersonalToken(token), api_url=f"{capsule.url}/api/v2")


@pytest.fixture
def hooks(make: Callable[[str], RestHooks], capsule: Simulator) -> RestHooks:
    return make(str(capsule.control("POST", "tokens", {})["access_token"]))


@pytest.mark.parametrize("shape", ["minimal", "full"])
def test_what_is_subscribed_is_listed_until_it_is_taken_away(hooks: RestHooks, capsule: Simulator, shape: str) -> None:
    capsule.control("POST", "switches", {"hook_shape": shape})
    number = hooks.subscribe("party/created", URL, embed="tags,fields")
    another = hooks.subscribe("party/updated", URL)
    assert [(hook.id, hook.event, hook.url, hook.embed) for hook in hooks.list()] == [
        (number, "party/created", URL, "tags,fields"),
        (another, "party/updated", URL, ""),
    ]
    hooks.unsubscribe(number)
    hooks.unsubscribe(number)  # gone already: no mistake
    assert [hook.id for hook in hooks.list()] == [another]


@pytest.mark.parametrize(("status", "error"), [("403", Misconfigured), ("401", CredentialsRefused)])
def test_a_personal_token_may_not(
    make: Callable[[str], RestHooks], capsule: Simulator, status: str, error: type[Exception]
) -> None:
    capsule.control("POST", "switches", {"pat_hooks": status})
    with pytest.raises(error):
        make("capsule-token").list()


def test_at_the_limit_it_is_said_what_to_do(hooks: RestHooks, capsule: Simulator) -> None:
    capsule.control("POST", "hooks", [{"event": "party/created", "targetUrl": URL, "application": "another"}] * 20)
    with pytest.raises(Refused) as refused:
        hooks.subscribe("party/created", URL)
    assert "at most 20 hooks" in refused.value.advice
    assert hooks.list() == (), "others' are not to be seen"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        pytest.param({"kind": "status", "status": 500}, SystemDown, id="a fault of Capsule's"),
        pytest.param({"kind": "status", "status": 429}, RateLimited, id="the limit"),
        pytest.param({"kind": "status", "status": 301}, SystemDown, id="a redirect"),
        pytest.param({"kind": "status", "status": 200, "body": {"x": 1}}, SystemDown, id="no list"),
    ],
)
def test_what_goes_wrong_is_told_apart(
    hooks: RestHooks, capsule: Simulator, fault: dict[str, object], error: type[Exception]
) -> None:
    capsule.control("POST", "faults", {"route": "GET /resthooks", "count": 1, **fault})
    with pytest.raises(error):
        hooks.list()
