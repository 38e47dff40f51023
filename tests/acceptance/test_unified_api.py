"""The unified API over HTTP: the console and Capsule's simulator as processes of their own (issue 8, "Shown by" 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest
import redis

from tests.acceptance.unified_desk import UnifiedDesk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.embedded import EmbeddedServer

pytestmark = pytest.mark.processes


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, server: EmbeddedServer) -> Iterator[UnifiedDesk]:
    """An account with 60 organisations and 130 people."""
    redis.Redis.from_url(server.url).flushall()
    directory = tmp_path_factory.mktemp("unified")
    seeds = {"seed_organisations": 60, "seed_people": 130, "seed_opportunities": 40, "seed_tags": "member,vip"}
    with UnifiedDesk(directory, server.url, **seeds) as running:
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
