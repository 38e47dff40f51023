"""`tags_to_sync` (DESIGN.md §6, "tags_to_sync", and its edges, "Tags")."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.rules.world import Rules, World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

CONNECTIONS = {
    "acme": Rules(" Member , VIP"),
    "both": Rules("[member, vip]"),
    "mixed": Rules("gold, [member, vip]"),
    "except_closed": Rules("member, !closed"),
    "all_but": Rules("!closed"),
    "lacking": Rules("[member, !vip]"),
    "quoted": Rules('"Leeds, R&D", "[old]", "!new", künstler'),
    "everything": Rules(""),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world"), CONNECTIONS) as running:
        yield running


OPEN_TO_ALL = {"all_but", "everything"}


@pytest.mark.parametrize(
    ("tags", "let_in"),
    [
        pytest.param((), OPEN_TO_ALL, id="none"),
        pytest.param(("member",), {"acme", "except_closed", "lacking"} | OPEN_TO_ALL, id="one of any"),
        pytest.param(("vip",), {"acme"} | OPEN_TO_ALL, id="the other of any"),
        pytest.param(("member", "vip"), {"acme", "both", "mixed", "except_closed"} | OPEN_TO_ALL, id="all"),
        pytest.param(("gold",), {"mixed"} | OPEN_TO_ALL, id="mixed"),
        pytest.param(("member", "closed"), {"acme", "lacking", "everything"}, id="excluded"),
        pytest.param(("closed",), {"everything"}, id="excluded alone"),
        pytest.param(("Leeds, R&D",), {"quoted"} | OPEN_TO_ALL, id="quoted comma"),
        pytest.param(("[old]",), {"quoted"} | OPEN_TO_ALL, id="quoted brackets"),
        pytest.param(("!new",), {"quoted"} | OPEN_TO_ALL, id="quoted exclamation mark"),
        pytest.param(("KÜNSTLER",), {"quoted"} | OPEN_TO_ALL, id="another case"),
        pytest.param(("membership",), OPEN_TO_ALL, id="only begins like one"),
    ],
)
def test_tags_let_in_what_the_rule_says(world: World, tags: tuple[str, ...], let_in: set[str]) -> None:
    """`a, b` = any of them; `[a, b]` = all of them; mixed, `a, [b, c]` = a, or both b and c; `!x` excludes.

    "empty = everything"; "Without regard to case and surrounding space"; "`!x` alone = all but x; a tag with a comma,
    bracket or `!` is put in double quotes".
    """
    number = world.organisation(f"Tagged {' '.join(tags)}", *tags)
    assert {name for name in CONNECTIONS if world[name].has(number)} == let_in
    for name in CONNECTIONS:
        entry = world[name].judged(number)
        assert (entry.is_in, entry.outcome) == ((True, "in_step") if name in let_in else (False, "out"))


def test_a_person_is_judged_by_the_same_rule(world: World) -> None:
    """`tags_to_sync` of a person who has no organisation."""
    number = world.person("Pia", "member", "vip")
    assert {name for name in CONNECTIONS if world[name].has(number)} == {
        *("acme", "both", "mixed", "except_closed", "all_but", "everything")
    }


def test_a_tag_that_is_put_on_lets_in_and_one_that_is_taken_off_lets_out(world: World) -> None:
    """`tags_to_sync`, for a later change of the tags alone."""
    number = world.person("Tess")
    assert not world.acme.has(number)

    world.tag(number, "vip")
    assert world.acme.has(number)
    assert not world["both"].has(number)

    world.tag(number, "member")
    assert world["both"].has(number)

    world.untag(number, "vip")
    assert world.acme.judged(number).outcome == "in_step"
    assert world["both"].judged(number).outcome == "out"

    world.tag(number, "closed")
    assert world["except_closed"].judged(number).outcome == "out"
    world.untag(number, "closed")
    assert world["except_closed"].judged(number).outcome == "in_step"


def test_the_verdict_says_which_rule_it_was(world: World) -> None:
    """Idea 7: "which rule let it in or kept it out", as the ledger keeps it for `explain`."""
    number = world.organisation("Explained Ltd", "member", "closed")
    assert world.acme.judged(number).why == 'tag "Member" matches "Member , VIP"'
    assert world["both"].judged(number).why == 'no tag matches "[member, vip]"'
    assert world["except_closed"].judged(number).why == 'tag "closed" is excluded by "member, !closed"'
    assert world["everything"].judged(number).why == "tags_to_sync is empty, so every record is in"
