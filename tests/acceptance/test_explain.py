"""`capsule-relay explain` for one record of each kind of answer, from whole processes (issue 5, "Shown by" 3)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.acceptance.rules.world import Rules, World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

RULES = Rules(
    tags="member, [vip, london], !left",
    fields='"properties.plan" = "fields[?definition.name==\'Plan\'].value | [0]"',
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world"), {"acme": RULES}) as running:
        yield running


def explained(world: World, kind: str, number: int, *, status: int = 0) -> tuple[dict[str, Any], str]:
    """The explanation as a document and as text; prints the text."""
    shown = world.run("explain", "acme", kind, str(number))
    assert shown.returncode == status, shown.stdout + shown.stderr
    print(f"\n$ capsule-relay explain acme {kind} {number}\n{shown.stdout}")
    told = world.run("explain", "acme", kind, str(number), "--json")
    document: dict[str, Any] = json.loads(told.stdout)
    return document, shown.stdout


def test_a_person_kept_out_by_tags(world: World) -> None:
    number = world.person("Olga", "vip")
    told, text = explained(world, "person", number)
    assert (told["state"], told["in"]) == ("out", False)
    assert 'no tag matches "member, [vip, london], !left", and it has no organisation' in text
    assert [step["text"] for step in told["rules"]][:3] == [
        'keeps out: tag "left": no',
        'tag "member": no',
        'tags "vip" and "london": no',
    ]
    assert (told["body"], told["last"]["wrote"]) == ([], {})


def test_a_person_let_in_through_its_organisation(world: World) -> None:
    firm = world.organisation("Through Ltd", "member", "shoreditch")
    number = world.person("Theo", of=firm, email="theo@through.example")
    told, text = explained(world, "person", number)
    assert (told["state"], told["in"]) == ("in step", True)
    assert "its organisation is in" in told["why"]
    sources = {one["name"]: one["source"] for one in told["body"]}
    assert sources["location"] == 'locations: its organisation\'s tag "shoreditch"; it names "Shoreditch"'
    assert sources["company"] == f"OfficeRnD's company of its organisation, {firm}"
    assert "no difference" in text


def test_one_that_is_held(world: World) -> None:
    firm = world.organisation("Held Ltd", "member")
    deal = world.deal("Held deal", firm, milestone="Renewals / Proposal") if _has(world, "Proposal") else None
    assert deal is not None
    told, _ = explained(world, "opportunity", deal)
    assert told["state"] == "held"


def _has(world: World, milestone: str) -> bool:
    print([(one["pipeline"]["name"], one["name"]) for one in world.capsule.control("GET", "state")["milestones"]])
    return any(one["name"] == milestone for one in world.capsule.control("GET", "state")["milestones"])
