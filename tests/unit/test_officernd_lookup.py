from __future__ import annotations

from typing import Any

import pytest

from mapping.officernd_lookup import Status, location_by_tags, place, status_for
from mapping.plan import Held
from tests.unit.samples import (
    LONDON,
    NEGOTIATION,
    SHOREDITCH,
    STATUSES,
    TOUR,
    connection,
    context,
    opportunity,
    organisation,
    person,
)
from tests.unit.wording import is_reason


def test_the_location_that_the_own_tags_lead_to_is_the_first_of_the_rules() -> None:
    rules = connection(locations={"Shoreditch": ["east"], "London Bridge": ["bridge", "Hub"]})
    assert location_by_tags(rules, organisation(tags=("hub", "EAST"))) == "Shoreditch"
    assert location_by_tags(rules, organisation(tags=("hub",))) == "London Bridge"
    assert location_by_tags(rules, organisation(tags=("west",))) is None
    assert location_by_tags(rules, organisation(tags=None)) is None


def code(found: object, names: str = "") -> str:
    """Why it is held; `names` is the setting or record that the text must name."""
    assert isinstance(found, Held), found
    assert names in found.text
    assert is_reason(found.text), found.text
    return found.code


def test_a_location_is_named_by_id_or_by_name() -> None:
    known = context(places={SHOREDITCH: ["east"], "london bridge": ["lb"]})
    assert place(known, organisation(tags=("East",)), None) == (SHOREDITCH, "Shoreditch")
    assert place(known, organisation(tags=("lb",)), None) == (LONDON, "London Bridge")


def test_several_location_tags_give_the_first_location_of_the_rules() -> None:
    assert place(context(places={"Shoreditch": ["b"], "London Bridge": ["a"]}), person(tags=("a", "b")), None) == (
        SHOREDITCH,
        "Shoreditch",
    )
    assert place(context(places={"London Bridge": ["a"], "Shoreditch": ["b"]}), person(tags=("a", "b")), None) == (
        LONDON,
        "London Bridge",
    )


def test_the_tags_of_a_hidden_organisation_are_not_looked_at() -> None:
    hidden = organisation(tags=("b",), isRestricted=True)
    assert place(context(places={"Shoreditch": ["b"]}), person(), hidden) == (LONDON, "London Bridge")


def test_without_a_location_the_record_is_held() -> None:
    nowhere = place(context(default_location=None), person(), organisation())
    assert code(nowhere, "add a tag in Capsule, or set default_location") == "no_location"


def test_a_location_that_officernd_does_not_have_is_named_with_its_setting() -> None:
    unknown = place(context(default_location="Paris"), person(), None)
    assert code(unknown) == "location_unknown"
    assert isinstance(unknown, Held)
    assert unknown.text.startswith('default_location names "Paris"')
    by_tag = place(context(places={"Rome": ["r"]}), person(tags=("r",)), None)
    assert isinstance(by_tag, Held)
    assert by_tag.text.startswith('locations names "Rome"')


def test_two_locations_of_one_name_are_not_guessed_between() -> None:
    twice = place(context(locations={"a": "London Bridge", "b": "london bridge "}), person(), None)
    assert code(twice, 'default_location names "London Bridge"') == "location_ambiguous"


@pytest.mark.parametrize(
    ("rules", "milestone", "status"),
    [
        pytest.param({"Bid": "Negotiation"}, 14, NEGOTIATION, id="by name"),
        pytest.param({" bid ": "NEGOTIATION"}, 15, NEGOTIATION, id="by name in any pipeline, case and space aside"),
        pytest.param({"Bid": "Negotiation", "Renewals / Bid": "Tour booked"}, 15, TOUR, id="pipeline before name"),
        pytest.param({"Bid": "Negotiation", "Renewals / Bid": "Tour booked"}, 14, NEGOTIATION, id="another pipeline's"),
        pytest.param({"renewals/bid": "Tour booked"}, 15, TOUR, id="spaces around the slash"),
        pytest.param({"renewals/ bid": "Tour booked"}, 15, TOUR, id="a space behind the slash"),
        pytest.param({"Renewals  /  Bid": "Tour booked"}, 15, TOUR, id="several spaces around the slash"),
        pytest.param({"Sales / Bid": "Negotiation", "14": "Tour booked"}, 14, TOUR, id="id before pipeline"),
        pytest.param({"Bid": TOUR}, 14, TOUR, id="a status by id"),
        pytest.param({"Won": "won"}, 16, "64b0c0ffee00000000000403", id="the system status of won deals"),
        pytest.param({"Won": "Lost"}, 16, "64b0c0ffee00000000000404", id="the system status of lost deals"),
        pytest.param({"Won": "open"}, 16, "64b0c0ffee00000000000401", id="the system status of open deals"),
    ],
)
def test_a_milestone_leads_to_its_status(rules: dict[str, str], milestone: int, status: str) -> None:
    found = status_for(context(opportunity_statuses=rules), opportunity(milestone={"id": milestone, "name": "old name"}))
    assert isinstance(found, Status)
    assert found.id == status


def test_a_milestone_that_is_not_known_yet_is_looked_up_by_its_own_name() -> None:
    found = status_for(context(), opportunity(milestone={"id": 77, "name": "Bid"}))
    assert isinstance(found, Status)
    assert found.id == NEGOTIATION


def test_a_milestone_without_a_status_is_named_in_full() -> None:
    found = status_for(context(opportunity_statuses={"New": "Negotiation"}), opportunity(milestone={"id": 15, "name": "Bid"}))
    assert found == Held("no_status", 'milestone "Renewals / Bid" (id 15) has no status; add it to opportunity_statuses')
    unknown = status_for(context(), opportunity(milestone={"id": 77, "name": "Odd"}))
    assert isinstance(unknown, Held)
    assert 'milestone "Odd" (id 77)' in unknown.text


def test_a_status_that_officernd_does_not_have_or_has_twice_is_held() -> None:
    twice: dict[str, Any] = {
        "a": Status("a", "Negotiation", 50, is_system=False),
        "b": Status("b", "negotiation", 60, is_system=False),
    }
    named = 'opportunity_statuses names "Negotiation"'
    assert code(status_for(context(statuses={}), opportunity()), named) == "status_unknown"
    assert code(status_for(context(statuses=twice), opportunity()), named) == "status_ambiguous"


def test_a_status_named_won_by_staff_comes_before_the_system_row() -> None:
    own = {**STATUSES, "x": Status("x", "Won", 90, is_system=False)}
    found = status_for(context(statuses=own, opportunity_statuses={"Bid": "won"}), opportunity())
    assert isinstance(found, Status)
    assert found.id == "x"
