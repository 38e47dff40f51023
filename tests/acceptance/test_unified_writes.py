"""Writing through the unified API and the proxy: keys, lost answers, marks of our own writes, tokens (issue 8)."""

from __future__ import annotations

import http.client
import threading
from typing import TYPE_CHECKING, Any

import pytest
import redis

from mapping.unified import deals, entries
from mapping.unified.deliveries import digest
from mapping.unified.parts import Definitions
from tests.acceptance.test_unified_api import capsule
from tests.acceptance.unified_desk import SECRET, UnifiedDesk
from workers.ledger import Vault
from workers.unified_tokens import AUDIT, TOKENS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from workers.embedded import EmbeddedServer

pytestmark = pytest.mark.processes
ADA = {"first_name": "Ada", "last_name": "Keyed", "email_addresses": [{"email": "ada@keyed.example"}]}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, server: EmbeddedServer) -> Iterator[UnifiedDesk]:
    """A small account; a call may take two seconds."""
    with redis.Redis.from_url(server.url) as store:
        store.flushall()
    directory = tmp_path_factory.mktemp("unified-writes")
    with UnifiedDesk(directory, server.url, call_deadline="2", organisations=3, people=3) as running:
        yield running


@pytest.fixture
def shop(desk: UnifiedDesk) -> Iterator[redis.Redis]:
    """The data store; faults that a test left are taken back."""
    with redis.Redis.from_url(desk.redis_url) as client:
        yield client
    desk.capsule.control("DELETE", "faults")


def text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw


def people_named(desk: UnifiedDesk, last_name: str) -> list[dict[str, Any]]:
    listed = capsule(desk, "GET", "parties?perPage=100")["parties"]
    return [one for one in listed if one.get("lastName") == last_name]


def post(desk: UnifiedDesk, body: dict[str, Any], key: str, *, connection: str = "acme") -> httpx.Response:
    headers = {"Idempotency-Key": key, "X-Connection": connection}
    return desk.product("write", "acme", "other").ask("POST", "/unified/crm/contacts", json=body, headers=headers)


# Idempotency keys ------------------------------------------------------------------------------------------------------


def test_the_same_request_with_the_same_key_is_answered_and_not_done_again(desk: UnifiedDesk, shop: redis.Redis) -> None:
    first, second = post(desk, ADA, "key-1"), post(desk, ADA, "key-1")
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.content == first.content
    assert second.headers["idempotency-replayed"] == "true"
    assert len(people_named(desk, "Keyed")) == 1
    kept = repr(shop.hgetall("relay:idempotency:acme"))
    assert "key-1" not in kept
    assert "keyed.example" not in kept
    assert shop.zcard("relay:idempotency-ends:acme") > 0


def test_the_same_key_with_another_body_is_refused(desk: UnifiedDesk) -> None:
    assert post(desk, {**ADA, "last_name": "Second"}, "key-2").status_code == 201
    assert post(desk, {**ADA, "last_name": "Third"}, "key-2").status_code == 422
    assert people_named(desk, "Third") == []


def test_a_key_belongs_to_its_connection(desk: UnifiedDesk) -> None:
    assert post(desk, {**ADA, "last_name": "Owned"}, "key-3").status_code == 201
    assert post(desk, {**ADA, "last_name": "Owned"}, "key-3", connection="other").status_code == 201
    assert len(people_named(desk, "Owned")) == 2


def test_a_refusal_does_not_use_a_key_up(desk: UnifiedDesk) -> None:
    wrong = {**ADA, "last_name": "Mended", "addresses": [{"city": "Leeds", "country": "Britain"}]}
    refused = post(desk, wrong, "key-4")
    assert refused.status_code == 422
    assert refused.json()["raw_response"]["errors"][0]["message"] == "address.country: unknown country"
    right = {**wrong, "addresses": [{"city": "Leeds", "country": "United Kingdom"}]}
    assert post(desk, right, "key-4").status_code == 201


