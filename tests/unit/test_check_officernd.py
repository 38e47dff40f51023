"""What follows from the answers of both sides for the rules: the pure part of `check --live`."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import pytest

from mapping import rules
from mapping.officernd_check import Found, Property, of_capsule, of_officernd
from mapping.officernd_lookup import Status
from mapping.records import Milestone

if TYPE_CHECKING:
    from mapping.errors import Fault

RULES = """
[connections.acme]
downstream = "officernd"
tags_to_sync = "member, !left"
default_location = "london bridge"
{above}
[connections.acme.officernd]
organization = "acme-spaces"
[connections.acme.locations]
"Shoreditch" = ["East"]
[connections.acme.opportunity_statuses]
"New" = "Tour Booked"
"Sales / Bid" = "Negotiation"
"12" = "won"
{below}
"""
SALES, OTHER = (1, "Sales"), (2, "Renewals")
MILESTONES = (
    Milestone(10, "New", *SALES, 10, complete=False),
    Milestone(11, "Bid", *SALES, 50, complete=False),
    Milestone(12, "Won", *SALES, 100, complete=True),
    Milestone(20, "new ", *OTHER, 10, complete=False),
)
TAGS = ("Member", "left", "east", "unused by us")
LOCATIONS = {"64b0c0ffee00000000000001": "London Bridge", "64b0c0ffee00000000000002": "Shoreditch"}
STATUSES = {
    one.id: one
    for one in (
        Status("a", "System status for won opportunities", 100, is_system=True),
        Status("b", "Negotiation", 50, is_system=False),
        Status("c", "Tour booked", 40, is_system=False),
    )
}
ALL = frozenset({"member", "team", "lead"})
PROPERTIES = (
    Property("capsule_link_id", "string", ALL),
    Property("capsule_twitter", "Text", frozenset({"team"})),
    Property("capsule_phone", "String", frozenset({"team"})),
    Property("capsule_location", "String", frozenset({"member"})),
    Property("capsule_deal_size", "Number", frozenset({"lead"})),
    Property("capsule_probability", "NUMBER", frozenset({"lead"})),
    Property("plan", "String", ALL),
    Property("desk", "String", frozenset({"member"})),
)


def acme(above: str = "", below: str = "", *, swap: tuple[str, str] = ("", "")) -> rules.Connection:
    text = RULES.format(above=above, below=below).replace(*swap) if swap[0] else RULES.format(above=above, below=below)
    return rules.parse(tomllib.loads(text))["acme"]


def capsule(connection: rules.Connection, milestones: tuple[Milestone, ...] = MILESTONES) -> Found:
    return of_capsule(connection, milestones=milestones, tags=TAGS)


def officernd(connection: rules.Connection, **answers: object) -> Found:
    given: dict[str, object] = {"locations": LOCATIONS, "statuses": STATUSES, "properties": PROPERTIES, **answers}
    return of_officernd(connection, **given)  # type: ignore[arg-type]


def texts(faults: tuple[Fault, ...]) -> dict[str, str]:
    return {fault.path.removeprefix("connections.acme."): f"{fault.message} | {fault.hint}" for fault in faults}


def test_rules_that_name_what_is_there_have_no_findings() -> None:
    assert capsule(acme()) == officernd(acme()) == Found()


@pytest.mark.parametrize(
    ("swap", "path", "said"),
    [
        (("member,", "memebr,"), "tags_to_sync", '"memebr": Capsule has no party tag of this name | Did you mean "Member"?'),
        (("!left", "!xyz"), "tags_to_sync", "Nothing to do if it is yet to be made"),
        (('["East"]', '["east", "west"]'), "locations.Shoreditch.1", '"west"'),
        (('"Sales / Bid"', '"Renewals / Bid"'), 'opportunity_statuses."Renewals / Bid"', "no pipeline"),
        (('"12"', '"99"'), "opportunity_statuses.99", "no pipeline"),
        (('"New"', '"Nwe"'), "opportunity_statuses.Nwe", 'Did you mean "New"?'),
    ],
)
def test_a_name_that_capsule_does_not_have_is_a_doubt_with_a_suggestion(swap: tuple[str, str], path: str, said: str) -> None:
    found = capsule(acme(swap=swap))
    assert found.faults == ()
    assert said in texts(found.warnings)[path]


def test_every_milestone_of_every_pipeline_without_a_status_is_named() -> None:
    found = capsule(acme(swap=('"New" = "Tour Booked"', "")))
    said = [fault.message for fault in found.warnings]
    assert [fault.path for fault in found.warnings] == ["connections.acme.opportunity_statuses"] * 2
    assert '"Sales / New" (id 10)' in said[0]
    assert '"Renewals / new" (id 20)' in said[1]
    assert found.warnings[0].hint == 'Add "Sales / New" = "<status of OfficeRnD>".'


def test_a_line_that_more_exact_ones_take_everything_from_is_never_used() -> None:
    found = texts(capsule(acme(below="'Bid' = 'Negotiation'\n'Won' = 'won'")).warnings)
    assert set(found) == {"opportunity_statuses.Bid", "opportunity_statuses.Won"}
    assert all("never used" in said for said in found.values())


def test_without_opportunities_neither_milestones_nor_statuses_matter() -> None:
    quiet = acme("sync_opportunities = false", swap=('"Negotiation"', '"Nowhere"'))
    assert capsule(quiet, milestones=()) == Found()
    properties = (*PROPERTIES[1:4], Property("capsule_link_id", "String", frozenset({"member", "team"})))
    assert officernd(quiet, statuses={}, properties=properties) == Found()


@pytest.mark.parametrize(
    ("swap", "path", "said"),
    [
        (("london bridge", "London Brdge"), "default_location", 'Did you mean "London Bridge"?'),
        (('"Shoreditch" =', '"Leeds" ='), "locations.Leeds", "It has London Bridge, Shoreditch."),
        (('"Negotiation"', '"Negotiations"'), 'opportunity_statuses."Sales / Bid"', 'Did you mean "Negotiation"?'),
        (('"won"', '"lost"'), "opportunity_statuses.12", "no opportunity status"),
    ],
)
def test_a_name_that_officernd_does_not_have_is_a_fault_with_a_suggestion(swap: tuple[str, str], path: str, said: str) -> None:
    found = officernd(acme(swap=swap))
    assert found.warnings == ()
    assert list(texts(found.faults)) == [path]
    assert said in texts(found.faults)[path]


def test_ids_are_names_too() -> None:
    assert officernd(acme(swap=("london bridge", next(iter(LOCATIONS))))) == Found()
    assert officernd(acme(swap=('"Negotiation"', '"b"'))) == Found()


def test_a_name_that_officernd_has_twice_is_a_fault_that_lists_the_ids() -> None:
    twice = {**LOCATIONS, "64b0c0ffee00000000000003": " LONDON bridge"}
    found = texts(officernd(acme(), locations=twice).faults)
    assert "64b0c0ffee00000000000001, 64b0c0ffee00000000000003" in found["default_location"]
    statuses = {**STATUSES, "d": Status("d", "negotiation", 60, is_system=False)}
    assert "Use one of b, d." in texts(officernd(acme(), statuses=statuses).faults)['opportunity_statuses."Sales / Bid"']


def without(*keys: str) -> tuple[Property, ...]:
    return tuple(one for one in PROPERTIES if one.key not in keys)


def test_without_the_link_property_nothing_is_created_so_it_is_a_fault() -> None:
    (fault,) = officernd(acme(), properties=without("capsule_link_id")).faults
    assert fault.path == "connections.acme.officernd"
    assert "members (target member) and companies (target team) and opportunities (target lead)" in fault.message
    assert 'add: key "capsule_link_id", type String' in fault.hint
    some = (*without("capsule_link_id"), Property("capsule_link_id", "String", frozenset({"member", "lead"})))
    (fault,) = officernd(acme(), properties=some).faults
    assert "is not set up for companies (target team):" in fault.message


@pytest.mark.parametrize("key", [one.key for one in PROPERTIES if one.key.startswith("capsule_") and "link" not in one.key])
def test_without_another_property_something_is_left_out_so_it_is_a_doubt(key: str) -> None:
    found = officernd(acme(), properties=without(key))
    assert found.faults == ()
    (warning,) = found.warnings
    assert f'"{key}" is not set up' in warning.message


def test_a_property_of_the_wrong_type_is_told() -> None:
    for key, type_, is_fault in (("capsule_link_id", "Number", True), ("capsule_deal_size", "String", False)):
        targets = next(one.targets for one in PROPERTIES if one.key == key)
        found = officernd(acme(), properties=(*without(key), Property(key, type_, targets)))
        assert (len(found.faults), len(found.warnings)) == (int(is_fault), int(not is_fault))
        assert f"has the type {type_}" in (*found.faults, *found.warnings)[0].message


def test_an_own_field_needs_its_property_for_the_kinds_that_it_is_for() -> None:
    below = """[connections.acme.fields]
"properties.plan" = "id"
"properties.desk" = "id"
"properties.none" = "id"
[connections.acme.fields.person]
"properties.desk" = "id"
[connections.acme.fields.organisation]
"properties.desc" = "id"
"""
    found = officernd(acme(below=below))
    assert set(texts(found.faults)) == {'fields."properties.none"', 'fields.organisation."properties.desc"'}
    assert set(texts(found.warnings)) == {'fields."properties.desk"'}
    assert "companies (target team) and opportunities (target lead)" in found.warnings[0].message
