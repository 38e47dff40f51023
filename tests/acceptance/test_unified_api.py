"""The unified API over HTTP: the console and Capsule's simulator as processes of their own (issue 8, "Shown by" 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
import redis

from mapping.unified.shapes import SHAPES, DirectoryUser
from tests.acceptance.unified_desk import UnifiedDesk
from workers.console.unified.app import MODELS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from workers.embedded import EmbeddedServer

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, server: EmbeddedServer) -> Iterator[UnifiedDesk]:
    """An account with 60 organisations and 130 people."""
    redis.Redis.from_url(server.url).flushall()
    directory = tmp_path_factory.mktemp("unified")
    with UnifiedDesk(directory, server.url, organisations=60, people=130, opportunities=40, tags="member,vip") as running:
        yield running


@pytest.mark.parametrize(("model", "number"), [("accounts", 60), ("contacts", 130)])
@pytest.mark.parametrize("limit", [100, 7])
def test_a_list_is_paged_to_the_end_from_an_empty_cursor(desk: UnifiedDesk, model: str, number: int, limit: int) -> None:
    pages = desk.product("read").pages(f"/unified/crm/{model}", limit=limit)
    ids = [record["id"] for page in pages for record in page]
    assert len(ids) == len(set(ids)) == number
    assert {len(page) for page in pages[:-1]} <= {limit}


def test_a_record_is_fetched_by_its_id_and_is_the_one_of_the_list(desk: UnifiedDesk) -> None:
    product = desk.product("read")
    listed = product.every("/unified/crm/contacts", limit=100)[0]
    fetched = product.get(f"/unified/crm/contacts/{listed['id']}")
    assert fetched.status_code == 200
    assert {**fetched.json(), "synced_at": None} == {**listed, "synced_at": None}


def test_without_a_token_nothing_is_told(desk: UnifiedDesk) -> None:
    answer = httpx.get(f"{desk.url}/unified/crm/contacts", trust_env=False)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert set(answer.json()) == {"statusCode", "error", "message", "details"}


def test_a_person_is_made_changed_and_thinned_out_in_single_calls(desk: UnifiedDesk) -> None:
    """Issue 8, "Shown by" 4: tags, e-mails, phones, addresses and socials; the simulator holds exactly what was asked."""
    product = desk.product()
    wanted = {
        "first_name": "Nora",
        "last_name": "Writeback",
        "tags": ["alpha", "beta", "gamma"],
        "email_addresses": [{"email": "nora@work.example", "type": "work"}, {"email": "nora@home.example", "type": "home"}],
        "phone_numbers": [{"number": "+44 20 7946 0001", "type": "work"}, {"number": "+44 20 7946 0002", "type": "mobile"}],
        "addresses": [
            {"street_1": "1 First Street", "city": "London", "country": "United Kingdom", "type": "office"},
            {"street_1": "2 Second Street", "city": "Leeds", "country": "United Kingdom", "type": "home"},
        ],
        "urls": [{"service": "twitter", "handle": "nora"}, {"service": "linked_in", "handle": "https://linkedin.example/nora"}],
    }
    before = len(desk.requests())
    made = product.ask("POST", "/unified/crm/contacts", json=wanted)
    assert made.status_code == 201, made.text
    assert [one["method"] for one in desk.requests()[before:]].count("POST") == 1
    contact = made.json()
    number = contact["id"]
    assert [tag["name"] for tag in contact["tags"]] == ["alpha", "beta", "gamma"]
    held = desk.party(number)
    assert [one["address"] for one in held["emailAddresses"]] == ["nora@work.example", "nora@home.example"]
    assert [one["number"] for one in held["phoneNumbers"]] == ["+44 20 7946 0001", "+44 20 7946 0002"]
    assert [one["city"] for one in held["addresses"]] == ["London", "Leeds"]
    assert [(one["service"], one["address"]) for one in held["websites"]] == [
        ("TWITTER", "nora"),
        ("LINKED_IN", "https://linkedin.example/nora"),
    ]
    assert {tag["name"] for tag in held["tags"]} == {"alpha", "beta", "gamma"}

    change = {"email_addresses": [{"id": contact["email_addresses"][0]["id"], "email": "nora@new.example"}]}
    changed = product.ask("PATCH", f"/unified/crm/contacts/{number}", json=change)
    assert changed.status_code == 200, changed.text
    assert [one["address"] for one in desk.party(number)["emailAddresses"]] == ["nora@new.example", "nora@home.example"]

    gone = {
        "email_addresses": [{"id": contact["email_addresses"][1]["id"], "_delete": True}],
        "tags": [{"id": contact["tags"][1]["id"], "_delete": True}],
        "phone_numbers": [{"id": contact["phone_numbers"][0]["id"], "_delete": True}],
        "addresses": [{"id": contact["addresses"][1]["id"], "_delete": True}],
        "urls": [{"id": contact["urls"][0]["id"], "_delete": True}],
    }
    thinned = product.ask("PATCH", f"/unified/crm/contacts/{number}", json=gone)
    assert thinned.status_code == 200, thinned.text
    held = desk.party(number)
    assert [one["address"] for one in held["emailAddresses"]] == ["nora@new.example"]
    assert [one["number"] for one in held["phoneNumbers"]] == ["+44 20 7946 0002"]
    assert [one["city"] for one in held["addresses"]] == ["London"]
    assert [one["service"] for one in held["websites"]] == ["LINKED_IN"]
    assert {tag["name"] for tag in held["tags"]} == {"alpha", "gamma"}

    again = product.ask("PATCH", f"/unified/crm/contacts/{number}", json={"first_name": "Nora", "tags": ["alpha"]})
    assert again.status_code == 200
    puts = [one for one in desk.requests()[before:] if one["method"] == "PUT"]
    assert len(puts) == 2, "a change that changes nothing is not sent"
    assert product.ask("DELETE", f"/unified/crm/contacts/{number}").json() == {"id": number}
    assert product.get(f"/unified/crm/contacts/{number}").status_code == 404


def capsule(desk: UnifiedDesk, method: str, path: str, **rest: Any) -> Any:
    """What somebody does in Capsule itself."""
    headers = {"Authorization": "Bearer capsule-token"}
    answer = httpx.request(method, f"{desk.capsule.url}/api/v2/{path}", headers=headers, trust_env=False, **rest)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


@pytest.fixture(scope="module")
def furnished(desk: UnifiedDesk) -> dict[str, Any]:
    """A project, tasks and notes, as people make them in Capsule."""
    party = capsule(desk, "GET", "parties?perPage=1")["parties"][0]
    stage = capsule(desk, "GET", "stages")["stages"][0]
    kase = capsule(desk, "POST", "kases", json={"kase": {"party": {"id": party["id"]}, "name": "Fit out", "stage": stage["id"]}})
    for number in range(3):
        body = {"description": f"Call {number}", "dueOn": "2026-12-01", "dueTime": "09:30", "party": {"id": party["id"]}}
        task = capsule(desk, "POST", "tasks", json={"task": body})["task"]
    capsule(desk, "PUT", f"tasks/{task['id']}", json={"task": {"status": "COMPLETED"}})
    for number in range(60):
        entry: dict[str, Any] = {"type": "note", "content": f"Note {number}", "party": {"id": party["id"]}}
        entry |= {"activityType": -3} if number % 3 == 0 else {}
        capsule(desk, "POST", "entries", json={"entry": entry})
    return {"party": party, "kase": kase["kase"], "task": task}


@pytest.mark.parametrize(
    "path",
    [
        *(f"/unified/crm/{model}" for model in MODELS),
        "/unified/user-directory/users",
    ],
)
def test_every_model_is_listed_fetched_and_of_its_shape(desk: UnifiedDesk, furnished: dict[str, Any], path: str) -> None:
    assert furnished
    product = desk.product("read")
    pages = product.pages(path, limit=20)
    records = [record for page in pages for record in page]
    shape = SHAPES[path.rpartition("/")[2]] if "/crm/" in path else DirectoryUser
    assert records
    for record in records:
        shape.model_validate(record)
    for record in {record["id"]: record for record in records[:3]}.values():
        fetched = product.get(f"{path}/{record['id']}")
        assert fetched.status_code == 200, fetched.text
        assert fetched.json()["id"] == record["id"]
    assert len({(record["id"], record.get("entity_type")) for record in records}) == len(records), "none comes twice"


def test_an_organisation_is_no_contact_and_a_person_no_account(desk: UnifiedDesk) -> None:
    product = desk.product("read")
    contact, account = (product.get(f"/unified/crm/{model}", limit=1).json()["result"][0] for model in ("contacts", "accounts"))
    assert product.get(f"/unified/crm/accounts/{contact['id']}").status_code == 404
    assert product.get(f"/unified/crm/contacts/{account['id']}").status_code == 404


@pytest.mark.parametrize(
    ("model", "query", "holds"),
    [
        ("contacts", {"tags[][name]": "VIP"}, lambda one: any(tag["name"] == "vip" for tag in one["tags"])),
        ("contacts", {"custom_fields[Plan]": "Flex"}, lambda one: one["custom_fields"].get("Plan") == "Flex"),
        ("accounts", {"owner[id]": "OWNER"}, lambda one: one["owner"]["name"] == "Integration User"),
        ("contacts", {"first_name": "ada"}, lambda one: one["first_name"] == "Ada"),
        ("opportunities", {"status": "won"}, lambda one: one["status"] == "won"),
        ("opportunities", {"status": "open", "pipeline[name]": ""}, None),
        ("tasks", {"status": "completed"}, lambda one: one["status"] == "completed"),
        ("engagements", {"engagement_type": "call"}, lambda one: one["engagement_type"] == "call"),
        ("fields", {"entity": "project"}, lambda one: one["entity_type"] == "project"),
        ("stages", {"entity": "opportunity"}, lambda one: one["id"].startswith("opportunity:")),
    ],
    ids=str,
)
def test_a_filter_gives_all_records_that_hold_it_and_no_other(
    desk: UnifiedDesk, furnished: dict[str, Any], model: str, query: dict[str, str], holds: Callable[[Any], bool] | None
) -> None:
    assert furnished
    product = desk.product("read")
    query = {name: value.replace("OWNER", str(furnished["task"]["owner"]["id"])) for name, value in query.items()}
    if holds is None:
        refused = product.get(f"/unified/crm/{model}", **query)
        assert refused.status_code == 400
        assert "pipeline.id" in refused.json()["details"]["failures"][0]["hint"], "what can be served is named"
        return
    everything = product.every(f"/unified/crm/{model}", limit=100)
    found = product.every(f"/unified/crm/{model}", limit=10, **query)
    expected = {one["id"] for one in everything if holds(one)}
    assert expected
    assert {one["id"] for one in found} == expected


def test_what_was_changed_since_a_moment_is_told_by_capsules_own_since(desk: UnifiedDesk) -> None:
    product = desk.product("read")
    everything = product.every("/unified/crm/contacts", limit=100)
    middle = sorted(one["updated_at"] for one in everything)[len(everything) // 2]
    before = len(desk.requests())
    found = product.every("/unified/crm/contacts", limit=25, **{"updated_at[gt]": middle})
    assert {one["id"] for one in found} == {one["id"] for one in everything if one["updated_at"] > middle}
    assert any("since=" in str(one) for one in desk.requests()[before:])
    assert not any("filters" in one["path"] for one in desk.requests()[before:])


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"sort_by[name]": "asc"}, "sort_by"),
        ({"limit": "101"}, "limit"),
        ({"industry": "x"}, "industry"),
        ({"next_cursor": "made-up"}, ""),
        ({"updated_at[gt]": "yesterday"}, "date"),
        ({"owner[id]": "me"}, "owner.id"),
    ],
    ids=str,
)
def test_a_question_that_cannot_be_served_is_refused_and_not_answered_with_too_much(
    desk: UnifiedDesk, query: dict[str, str], word: str
) -> None:
    answer = desk.product("read").get("/unified/crm/contacts", **query)
    assert answer.status_code == 400
    failures = answer.json()["details"].get("failures", [])
    assert [one["path"] for one in failures] == ([word] if word else [])


def test_a_cursor_is_good_for_its_own_question_alone(desk: UnifiedDesk) -> None:
    product = desk.product("read", "acme", "other")
    cursor = product.ask("GET", "/unified/crm/contacts?limit=5", headers={"X-Connection": "acme"}).json()["next_cursor"]
    for path, connection in (("accounts", "acme"), ("contacts", "other"), ("contacts?name=x", "acme")):
        answer = product.ask("GET", f"/unified/crm/{path}", params=None, headers={"X-Connection": connection})
        assert answer.status_code == 200
        joined = f"/unified/crm/{path}{'&' if '?' in path else '?'}next_cursor={cursor}"
        assert product.ask("GET", joined, headers={"X-Connection": connection}).status_code == 400


def test_pages_lead_back_as_well(desk: UnifiedDesk) -> None:
    product = desk.product("read")
    first = product.get("/unified/crm/contacts", limit=5).json()
    second = product.get("/unified/crm/contacts", limit=5, next_cursor=first["next_cursor"]).json()
    assert first["prev_cursor"] is None
    back = product.get("/unified/crm/contacts", limit=5, prev_cursor=second["prev_cursor"]).json()
    assert [one["id"] for one in back["result"]] == [one["id"] for one in first["result"]]


def test_after_a_429_half_way_the_same_cursor_goes_on(desk: UnifiedDesk) -> None:
    product = desk.product("read")
    first = product.get("/unified/crm/contacts", limit=50).json()
    desk.capsule.control(
        "POST", "faults", {"route": "POST /parties/filters/results", "kind": "status", "status": 429, "count": 1}
    )
    refused = product.get("/unified/crm/contacts", limit=50, next_cursor=first["next_cursor"])
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.json()["truto_is_remote_error"] is True
    with redis.Redis.from_url(desk.redis_url) as store:
        store.delete("relay:limits")  # the hour is over
    rest, cursor = [], first["next_cursor"]
    while cursor is not None:
        page = product.get("/unified/crm/contacts", limit=50, next_cursor=cursor).json()
        rest += page["result"]
        cursor = page["next_cursor"]
    ids = [one["id"] for one in [*first["result"], *rest]]
    assert len(ids) == len(set(ids)) == len(product.every("/unified/crm/contacts", limit=100))


def test_the_state_of_the_limit_is_told_with_every_answer(desk: UnifiedDesk) -> None:
    answer = desk.product("read").get("/unified/crm/contacts", limit=1)
    limit, remaining, reset = (int(answer.headers[f"ratelimit-{name}"]) for name in ("limit", "remaining", "reset"))
    assert limit == 4_000_000
    assert 0 < remaining < limit
    assert 0 <= reset <= 3_600


def test_capsules_own_form_and_its_body_beside_the_record_come_when_asked_for(desk: UnifiedDesk) -> None:
    product = desk.product("read")
    plain = product.get("/unified/crm/contacts", limit=1).json()["result"][0]
    raw = product.get("/unified/crm/contacts", limit=1, truto_response_format="raw").json()["result"][0]
    beside = product.get("/unified/crm/contacts", limit=1, truto_ignore_remote_data="false").json()["result"][0]
    less = product.get(f"/unified/crm/contacts/{plain['id']}", truto_exclude_fields="tags,urls").json()
    assert plain["remote_data"] is None
    assert raw["type"] == "person"
    assert beside["remote_data"] == raw
    assert not {"tags", "urls"} & set(less)
