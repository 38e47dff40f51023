"""Records, rules and contexts for the mapping's tests. All names are invented."""

from __future__ import annotations

from typing import Any

from mapping import capsule, officernd, rules
from mapping.records import Milestone, Opportunity, Organisation, Person

LONDON = "64b0c0ffee00000000000001"
SHOREDITCH = "64b0c0ffee00000000000002"
TOUR = "64b0c0ffee00000000000402"
NEGOTIATION = "64b0c0ffee00000000000405"
PROPERTIES = {
    "member": frozenset({"capsule_link_id", "capsule_location", "plan"}),
    "team": frozenset({"capsule_link_id", "capsule_twitter", "capsule_phone", "plan"}),
    "lead": frozenset({"capsule_link_id", "capsule_deal_size", "capsule_probability", "plan"}),
}
STATUSES = {
    row[0]: officernd.Status(*row)
    for row in (
        ("64b0c0ffee00000000000401", "System status for open opportunities", 10, True),
        (TOUR, "Tour booked", 40, False),
        ("64b0c0ffee00000000000403", "System status for won opportunities", 100, True),
        ("64b0c0ffee00000000000404", "System status for lost opportunities", 0, True),
        (NEGOTIATION, "Negotiation", 50, False),
    )
}
MILESTONES = {
    14: Milestone(14, "Bid", 10, "Sales", 50, complete=False),
    15: Milestone(15, "Bid", 11, "Renewals", 60, complete=False),
    16: Milestone(16, "Won", 10, "Sales", 100, complete=True),
}


def connection(**settings: object) -> rules.Connection:
    """A connection of OfficeRnD that takes everything, unless told otherwise."""
    table = {
        "downstream": "officernd",
        "default_location": "London Bridge",
        "officernd": {"organization": "acme-spaces"},
        "opportunity_statuses": {"Bid": "Negotiation"},
        **settings,
    }
    return rules.parse({"connections": {"acme": {key: value for key, value in table.items() if value is not None}}})["acme"]


def context(
    links: dict[tuple[str, int], str] | None = None,
    properties: dict[str, frozenset[str]] | None = None,
    locations: dict[str, str] | None = None,
    statuses: dict[str, officernd.Status] | None = None,
    places: dict[str, list[str]] | None = None,
    **settings: object,
) -> officernd.Context:
    """What the mapping knows beside the record: `links` are the records in step, `places` the rules' own `locations`."""
    known = links or {}
    return officernd.Context(
        connection=connection(locations=places, **settings),
        locations={LONDON: "London Bridge", SHOREDITCH: "Shoreditch"} if locations is None else locations,
        statuses=STATUSES if statuses is None else statuses,
        properties=PROPERTIES if properties is None else properties,
        milestones=MILESTONES,
        link=lambda kind, number: known.get((kind, number)),
    )


def party_body(number: int, kind: str, tags: tuple[str, ...] | None, **keys: object) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": number,
        "type": kind,
        "createdAt": "2026-03-04T10:43:23Z",
        "updatedAt": "2026-03-05T10:43:23Z",
        "phoneNumbers": [],
        "emailAddresses": [],
        "websites": [],
        **keys,
    }
    if tags is not None:
        body["tags"] = [{"id": 1, "name": tag} for tag in tags]
    return body


def person(*, number: int = 501, tags: tuple[str, ...] | None = (), employer: int | None = None, **keys: object) -> Person:
    """Ada Example, untagged; `employer` is the id of her organisation; further keys are Capsule's."""
    organisation_ = None if employer is None else {"id": employer, "type": "organisation", "name": "Acme"}
    keys = {"firstName": "Ada", "lastName": "Example", "organisation": organisation_, **keys}
    found = capsule.party(party_body(number, "person", tags, **keys))
    assert isinstance(found, Person)
    return found


def organisation(*, number: int = 701, tags: tuple[str, ...] | None = (), **keys: object) -> Organisation:
    """Acme Robotics, untagged."""
    found = capsule.party(party_body(number, "organisation", tags, **{"name": "Acme Robotics", **keys}))
    assert isinstance(found, Organisation)
    return found


def opportunity(*, number: int = 901, party: int = 501, party_type: str = "person", **keys: object) -> Opportunity:
    """A deal in milestone Bid (id 14) of pipeline Sales."""
    body = {
        "id": number,
        "name": "Six desks",
        "party": {"id": party, "type": party_type},
        "milestone": {"id": 14, "name": "Bid"},
        "value": {"amount": 500, "currency": "GBP"},
        "durationBasis": "FIXED",
        "duration": None,
        "probability": 50,
        "expectedCloseOn": "2026-12-01",
        "closedOn": None,
        "createdAt": "2026-03-04T10:43:23Z",
        "updatedAt": "2026-03-05T10:43:23Z",
        **keys,
    }
    return capsule.opportunity(body)


def emails(*addresses: str) -> list[dict[str, Any]]:
    return [{"id": number, "type": None, "address": address} for number, address in enumerate(addresses, start=1)]


def phones(*numbers: str) -> list[dict[str, Any]]:
    return [{"id": number, "type": None, "number": text} for number, text in enumerate(numbers, start=1)]


def website(service: str, address: str) -> dict[str, Any]:
    return {"id": 1, "service": service, "address": address, "url": None, "type": None}
