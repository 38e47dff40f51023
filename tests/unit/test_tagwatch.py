"""The pass over tags of interest: within its share of the budget, from where it stopped, its end noted (DESIGN.md §6, Bounds)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from mapping.rules import parse
from workers.errors import Refused
from workers.flows.tagwatch import allowance, watch_tags

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

MEMORY = "relay:reconcile:acme"
RULES = {
    "connections": {
        "acme": {
            "downstream": "officernd",
            "tags_to_sync": "member, vip",
            "auto_sync_minutes": 15,
            "officernd": {"organization": "acme-spaces"},
        }
    }
}


class Page(list[dict[str, int]]):
    """One page of a list, which says whether another follows."""

    more = False


class Walk:
    """A pass whose Capsule has so many pages for each tag, and what is asked of it. It knows no ledger."""

    name = "acme"
    connection = parse(RULES)["acme"]

    def __init__(self, store: redis.Redis, pages: dict[str, int], *, hourly: int) -> None:
        self._pages = pages
        self.asked: list[tuple[str, int]] = []
        self.shown: list[int] = []
        capsule = SimpleNamespace(window=SimpleNamespace(limit=hourly), tagged=self._tagged)
        agenda = SimpleNamespace(hello=lambda: 1_000, mark=lambda: 1)
        log = SimpleNamespace(info=lambda *_, **__: None)
        self.services = SimpleNamespace(redis=store, agenda=agenda, log=log, capsule=lambda _: capsule)

    def _tagged(self, tag: str, *, page: int, alive: Any) -> Iterator[Page]:
        alive()
        self.asked.append((tag, page))
        if tag not in self._pages:
            raise Refused("unknown tag", system="capsule", status=422)
        body = Page([{"id": 100 * (tag == "vip") + page}])
        body.more = page < self._pages[tag]
        yield body

    def page(self, kind: str, _mark: int, bodies: Page) -> None:
        assert kind == "party"
        self.shown += [body["id"] for body in bodies]

    def ledger(self) -> Iterator[dict[str, bytes]]:
        yield {}


def tick(walk: Any) -> None:
    watch_tags(walk, MEMORY, lambda: None)


@pytest.mark.parametrize(
    ("hourly", "minutes", "calls"),
    [(4_000, 15, 100), (4_000, 60, 400), (4_000, 1, 6), (4_000, 1_440, 400), (10, 1, 1), (1, 1, 1)],
)
def test_a_tick_has_its_part_of_a_tenth_of_the_hourly_budget_and_at_least_one_call(hourly: int, minutes: int, calls: int) -> None:
    assert allowance(hourly, minutes) == calls


def test_a_round_goes_on_from_where_the_last_tick_stopped_and_its_end_is_noted(store: redis.Redis) -> None:
    walk = Walk(store, {"member": 3, "vip": 1}, hourly=40)  # one call a tick
    for number in range(1, 5):
        assert store.hget(MEMORY, "tagged") is None
        tick(walk)
        assert len(walk.asked) == number
    assert walk.asked == [("member", 1), ("member", 2), ("member", 3), ("vip", 1)]
    assert walk.shown == [1, 2, 3, 101]
    # Its age in `status` is counted from the beginning of the round that is complete.
    assert store.hget(MEMORY, "tagged") == b"1000"
    tick(walk)
    assert walk.asked[-1] == ("member", 1)


def test_with_other_tags_a_round_begins_anew(store: redis.Redis) -> None:
    walk = Walk(store, {"member": 3, "vip": 3}, hourly=40)
    tick(walk)
    rules = {"connections": {"acme": RULES["connections"]["acme"] | {"tags_to_sync": "vip"}}}
    walk.connection = parse(rules)["acme"]
    tick(walk)
    assert walk.asked == [("member", 1), ("vip", 1)]


def test_a_tag_that_capsule_does_not_know_holds_up_no_other(store: redis.Redis) -> None:
    walk = Walk(store, {"vip": 1}, hourly=4_000)
    tick(walk)
    assert walk.asked == [("member", 1), ("vip", 1)]
    assert walk.shown == [101]
    assert store.hget(MEMORY, "tagged") == b"1000"
