"""Records as the server prints them: live key order, nested forms, embeds (reference/capsule.md §3.5, §4)."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from tests.simulators.capsule.account import PLURALS, Account, Record

if TYPE_CHECKING:
    from collections.abc import Callable

Document = dict[str, Any]
Embed = frozenset[str]

PICTURE = "https://cdn.capsulecrm.com/default/{}.png"
NOTHING: Embed = frozenset()
EXTRAS = ("tags", "fields", "missingImportantFields")
URLS = {
    "TWITTER": "https://twitter.com/{}",
    "GITHUB": "https://github.com/{}",
    "YOUTUBE": "https://www.youtube.com/{}",
    "PINTEREST": "https://www.pinterest.com/{}",
    "INSTAGRAM": "https://www.instagram.com/{}",
}


@lru_cache(maxsize=65_536)
def moment(seconds: int | None) -> str | None:
    """A time as the server prints it: UTC, whole seconds."""
    if seconds is None:
        return None
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Shapes:
    """Prints what an account holds. `embed` is the set of names of the embed parameter; unknown ones do nothing (§3.5)."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._printers: dict[str, Callable[[Record, Embed], Document]] = {
            "party": self.party,
            "opportunity": self.opportunity,
            "kase": self.kase,
            "task": self.task,
            "entry": self.entry,
        }

    def record(self, kind: str, record: Record, embed: Embed = NOTHING) -> Document:
        """A record of any kind."""
        if kind == "user":
            return self.user(record, embed)
        return self._printers[kind](record, embed)

    def party(self, record: Record, embed: Embed = NOTHING) -> Document:
        """A party (§4.1)."""
        is_person = record["type"] == "person"
        document: Document = {
            "id": record["id"],
            "owner": self.nested_user(record["owner"]),
            "team": self.nested("team", record["team"]),
            "type": record["type"],
            "about": record["about"],
        }
        if is_person:
            document |= {"firstName": record["firstName"], "lastName": record["lastName"], "jobTitle": record["jobTitle"]}
        else:
            document["name"] = record["name"]
        document |= {"createdAt": moment(record["createdAt"]), "updatedAt": moment(record["updatedAt"])}
        if is_person:
            document["organisation"] = self.related_party(record["organisation"], embed, "organisation")
        document |= {"lastContactedAt": moment(record["lastContactedAt"]), "pictureURL": PICTURE.format(record["type"])}
        if is_person:
            document["title"] = record["title"]
        document["enrichment"] = None
        for name in ("phoneNumbers", "addresses", "emailAddresses"):
            document[name] = record[name]
        document["websites"] = [{**site, "url": url_of(site)} for site in record["websites"]]
        return self._extras("party", document, record, embed)

    def opportunity(self, record: Record, embed: Embed = NOTHING) -> Document:
        """An opportunity (§4.2): no status and no pipeline key."""
        milestone = self._account.reference["milestone"][record["milestone"]]
        document: Document = {
            "id": record["id"],
            "updatedAt": moment(record["updatedAt"]),
            "description": record["description"],
            "owner": self.nested_user(record["owner"]),
            "team": self.nested("team", record["team"]),
            "party": self.related_party(record["party"], embed, "party"),
            "lostReason": self.nested("lostReason", record["lostReason"]),
            "milestone": self.milestone(milestone) if "milestone" in embed else _brief(milestone),
            "value": record["value"],
            "expectedCloseOn": record["expectedCloseOn"],
            "probability": record["probability"],
            "durationBasis": record["durationBasis"],
            "duration": record["duration"],
            "closedOn": record["closedOn"],
            "createdAt": moment(record["createdAt"]),
            "lastContactedAt": moment(record["lastContactedAt"]),
            "lastStageChangedAt": moment(record["lastStageChangedAt"]),
            "lastOpenMilestone": self.nested("milestone", record["lastOpenMilestone"]),
            "name": record["name"],
        }
        return self._extras("opportunity", document, record, embed)

    def kase(self, record: Record, embed: Embed = NOTHING) -> Document:
        """A project (§4.3)."""
        stage = self._account.reference["stage"].get(record["stage"])
        document: Document = {
            "id": record["id"],
            "owner": self.nested_user(record["owner"]),
            "team": self.nested("team", record["team"]),
            "party": self.related_party(record["party"], embed, "party"),
            "status": record["status"],
            "opportunity": self.related("opportunity", record["opportunity"], embed),
            "stage": None if stage is None else {"name": stage["name"], "id": stage["id"]},
            "createdAt": moment(record["createdAt"]),
            "updatedAt": moment(record["updatedAt"]),
            "description": record["description"],
            "name": record["name"],
            "closedOn": record["closedOn"],
            "lastContactedAt": moment(record["lastContactedAt"]),
            "expectedCloseOn": record["expectedCloseOn"],
            "startOn": record["startOn"],
        }
        return self._extras("kase", document, record, embed)

    def task(self, record: Record, embed: Embed = NOTHING) -> Document:
        """A task (§4.4)."""
        return {
            "id": record["id"],
            "category": self.reference("category", record["category"]),
            "description": record["description"],
            "detail": record["detail"],
            "dueTime": record["dueTime"],
            "status": record["status"],
            "party": self.related_party(record["party"], embed, "party"),
            "opportunity": self.related("opportunity", record["opportunity"], embed),
            "owner": self.nested_user(record["owner"]),
            "daysAfter": None,
            "taskDelayRule": None,
            "nextTask": None,
            "active": True,
            "createdAt": moment(record["createdAt"]),
            "updatedAt": moment(record["updatedAt"]),
            "dueOn": record["dueOn"],
            "completedBy": record["completedBy"],
            "completedAt": moment(record["completedAt"]),
            "kase": self.related("kase", record["kase"], embed),
            "taskDayDelayRule": "TRACK_DAYS",
            "overrideToCurrentUser": None,
            "repeat": record["repeat"],
            "hasTrack": False,
        }

    def entry(self, record: Record, embed: Embed = NOTHING) -> Document:
        """A note (§4.5): only notes can be made by the API. It has the one parent that it was filed on."""
        creator = self._account.reference["user"][record["creator"]]
        document: Document = {
            "id": record["id"],
            "type": "note",
            "attachments": [],
            "creator": {"id": creator["id"], "username": creator["username"], "name": creator["name"]},
            "activityType": self.nested("activityType", record["activityType"]),
            "createdAt": moment(record["createdAt"]),
            "updatedAt": moment(record["updatedAt"]),
            "content": record["content"],
            "entryAt": moment(record["entryAt"]),
        }
        if record["party"] is not None:
            document["party"] = self.related_party(record["party"], embed, "party")
        for kind in ("opportunity", "kase"):
            if record[kind] is not None:
                document[kind] = self.related(kind, record[kind], embed)
        return document

    def user(self, record: Record, embed: Embed = NOTHING) -> Document:
        """A user (§4.6): no e-mail address; that is on its party."""
        return {
            "id": record["id"],
            "locale": record["locale"],
            "currency": record["currency"],
            "status": record["status"],
            "party": self.related_party(record["party"], embed, "party"),
            "username": record["username"],
            "timezone": record["timezone"],
            "lastLoginAt": moment(record["lastLoginAt"]),
            "name": record["name"],
            "taskReminder": True,
        }

    def milestone(self, record: Record) -> Document:
        """A whole milestone, with its pipeline (§4.6)."""
        pipeline = self._account.reference["pipeline"][record["pipeline"]]
        times = {"createdAt": moment(record["createdAt"]), "updatedAt": moment(record["updatedAt"])}
        return {**record, "pipeline": {"name": pipeline["name"], "id": pipeline["id"]}, **times}

    def timed(self, record: Record) -> Document:
        """A row of reference data with createdAt and updatedAt printed."""
        return {name: moment(value) if name in {"createdAt", "updatedAt"} else value for name, value in record.items()}

    def nested(self, sort: str, number: int | None) -> Document | None:
        """A row of reference data as it is printed inside a record: id and name."""
        return None if number is None else _brief(self._account.reference[sort][number])

    def reference(self, sort: str, number: int | None) -> Document | None:
        """A row of reference data printed whole."""
        return None if number is None else dict(self._account.reference[sort][number])

    def nested_user(self, number: int | None) -> Document | None:
        """A user inside a record; one that was deleted says so (§6, 12)."""
        if number is None:
            return None
        user = self._account.reference["user"][number]
        return {
            "id": number,
            "deleted": user["deleted"],
            "username": user["username"],
            "pictureURL": PICTURE.format("user"),
            "name": user["name"],
        }

    def nested_party(self, number: int) -> Document:
        """A party inside a record; a hidden one reads Private (§4.1)."""
        record = self._account.records["party"][number]
        document = {"id": number, "type": record["type"]}
        hidden = ("party", number) in self._account.restricted
        if record["type"] == "person":
            document |= (
                {"firstName": None, "lastName": "Private"}
                if hidden
                else {"firstName": record["firstName"], "lastName": record["lastName"]}
            )
        else:
            document["name"] = "Private" if hidden else record["name"]
        document["pictureURL"] = PICTURE.format(record["type"])
        if hidden:
            document["isRestricted"] = True
        return document

    def related_party(self, number: int | None, embed: Embed, name: str) -> Document | None:
        """A party inside a record, whole when it is embedded and not hidden."""
        if number is None:
            return None
        if name not in embed or not self._account.visible("party", number):
            return self.nested_party(number)
        extras = embed & set(EXTRAS) if self._account.control.is_on("embedded_organisation_has_tags") else NOTHING
        return self.party(self._account.records["party"][number], extras)

    def related(self, kind: str, number: int | None, embed: Embed) -> Document | None:
        """An opportunity or a project inside a record."""
        if number is None:
            return None
        record = self._account.records[kind][number]
        if (kind, number) in self._account.restricted:
            return {"id": number, "name": "Private", "isRestricted": True}
        return self.record(kind, record) if kind in embed else _brief(record)

    def restricted(self, kind: str, number: int) -> Document:
        """An item of a `restricted…` list (§3.6)."""
        if kind == "party":
            return self.nested_party(number)
        return {"id": number, "name": "Private", "isRestricted": True}

    def tags(self, kind: str, record: Record) -> list[Document]:
        """The tags of a record; a description only where there is one."""
        table = self._account.tags[kind]
        return [
            {name: table[number][name] for name in ("id", "name", "description", "dataTag") if table[number][name] is not None}
            for number in record["tags"]
        ]

    def fields(self, kind: str, record: Record) -> list[Document]:
        """The custom fields of a record: unset ones and false booleans are absent (§5.2)."""
        table = self._account.definitions[kind]
        return [
            {
                "id": held["id"],
                "definition": _brief(table[number]),
                "value": held["value"],
                "tagId": table[number]["tag"],
            }
            for number, held in record["fields"].items()
            if held["value"] is not False
        ]

    def _extras(self, kind: str, document: Document, record: Record, embed: Embed) -> Document:
        """Add what is only there when it is embedded."""
        if "tags" in embed:
            document["tags"] = self.tags(kind, record)
        if "fields" in embed:
            document["fields"] = self.fields(kind, record)
        if "missingImportantFields" in embed:
            important = (number for number, row in self._account.definitions[kind].items() if row["important"])
            document["missingImportantFields"] = any(number not in record["fields"] for number in important)
        return document


def url_of(site: Document) -> str:
    """The generated url of a website (§4.1)."""
    address = str(site["address"])
    if site["service"] in URLS and "/" not in address:
        return URLS[site["service"]].format(address.lstrip("@"))
    return address


def whole(kind: str) -> Embed:
    """The embeds with which nothing of a record is left out."""
    return frozenset(EXTRAS) if kind in PLURALS else NOTHING


def _brief(record: Record) -> Document:
    """Id and name."""
    return {"id": record["id"], "name": record["name"]}
