"""An operator's own fields: JMESPath on the Capsule record (DESIGN.md §6, `[connections.acme.fields]`, and its edges)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.rules.world import Rules, World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

FIELDS = """
"properties.plan" = "fields[?definition.name=='Plan'].value | [0]"
"properties.id in Capsule" = "id"
"properties.not set up" = "id"

[connections.acme.fields.person]
"properties.job" = "jobTitle"
"properties.employer" = "organisation.name"
"description" = "about"
"isBillingPerson" = "jobTitle == 'Accountant'"

[connections.acme.fields.organisation]
"address.city" = "addresses[0].city"
"properties.plan" = "join(' ', [name, 'has the plan', fields[?definition.name=='Plan'].value | [0]])"

[connections.acme.fields.opportunity]
"membersCount" = "duration"
"properties.floor" = "fields[?definition.name=='Floor'].value | [0]"
"""
PROPERTIES = (
    ("plan", "String", ("member", "team", "lead")),
    ("id in Capsule", "Number", ("member", "team", "lead")),
    ("job", "String", ("member",)),
    ("employer", "String", ("member",)),
    ("floor", "String", ("lead",)),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world"), {"acme": Rules(fields=FIELDS)}) as running:
        made = [{"key": key, "type": kind, "targets": targets} for key, kind, targets in PROPERTIES]
        running.officernd.control("POST", "custom-properties", made)
        yield running


def plan(world: World, value: str | None) -> list[dict[str, object]]:
    return [{"definition": {"id": world.definition("Plan")}, "value": value}]


def test_a_general_field_is_written_for_every_kind(world: World) -> None:
    """`[connections.acme.fields]` for all kinds."""
    firm = world.organisation("General Ltd", "member")
    number, deal = world.person("Ada", of=firm), world.deal("Desks", firm)
    assert world.acme.company(firm)["properties"]["id in Capsule"] == firm
    assert world.acme.member(number)["properties"]["id in Capsule"] == number
    assert world.acme.opportunity(deal)["properties"]["id in Capsule"] == deal


def test_a_field_of_one_kind_is_written_for_that_kind_and_replaces_the_general_one(world: World) -> None:
    """`fields.person`, `fields.organisation`, `fields.opportunity` for one."""
    firm = world.organisation("One kind Ltd", "member", fields=plan(world, "Flex"), addresses=[{"city": "Leeds"}])
    number = world.person("Bea", of=firm, jobTitle="Accountant", about="Knows figures", fields=plan(world, "Fixed"))
    company, member = world.acme.company(firm), world.acme.member(number)
    assert company["properties"]["plan"] == "One kind Ltd has the plan Flex"
    assert company["address"] == {"city": "Leeds"}
    assert "job" not in company["properties"]
    assert member["properties"]["plan"] == "Fixed"
    assert (member["properties"]["job"], member["isBillingPerson"], member["description"]) == (
        "Accountant",
        True,
        "Knows figures",
    )


def test_a_field_of_an_opportunity(world: World) -> None:
    """`fields.opportunity`: also what only POST takes."""
    firm = world.organisation("Floors Ltd", "member")
    deal = world.deal("A floor", firm, durationBasis="MONTH", duration=4, value={"amount": 10, "currency": "GBP"})
    assert world.acme.opportunity(deal)["membersCount"] == 4
    # It cannot be changed afterwards, which is told once.
    for duration in (5, 6):
        world.change_deal(deal, duration=duration)
    assert world.acme.opportunity(deal)["membersCount"] == 4
    assert "not_writable" in world.acme.notes(deal, "opportunity")
    assert world.acme.told(deal, "not_writable", "opportunity") == 1


def test_a_null_is_left_out_when_creating_and_clears_only_what_we_wrote(world: World) -> None:
    """A null is left out when creating, and clears only what we wrote before."""
    member = world.acme.seed(
        "members", name="Cleo Example", email="cleo@x.example", properties={"job": "Set by staff", "plan": "Set by staff"}
    )
    number = world.person("Cleo", "member", email="cleo@x.example", fields=plan(world, "Flex"))
    assert world.acme.member(number)["_id"] == member
    assert world.acme.member(number)["properties"]["job"] == "Set by staff"
    assert world.acme.member(number)["properties"]["plan"] == "Flex"

    world.change(number, fields=plan(world, None))
    properties = world.acme.member(number)["properties"]
    assert (properties["job"], properties["plan"]) == ("Set by staff", "")

    with world.acme.writing() as writes:
        world.change(number, about=None)
    assert writes == []


def test_a_change_of_an_own_field_is_a_change(world: World) -> None:
    """Own fields follow the record like every other property."""
    number = world.person("Dev", "member", fields=plan(world, "Flex"))
    with world.acme.writing() as writes:
        world.change(number, fields=plan(world, "Fixed"))
    assert writes == ["PUT /members/{id}"]
    assert world.acme.member(number)["properties"]["plan"] == "Fixed"


def test_a_property_that_is_not_set_up_there_is_left_out_and_told_once(world: World) -> None:
    """One that is not set up there is left out and reported once."""
    number = world.person("Eli", "member")
    assert "not set up" not in world.acme.member(number)["properties"]
    assert world.acme.notes(number) == ["no_property:not set up"]
    world.change(number, about="a change")
    world.change(number, lastName="another change")
    assert world.acme.told(number, "no_property:not set up") == 1


def test_an_expression_that_gives_the_wrong_kind_of_value_is_told_and_the_rest_is_written(world: World) -> None:
    """Own fields: what cannot be used of one record stops neither that record nor another."""
    firm = world.organisation("No plan Ltd", "member")
    assert world.acme.company(firm)["name"] == "No plan Ltd"
    assert "own_field:properties.plan" in world.acme.notes(firm)


def test_people_hear_of_a_new_name_of_their_organisation(world: World) -> None:
    """When an organisation's location or name changes, people who inherit are judged again (own fields may use its name)."""
    firm = world.organisation("Old name Ltd", "member")
    number = world.person("Fay", of=firm)
    assert world.acme.member(number)["properties"]["employer"] == "Old name Ltd"
    world.change(firm, name="New name Ltd")
    assert world.acme.member(number)["properties"]["employer"] == "New name Ltd"


def test_a_field_that_is_taken_out_of_the_rules_clears_what_we_wrote(world: World) -> None:
    """A changed rules file re-judges what it touches (a reconcile); own fields clear only what we wrote before."""
    number = world.person("Gus", "member", jobTitle="Designer")
    world.rewrite(acme=Rules(fields=FIELDS.replace('"properties.job"', '"properties.title"')))
    world.full_sync()
    assert world.acme.member(number)["properties"]["job"] == ""
    assert world.acme.notes(number) == ["no_property:not set up", "no_property:title"]
