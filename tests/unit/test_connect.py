"""The one-time link and the way back: what is refused, and that the pages hold nothing that could do harm."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from mapping.keys import is_signed, signature
from workers import overview
from workers.console import frame as frames
from workers.console import status_pages
from workers.console.frame import Frame
from workers.errors import Misconfigured
from workers.flows import connect
from workers.services import Services, build
from workers.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import redis

    from workers.embedded import EmbeddedServer

OLD, NEW = "o" * 32, "n" * 32
RULES = """
[connections.acme]
downstream = "unified"
[connections.b]
downstream = "unified"
[connections.b.capsule]
auth = "token"
"""


@pytest.fixture
def make(tmp_path: Path, server: EmbeddedServer, store: redis.Redis) -> Callable[[str], Services]:
    """The services of a process with these secret keys."""
    del store  # emptied
    (tmp_path / "relay.toml").write_text(RULES, encoding="utf-8")

    def one(keys: str) -> Services:
        environ = {
            "RELAY_CONFIG": str(tmp_path / "relay.toml"),
            "RELAY_SECRET_KEY": keys,
            "REDIS_URL": server.url,
            "RELAY_CONSOLE_URL": "https://console.example",
            "RELAY_ACME_CAPSULE_CLIENT_ID": "id",
            "RELAY_ACME_CAPSULE_CLIENT_SECRET": "secret",
            "RELAY_B_CAPSULE_TOKEN": "token",
        }
        return build(load(environ))

    return one


def ticket(services: Services, owner: str = "acme", *, now_s: float | None = None) -> str:
    link = connect.link(services.settings, owner, now_s=time.time() if now_s is None else now_s)
    assert link.startswith("https://console.example/connect/")
    return link.rpartition("/")[2]


def test_a_signature_is_for_its_use_and_its_text_alone() -> None:
    made = signature(NEW, "link", "text")
    assert is_signed((OLD, NEW), "link", "text", made)
    assert not is_signed((OLD,), "link", "text", made)
    assert not is_signed((NEW,), "state", "text", made)
    assert not is_signed((NEW,), "link", "texts", made)
    assert not is_signed((NEW,), "link", "text", "é")


def test_a_link_leads_to_capsule_with_a_state_and_a_challenge(make: Callable[[str], Services]) -> None:
    services = make(NEW)
    departure = connect.begin(services, ticket(services))
    parts = urlsplit(departure.url)
    query = parse_qs(parts.query)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://api.capsulecrm.com/oauth/authorise"
    assert query["redirect_uri"] == ["https://console.example/oauth/callback"]
    assert "secret" not in departure.url
    assert departure.mark not in departure.url
    # Good once: whatever comes of it, the state is used up.
    assert connect.give_up(services, state=query["state"][0], mark=departure.mark) == "acme"
    with pytest.raises(connect.LinkRefused, match="finished before"):
        connect.give_up(services, state=query["state"][0], mark=departure.mark)


def test_a_link_made_with_an_older_key_is_good_while_that_is_listed(make: Callable[[str], Services]) -> None:
    old = ticket(make(OLD))
    assert connect.begin(make(f"{NEW},{OLD}"), old).url
    with pytest.raises(connect.LinkRefused, match="not one of ours"):
        connect.begin(make(NEW), ticket(make(OLD)))


def test_a_link_is_good_once_even_in_another_process(make: Callable[[str], Services]) -> None:
    one, other = make(NEW), make(NEW)
    made = ticket(one)
    connect.begin(one, made)
    with pytest.raises(connect.LinkRefused, match="used before"):
        connect.begin(other, made)


def test_a_link_is_good_for_a_quarter_of_an_hour(make: Callable[[str], Services]) -> None:
    services = make(NEW)
    assert connect.begin(services, ticket(services, now_s=time.time() - 14 * 60)).url
    with pytest.raises(connect.LinkRefused, match="older than a quarter"):
        connect.begin(services, ticket(services, now_s=time.time() - 16 * 60))


@pytest.mark.parametrize("given", ["", ".", "acme", "acme.9999999999.nonce", "acme.9999999999.nonce.sig", "é.1.2.3"])
def test_what_is_no_link_of_ours_is_refused(make: Callable[[str], Services], given: str) -> None:
    with pytest.raises(connect.LinkRefused):
        connect.begin(make(NEW), given)


def test_another_browser_cannot_bring_the_state_back(make: Callable[[str], Services]) -> None:
    services = make(NEW)
    departure = connect.begin(services, ticket(services))
    state = parse_qs(urlsplit(departure.url).query)["state"][0]
    with pytest.raises(connect.LinkRefused, match="another browser"):
        connect.finish(services, state=state, code="code", mark="")


def test_a_connection_with_a_personal_token_is_not_connected(make: Callable[[str], Services]) -> None:
    services = make(NEW)
    with pytest.raises(Misconfigured, match="personal token"):
        connect.begin(services, ticket(services, "b"))


def test_nothing_of_a_sign_in_under_way_can_be_read_in_redis(make: Callable[[str], Services], store: redis.Redis) -> None:
    services = make(NEW)
    departure = connect.begin(services, ticket(services))
    state = parse_qs(urlsplit(departure.url).query)["state"][0]
    for name in store.scan_iter("relay:connect*"):
        assert state.split(".")[0].encode() not in name
        assert departure.mark.encode() not in (store.get(name) or b"")
        assert 0 < store.ttl(name) <= connect.LINK_SECONDS + 60


def test_what_comes_from_elsewhere_is_escaped(make: Callable[[str], Services]) -> None:
    services = make(NEW)
    services.agenda.pause("b", reason="<script>alert(1)</script>")
    services.redis.hset("relay:hooks-trouble", "acme", "<img src=x>")
    services.redis.hset("relay:held:acme", "party|1", "<script>code</script>")
    found = overview.read(services.redis, services.connections)
    frame = Frame(who="<script>who</script>", token='"><script>')
    page = status_pages.home(found, frame) + status_pages.connection(found.connections[0], {"sync": "<script>"}, frame)
    page += frames.message("<script>", "<script>", "<script>", frame=frame)
    assert "alert(1)" in page
    for tag in ("<script", "<img"):
        assert tag not in page


def test_a_page_asks_for_itself_sooner_while_something_is_under_way(make: Callable[[str], Services]) -> None:
    services = make(NEW)

    def refresh() -> str:
        found = overview.read(services.redis, services.connections)
        page = status_pages.connection(found.connections[1], {}, Frame())
        return page.partition('http-equiv="refresh" content="')[2].partition('"')[0]

    assert refresh() == "2", "the first sync is to come"
    services.redis.hset("relay:synced", "b", 1)
    assert refresh() == "10"


def test_no_page_is_served_to_a_frame_or_with_a_script() -> None:
    policy = frames.headers(secure=True)["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "strict-transport-security" not in frames.headers(secure=False)
