"""Opportunities: whose they are, and what their milestones mean (DESIGN.md §6, and its edges "Milestones" and "Values")."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.acceptance.rules.world import LOST, NEGOTIATION, OPEN, STATUSES, TOUR, WON, Rules, World

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.processes, pytest.mark.timeout(240)]

RENEWALS_LOST = 100_008  # the id that the simulator's seed gives to that milestone

CONNECTIONS = {
    "acme": Rules(),
    "off": Rules(settings="sync_opportunities = false"),
    "strict": Rules(settings="sync_untagged_contacts = false", statuses={**STATUSES, "Renewals / Offer": "Tour booked"}),
    # Two pipelines with milestones of the same names, told apart in every way that there is.
    "precise": Rules(
        statuses={
            "New": NEGOTIATION,
            "Bid": "Tour booked",
            "renewals/BID": " negotiation ",
            "Renewals / Lost": "won",
            str(RENEWALS_LOST): "lost",
            "Sales / Won": "System status for open opportunities",
        }
    ),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world"), CONNECTIONS) as running:
        yield running


def outcome(world: World, name: str, deal: int) -> str:
    return world[name].judged(deal, "opportunity").outcome


# ---------------------------------------------------------------------- whose they are
def test_a_deal_of_an_organisation_goes_to_its_company(world: World) -> None:
    """Opportunities are in when `sync_opportunities` is on and their party (or its organisation) is in."""
    firm = world.organisation("Party Ltd", "member")
    deal = world.deal("Six desks", firm)
    made = world.acme.opportunity(deal)
    assert (made["company"], made["member"]) == (world.acme.company(firm)["_id"], None)


def test_a_deal_of_a_person_goes_to_its_member_and_company(world: World) -> None:
    """Opportunities are in when their party is in; both are known here, so both are said."""
    firm = world.organisation("Person's Ltd", "member")
    number = world.person("Ada", of=firm)
    made = world.acme.opportunity(world.deal("A desk", number))
    assert made["member"] == world.acme.member(number)["_id"]
    assert made["company"] == world.acme.company(firm)["_id"]


def test_a_deal_of_a_person_who_is_out_is_in_by_its_organisation(world: World) -> None:
    """Their party (or its organisation) is in."""
    firm = world.organisation("Half Ltd", "member")
    number = world.person("Bea", of=firm)
    made = world["strict"].opportunity(world.deal("Half a desk", number))
    assert not world["strict"].has(number)
    assert (made["company"], made["member"]) == (world["strict"].company(firm)["_id"], None)


def test_a_deal_of_a_party_that_is_out_is_out_and_follows_it_in(world: World) -> None:
    """Opportunities are in when their party is in; for a later change of the party alone."""
    firm = world.organisation("Outside Ltd")
    deal = world.deal("No desk", firm)
    assert outcome(world, "acme", deal) == "out"
    world.tag(firm, "member")
    assert world.acme.opportunity(deal)["company"] == world.acme.company(firm)["_id"]
    world.untag(firm, "member")
    assert outcome(world, "acme", deal) == "out"


def test_a_deal_of_a_tagged_person_without_an_organisation(world: World) -> None:
    """Opportunities are in when their party is in."""
    number = world.person("Cleo", "member")
    made = world.acme.opportunity(world.deal("One desk", number))
    assert (made["member"], made.get("company")) == (world.acme.member(number)["_id"], None)


def test_without_the_setting_no_deal_comes_over(world: World) -> None:
    """`sync_opportunities = false`."""
    firm = world.organisation("No deals Ltd", "member")
    deal = world.deal("Unwanted", firm)
    assert world["off"].has(firm)
    assert world["off"].linked("opportunities", deal) is None
    assert world["off"].judged(deal, "opportunity").why == "sync_opportunities is off"


def test_the_party_is_made_before_its_deal_whatever_comes_first(world: World) -> None:
    """A deal's party before the deal (issue A2)."""
    with world.acme.writing() as writes:
        made = world.party(type="person", firstName="Dev", lastName="Example", tags=[{"name": "member"}])
        deal = world.deal("At once", int(made["id"]))
    assert writes[0] == "POST /members"
    assert set(writes[1:]) == {"POST /opportunities"}
    assert world.acme.opportunity(deal)["member"] == world.acme.member(made["id"])["_id"]


