"""The fields that filters know (reference/capsule.md §3.9), as questions to a record. Filter names differ from response names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.simulators.capsule.countries import ALPHA2_NAMES
from tests.simulators.capsule.search import full_name
from tests.simulators.capsule.shapes import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.simulators.capsule.account import Account, Record

    Ask = Callable[[Account, Record], Iterable[Any]]

CODES = {name: code for code, name in ALPHA2_NAMES.items()}
SORT_OF_TYPE = {"text": "string", "link": "string", "list": "choice", "number": "number", "date": "date", "boolean": "boolean"}


@dataclass(frozen=True, slots=True)
class Question:
    """What a field asks: the sort of its values, and the values that a record has for it."""

    sort: str
    ask: Ask


def _plain(key: str, sort: str = "string") -> Question:
    """A value of the record itself; organisations have no job title, and then there is none."""
    return Question(sort, lambda _account, record: [record.get(key)])


def _day_of(key: str) -> Question:
    """The day of a time."""

    def ask(_account: Account, record: Record) -> list[str | None]:
        printed = moment(record[key])
        return [None if printed is None else printed[:10]]

    return Question("date", ask)


def _each(key: str, part: str) -> Question:
    """One part of every contact detail of a list."""
    return Question("string", lambda _account, record: [one[part] for one in record[key]])


def _has(key: str) -> Question:
    """Whether a list holds anything."""
    return Question("boolean", lambda _account, record: [bool(record[key])])


def _referred(key: str, sort: str) -> Question:
    """A reference, by id or by name."""

    def ask(account: Account, record: Record) -> list[Any]:
        number = record[key]
        return [] if number is None else [number, account.reference[sort][number]["name"]]

    return Question("choice", ask)


def _tags(kind: str) -> Question:
    """The record's tags, by id or by name."""

    def ask(account: Account, record: Record) -> list[Any]:
        return [*record["tags"], *(account.tags[kind][number]["name"] for number in record["tags"])]

    return Question("choice", ask)


def _pipeline(account: Account, record: Record) -> list[Any]:
    """The pipeline of an opportunity's milestone."""
    number = account.reference["milestone"][record["milestone"]]["pipeline"]
    return [number, account.reference["pipeline"][number]["name"]]


def _board(account: Account, record: Record) -> list[Any]:
    """The board of a project's stage."""
    if record["stage"] is None:
        return []
    number = account.reference["stage"][record["stage"]]["board"]
    return [number, account.reference["board"][number]["name"]]


def _deal_status(account: Account, record: Record) -> list[str]:
    """open, won or lost."""
    milestone = account.reference["milestone"][record["milestone"]]
    if not milestone["complete"]:
        return ["open"]
    return ["won" if milestone["probability"] else "lost"]


def _of_organisation(question: Question) -> Question:
    """The same question to a person's organisation."""

    def ask(account: Account, record: Record) -> Iterable[Any]:
        number = record.get("organisation")
        return [] if number is None else question.ask(account, account.records["party"][number])

    return Question(question.sort, ask)


def _common(kind: str) -> dict[str, Question]:
    """The fields that every kind has."""
    return {
        "id": _plain("id", "choice"),
        "name": Question("string", lambda _account, record: [full_name(record)]),
        "tag": _tags(kind),
        "owner": _referred("owner", "user"),
        "team": _referred("team", "team"),
        "hasTags": _has("tags"),
        "addedOn": _day_of("createdAt"),
        "updatedOn": _day_of("updatedAt"),
    }


FIELDS: dict[str, dict[str, Question]] = {
    "party": {
        **_common("party"),
        "type": _plain("type", "choice"),
        "jobTitle": _plain("jobTitle"),
        "title": _plain("title"),
        "email": _each("emailAddresses", "address"),
        "phone": _each("phoneNumbers", "number"),
        "website": _each("websites", "address"),
        "city": _each("addresses", "city"),
        "zip": _each("addresses", "zip"),
        "state": _each("addresses", "state"),
        "country": Question("choice", lambda _account, record: [CODES.get(one["country"]) for one in record["addresses"]]),
        "hasEmailAddress": _has("emailAddresses"),
        "hasPhoneNumber": _has("phoneNumbers"),
        "hasAddress": _has("addresses"),
        "hasPeople": Question("boolean", lambda account, record: [bool(account.people_of.get(record["id"]))]),
        "lastContactedOn": _day_of("lastContactedAt"),
        "org.name": _of_organisation(_plain("name")),
        "org.tag": _of_organisation(_tags("party")),
    },
    "opportunity": {
        **_common("opportunity"),
        "status": Question("choice", _deal_status),
        "pipeline": Question("choice", _pipeline),
        "milestone": _referred("milestone", "milestone"),
        "probability": _plain("probability", "number"),
        "lostReason": _referred("lostReason", "lostReason"),
        "currency": Question("choice", lambda _account, record: [record["value"] and record["value"]["currency"]]),
        "expectedValue": Question("number", lambda _account, record: [record["value"] and record["value"]["amount"]]),
        "isOpen": Question("boolean", lambda account, record: [_deal_status(account, record) == ["open"]]),
        "closedOn": _plain("closedOn", "date"),
        "expectedCloseOn": _plain("expectedCloseOn", "date"),
        "lastContactedOn": _day_of("lastContactedAt"),
        "party": _plain("party", "choice"),
    },
    "kase": {
        **_common("kase"),
        "status": _plain("status", "choice"),
        "board": Question("choice", _board),
        "stage": _referred("stage", "stage"),
        "isOpen": Question("boolean", lambda _account, record: [record["status"] == "OPEN"]),
        "closedOn": _plain("closedOn", "date"),
        "expectedCloseOn": _plain("expectedCloseOn", "date"),
        "startOn": _plain("startOn", "date"),
    },
}


def custom_question(account: Account, kind: str, name: str) -> Question | None:
    """`custom:{fieldId}`, and `org.custom:{fieldId}` for parties; None for a definition that does not exist."""
    if kind == "party" and name.startswith("org.custom:"):
        inner = custom_question(account, kind, name.removeprefix("org."))
        return None if inner is None else _of_organisation(inner)
    prefix, _, number = name.partition(":")
    definition = account.definitions[kind].get(int(number)) if prefix == "custom" and number.isdigit() else None
    if definition is None:
        return None

    def ask(_account: Account, record: Record) -> list[Any]:
        held = record["fields"].get(definition["id"])
        if definition["type"] == "boolean":
            return [bool(held and held["value"])]
        return [None if held is None else held["value"]]

    return Question(SORT_OF_TYPE[definition["type"]], ask)
