from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pytest

from mapping import agenda
from mapping.keys import lookup_hash
from workers.downstream.officernd.index import INDEX, LOCK, Index
from workers.errors import LeaseLost, SystemDown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis

SECRET = "s" * 40
Body = dict[str, Any]


def digest(text: str) -> str:
    return lookup_hash(SECRET, text)


def number(n: int) -> str:
    return f"64b0c0ffee{n:014x}"


class Lists:
    """Stands in for the client: pages of fifty of what is in `records`. `between` is called before each page."""

    def __init__(self) -> None:
        self.records: dict[str, list[Body]] = {"company": [], "member": [], "opportunity": []}
        self.between: Callable[[str, int], None] = lambda _resource, _page: None

    def pages(
        self, resource: str, *, cursor: str | None, lane: str, alive: Callable[[], None], max_wait_ms: int
    ) -> Iterator[tuple[list[Body], str | None]]:
        assert lane == "bulk"
        assert max_wait_ms > 60_000, "a window of a minute is waited for"
        whole = len(self.records[resource])
        for start in range(int(cursor or 0), whole, 50):
            alive()
            self.between(resource, start // 50)
            yield self.records[resource][start : start + 50], str(start + 50) if start + 50 < whole else None


@pytest.fixture
def lists() -> Lists:
    return Lists()


@pytest.fixture
def index(lists: Lists, store: redis.Redis) -> Index:
    client: Any = lists
    return Index("acme", client, store, digest)


def member(n: int, *, link: object = None, email: str = "") -> Body:
    return {"_id": number(n), "name": "x", "email": email, "properties": {"capsule_link_id": link}}


def test_everything_is_found_by_link_email_and_name(index: Index, lists: Lists) -> None:
    lists.records["company"] = [
        {"_id": number(1), "name": "Acme ", "email": "x@example.com", "properties": {"capsule_link_id": "70"}},
        {"_id": number(2), "name": "Bolt"},
    ]
    lists.records["member"] = [member(3, link="71", email="Ada@Example.com"), member(4, email="bea@example.com"), member(5)]
    lists.records["opportunity"] = [{"_id": number(6), "name": "Deal", "properties": {"capsule_link_id": 72}}]
    seen: list[tuple[str, int]] = []

    assert index.build(lambda resource, count: seen.append((resource, count)))

    assert seen == [("company", 2), ("member", 3), ("opportunity", 1)]
    assert index.lookup_link("company", 70) == number(1)
    assert index.lookup_link("member", "71") == number(3)
    assert index.lookup_link("opportunity", 72) == number(6)
    assert index.lookup_link("company", 71) is None, "ids of parties and resources are told apart"
    assert index.lookup_match("company", "Acme") == (number(1),)
    assert index.lookup_match("company", "acme") == ()
    assert index.lookup_match("member", " ADA@example.com") == (number(3),)
    assert index.lookup_match("member", "x@example.com") == ()
    assert index.lookup_match("opportunity", "Deal") == ()
    assert index.lookup_match("member", "") == ()


def test_several_records_with_one_email_or_one_link_are_all_kept(index: Index, lists: Lists) -> None:
    lists.records["member"] = [member(n, link="7", email="desk@example.com") for n in range(1, 121)]

    index.build()

    assert index.lookup_match("member", "desk@example.com") == tuple(number(n) for n in range(1, 121))
    assert index.lookup_links("member", 7) == tuple(number(n) for n in range(1, 121))
    assert index.lookup_link("member", 7) == number(1), "the oldest"


def test_no_email_and_no_name_is_in_redis(index: Index, lists: Lists, store: redis.Redis) -> None:
    lists.records["member"] = [member(1, link="7", email="canary@example.com")]
    lists.records["company"] = [{"_id": number(2), "name": "Canary Holdings"}]
    index.build()
    index.remember("member", capsule_id=8, downstream_id=number(3), text="canary2@example.com")

    held = b"".join(store.dump(key) or b"" for key in store.scan_iter())

    assert held
    assert b"anary" not in held
    fields = store.hgetall(agenda.match_key("acme"))
    assert fields[f"member|{digest('canary@example.com')}".encode()] == orjson.dumps([number(1)])
    assert store.hgetall(agenda.link_key("acme"))[b"member|7"] == number(1).encode()


def test_a_rebuild_forgets_what_is_gone(index: Index, lists: Lists, store: redis.Redis) -> None:
    lists.records["member"] = [member(1, link="7", email="ada@example.com"), member(2, link="8")]
    index.build()
    lists.records["member"] = [member(2, link="8", email="new@example.com")]

    index.build()

    assert index.lookup_link("member", 7) is None
    assert index.lookup_match("member", "ada@example.com") == ()
    assert index.lookup_match("member", "new@example.com") == (number(2),)
    lists.records["member"] = []
    index.build()
    assert index.lookup_link("member", 8) is None
    assert sorted(store.scan_iter()) == [INDEX.encode()], "nothing is left beside the note of when it was built"


def test_the_old_index_serves_until_the_new_one_is_whole(index: Index, lists: Lists) -> None:
    lists.records["member"] = [member(n, link=str(n)) for n in range(1, 121)]
    index.build()
    age = index.age_ms()
    lists.records["member"] = [member(n, link=str(n + 1000)) for n in range(1, 121)]

    def broken(_resource: str, page: int) -> None:
        assert index.lookup_link("member", 1) == number(1)
        if page == 2:
            raise SystemDown("officernd: GET /members: 503")

    lists.between = broken
    with pytest.raises(SystemDown):
        index.build()

    assert index.lookup_link("member", 1) == number(1)
    assert age is not None
    assert (index.age_ms() or 0) >= age
    lists.between = lambda _resource, _page: None
    assert index.build(), "the lock was given back"
    assert index.lookup_link("member", 1001) == number(1)


def test_what_is_remembered_during_a_build_is_in_both(index: Index, lists: Lists) -> None:
    lists.records["member"] = [member(n, link=str(n)) for n in range(1, 61)]

    def another_creates(resource: str, page: int) -> None:
        if (resource, page) == ("member", 0):
            # Before anything was written to the new index, and on no page of this walk.
            index.remember("member", capsule_id=900, downstream_id=number(900), text="new@example.com")
            assert index.lookup_link("member", 900) == number(900)

    lists.between = another_creates
    assert index.build()

    assert index.lookup_link("member", 900) == number(900)
    assert index.lookup_match("member", "new@example.com") == (number(900),)


def test_remembering_replaces_a_link_and_adds_an_email(index: Index) -> None:
    index.remember("member", capsule_id=7, downstream_id=number(1), text="ada@example.com")
    index.remember("member", capsule_id=7, downstream_id=number(2), text="Ada@example.com")
    index.remember("opportunity", capsule_id=7, downstream_id=number(3))

    assert index.lookup_links("member", 7) == (number(2),)
    assert index.lookup_match("member", "ada@example.com") == (number(1), number(2))
    assert index.lookup_link("opportunity", 7) == number(3)


def test_only_one_process_builds_at_a_time(index: Index, lists: Lists, store: redis.Redis) -> None:
    client: Any = lists
    other = Index("acme", client, store, digest)
    lists.records["member"] = [member(1, link="7")]
    answers: list[bool] = []
    lists.between = lambda _resource, _page: answers.append(other.build())

    assert index.build()

    assert answers == [False]
    assert store.exists(LOCK + "acme") == 0


def test_a_builder_that_was_overtaken_changes_nothing(index: Index, lists: Lists, store: redis.Redis) -> None:
    lists.records["member"] = [member(1, link="7")]

    def overtaken(_resource: str, _page: int) -> None:
        store.set(LOCK + "acme", "another", px=60_000)

    lists.between = overtaken

    assert not index.build()

    assert index.lookup_link("member", 7) is None
    assert store.get(LOCK + "acme") == b"another"


def test_the_age_is_told_and_a_new_secret_makes_it_unknown(index: Index, lists: Lists, store: redis.Redis) -> None:
    assert index.age_ms() is None

    index.build()

    age = index.age_ms()
    assert age is not None
    assert 0 <= age < 60_000
    client: Any = lists
    assert Index("acme", client, store, lambda text: lookup_hash("t" * 40, text)).age_ms() is None
    assert Index("other", client, store, digest).age_ms() is None


def test_a_lost_lease_ends_the_build(index: Index, lists: Lists) -> None:
    lists.records["member"] = [member(1)]

    def lost() -> None:
        raise LeaseLost("another has it")

    with pytest.raises(LeaseLost):
        index.build(alive=lost)


def test_a_walk_that_was_broken_off_goes_on_where_it_was(index: Index, lists: Lists) -> None:
    lists.records["member"] = [member(n, link=n) for n in range(120)]
    places: list[str] = []

    def stop(resource: str, _page: int) -> None:
        if len(places) == 2:
            raise SystemDown(f"no answer for {resource}", system="officernd")

    lists.between = stop
    with pytest.raises(SystemDown):
        index.build(visit=lambda _resource, _bodies, place: places.append(place), owner="pass")

    lists.between = lambda _resource, _page: None
    seen: list[int] = []
    assert index.build(visit=lambda _resource, bodies, _place: seen.append(len(bodies)), owner="pass", start=places[-1])
    assert seen == [20]
    assert index.lookup_link("member", 0) == number(0)
    assert index.lookup_link("member", 119) == number(119)


def test_a_walk_without_what_it_had_gathered_begins_anew(index: Index, lists: Lists) -> None:
    lists.records["member"] = [member(n, link=n) for n in range(120)]

    assert index.build(owner="pass", start="member 100")

    assert index.lookup_link("member", 0) == number(0)