# ---------------------------------------------------------------------- milestones
@pytest.mark.parametrize(
    ("connection", "milestone", "status"),
    [
        pytest.param("acme", "Sales / Bid", NEGOTIATION, id="by name"),
        pytest.param("acme", "Renewals / Bid", NEGOTIATION, id="by name in the other pipeline"),
        pytest.param("acme", "Sales / New", TOUR, id="by another name"),
        pytest.param("acme", "Sales / Won", WON, id="won"),
        pytest.param("acme", "Sales / Lost", LOST, id="lost"),
        pytest.param("precise", "Sales / Bid", TOUR, id="the name where no path fits"),
        pytest.param("precise", "Renewals / Bid", NEGOTIATION, id="the path before the name"),
        pytest.param("precise", "Renewals / Lost", LOST, id="the id before the path"),
        pytest.param("precise", "Sales / Won", OPEN, id="a status by its description"),
        pytest.param("precise", "Sales / New", NEGOTIATION, id="a status by its id"),
    ],
)
def test_a_milestone_leads_to_its_status(world: World, connection: str, milestone: str, status: str) -> None:
    """`opportunity_statuses`: "Milestone" or "Pipeline / Milestone" -> OfficeRnD status.

    "Milestones: id before "Pipeline / Milestone" before name; read `/pipelines/{id}/milestones`" (so of all pipelines).
    """
    assert world.milestone("Renewals / Lost") == RENEWALS_LOST
    firm = world.organisation(f"Milestone {milestone} {connection} Ltd", "member")
    made = world[connection].opportunity(world.deal(milestone, firm, milestone=milestone))
    assert made["status"] == status


def test_a_milestone_without_a_status_is_held_until_it_moves(world: World) -> None:
    """Held: no status for a milestone. Tried again when the record changes; not an error, not a dead letter."""
    firm = world.organisation("Unmapped Ltd", "member")
    deal = world.deal("Unmapped", firm, milestone="Renewals / Won")
    assert world["precise"].held(deal, "opportunity") == "no_status"
    assert 'milestone "Renewals / Won"' in world["precise"].reason(deal, "opportunity")
    assert world["precise"].linked("opportunities", deal) is None

    world.change_deal(deal, milestone="Renewals / Bid")
    assert world["precise"].opportunity(deal)["status"] == NEGOTIATION

    # An open deal that moves on to a milestone without a status stays as it is, and is held.
    world.change_deal(deal, milestone="Renewals / Won", name="Renamed meanwhile")
    assert world["precise"].held(deal, "opportunity") == "no_status"
    assert world["precise"].opportunity(deal)["name"] == "Unmapped"


def test_a_milestone_that_is_new_in_capsule_is_asked_for(world: World) -> None:
    """Milestones: read `/pipelines/{id}/milestones`: again for one that was never seen, since its pipeline must be known."""
    firm = world.organisation("New milestone Ltd", "member")
    world.deal("Before", firm)
    pipeline = next(one for one in world.capsule.control("GET", "state")["pipelines"] if one["name"] == "Renewals")
    body = {"name": "Offer", "pipeline": {"id": pipeline["id"]}, "probability": 60}
    assert world.api.post("milestones", json={"milestone": body}).status_code == 201
    made = world["strict"].opportunity(world.deal("After", firm, milestone="Renewals / Offer"))
    assert made["status"] == TOUR


