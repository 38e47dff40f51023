"""Where a record belongs (DESIGN.md §6, `locations` and `default_location`, and its edges)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.rules.world import LONDON, SHOREDITCH, Rules, World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

CONNECTIONS = {
    # Shoreditch stands first, so it wins over London Bridge.
    "acme": Rules(
        locations={"shoreditch ": ["east", "Hackney"], "London Bridge": ["london", "lb"]}, default_location="London Bridge"
    ),
    "bare": Rules(locations={"London Bridge": ["london"], "Shoreditch": ["east"]}, default_location=None),
    "by_id": Rules(locations={LONDON: ["london"], SHOREDITCH: ["east"]}, default_location=SHOREDITCH),
    "unknown": Rules(locations={"Camden": ["camden"], "Twice": ["twice"]}),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world"), CONNECTIONS) as running:
        yield running


@pytest.mark.parametrize(
    ("tags", "place"),
    [
        pytest.param((), LONDON, id="the default"),
        pytest.param(("east",), SHOREDITCH, id="a tag"),
        pytest.param(("lb",), LONDON, id="a second tag of a location"),
        pytest.param(("HACKNEY",), SHOREDITCH, id="another case"),
        pytest.param(("london", "east"), SHOREDITCH, id="the first in the order of the rules"),
        pytest.param(("eastern",), LONDON, id="a tag that only begins like one"),
    ],
)
def test_tags_lead_to_a_location(world: World, tags: tuple[str, ...], place: str) -> None:
    """`locations`: location name or id -> Capsule tags; first match in this order wins."""
    firm = world.organisation(f"Place {tags} Ltd", "member", *tags)
    number = world.person(f"Place {tags}", "member", *tags)
    assert world.acme.company(firm)["location"] == place
    assert world.acme.member(number)["location"] == place


def test_a_location_can_be_named_by_its_id(world: World) -> None:
    """`locations`: location name or id; `default_location`, too."""
    assert world["by_id"].company(world.organisation("By id Ltd", "member", "london"))["location"] == LONDON
    assert world["by_id"].company(world.organisation("By default id Ltd", "member"))["location"] == SHOREDITCH


def test_a_person_takes_its_organisations_unless_its_own_tags_lead_elsewhere(world: World) -> None:
    """No location from tags: a person takes its organisation's; else `default_location`."""
    firm = world.organisation("Eastern Ltd", "member", "east")
    inherits, own = world.person("Ada", of=firm), world.person("Bea", "london", of=firm)
    assert world.acme.member(inherits)["location"] == SHOREDITCH
    assert world.acme.member(inherits)["properties"]["capsule_location"] == "Shoreditch"
    assert world.acme.member(own)["location"] == LONDON


def test_a_tagged_person_inherits_from_an_organisation_that_is_out(world: World) -> None:
    """A person takes its organisation's location; that one's tags say so whether or not it is in."""
    firm = world.organisation("Eastern outsiders Ltd", "east")
    number = world.person("Cleo", "member", of=firm)
    assert world.acme.member(number)["location"] == SHOREDITCH


def test_without_any_location_a_record_is_held_until_it_has_one(world: World) -> None:
    """Else held: no location. Tried again when the record changes; not an error, not a dead letter."""
    firm, number = world.organisation("Nowhere Ltd", "member"), world.person("Dev", "member")
    deal = world.deal("Nowhere", firm)
    assert [world["bare"].held(one) for one in (firm, number)] == ["no_location", "no_location"]
    assert not world["bare"].has(firm)
    assert world["bare"].held(deal, "opportunity") == "other_held"
    assert "no tag leads to a location" in world["bare"].reason(deal, "opportunity")

    world.tag(firm, "east")
    assert world["bare"].company(firm)["location"] == SHOREDITCH
    assert world["bare"].opportunity(deal)["company"] == world["bare"].company(firm)["_id"]
    world.tag(number, "london")
    assert world["bare"].member(number)["location"] == LONDON


def test_people_held_with_their_organisation_go_on_with_it(world: World) -> None:
    """Held, for who inherits: the organisation's location ends it."""
    firm = world.organisation("Nowhere as yet Ltd", "member")
    number = world.person("Eli", of=firm)
    assert world["bare"].held(number) is not None
    world.tag(firm, "east")
    assert world["bare"].member(number)["company"] == world["bare"].company(firm)["_id"]


def test_a_company_moves_and_its_people_are_judged_again(world: World) -> None:
    """When an organisation's location changes, people who inherit are judged again.

    "v2 cannot … move a location: what stays behind is reported, and `capsule_location` says where it should be."
    """
    firm = world.organisation("Moving Ltd", "member")
    number = world.person("Fay", of=firm)
    world.tag(firm, "east")
    assert world.acme.company(firm)["location"] == SHOREDITCH
    member = world.acme.member(number)
    assert (member["location"], member["properties"]["capsule_location"]) == (LONDON, "Shoreditch")
    assert world.acme.notes(number) == ["location_fixed"]

    world.change(number, about="a change that concerns nobody")
    assert world.acme.told(number, "location_fixed") == 1

    world.untag(firm, "east")
    assert world.acme.member(number)["properties"]["capsule_location"] == "London Bridge"
    assert world.acme.notes(number) == []


def test_what_officernd_does_not_have_or_has_twice_is_held_by_name(world: World) -> None:
    """Held: what a person must decide; the reason says which setting is wrong."""
    for _ in range(2):
        world["unknown"].seed("locations", name="Twice")
    firm, other = world.organisation("Camden Ltd", "member", "camden"), world.organisation("Twice Ltd", "member", "twice")
    assert world["unknown"].held(firm) == "location_unknown"
    assert world["unknown"].reason(firm) == 'locations names "Camden", which is no location in OfficeRnD'
    assert world["unknown"].held(other) == "location_ambiguous"


def test_what_was_held_goes_on_when_the_rules_or_officernd_have_changed(world: World) -> None:
    """Held: tried again when the rules change. A changed rules file re-judges what it touches (a reconcile)."""
    camden, firm = world.organisation("Camden again Ltd", "member", "camden"), world.organisation("Waiting Ltd", "member")
    assert (world["unknown"].held(camden), world["bare"].held(firm)) == ("location_unknown", "no_location")

    # What OfficeRnD has is asked for again at most once a minute; the workers, started anew with the rules, ask at once.
    place = world["unknown"].seed("locations", name="Camden")
    world.rewrite(bare=Rules(locations=CONNECTIONS["bare"].locations, default_location="Shoreditch"))
    world.full_sync("bare")
    world.change(camden, about="tried again when the record changes")

    assert world["bare"].company(firm)["location"] == SHOREDITCH
    assert world["unknown"].company(camden)["location"] == place
