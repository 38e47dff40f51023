"""What a person must decide, and what OfficeRnD is not set up for (DESIGN.md §6, "Held", and its edges, "Properties")."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.rules.world import Rules, World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

ALL = ("capsule_twitter", "capsule_phone", "capsule_location", "capsule_deal_size", "capsule_probability")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    connections = {"acme": Rules(), "unlinked": Rules(), "spare": Rules()}
    with World(tmp_path_factory.mktemp("world"), connections) as running:
        running["unlinked"].simulator.control("DELETE", "custom-properties", {"key": "capsule_link_id"})
        for key in ALL:
            running["spare"].simulator.control("DELETE", "custom-properties", {"key": key})
        yield running


def test_without_the_link_property_nothing_is_created(world: World) -> None:
    """`capsule_link_id` (String …; without it nothing is created and `doctor` says how to add it)."""
    firm = world.organisation("Unlinked Ltd", "member")
    number, deal = world.person("Ada", "member"), world.deal("Unlinked", firm)
    side = world["unlinked"]
    assert [side.held(one) for one in (firm, number)] == ["no_link_property"] * 2
    assert side.held(deal, "opportunity") == "other_held"
    assert "add it as a String in OfficeRnD" in side.reason(firm)
    assert [side.records(resource) for resource in ("companies", "members", "opportunities")] == [[], [], []]


def test_what_is_held_is_no_error_and_no_letter_and_status_counts_it(world: World) -> None:
    """Held: shown … by `status` …; not an error, not a dead letter."""
    number = world.person("Bea", "member")
    assert world["unlinked"].held(number) == "no_link_property"
    shown = json.loads(world.run("status", "--json").stdout)
    mine = next(one for one in shown["connections"] if one["name"] == "unlinked")
    assert mine["tally"]["held"] >= 1
    assert (mine["letters"], mine["waiting"], mine["paused"]) == (0, 0, "")
    lines = world.lines("record", f"unlinked|party|{number}")
    assert {(line["end"], line["held"], line.get("error")) for line in lines} == {("held", "no_link_property", None)}


def test_once_the_property_is_there_a_sync_brings_everything(world: World) -> None:
    """Held: tried again when the rules or the record change; here when OfficeRnD has learnt what was missing."""
    firm = world.organisation("Linked at last Ltd", "member")
    number = world.person("Cleo", of=firm)
    deal = world.deal("Linked at last", number)
    assert world["unlinked"].held(firm) == "no_link_property"
    made = {"key": "capsule_link_id", "type": "String", "targets": ["member", "team", "lead"]}
    world["unlinked"].simulator.control("POST", "custom-properties", made)
    world.rewrite()  # what OfficeRnD has is kept for a while: the workers begin anew
    world.full_sync("unlinked")
    side = world["unlinked"]
    assert side.member(number)["company"] == side.company(firm)["_id"]
    assert side.opportunity(deal)["member"] == side.member(number)["_id"]


def test_every_other_property_that_is_missing_is_left_out_and_told_once(world: World) -> None:
    """One that is not set up there is left out and reported once."""
    side = world["spare"]
    firm = world.organisation("Spare Ltd", "member", phone="1", twitter="spare")
    number = world.person("Dev", "member")
    deal = world.deal("Spare", firm, value={"amount": 5, "currency": "GBP"}, probability=70)
    assert side.company(firm)["properties"] == {"capsule_link_id": str(firm)}
    assert side.member(number)["properties"] == {"capsule_link_id": str(number)}
    assert side.opportunity(deal)["properties"] == {"capsule_link_id": str(deal)}
    assert side.notes(firm) == ["no_property:capsule_phone", "no_property:capsule_twitter"]
    assert side.notes(number) == ["no_property:capsule_location"]
    assert side.notes(deal, "opportunity") == [
        "no_property:capsule_deal_size",
        "no_property:capsule_probability",
        "probability",
    ]

    world.change(firm, name="Spare again Ltd")
    world.change(number, lastName="Again")
    assert side.company(firm)["name"] == "Spare again Ltd"
    assert [side.told(firm, code) for code in side.notes(firm)] == [1, 1]
    assert side.told(number, "no_property:capsule_location") == 1


def test_a_value_that_cannot_be_changed_and_has_no_property_is_still_told(world: World) -> None:
    """Nothing is dropped in silence."""
    firm = world.organisation("No size Ltd", "member")
    deal = world.deal("No size", firm, value={"amount": 5, "currency": "GBP"})
    world.change_deal(deal, value={"amount": 6, "currency": "GBP"})
    assert world["spare"].notes(deal, "opportunity") == ["deal_size_fixed", "no_property:capsule_deal_size"]
    assert world["spare"].told(deal, "deal_size_fixed", "opportunity") == 1


def test_a_status_that_officernd_does_not_have_is_held(world: World) -> None:
    """Held: a name in the rules that leads nowhere is said with the setting that names it."""
    for found in world["spare"].records("opportunity-statuses"):
        if found["description"] == "Tour booked":
            world["spare"].simulator.control("DELETE", "statuses", {"id": found["_id"]})
    world["spare"].simulator.control("POST", "statuses", [{"description": "Negotiation", "probability": 45}])
    world.rewrite()
    firm = world.organisation("No status Ltd", "member")
    gone, twice = world.deal("New", firm, milestone="New"), world.deal("Bid", firm, milestone="Bid")
    assert world["spare"].held(gone, "opportunity") == "status_unknown"
    assert 'opportunity_statuses names "Tour booked"' in world["spare"].reason(gone, "opportunity")
    assert world["spare"].held(twice, "opportunity") == "status_ambiguous"


def test_a_deal_that_is_too_large_is_held(world: World) -> None:
    """Held: what cannot be written without loss is not written."""
    firm = world.organisation("Large Ltd", "member")
    deal = world.deal("Large", firm, value={"amount": 10**15, "currency": "GBP"}, durationBasis="YEAR", duration=3)
    assert world.acme.held(deal, "opportunity") == "deal_size"
    world.change_deal(deal, value={"amount": 10, "currency": "GBP"})
    assert world.acme.opportunity(deal)["dealSize"] == 30
