"""The console's door: who may come in, what a form must carry, and how often a password may be tried."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from mapping.agenda import LETTERS
from mapping.keys import signature
from tests.acceptance.harness import until
from workers.console.app import build
from workers.console.passwords import MOST_OF_ALL, MOST_OF_ONE, TRIES, kept, make_hash, matches
from workers.console_settings import parse_hash
from workers.services import build as build_services
from workers.settings import SettingsInvalid, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import redis

    from workers.embedded import EmbeddedServer
    from workers.services import Services

    Open = Callable[..., "Visitor"]

PASSWORD = "correct horse battery"
SECRET = "s" * 32
RULES = """
[connections.acme]
downstream = "unified"
[connections.acme.capsule]
auth = "token"
"""
EVERYWHERE = "0.0.0.0"  # noqa: S104 - a setting under test, not bound
OWN = "http://127.0.0.1:8081"


class Visitor:
    """A browser with cookies before the application itself, without a server between."""

    def __init__(self, app: Any, peer: str) -> None:
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(peer, 50_000))
        self.cookies = httpx.Cookies()

    def _ask(self, method: str, path: str, **rest: Any) -> httpx.Response:
        async def once() -> httpx.Response:
            async with httpx.AsyncClient(transport=self._transport, base_url=OWN, cookies=self.cookies) as client:
                answer = await client.request(method, path, **rest)
                self.cookies = client.cookies
                return answer

        return asyncio.run(once())

    def get(self, path: str, **rest: Any) -> httpx.Response:
        return self._ask("GET", path, **rest)

    def post(self, path: str, **rest: Any) -> httpx.Response:
        return self._ask("POST", path, **rest)

    def put(self, path: str) -> httpx.Response:
        return self._ask("PUT", path)


@pytest.fixture
def console(tmp_path: Path, server: EmbeddedServer, store: redis.Redis) -> Iterator[Open]:
    """A console with these variables; `peer` is the address that its requests come from."""
    del store  # emptied
    (tmp_path / "relay.toml").write_text(RULES, encoding="utf-8")

    def one(*, peer: str = "127.0.0.1", url: str = server.url, **variables: str) -> Visitor:
        environ = {
            "RELAY_CONFIG": str(tmp_path / "relay.toml"),
            "RELAY_SECRET_KEY": SECRET,
            "RELAY_ACME_CAPSULE_TOKEN": "token",
            "REDIS_URL": url,
        } | variables
        services = build_services(load(environ))
        opened.append(services)
        return Visitor(build(services), peer)

    opened: list[Services] = []
    yield one
    for services in opened:
        services.close()


def token(page: str) -> str:
    found = re.search(r'name="token" value="([^"]+)"', page)
    assert found is not None, page
    return found[1]


def sign_in(client: Visitor, password: str = PASSWORD, next_: str = "") -> Any:
    page = client.get(f"/login?next={next_}").text
    named = re.search(r'name="next" value="([^"]*)"', page)
    assert named is not None
    return client.post("/login", data={"password": password, "token": token(page), "next": named[1]})


# ---------------------------------------------------------------- without a sign-in
def test_without_a_password_the_status_is_shown_and_nothing_can_be_changed(console: Open) -> None:
    client = console()
    page = client.get("/")
    assert page.status_code == 200
    assert "changes nothing" in page.text
    refused = client.post("/logout", data={"token": "x"})
    assert refused.status_code == 403
    assert "RELAY_CONSOLE_PASSWORD" in refused.text
    assert client.get("/login").status_code == 404


@pytest.mark.parametrize(
    ("variables", "fault"),
    [
        ({"RELAY_CONSOLE_HOST": EVERYWHERE}, "RELAY_CONSOLE_HOST"),
        ({"RELAY_CONSOLE_PASSWORD": "tiny"}, "RELAY_CONSOLE_PASSWORD"),
        ({"RELAY_CONSOLE_PASSWORD": "scrypt:nonsense"}, "RELAY_CONSOLE_PASSWORD"),
        ({"RELAY_CONSOLE_USER_HEADER": "X-User"}, "RELAY_CONSOLE_TRUSTED_PROXIES"),
        ({"RELAY_CONSOLE_USER_HEADER": "X User", "RELAY_CONSOLE_TRUSTED_PROXIES": "::1"}, "RELAY_CONSOLE_USER_HEADER"),
        ({"RELAY_CONSOLE_TRUSTED_PROXIES": "proxy.example"}, "RELAY_CONSOLE_TRUSTED_PROXIES"),
        ({"RELAY_METRICS_TOKEN": "tiny"}, "RELAY_METRICS_TOKEN"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_would_leave_the_door_open_are_refused(console: Open, variables: dict[str, str], fault: str) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        console(**variables)
    assert [one.path for one in caught.value.faults] == [fault]
    assert variables.get(fault, "-") not in str(caught.value)


def test_with_a_password_it_may_listen_elsewhere(console: Open) -> None:
    assert console(RELAY_CONSOLE_HOST=EVERYWHERE, RELAY_CONSOLE_PASSWORD=PASSWORD).get("/").status_code == 303


# ---------------------------------------------------------------- with a password
def test_whoever_has_not_signed_in_is_sent_to_the_sign_in_and_back(console: Open) -> None:
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
    sent = client.get("/connections/acme")
    assert (sent.status_code, sent.headers["location"]) == (303, "../login?next=connections%2Facme")
    assert "acme" not in client.get("/login").text
    done = sign_in(client, next_="connections%2Facme")
    assert (done.status_code, done.headers["location"]) == (303, "./connections/acme")
    cookie = next(one for one in done.headers.get_list("set-cookie") if one.startswith("relay_session="))
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Max-Age=43200" in cookie
    assert client.get("/connections/acme").status_code == 200


def test_over_https_the_cookie_is_for_https_alone(console: Open) -> None:
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD, RELAY_CONSOLE_URL="https://127.0.0.1/relay")
    page = client.get("/login")
    assert "Secure" in page.headers["set-cookie"]
    assert "Path=/relay" in page.headers["set-cookie"]


@pytest.mark.parametrize(
    "where", ["//evil.example", "https://evil.example", "javascript:alert(1)", "/\\evil.example", "\\\\evil", "../x", "x" * 2000]
)
def test_the_sign_in_leads_to_pages_of_this_console_alone(console: Open, where: str) -> None:
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
    page = client.get("/login").text
    done = client.post("/login", data={"password": PASSWORD, "token": token(page), "next": where})
    assert (done.status_code, done.headers["location"]) == (303, "./")


def test_a_hash_serves_in_place_of_the_password(console: Open) -> None:
    hashed = make_hash(PASSWORD).text
    assert parse_hash(hashed) is not None
    assert matches(kept(hashed), PASSWORD)
    assert not matches(kept(hashed), hashed)
    assert sign_in(console(RELAY_CONSOLE_PASSWORD=hashed)).status_code == 303


def test_a_wrong_password_is_told_and_opens_nothing(console: Open) -> None:
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
    done = sign_in(client, "wrong")
    assert done.status_code == 401
    assert "not the password" in done.text
    assert client.get("/").status_code == 303


def test_signed_out_is_signed_out_for_a_copy_of_the_cookie_too(console: Open) -> None:
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
    sign_in(client)
    copy = client.cookies["relay_session"]
    assert client.post("/logout", data={"token": token(client.get("/").text)}).status_code == 303
    assert client.get("/").status_code == 303
    client.cookies.set("relay_session", copy, domain="127.0.0.1", path="/")
    assert client.get("/").status_code == 303


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda text: text[:-1] + ("A" if text[-1] != "A" else "B"), id="another signature"),
        pytest.param(lambda text: f"{text.split('.')[0]}.{int(time.time()) + 10**6}.{text.split('.')[2]}", id="a later end"),
        pytest.param(lambda _: "x.9999999999." + signature("k" * 32, "console-session", "x.9999999999|"), id="another key"),
        pytest.param(lambda _: "", id="nothing"),
        pytest.param(lambda _: "a.b.c.d", id="nonsense"),
        pytest.param(lambda _: "\u00e9.1.\u00e9", id="not ascii"),
    ],
)
def test_a_forged_session_opens_nothing(console: Open, forge: Callable[[str], str]) -> None:
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
    sign_in(client)
    forged = forge(client.cookies["relay_session"]).encode("utf-8")
    client.cookies.clear()
    assert client.get("/", headers=[(b"cookie", b"relay_session=" + forged)]).status_code == 303


def test_a_session_ends_with_its_time_and_with_the_password(console: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
    sign_in(client)
    session = client.cookies["relay_session"]
    another = console(RELAY_CONSOLE_PASSWORD=PASSWORD + "2")
    another.cookies.set("relay_session", session)
    assert another.get("/").status_code == 303
    now = time.time()
    monkeypatch.setattr("workers.console.access.time.time", lambda: now + 12 * 3600 + 1)
    assert client.get("/").status_code == 303


def test_a_session_of_an_older_secret_key_goes_on(console: Open) -> None:
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
    sign_in(client)
    rotated = console(RELAY_CONSOLE_PASSWORD=PASSWORD, RELAY_SECRET_KEY=f"{'n' * 32},{SECRET}")
    rotated.cookies.set("relay_session", client.cookies["relay_session"])
    assert rotated.get("/").status_code == 200


# ---------------------------------------------------------------- forms
@pytest.mark.parametrize("case", ["no token", "a token of another session", "sent by another site"])
def test_a_form_that_is_not_of_this_session_changes_nothing(console: Open, case: str) -> None:
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
    sign_in(client)
    good, headers = token(client.get("/").text), {}
    if case == "a token of another session":
        other = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
        sign_in(other)
        good = token(other.get("/").text)
    elif case == "no token":
        good = ""
    else:
        headers = {"sec-fetch-site": "cross-site"}
    refused = client.post("/logout", data={"token": good}, headers=headers)
    assert refused.status_code == 403
    assert "Nothing was changed" in refused.text
    assert client.get("/").status_code == 200


def test_a_session_that_ends_in_the_middle_of_a_form_says_so_and_leads_back(console: Open) -> None:
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
    answer = client.post("/logout", data={"token": "x", "back": "connections/acme"})
    assert answer.status_code == 401
    assert "session has ended. Nothing was changed" in answer.text
    assert 'name="next" value="connections/acme"' in answer.text


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        pytest.param(b"token=" + b"x" * 20_000, "application/x-www-form-urlencoded", 413, id="huge"),
        pytest.param(b"{}", "application/json", 415, id="JSON"),
        pytest.param(b"", None, 415, id="no kind"),
        pytest.param(b"token=%ff", "application/x-www-form-urlencoded", 400, id="not UTF-8"),
        pytest.param(b"\xff=1", "application/x-www-form-urlencoded", 400, id="not ASCII"),
        pytest.param(b"&".join(b"a=1" for _ in range(60)), "application/x-www-form-urlencoded", 400, id="many fields"),
    ],
)
@pytest.mark.parametrize("path", ["/login", "/logout"])
def test_what_is_no_form_of_ours_is_refused_in_words(
    console: Open, path: str, content: bytes, kind: str | None, status: int
) -> None:
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
    answer = client.post(path, content=content, headers={"content-type": kind} if kind else {})
    assert answer.status_code == status
    assert "Nothing was changed" in answer.text
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


# ---------------------------------------------------------------- tries
def test_after_too_many_tries_not_even_the_right_password_is_compared(console: Open, store: redis.Redis) -> None:
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
    for _ in range(MOST_OF_ONE):
        assert sign_in(client, "wrong").status_code == 401
    refused = sign_in(client)
    assert refused.status_code == 429
    assert "Try again in 15 minutes" in refused.text
    assert 0 < int(refused.headers["retry-after"]) <= 900
    # Somebody else, elsewhere, may still try; and no address stands in Redis.
    assert sign_in(console(peer="192.0.2.7", RELAY_CONSOLE_PASSWORD=PASSWORD)).status_code == 303
    assert all(b"127.0.0.1" not in name for name in store.scan_iter(f"{TRIES}*"))


def test_tries_from_many_places_are_bounded_together(console: Open, store: redis.Redis) -> None:
    store.set(f"{TRIES}all", MOST_OF_ALL, ex=900)
    refused = sign_in(console(RELAY_CONSOLE_PASSWORD=PASSWORD))
    assert refused.status_code == 429
    assert "from several places" in refused.text


def test_addresses_of_one_ipv6_site_count_as_one(console: Open) -> None:
    for number in range(MOST_OF_ONE):
        client = console(peer=f"2001:db8::{number + 1}", RELAY_CONSOLE_PASSWORD=PASSWORD)
        assert sign_in(client, "wrong").status_code == 401
    assert sign_in(console(peer="2001:db8::ffff", RELAY_CONSOLE_PASSWORD=PASSWORD)).status_code == 429


# ---------------------------------------------------------------- behind a proxy
def test_a_proxy_names_the_user_and_others_cannot(console: Open) -> None:
    settings = {"RELAY_CONSOLE_USER_HEADER": "X-Forwarded-User", "RELAY_CONSOLE_TRUSTED_PROXIES": "10.0.0.0/24"}
    named = {"x-forwarded-user": "ada@example.com"}
    page = console(peer="10.0.0.7", **settings).get("/", headers=named)
    assert page.status_code == 200
    assert "ada@example.com" in page.text
    assert console(peer="10.0.0.7", **settings).get("/").status_code == 303
    assert console(peer="10.0.1.7", **settings).get("/", headers=named).status_code == 303
    assert "proxy before this console" in console(peer="10.0.1.7", **settings).get("/login").text


# ---------------------------------------------------------------- dead letters
def buried(store: redis.Redis, *numbers: int) -> None:
    for number in numbers:
        store.hset(LETTERS, f"acme|party|{number}", f'0{{"class":"killer","deaths":3,"seq":{number},"at":1000}}')


def test_dead_letters_are_listed_shown_and_discarded_after_a_count(console: Open, store: redis.Redis) -> None:
    buried(store, 7, 8)
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
    sign_in(client)
    page = client.get("/letters").text
    assert "2 in all" in page
    assert "killer" in page
    letter = re.search(r"\.\./?letters/(r\w+)|letters/(r\w{11})", page)
    assert letter is not None
    shown = client.get(f"/letters/{letter[1] or letter[2]}").text
    assert "acme party" in shown
    asked = client.get("/letters/ask?action=discard&connection=acme&error=killer").text
    assert "Discard: 2 letters" in asked
    # What comes after the count is not meant.
    buried_later = f'0{{"class":"killer","deaths":3,"seq":9,"at":{int(time.time() * 1000) + 60_000}}}'
    store.hset(LETTERS, "acme|party|9", buried_later)
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', asked.partition("letters/do")[2]))
    assert client.post("/letters/do", data=fields).status_code == 303
    ends = time.monotonic() + 10
    while store.hlen(LETTERS) != 1 and time.monotonic() < ends:
        time.sleep(0.02)
    assert store.hkeys(LETTERS) == [b"acme|party|9"]


def test_without_a_sign_in_no_letter_is_touched(console: Open, store: redis.Redis) -> None:
    buried(store, 7)
    client = console()
    page = client.get("/letters").text
    assert "1 in all" in page
    assert "letters/ask" not in page
    assert client.post("/letters/do", data={"action": "discard", "token": "x"}).status_code == 403
    assert store.hlen(LETTERS) == 1


@pytest.mark.parametrize("query", ["action=delete", "action=discard&status=x", "action=replay&before=y", ""])
def test_an_action_or_a_filter_that_there_is_not_is_refused(console: Open, query: str) -> None:
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
    sign_in(client)
    refused = client.get(f"/letters/ask?{query}")
    assert refused.status_code == 400
    assert "Nothing was changed" in refused.text
    assert client.get("/letters/r0000000000").status_code == 404


# ---------------------------------------------------------------- metrics
@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        pytest.param("127.0.0.1", {}, 200, id="from this machine"),
        pytest.param("127.0.0.1", {"x-forwarded-for": "192.0.2.1"}, 401, id="through a proxy on this machine"),
        pytest.param("192.0.2.1", {}, 401, id="from elsewhere"),
        pytest.param("192.0.2.1", {"authorization": "Bearer 0123456789abcdef"}, 200, id="with the token"),
        pytest.param("192.0.2.1", {"authorization": "Bearer wrong"}, 401, id="with a wrong token"),
    ],
)
def test_the_metrics_are_for_this_machine_and_for_who_has_the_token(
    console: Open, peer: str, headers: dict[str, str], status: int
) -> None:
    client = console(peer=peer, RELAY_CONSOLE_PASSWORD=PASSWORD, RELAY_METRICS_TOKEN="0123456789abcdef")
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == status
    assert answer.text.startswith("# HELP") is (status == 200)


def test_a_data_store_that_is_away_is_said_by_every_page_and_by_the_metrics(console: Open) -> None:
    client = console(url="redis://127.0.0.1:1/0")
    page = client.get("/")
    assert page.status_code == 503
    assert "data store does not answer" in page.text
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert "relay_data_store_up 0.0" in answer.text
    assert "relay_records" not in answer.text


def test_another_host_name_is_refused_and_every_answer_has_the_headers(console: Open) -> None:
    client = console()
    assert client.get("/", headers={"host": "evil.example"}).status_code == 400
    for path in ("/", "/connections/nobody", "/nowhere", "/connected/acme", "/metrics", "/live"):
        headers = client.get(path).headers
        assert headers["x-frame-options"] == "DENY", path
        assert headers["cache-control"] == "no-store", path
    assert client.put("/").status_code == 405


def test_the_audit_names_whom_the_proxy_has_signed_in(console: Open, store: redis.Redis) -> None:
    buried(store, 1, 2)
    client = console(RELAY_CONSOLE_USER_HEADER="X-User", RELAY_CONSOLE_TRUSTED_PROXIES="127.0.0.0/8")
    named = {"X-User": "ada@example.com"}
    asked = client.get("/letters/ask?action=discard", headers=named).text
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', asked.partition("letters/do")[2]))
    sent = client.post("/letters/do", data=fields, headers=named)
    assert sent.headers["location"] == "../letters?begun=discard&number=2"
    until(lambda: not store.exists(LETTERS), "both are discarded")
    page = until(
        lambda: (
            page
            if "done (2 discarded)" in (page := client.get(f"/letters/{sent.headers['location']}", headers=named).text)
            else ""
        ),
        "the page says how it ended",
    )
    assert "Begun: 2 letters discarded." in page
    assert "<td>ada@example.com</td>" in page


@pytest.mark.parametrize(
    "query", ["begun=burn&number=2", "begun=replay&number=<b>", "begun=replay&number=", f"begun=replay&number={'9' * 40}"]
)
def test_what_an_address_claims_to_have_begun_is_not_repeated(console: Open, query: str) -> None:
    page = console().get(f"/letters?{query}").text
    assert "Begun" not in page
    assert "<b>" not in page


# ---------------------------------------------------------------- records
RECORDS = "/connections/acme/records"


def test_a_record_is_explained_to_nobody_who_has_not_signed_in(console: Open) -> None:
    for client in (console(), console(peer="127.0.0.2")):
        for path in (RECORDS, f"{RECORDS}/person/5"):
            refused = client.get(path)
            assert refused.status_code == 403
            assert "RELAY_CONSOLE_PASSWORD" in refused.text
    asked = console(RELAY_CONSOLE_PASSWORD=PASSWORD).get(f"{RECORDS}/person/5")
    assert asked.status_code == 303
    assert asked.headers["location"].startswith("../../../../login?next=connections%2Facme")


def test_the_form_leads_to_the_record_s_page(console: Open) -> None:
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
    sign_in(client)
    page = client.get(RECORDS).text
    assert 'name="kind"' in page
    assert 'http-equiv="refresh"' not in page
    sent = client.get(f"{RECORDS}?kind=person&id=5")
    assert (sent.status_code, sent.headers["location"]) == (303, "../../connections/acme/records/person/5")
    strange = client.get(f"{RECORDS}?kind=a/../b&id=%3Cscript%3E")
    assert strange.headers["location"] == "../../connections/acme/records/a%2F..%2Fb/%3Cscript%3E"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("acme/records/desk/5", "no kind of record"),
        ("acme/records/person/0", "no id"),
        ("acme/records/person/%3Cscript%3E", "no id"),
        ("nobody/records/person/5", "no connection nobody"),
        ("nobody/records", "no connection nobody"),
    ],
    ids=lambda value: value,
)
def test_what_cannot_be_explained_is_not_found(console: Open, path: str, says: str) -> None:
    client = console(RELAY_CONSOLE_PASSWORD=PASSWORD)
    sign_in(client)
    answer = client.get(f"/connections/{path}")
    assert answer.status_code == 404
    assert says in answer.text
    assert "<script" not in answer.text