def test_of_two_requests_with_one_key_at_once_one_is_done(desk: UnifiedDesk) -> None:
    desk.capsule.control("POST", "faults", {"route": "POST /parties", "kind": "slow", "seconds": 1, "count": 1})
    answers: list[httpx.Response] = []
    body = {**ADA, "last_name": "Crowd"}
    threads = [threading.Thread(target=lambda: answers.append(post(desk, body, "key-5"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(one.status_code for one in answers) == [201, 409, 409, 409]
    assert all(int(one.headers["retry-after"]) for one in answers if one.status_code == 409)
    assert len(people_named(desk, "Crowd")) == 1


def test_a_creation_whose_answer_was_lost_is_found_and_not_made_twice(desk: UnifiedDesk) -> None:
    body = {**ADA, "last_name": "Lost", "tags": ["one", "two"]}
    desk.capsule.control("POST", "faults", {"route": "POST /parties", "kind": "lost", "count": 1})
    first = post(desk, body, "key-6")
    assert first.status_code == 504
    assert "Idempotency-Key" in first.json()["message"]
    again = post(desk, body, "key-6")
    assert again.status_code == 201, again.text
    (held,) = people_named(desk, "Lost")
    assert again.json()["id"] == str(held["id"])


def test_a_creation_that_was_cut_off_is_made_once_it_cannot_land_any_more(desk: UnifiedDesk, shop: redis.Redis) -> None:
    body = {**ADA, "last_name": "Cut"}
    desk.capsule.control("POST", "faults", {"route": "POST /parties", "kind": "cut", "count": 1})
    assert post(desk, body, "key-7").status_code == 504
    waits = post(desk, body, "key-7")
    assert waits.status_code == 409
    assert 0 < int(waits.headers["retry-after"]) <= 30
    assert people_named(desk, "Cut") == []
    for field, value in shop.hgetall("relay:idempotency:acme").items():
        state, digest_, since, at, rest = text(value).split(" ", 4)
        if state == "unclear":  # half a minute later
            shop.hset("relay:idempotency:acme", field, f"unclear {digest_} {since} {int(at) - 31_000} {rest}")
    assert post(desk, body, "key-7").status_code == 201
    assert len(people_named(desk, "Cut")) == 1


def test_a_change_whose_answer_was_lost_is_looked_at_and_applied_once(desk: UnifiedDesk) -> None:
    product = desk.product()
    made = product.ask("POST", "/unified/crm/contacts", json={**ADA, "last_name": "Patched"}).json()
    desk.capsule.control("POST", "faults", {"route": "PUT /parties/{id}", "kind": "lost", "count": 1})
    path = f"/unified/crm/contacts/{made['id']}"
    answer = product.ask("PATCH", path, json={"phone_numbers": [{"number": "+44 1"}]})
    assert answer.status_code == 200, answer.text
    assert [one["number"] for one in desk.party(made["id"])["phoneNumbers"]] == ["+44 1"]
    desk.capsule.control("POST", "faults", {"route": "PUT /parties/{id}", "kind": "cut", "count": 1})
    assert product.ask("PATCH", path, json={"phone_numbers": [{"number": "+44 2"}]}).status_code == 504
    assert [one["number"] for one in desk.party(made["id"])["phoneNumbers"]] == ["+44 1"]


# Every model that can be written -----------------------------------------------------------------------------------------


def test_every_writable_model_is_made_changed_and_deleted(desk: UnifiedDesk) -> None:
    product = desk.product()

    def make(model: str, **body: Any) -> dict[str, Any]:
        answer = product.ask("POST", f"/unified/crm/{model}", json=body)
        assert answer.status_code == 201, answer.text
        made: dict[str, Any] = answer.json()
        return made

    stages = product.every("/unified/crm/stages", limit=100)
    new, bid = (next(one for one in stages if one["name"] == name and one["entity"] == "opportunity") for name in ("New", "Bid"))
    board = next(one for one in stages if one["entity"] == "project")
    account = make("accounts", name="Written Ltd", website="https://written.example", tags=["member"])
    contact = make("contacts", first_name="Una", account={"id": account["id"]}, custom_fields={"Plan": "Flex", "Desks": 3})
    friend = make("contacts", first_name="Ugo")
    deal = make(
        "opportunities",
        name="Desks",
        contact=[{"id": contact["id"]}, {"id": friend["id"]}],
        stage={"id": new["id"]},
        amount=500,
        currency="GBP",
    )
    project = make("projects", name="Fit out", account={"id": account["id"]}, stage={"id": board["id"]})
    task = make("tasks", subject="Call", due_date="2027-06-01T09:30:00Z", contact=[{"id": contact["id"]}])
    note = make("notes", content="A note", opportunity=[{"id": deal["id"]}])
    call = make("engagements", engagement_type="call", content="Rang", account={"id": account["id"]})
    assert contact["account"]["name"] == "Written Ltd"
    assert contact["custom_fields"] == {"Plan": "Flex", "Desks": 3}
    assert [one["name"] for one in deal["contact"]] == ["Una", "Ugo"]
    assert (deal["status"], deal["pipeline"]["id"]) == ("open", new["pipeline"]["id"])
    assert project["pipeline"] == board["pipeline"]
    assert (task["due_date"], task["due_time"][:5]) == ("2027-06-01T09:30:00Z", "10:30"), "the owner is in London, in summer"
    assert call["engagement_type"] == "call"

    for model, record, change, told in (
        ("accounts", account, {"description": "Changed"}, "description"),
        ("contacts", contact, {"title": "Director"}, "title"),
        ("opportunities", deal, {"stage": {"id": bid["id"]}}, "stage"),
        ("projects", project, {"status": "closed"}, "status"),
        ("tasks", task, {"status": "completed"}, "status"),
        ("notes", note, {"content": "Another"}, "content"),
        ("engagements", call, {"content": "Rang twice"}, "content"),
    ):
        answer = product.ask("PATCH", f"/unified/crm/{model}/{record['id']}", json=change)
        assert answer.status_code == 200, answer.text
        wanted = change[told]
        assert answer.json()[told] == ({"id": bid["id"], "name": "Bid"} if told == "stage" else wanted)
        whole = product.get(f"/unified/crm/{model}/{record['id']}").json()
        before = len(desk.requests())
        assert product.ask("PATCH", f"/unified/crm/{model}/{record['id']}", json=whole).status_code == 200
        assert {one["method"] for one in desk.requests()[before:]} == {"GET"}, "a record sent back as it was read changes nothing"
    for model, record in (("engagements", call), ("notes", note), ("tasks", task), ("projects", project), ("contacts", friend)):
        assert product.ask("DELETE", f"/unified/crm/{model}/{record['id']}").json() == {"id": record["id"]}
        assert product.get(f"/unified/crm/{model}/{record['id']}").status_code == 404


@pytest.mark.parametrize(
    ("model", "body", "path"),
    [
        ("contacts", {"first_name": "Ada", "frist_name": "Ada"}, "frist_name"),
        ("contacts", {}, "first_name or last_name"),
        ("opportunities", {"name": "x", "stage": {"id": "1"}}, "account or contact"),
        ("tasks", {"subject": "x", "due_date": "soon"}, "due_date"),
        ("contacts", {"first_name": "Ada", "custom_fields": {"Nothing": 1}}, "custom_fields"),
    ],
    ids=str,
)
def test_every_fault_of_a_body_is_named(desk: UnifiedDesk, model: str, body: dict[str, Any], path: str) -> None:
    before = len([one for one in desk.requests() if one["method"] == "POST"])
    answer = desk.product().ask("POST", f"/unified/crm/{model}", json=body)
    assert answer.status_code == 422
    assert path in [one["path"] for one in answer.json()["details"]["failures"]]
    assert len([one for one in desk.requests() if one["method"] == "POST"]) == before, "nothing was sent to Capsule"


# Marks, copies, tokens, proxy ----------------------------------------------------------------------------------------------


def test_a_write_leaves_the_mark_by_which_its_echo_is_known(desk: UnifiedDesk, shop: redis.Redis) -> None:
    shop.delete("relay:echo:acme")
    product = desk.product()
    made = product.ask("POST", "/unified/crm/contacts", json={**ADA, "last_name": "Echo"}).json()
    number = made["id"]

    def marks() -> dict[str, str]:
        return {text(field): text(value) for field, value in shop.hgetall("relay:echo:acme").items()}

    plain = {name: value for name, value in made.items() if name != "remote_url"}
    assert list(marks()) == [f"party|{number}"]
    assert marks()[f"party|{number}"].split()[::2] == ["done", digest("contacts", plain)]
    changed = product.ask("PATCH", f"/unified/crm/contacts/{number}", json={"title": "Director"}).json()
    plain = {name: value for name, value in changed.items() if name != "remote_url"}
    assert marks()[f"party|{number}"].split()[2] == digest("contacts", plain)
    desk.capsule.control("POST", "faults", {"route": "PUT /parties/{id}", "kind": "status", "status": 422, "count": 1})
    assert product.ask("PATCH", f"/unified/crm/contacts/{number}", json={"title": "Boss"}).status_code == 422
    assert marks() == {}, "a write that was refused has no echo"
    product.ask("DELETE", f"/unified/crm/contacts/{number}")
    assert marks()[f"party|{number}"].split()[::2] == ["done", "deleted"]
    assert 0 < shop.ttl("relay:echo:acme") <= 3_600


def test_the_mark_of_a_deal_is_that_of_what_a_run_reads(desk: UnifiedDesk, shop: redis.Redis) -> None:
    product = desk.product()
    account = product.ask("POST", "/unified/crm/accounts", json={"name": "Echo Ltd"}).json()
    person = product.ask("POST", "/unified/crm/contacts", json={"first_name": "Eve", "account": {"id": account["id"]}}).json()
    stage = product.every("/unified/crm/stages", entity="opportunity")[0]
    body = {"name": "Echoed", "contact": [{"id": person["id"]}], "stage": {"id": stage["id"]}}
    deal = product.ask("POST", "/unified/crm/opportunities", json=body).json()
    assert deal["account"] == {"id": account["id"], "name": "Echo Ltd"}
    read = capsule(desk, "GET", f"opportunities/{deal['id']}?embed=tags,fields,milestone")["opportunity"]
    wanted = digest("opportunities", deals.opportunity(read, Definitions()))
    assert text(shop.hget("relay:echo:acme", f"opportunity|{deal['id']}") or "").split()[2] == wanted
    note = product.ask("POST", "/unified/crm/notes", json={"content": "Noted", "contact": [{"id": person["id"]}]}).json()
    entry = capsule(desk, "GET", f"entries/{note['id']}?embed=party,kase,opportunity,creator,activityType")["entry"]
    wanted = digest("engagements", entries.engagement(entry))
    assert text(shop.hget("relay:echo:acme", f"entry|{note['id']}") or "").split()[2] == wanted


def test_the_copy_is_read_without_a_call_to_capsule(desk: UnifiedDesk, shop: redis.Redis) -> None:
    product = desk.product("read")
    assert product.get("/unified/crm/contacts", read="cache").status_code == 409
    vault = Vault((SECRET,))
    for number in range(1, 31):
        record = {"id": str(number), "name": f"Kept {number}", "updated_at": f"2026-01-{number:02d}T00:00:00Z"}
        document = {"version": number, "synced_at": "2026-11-20T12:00:00Z", "record": record}
        shop.hset("relay:copy:acme:contacts", str(number), vault.seal(document))
    before = len(desk.requests())
    found = product.every("/unified/crm/contacts", read="cache", limit=7)
    assert {one["id"] for one in found} == {str(number) for number in range(1, 31)}
    late = product.every("/unified/crm/contacts", read="cache", limit=7, **{"updated_at[gte]": "2026-01-21"})
    assert {one["id"] for one in late} == {str(number) for number in range(21, 31)}
    assert product.get("/unified/crm/contacts/7", read="cache").json()["synced_at"] == "2026-11-20T12:00:00Z"
    assert product.get("/unified/crm/contacts/99", read="cache").status_code == 404
    assert len(desk.requests()) == before
    shop.delete("relay:copy:acme:contacts")


def test_tokens_are_made_shown_once_listed_and_revoked_by_the_command_line(desk: UnifiedDesk, shop: redis.Redis) -> None:
    made = desk.run("token", "other", "create", "--scope", "read", "--label", "Warehouse")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    number = secret.split("_")[1]
    assert secret not in repr([shop.hgetall(TOKENS), shop.lrange(AUDIT, 0, -1)])
    product = desk.product()
    product.token = secret
    assert product.get("/unified/crm/contacts", limit=1).status_code == 200
    assert product.ask("POST", "/unified/crm/contacts", json=ADA).status_code == 403, "it may only read"
    assert product.ask("GET", "/unified/crm/contacts", headers={"X-Connection": "acme"}).status_code == 403
    listed = desk.run("token", "other", "list")
    assert number in listed.stdout
    assert "Warehouse" in listed.stdout
    assert secret not in listed.stdout
    assert "never" not in listed.stdout.split(number)[1].splitlines()[0], "it was used"
    assert desk.run("token", "acme", "revoke", number).returncode == 1, "it is not one of acme's"
    assert desk.run("token", "other", "revoke", number).returncode == 0
    assert product.get("/unified/crm/contacts", limit=1).status_code == 401
    assert secret not in desk.log()


def test_a_token_is_not_taken_from_a_cookie_or_the_address(desk: UnifiedDesk) -> None:
    product = desk.product()
    good, product.token = product.token, "relay_000000000000_" + "A" * 43
    assert (
        product.ask("GET", "/unified/crm/contacts", headers={"Cookie": f"token={good}; relay_session={good}"}).status_code == 401
    )
    assert product.ask("GET", f"/unified/crm/contacts?access_token={good}").status_code == 401


def test_the_proxy_hands_requests_on_one_to_one(desk: UnifiedDesk) -> None:
    product = desk.product()
    answer = product.ask("GET", "/proxy/capsule/acme/parties?perPage=2&embed=tags")
    direct = capsule(desk, "GET", "parties?perPage=2&embed=tags")
    assert answer.json() == direct
    assert answer.headers["x-pagination-has-more"] == "true"
    assert 'rel="next"' in answer.headers["link"]
    made = product.ask("POST", "/proxy/capsule/acme/parties", json={"party": {"type": "person", "firstName": "Prox"}})
    assert made.status_code == 201
    number = made.json()["party"]["id"]
    changed = product.ask("PUT", f"/proxy/capsule/acme/parties/{number}", json={"party": {"firstName": "Proxy"}})
    assert changed.json()["party"]["firstName"] == "Proxy"
    assert product.ask("DELETE", f"/proxy/capsule/acme/parties/{number}").status_code == 204
    gone = product.ask("GET", f"/proxy/capsule/acme/parties/{number}")
    assert (gone.status_code, gone.json()) == (404, {"message": "Could not find resource"})


def test_a_read_through_the_proxy_is_tried_again_and_a_write_is_not(desk: UnifiedDesk) -> None:
    product = desk.product()
    desk.capsule.control("POST", "faults", {"route": "GET /parties", "kind": "status", "status": 503, "count": 2})
    assert product.ask("GET", "/proxy/capsule/acme/parties").status_code == 200
    desk.capsule.control("POST", "faults", {"route": "POST /parties", "kind": "status", "status": 503, "count": 1})
    refused = product.ask("POST", "/proxy/capsule/acme/parties", json={"party": {"type": "person", "firstName": "Once"}})
    assert refused.status_code == 503


@pytest.mark.parametrize(
    "path",
    [
        "http://evil.example/",
        "../../oauth/token",
        "%2e%2e/%2e%2e/oauth/token",
        "..%2f..%2foauth/token",
        "%252e%252e/oauth/token",
        "/evil.example/parties",
        "@evil.example/",
        "parties/1%00",
        "parties//1",
        "parties/1%0d%0aHost:evil",
        "parties\\..\\x",
        "parties/1;x=/..",
        "parties/1?x=1#/../..",
    ],
)
def test_the_proxy_reaches_nothing_but_capsules_api(desk: UnifiedDesk, path: str) -> None:
    before = len(desk.requests())
    # Not httpx, which resolves such paths itself before it sends them.
    connection = http.client.HTTPConnection("127.0.0.1", desk.port, timeout=30)
    connection.putrequest("GET", f"/proxy/capsule/acme/{path}", skip_accept_encoding=True)
    connection.putheader("Authorization", f"Bearer {desk.product().token}")
    connection.endheaders()
    assert connection.getresponse().status in (400, 404)
    connection.close()
    asked = [one["path"] for one in desk.requests()[before:]]
    assert all(one.startswith("/api/v2/parties/1") for one in asked), asked


def test_the_proxy_needs_the_scope_and_the_connection(desk: UnifiedDesk) -> None:
    reader = desk.product("read")
    assert reader.ask("POST", "/proxy/capsule/acme/parties", json={}).status_code == 403
    assert reader.ask("GET", "/proxy/capsule/other/parties").status_code == 403
    assert reader.ask("PATCH", "/proxy/capsule/acme/parties").status_code == 405
    assert reader.ask("GET", "/unified/crm/leads").json()["statusCode"] == 404
