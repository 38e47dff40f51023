"""Whether OfficeRnD holds what Capsule's records and the demonstration's rules call for.

Written without a line of Capsule Relay's own mapping, so that a mistake there cannot hide itself. It knows only the rules of
`RULES`: parties tagged `member` or `guest` come over, people come with their organisation, opportunities with their party.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TAGS = frozenset({"member", "guest"})
STATUSES = {
    "New": "Tour booked",
    "Bid": "Negotiation",
    "Won": "System status for won opportunities",
    "Lost": "System status for lost opportunities",
}
RULES = """
[connections.demo]
downstream = "officernd"
tags_to_sync = "member, guest"
sync_opportunities = true
sync_untagged_contacts = true
auto_sync = false
default_location = "London Bridge"
on_gone = "keep"

[connections.demo.capsule]
auth = "token"
api_url = "{capsule}/api/v2"

[connections.demo.officernd]
organization = "acme-spaces"
api_url = "{officernd}/api/v2"
token_url = "{officernd}/oauth/token"

[connections.demo.locations]
"Shoreditch" = ["guest"]

[connections.demo.opportunity_statuses]
""" + "".join(f'"{milestone}" = "{status}"\n' for milestone, status in STATUSES.items())

State = dict[str, Any]
Place = tuple[str, str]
"""A resource of OfficeRnD and the Capsule id that its record must carry."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One record that OfficeRnD must hold exactly once. `links` are other records that it must point to, by field."""

    name: str
    email: str
    links: Mapping[str, Place | None]
    status: str = ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """How many of the expected records are as they should be, and what is wrong with the others."""

    expected: int
    in_step: int
    differences: tuple[str, ...]

    @property
    def equal(self) -> bool:
        """Whether both sides say the same."""
        return not self.differences


def expected(capsule: State) -> dict[Place, Expected]:
    """Every record that the rules let in, as OfficeRnD must hold it, from the whole state of the simulated Capsule."""
    parties = {party["id"]: party for party in capsule["parties"]}

    def tagged(party: State) -> bool:
        return any(tag["name"].casefold() in TAGS for tag in party.get("tags", ()))

    def employer(party: State) -> State | None:
        nested = party.get("organisation")
        return parties.get(nested["id"]) if nested else None

    def enters(party: State) -> bool:
        organisation = employer(party)
        return tagged(party) or (organisation is not None and tagged(organisation))

    found: dict[Place, Expected] = {}
    for party in parties.values():
        if not enters(party):
            continue
        email = party["emailAddresses"][0]["address"].lower() if party["emailAddresses"] else ""
        if party["type"] == "organisation":
            found["companies", str(party["id"])] = Expected(name=party["name"], email=email, links={})
        else:
            organisation = employer(party)
            company = ("companies", str(organisation["id"])) if organisation is not None and tagged(organisation) else None
            name = " ".join(part for part in (party["firstName"], party["lastName"]) if part)
            found["members", str(party["id"])] = Expected(name=name, email=email, links={"company": company})
    for deal in capsule["opportunities"]:
        party = parties[deal["party"]["id"]]
        if enters(party):
            resource = "company" if party["type"] == "organisation" else "member"
            place = ("companies" if resource == "company" else "members", str(party["id"]))
            found["opportunities", str(deal["id"])] = Expected(
                name=deal["name"], email="", links={resource: place}, status=STATUSES[deal["milestone"]["name"]]
            )
    return found


def compare(capsule: State, officernd: State, *, ever: Iterable[Place] = ()) -> Comparison:
    """Compares both sides. `ever` are records that the rules let in at some time: `on_gone = "keep"` leaves those there."""
    wanted = expected(capsule)
    held: dict[Place, list[State]] = defaultdict(list)
    place_of: dict[str, Place] = {}
    for resource in ("companies", "members", "opportunities"):
        for record in officernd[resource]:
            link = (record.get("properties") or {}).get("capsule_link_id")
            if link:
                held[resource, str(link)].append(record)
                place_of[record["_id"]] = (resource, str(link))
    statuses = {row["_id"]: row["description"] for row in officernd["opportunity-statuses"]}
    wrong: list[str] = []
    in_step = 0
    for place, want in sorted(wanted.items()):
        records = held.get(place, [])
        faults = [f"{len(records)} records"] if len(records) != 1 else _faults(place, want, records[0], place_of, statuses)
        in_step += not faults
        wrong += [f"{place[0]} of Capsule's {place[1]}: {fault}" for fault in faults]
    allowed = set(wanted) | set(ever)
    wrong += [f"{place[0]} of Capsule's {place[1]}: should not be there" for place in sorted(held) if place not in allowed]
    doubled = Counter({place: len(records) for place, records in held.items() if place not in wanted and len(records) > 1})
    wrong += [f"{place[0]} of Capsule's {place[1]}: {number} records" for place, number in sorted(doubled.items())]
    return Comparison(expected=len(wanted), in_step=in_step, differences=tuple(wrong))


def _faults(place: Place, want: Expected, record: State, place_of: Mapping[str, Place], statuses: Mapping[str, str]) -> list[str]:
    """What is wrong with the one record that stands for an expected one."""
    faults = []
    if record["name"] != want.name:
        faults.append(f"its name is {record['name']!r} and should be {want.name!r}")
    if place[0] != "opportunities" and (record.get("email") or "") != want.email:
        faults.append(f"its e-mail is {record.get('email')!r} and should be {want.email!r}")
    for field, target in want.links.items():
        # The API cannot take a member out of a company (reference/officernd.md), so a company may remain where none is due.
        if target is not None and place_of.get(record.get(field) or "") != target:
            faults.append(f"its {field} is not the one of Capsule's {target[1]}")
    if want.status and statuses.get(record["status"]) != want.status:
        faults.append(f"its status is {statuses.get(record['status'])!r} and should be {want.status!r}")
    if place[0] == "members" and record["status"] == "former":
        faults.append("it is a former member")
    return faults
