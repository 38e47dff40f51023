"""Invented records: the same for the same seed. Every e-mail is at an example domain; no name belongs to anyone on purpose."""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING, Any

from tests.simulators.capsule.merge import blank_contacts, tag_named
from tests.simulators.capsule.routes_reference import new_milestone

if TYPE_CHECKING:
    from tests.simulators.capsule.account import Account, Record


def _words(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


FIRST = _words("Ada Bea Cleo Dev Eli Fay Gus Hana Ivo Jun Kit Lena Milo Nia Otis Pia Quin Rosa Sol Tess Uma Vik Wren Yara Zeb")
LAST = _words(
    "Arkwell Bramford Coldane Dunmere Eastlow Fenwick Garside Hollin Ingram Jessop Kestrel Lowther Marden Norwell Oakden "
    "Pellow Quarley Rudge Selwick Tarrant Underhay Venn Wexley Yarrow",
)
ADJECTIVES = _words(
    "Amber Blue Copper Dusky Early Fern Granite Hazel Iron Juniper Linen Maple North Olive Quiet River Silver Tidal"
)
NOUNS = _words(
    "Anchor Bakery Canvas Dynamo Engine Foundry Garden Harbour Index Junction Kiln Ledger Mill Orchard Press Quarry Studio"
)
JOBS = ("Director", "Designer", "Engineer", "Office Manager", "Accountant", None)
CITIES = ("London", "Leeds", "Bristol", "Glasgow")
BEGIN = 1_735_689_600  # 1 January 2025
SPAN = 300 * 86_400
DAY = 86_400


def furnish(account: Account) -> int:
    """Users, teams, pipelines, boards and the small tables of every account. Returns the id of the first administrator."""
    first = new_user(account, "Integration User", username="integration.user", admin=True)["id"]
    second = new_user(account, "Rupert Example", username="rupert", admin=False)["id"]
    _row(account, "team", name="The North", members={first, second})
    for name, middle in (("Sales", "Bid"), ("Renewals", "Bid")):
        pipeline = _row(account, "pipeline", name=name, description=None, deleted=False)["id"]
        for title, probability, complete in (("New", 10, False), (middle, 50, False), ("Won", 100, True), ("Lost", 0, True)):
            new_milestone(account, title, pipeline=pipeline, probability=probability, complete=complete)
    board = _row(account, "board", name="Projects", description=None, deleted=False)["id"]
    for order, title in enumerate(("Project Brief", "Planning", "Build"), start=1):
        _row(account, "stage", name=title, description=None, board=board, displayOrder=order)
    for title in ("Price too high", "Abandoned"):
        _row(account, "lostReason", name=title, includedForConversion=False)
    for title, colour in (("Call", "#d16c1a"), ("Billing", "#d36c00")):
        number = account.next_id("category")
        account.reference["category"][number] = {"id": number, "name": title, "colour": colour}
    for number, title in ((-1, "Note"), (-2, "Meeting"), (-3, "Call"), (-4, "Task completed")):
        account.reference["activityType"][number] = {"id": number, "name": title, "updateLastContacted": True}
    for kind, sort, title in (
        ("party", "text", "Plan"),
        ("party", "number", "Desks"),
        ("party", "boolean", "Newsletter"),
        ("party", "date", "Member since"),
        ("opportunity", "text", "Floor"),
    ):
        _definition(account, kind, sort, title)
    return int(first)


def new_user(account: Account, name: str, *, username: str, admin: bool) -> Record:
    """Store a user."""
    number = account.next_id("user")
    row: Record = {
        "id": number,
        "locale": "en_GB",
        "currency": "GBP",
        "status": "ACTIVE",
        "party": None,
        "username": username,
        "timezone": "Europe/London",
        "lastLoginAt": None,
        "name": name,
        "deleted": False,
        "admin": admin,
    }
    account.reference["user"][number] = row
    return row


def grow(account: Account, wanted: dict[str, Any], user: int) -> dict[str, int]:
    """Add records: how many organisations, people, opportunities; `seed`; `tags` to spread over them. No event is fired."""
    chance = random.Random(int(wanted.get("seed", 1)))
    tags = [tag_named(account, "party", str(name)) for name in wanted.get("tags", [])]
    sower = _Sower(account, chance, tags, user)
    organisations = [sower.organisation() for _ in range(int(wanted.get("organisations", 0)))]
    people = [sower.person(organisations) for _ in range(int(wanted.get("people", 0)))]
    deals = [sower.opportunity(organisations, people) for _ in range(int(wanted.get("opportunities", 0)))]
    return {"organisations": len(organisations), "people": len(people), "opportunities": len(deals)}


class _Sower:
    """Makes one record at a time."""

    def __init__(self, account: Account, chance: random.Random, tags: list[int], user: int) -> None:
        self._account = account
        self._chance = chance
        self._tags = tags
        self._user = user
        self._fields = {row["name"]: number for number, row in account.definitions["party"].items()}

    def organisation(self) -> int:
        """An organisation with an e-mail, a website, a phone and sometimes a Twitter handle."""
        chance, number = self._chance, self._account.next_id("party")
        name = f"{chance.choice(ADJECTIVES)} {chance.choice(NOUNS)} {number}"
        slug = name.lower().replace(" ", "-")
        record = self._party(number, "organisation") | {"name": name}
        record["emailAddresses"] = [self._detail("emailAddresses", address=f"hello@{slug}.example", type="Work")]
        record["websites"] = [self._detail("websites", service="URL", address=f"https://{slug}.example", type="Work")]
        if chance.random() < 0.4:
            record["websites"].append(self._detail("websites", service="TWITTER", address=slug.replace("-", "_"), type=None))
        address = {"street": f"{chance.randint(1, 200)} Example Street", "city": chance.choice(CITIES), "state": None}
        record["addresses"] = [self._detail("addresses", **address, country="United Kingdom", zip="EX1 1EX", type="Office")]
        record["tags"] = self._some_tags(0.7)
        self._account.put("party", record)
        return number

    def person(self, organisations: list[int]) -> int:
        """A person, nine in ten with an organisation; every e-mail is unique, some in mixed case, a few have none."""
        chance, number = self._chance, self._account.next_id("party")
        first, last = chance.choice(FIRST), chance.choice(LAST)
        record = self._party(number, "person") | {
            "firstName": first,
            "lastName": last,
            "jobTitle": chance.choice(JOBS),
            "title": None,
            "organisation": chance.choice(organisations) if organisations and chance.random() < 0.9 else None,
        }
        local = f"{first}.{last}.{number}"
        address = f"{local}@example.com" if chance.random() < 0.2 else f"{local.lower()}@example.com"
        if chance.random() < 0.97:
            record["emailAddresses"] = [self._detail("emailAddresses", address=address, type="Work")]
        if chance.random() < 0.2:
            record["websites"] = [
                self._detail("websites", service="TWITTER", address=f"{first}_{last}_{number}".lower(), type=None)
            ]
        record["tags"] = self._some_tags(0.3)
        if chance.random() < 0.3:
            record["fields"] = {
                self._fields["Plan"]: {"id": self._account.next_id("field"), "value": chance.choice(["Flex", "Fixed"])}
            }
        self._account.put("party", record)
        return number

    def opportunity(self, organisations: list[int], people: list[int]) -> int:
        """An opportunity of an organisation or a person, in any milestone of either pipeline."""
        chance, account = self._chance, self._account
        number = account.next_id("opportunity")
        pool = organisations if organisations and (not people or chance.random() < 0.8) else people
        milestone = chance.choice(list(account.reference["milestone"].values()))
        open_ones = [row["id"] for row in account.reference["milestone"].values() if not row["complete"]]
        created, updated = self._times()
        basis = chance.choice(["FIXED", "FIXED", "MONTH", "YEAR"])
        amount = {"amount": chance.randint(1, 200) * 50, "currency": "GBP"}
        record: Record = {
            "id": number,
            "name": f"{chance.choice(NOUNS)} desks {number}",
            "party": chance.choice(pool),
            "parties": [],
            "milestone": milestone["id"],
            "description": None,
            "owner": self._user,
            "team": None,
            "value": amount if chance.random() < 0.9 else None,
            "durationBasis": basis,
            "duration": None if basis == "FIXED" else chance.randint(1, 24),
            "probability": milestone["probability"],
            "expectedCloseOn": _day(updated + chance.randint(10, 200) * DAY),
            "closedOn": _day(updated) if milestone["complete"] else None,
            "lostReason": None,
            "lastContactedAt": None,
            "lastStageChangedAt": updated,
            "lastOpenMilestone": chance.choice(open_ones) if milestone["complete"] else milestone["id"],
            "tags": [],
            "fields": {},
            "createdAt": created,
            "updatedAt": updated,
        }
        account.put("opportunity", record)
        return number

    def _party(self, number: int, sort: str) -> Record:
        """What every party has."""
        created, updated = self._times()
        phone = self._detail("phoneNumbers", number=f"+44 20 7946 {self._chance.randint(0, 9999):04d}", type="Work")
        base: Record = {"id": number, "type": sort, "about": None, "owner": self._user, "team": None, "lastContactedAt": None}
        base |= {"tags": [], "fields": {}, **blank_contacts(), "createdAt": created, "updatedAt": updated}
        base["phoneNumbers"] = [phone] if self._chance.random() < 0.8 else []
        return base

    def _detail(self, key: str, **values: object) -> Record:
        """One contact detail with an id."""
        return {"id": self._account.next_id(key), **values}

    def _some_tags(self, share: float) -> list[int]:
        """No tag, or one or two."""
        if not self._tags or self._chance.random() >= share:
            return []
        return sorted(self._chance.sample(self._tags, k=min(len(self._tags), self._chance.randint(1, 2))))

    def _times(self) -> tuple[int, int]:
        """When a record was made and last changed."""
        created = BEGIN + self._chance.randrange(SPAN)
        return created, created + self._chance.randrange(30 * DAY)


def _row(account: Account, sort: str, **values: object) -> Record:
    """Store a row of reference data with times."""
    number, now = account.next_id(sort), account.now()
    row: Record = {"id": number, **values, "createdAt": now, "updatedAt": now}
    account.reference[sort][number] = row
    return row


def _definition(account: Account, kind: str, sort: str, name: str) -> None:
    """Store a custom field definition."""
    number = account.next_id(f"{kind} definition")
    row: Record = {"id": number, "type": sort, "displayOrder": len(account.definitions[kind]), "name": name, "captureRule": None}
    account.definitions[kind][number] = row | {"options": [], "description": None, "important": False, "tag": None}


def _day(seconds: int) -> str:
    """The day of a time."""
    return dt.datetime.fromtimestamp(seconds, dt.UTC).date().isoformat()