# ---------------------------------------------------------------------- their fields
def test_every_property_of_a_deal_and_a_later_change_of_each(world: World) -> None:
    """Opportunity → opportunity: name, start date (expected close), probability, deal size, status."""
    firm = world.organisation("Fields Ltd", "member")
    worth = {"amount": 1200, "currency": "GBP"}
    deal = world.deal("Desks", firm, value=worth, expectedCloseOn="2027-03-01", durationBasis="MONTH", duration=3)
    made = world.acme.opportunity(deal)
    assert {name: made[name] for name in ("name", "startDate", "dealSize", "probability", "status")} == {
        "name": "Desks",
        "startDate": "2027-03-01T00:00:00.000Z",
        "dealSize": 3600,
        "probability": 50,
        "status": NEGOTIATION,
    }

    world.change_deal(deal, name="  More   desks ")
    assert world.acme.opportunity(deal)["name"] == "More desks"
    world.change_deal(deal, expectedCloseOn="2027-04-01")
    assert world.acme.opportunity(deal)["startDate"] == "2027-04-01T00:00:00.000Z"
    world.change_deal(deal, expectedCloseOn=None)
    assert world.acme.opportunity(deal)["startDate"] is None
    world.change_deal(deal, milestone="New")
    assert (world.acme.opportunity(deal)["status"], world.acme.opportunity(deal)["probability"]) == (TOUR, 40)
    world.change_deal(deal, milestone="Won")
    assert (world.acme.opportunity(deal)["status"], world.acme.opportunity(deal)["probability"]) == (WON, 100)


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        pytest.param({"value": {"amount": 500, "currency": "GBP"}}, 500, id="fixed"),
        pytest.param({"value": {"amount": 99.5, "currency": "USD"}}, 99.5, id="currencies are not converted"),
        pytest.param(
            {"value": {"amount": 100, "currency": "GBP"}, "durationBasis": "YEAR", "duration": 2}, 200, id="by the year"
        ),
        pytest.param({"value": None}, 0, id="null"),
    ],
)
def test_the_deal_size(world: World, fields: dict[str, object], size: float) -> None:
    """Deal size = amount times duration unless FIXED; null = 0; currencies are not converted."""
    firm = world.organisation(f"Size {size} Ltd", "member")
    assert world.acme.opportunity(world.deal("Sized", firm, **fields))["dealSize"] == size


def test_a_deal_size_that_changes_goes_to_a_property_and_is_told_once(world: World) -> None:
    """What OfficeRnD refuses to change after creation (deal size) goes to a `capsule_…` property and is reported."""
    firm = world.organisation("Growing Ltd", "member")
    deal = world.deal("Growing", firm, value={"amount": 100, "currency": "GBP"})
    for amount in (200, 300):
        world.change_deal(deal, value={"amount": amount, "currency": "GBP"})
        made = world.acme.opportunity(deal)
        assert (made["dealSize"], made["properties"]["capsule_deal_size"]) == (100, amount)
    assert world.acme.notes(deal, "opportunity") == ["deal_size_fixed"]
    assert world.acme.told(deal, "deal_size_fixed", "opportunity") == 1


def test_a_probability_of_its_own_goes_to_a_property_and_is_told_once(world: World) -> None:
    """On POST probability is the status's; Capsule's own goes to `capsule_probability` where it differs."""
    firm = world.organisation("Likely Ltd", "member")
    deal = world.deal("Likely", firm, probability=70)
    made = world.acme.opportunity(deal)
    assert (made["probability"], made["properties"]["capsule_probability"]) == (50, 70)

    world.change_deal(deal, probability=80)
    assert world.acme.opportunity(deal)["properties"]["capsule_probability"] == 80
    assert world.acme.notes(deal, "opportunity") == ["probability"]
    assert world.acme.told(deal, "probability", "opportunity") == 1

    world.change_deal(deal, probability=50)
    assert not world.acme.opportunity(deal)["properties"].get("capsule_probability")
    assert world.acme.notes(deal, "opportunity") == []


def test_a_deal_that_goes_to_another_party_stays_with_the_first_and_it_is_told_once(world: World) -> None:
    """What OfficeRnD refuses to change is reported as such; nothing is dropped in silence."""
    first, second = world.organisation("Seller Ltd", "member"), world.organisation("Buyer Ltd", "member")
    deal = world.deal("Sold on", first)
    world.change_deal(deal, party={"id": second})
    world.change_deal(deal, description="and something that concerns nobody")
    assert world.acme.opportunity(deal)["company"] == world.acme.company(first)["_id"]
    assert world.acme.notes(deal, "opportunity") == ["company_fixed"]
    assert world.acme.told(deal, "company_fixed", "opportunity") == 1


# ---------------------------------------------------------------------- changed rules
def test_a_milestone_that_gets_its_status_in_the_rules_is_tried_again(world: World) -> None:
    """Held: tried again when the rules change. A changed rules file re-judges what it touches (a reconcile)."""
    firm = world.organisation("Waiting for the rules Ltd", "member")
    deal = world.deal("Waits", firm, milestone="Renewals / Won")
    assert world["precise"].held(deal, "opportunity") == "no_status"

    before = CONNECTIONS["precise"]
    world.rewrite(precise=Rules(statuses={**before.statuses, "Renewals / Won": "won"}), off=Rules(statuses=STATUSES))
    world.full_sync("precise")
    world.full_sync("off")

    assert world["precise"].opportunity(deal)["status"] == WON
    assert world["off"].opportunity(deal)["status"] == WON
