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
