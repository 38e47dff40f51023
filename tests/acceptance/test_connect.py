"""An account is connected by OAuth through the console, and the relay subscribes its hooks itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.acceptance.browser import chromium
from tests.acceptance.harness import EVENTS, NAME, until
from tests.acceptance.signing_in import OAuthSystem, member
from workers.ledger import Vault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OAuthSystem]:
    with OAuthSystem(tmp_path_factory.mktemp("oauth")) as running:
        yield running


def test_connected_in_chromium_an_edit_arrives_by_a_hook_that_the_relay_subscribed(tmp_path: Path) -> None:
    with chromium() as browser, OAuthSystem(tmp_path) as system:
        number = given_a_member_and_nobody_signed_in(system)

        # When the link is opened in the browser, which Capsule sends back to the console
        browser.get(system.link())

        # Then its page says so, and follows what comes after by itself
        assert browser.current_url.startswith(f"{system.console}/connections/{NAME}")
        assert "Connected to Capsule" in browser.page_source
        until(lambda: "every record was looked at" in browser.page_source, "the page shows the end of the first sync", seconds=40)
        assert "all there" in browser.page_source
        by_hooks_that_the_relay_subscribed_an_edit_arrives(system, number)
        print(
            f"{browser.capabilities['browserName']} {browser.capabilities['browserVersion']}: connected, edit arrived by a hook"
        )


def test_connected_by_following_the_redirects_an_edit_arrives_by_a_hook_that_the_relay_subscribed(tmp_path: Path) -> None:
    with OAuthSystem(tmp_path) as system:
        number = given_a_member_and_nobody_signed_in(system)
        page = system.connect()
        assert "Connected to Capsule" in page
        by_hooks_that_the_relay_subscribed_an_edit_arrives(system, number)
        page = httpx.get(f"{system.console}/connections/{NAME}", trust_env=False).text
        assert "every record was looked at" in page
        assert "all there" in page


def given_a_member_and_nobody_signed_in(system: OAuthSystem) -> int:
    """The connection is paused, with what to do."""
    number = member(system, firstName="Ada", lastName="Before", emailAddresses=[{"address": "ada@example.com"}])
    until(lambda: "reconnect" in system.paused(), "the pause says that it must be connected")
    assert "capsule-relay connect acme" in system.run("status").stdout
    return number


def by_hooks_that_the_relay_subscribed_an_edit_arrives(system: OAuthSystem, number: int) -> None:
    """The hooks are there, the first sync brings the member over, an edit follows, and the log opens nothing."""
    url = system.hook_url()
    until(lambda: system.hook_events() == sorted((event, url) for event in EVENTS), "the eight hooks")
    until(lambda: system.linked("members", number), "the first sync")
    until(system.idle, "nothing is open")
    assert system.paused() == ""
    system.edit(number, lastName="After")
    until(lambda: (system.linked("members", number) or {})["name"] == "Ada After", "the edit arrives")
    assert system.run("hooks", NAME, "list").returncode == 0
    # And nothing that opens anything stands in the log
    with system.store() as store:
        sealed = store.hget("relay:tokens", f"capsule:{NAME}")
    assert isinstance(sealed, bytes)
    tokens = Vault((system.secret,)).open(sealed.partition(b" ")[2])
    said = system.log()
    for secret in (tokens["access"], tokens["refresh"], "capsule-secret", url.rpartition("/")[2], "code=", "state="):
        assert secret not in said


def test_check_live_asks_with_the_sign_in_and_says_what_to_do_without_one(tmp_path: Path) -> None:
    with OAuthSystem(tmp_path) as system:
        until(lambda: "reconnect" in system.paused(), "nobody is signed in")
        before = system.run("check", "--live", "--json")
        unasked = [one["unasked"] for one in json.loads(before.stdout)["asked"] if one["side"] == "Capsule"]
        assert before.returncode == 2, before.stdout
        assert "nobody has signed in" in unasked[0]

        assert "Connected to Capsule" in system.connect()
        after = system.run("check", "--live", "--json")
        assert after.returncode == 0, after.stdout
        (capsule,) = [one for one in json.loads(after.stdout)["asked"] if one["side"] == "Capsule"]
        assert not capsule["unasked"]
        assert capsule["facts"]["milestones"] > 0
        assert system.paused() == ""


def test_a_link_is_good_once(system: OAuthSystem) -> None:
    link = system.link()
    with httpx.Client(trust_env=False) as client:
        assert client.head(link).status_code == 405, "a preview does not use it up"
        first, second = client.get(link), client.get(link)
    assert first.status_code == 303
    assert first.headers["location"].startswith(f"{system.capsule.url}/oauth/authorise?")
    assert "code_challenge_method=S256" in first.headers["location"]
    assert second.status_code == 400
    assert "used before" in second.text
    assert httpx.get(f"{link}x", trust_env=False).status_code == 400


def test_the_way_back_is_for_the_browser_that_left_and_good_once(system: OAuthSystem) -> None:
    with httpx.Client(trust_env=False) as client, httpx.Client(trust_env=False) as another:
        departure = client.get(system.link())
        back = client.get(departure.headers["location"]).headers["location"]
        stolen = another.get(back)
        assert stolen.status_code == 400
        assert "another browser" in stolen.text
        # The state is used up by the attempt, so nobody can go on with it.
        assert client.get(back).status_code == 400


def test_a_refusal_at_capsule_is_told_with_what_to_do(system: OAuthSystem) -> None:
    with httpx.Client(trust_env=False) as client:
        departure = client.get(system.link())
        state = httpx.URL(departure.headers["location"]).params["state"]
        page = client.get(f"{system.console}/oauth/callback?error=access_denied&state={state}")
    assert page.status_code == 400
    assert "declined" in page.text
    assert "capsule-relay connect acme" in page.text


def test_every_page_has_security_headers_and_another_host_name_is_refused(system: OAuthSystem) -> None:
    until(system.console_ready, "the console is ready")
    for path in ("/", f"/connections/{NAME}", "/connections/nobody", "/nowhere", "/connect/x", "/oauth/callback"):
        headers = httpx.get(f"{system.console}{path}", trust_env=False).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
    assert httpx.get(f"{system.console}/", headers={"host": "evil.example"}, trust_env=False).status_code == 400


def test_disconnecting_takes_hooks_and_tokens_away_and_connecting_brings_them_back(system: OAuthSystem) -> None:
    assert "Connected to Capsule" in system.connect()
    until(lambda: len(system.hook_events()) == len(EVENTS), "the hooks")
    done = system.run("disconnect", NAME)
    assert done.returncode == 0, done.stderr
    assert system.hook_events() == []
    assert "reconnect" in system.paused()
    with system.store() as store:
        assert not store.hexists("relay:tokens", f"capsule:{NAME}")
    assert "Connected to Capsule" in system.connect()
    until(lambda: len(system.hook_events()) == len(EVENTS), "the hooks are back")
    assert system.paused() == ""
