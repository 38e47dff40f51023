"""Which hooks an account needs, and what is to be done so that it has each exactly once."""

from __future__ import annotations

import pytest

from mapping import rules
from mapping.events import EVENTS
from mapping.hooks import MOST_HOOKS, Hook, Want, compare, events_for, wanted

BASE = "https://relay.example/hooks/capsule/acme/"
URL, OLD = f"{BASE}new", f"{BASE}old"


def connection(**table: object) -> rules.Connection:
    return rules.parse({"connections": {"acme": {"downstream": "unified", "capsule": {"auth": "token"}, **table}}})["acme"]


OFFICERND = {"downstream": "officernd", "officernd": {"organization": "acme"}}


@pytest.mark.parametrize(
    ("tables", "kinds"),
    [
        pytest.param([OFFICERND], {"party", "opportunity"}, id="OfficeRnD"),
        pytest.param([{**OFFICERND, "sync_opportunities": False}], {"party"}, id="OfficeRnD without opportunities"),
        pytest.param([{}], {"party", "opportunity", "kase", "task", "user"}, id="unified"),
        pytest.param([{"sync_opportunities": False}], {"party", "opportunity", "kase", "task", "user"}, id="unified has all"),
        pytest.param(
            [{**OFFICERND, "sync_opportunities": False}, OFFICERND], {"party", "opportunity"}, id="two that share an account"
        ),
        pytest.param(
            [OFFICERND, {**OFFICERND, "sync_opportunities": False}],
            {"party", "opportunity"},
            id="the same two the other way round",
        ),
    ],
)
def test_the_events_are_those_of_the_kinds_that_somebody_follows(tables: list[dict[str, object]], kinds: set[str]) -> None:
    events = events_for(connection(**table) for table in tables)
    assert events == tuple(event for event in EVENTS if event.split("/")[0] in kinds)
    assert len(events) <= MOST_HOOKS


def test_nothing_is_embedded_since_what_a_delivery_carries_is_not_used() -> None:
    assert {one.embed for one in wanted([connection()], URL)} == {""}


def test_every_event_is_wanted_at_the_address_that_was_given() -> None:
    parties = connection(**OFFICERND, sync_opportunities=False)
    assert wanted([parties], URL) == tuple(Want(f"party/{what}", URL) for what in ("created", "updated", "deleted"))


WANT = (Want("party/created", URL), Want("party/updated", URL, "tags,fields"))
RIGHT = (Hook(1, "party/created", URL), Hook(2, "party/updated", URL, "fields, tags"))


def steps(have: tuple[Hook, ...], *, known: tuple[int, ...] = ()) -> list[tuple[str, bool, list[int], bool]]:
    """Event, whether it is subscribed, ids that go, whether nothing carried it."""
    found = compare(have, WANT, base=BASE, known=known)
    return [(s.event, s.subscribe is not None, [hook.id for hook in s.unsubscribe], s.missing) for s in found.steps]


@pytest.mark.parametrize(
    ("have", "expected"),
    [
        pytest.param(RIGHT, [], id="all right, whatever the order of an embed"),
        pytest.param((), [("party/created", True, [], True), ("party/updated", True, [], True)], id="none"),
        pytest.param(RIGHT[:1], [("party/updated", True, [], True)], id="one was dropped"),
        pytest.param((RIGHT[1], Hook(3, "party/created", OLD)), [("party/created", True, [3], False)], id="an old address"),
        pytest.param((RIGHT[0], Hook(3, "party/updated", URL)), [("party/updated", True, [3], False)], id="another embed"),
        pytest.param((*RIGHT, Hook(9, "party/created", URL)), [("party/created", False, [9], False)], id="twice: the newer goes"),
        pytest.param((*RIGHT, Hook(3, "party/created", OLD)), [("party/created", False, [3], False)], id="an old one left over"),
        pytest.param((Hook(7, "task/created", URL), *RIGHT), [("task/created", False, [7], False)], id="not needed any more"),
    ],
)
def test_what_is_to_be_done(have: tuple[Hook, ...], expected: list[tuple[str, bool, list[int], bool]]) -> None:
    assert steps(have) == expected


def test_what_is_there_and_right_is_kept() -> None:
    assert compare(RIGHT, WANT, base=BASE).kept == RIGHT
    assert compare((Hook(9, "party/created", OLD), RIGHT[1]), WANT, base=BASE).kept == RIGHT[1:]


def test_what_is_surplus_goes_before_anything_new_needs_its_place() -> None:
    assert [event for event, *_ in steps((Hook(7, "task/created", URL),))] == ["task/created", "party/created", "party/updated"]


@pytest.mark.parametrize(
    "url",
    [
        "https://elsewhere.example/hook",
        "https://relay.example/hooks/capsule/acme2/new",
        "https://staging.example/hooks/capsule/acme/new",
    ],
)
def test_foreign_hooks_are_left_alone_and_do_not_count(url: str) -> None:
    foreign = Hook(5, "party/created", url)
    found = compare((foreign,), WANT, base=BASE)
    assert found.foreign == (foreign,)
    assert found.missing == ("party/created", "party/updated")
    assert all(not step.unsubscribe for step in found.steps)


def test_a_hook_that_we_subscribed_is_ours_even_when_the_public_address_has_changed() -> None:
    moved = Hook(5, "party/created", "https://former.example/hooks/capsule/acme/x")
    assert steps((moved, RIGHT[1]), known=(5,)) == [("party/created", True, [5], False)]


@pytest.mark.parametrize("have", [(), RIGHT, (*RIGHT, Hook(3, "party/created", OLD)), (Hook(7, "task/created", OLD),)])
def test_after_the_steps_nothing_is_left_to_do(have: tuple[Hook, ...]) -> None:
    after = {hook.id: hook for hook in have}
    for step in compare(have, WANT, base=BASE).steps:
        if step.subscribe is not None:
            number = max(after, default=0) + 1
            after[number] = Hook(number, step.subscribe.event, step.subscribe.url, step.subscribe.embed)
        for hook in step.unsubscribe:
            del after[hook.id]
    assert compare(tuple(after.values()), WANT, base=BASE).steps == ()
    assert len(after) == len(WANT)
