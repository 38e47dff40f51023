"""The records of one account in memory: ids, indexes for exact matches, calculated statuses (reference/officernd.md §3)."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from typing import TYPE_CHECKING

from tests.simulators.officernd.answers import printed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.simulators.control import Control, Document

TARGETS = {"members": "member", "companies": "team", "opportunities": "lead", "locations": "office"}
"""A resource's legacy name in the `targets` of custom properties (§3.6)."""

RESOURCES = ("members", "companies", "opportunities", "locations", "opportunity-statuses", "custom-properties")
INDEXED = ("_id", "name", "email", "company", "member", "location")
APPLICATION = "64b0c0ffee000000000000aa"
STAFF = "64b0c0ffee000000000000bb"

_STRONG = ("active", "pending", "drop-in", "not_approved")


class Collection:
    """The records of one resource, in `_id` order. A record is replaced, never changed in place."""

    def __init__(self) -> None:
        self.rows: dict[str, Document] = {}
        self.ids: list[str] = []
        self._index: dict[tuple[str, str], set[str]] = {}

    def put(self, row: Document) -> None:
        """Add a record, or replace the one with its `_id`."""
        identity = row["_id"]
        old = self.rows.get(identity)
        if old is None:
            insort(self.ids, identity)
        else:
            self._forget(old)
        self.rows[identity] = row
        for key in _index_keys(row):
            self._index.setdefault(key, set()).add(identity)

    def remove(self, identity: str) -> Document | None:
        """Take a record out and return it; None when it is not there. What refers to it dangles (§2.3)."""
        row = self.rows.pop(identity, None)
        if row is not None:
            self.ids.pop(bisect_left(self.ids, identity))
            self._forget(row)
        return row

    def matching(self, field: str, value: str) -> set[str]:
        """The ids of the records whose indexed `field` (or `properties.<key>`) is exactly this string."""
        return self._index.get((field, value), set())

    def all(self) -> Iterator[Document]:
        """Every record in `_id` order."""
        return (self.rows[identity] for identity in self.ids)

    def _forget(self, row: Document) -> None:
        for key in _index_keys(row):
            same = self._index[key]
            same.discard(row["_id"])
            if not same:
                del self._index[key]


def _index_keys(row: Document) -> set[tuple[str, str]]:
    """The exact matches by which a record is found."""
    keys = {(field, row[field]) for field in INDEXED if isinstance(row.get(field), str)}
    bag: Mapping[str, object] = row.get("properties") or {}
    return keys | {(f"properties.{key}", value) for key, value in bag.items() if isinstance(value, str)}


class Store:
    """All records, and what is worked out from them.

    `manual` are the statuses that were set by hand; `memberships` those that come from memberships, which this simulator
    does not keep and which are seeded.
    """

    def __init__(self, control: Control) -> None:
        self._control = control
        self._last_id = (0, 0)
        self.clear()

    def clear(self) -> None:
        """Forget every record. Ids go on ascending."""
        self.collections = {resource: Collection() for resource in RESOURCES}
        self.manual: dict[str, str] = {}
        self.memberships: dict[str, str] = {}
        self._open: dict[str, tuple[str | None, str | None]] = {}
        self._open_of_member: Counter[str | None] = Counter()
        self._open_of_company: Counter[str | None] = Counter()

    def __getitem__(self, resource: str) -> Collection:
        return self.collections[resource]

    def new_id(self) -> str:
        """An ObjectId greater than every one given before: seconds, a fixed part, a counter."""
        seconds, counter = self._last_id
        self._last_id = (max(seconds, int(self._control.now())), counter + 1)
        return f"{self._last_id[0]:08x}c0ffee0000{self._last_id[1] % 2**24:06x}"

    def now(self) -> str:
        """The simulator's time as a record prints it."""
        return printed(self._control.now())

    def created(self, *, by: str) -> Document:
        """The common fields of a new record (§3)."""
        now = self.now()
        return {"_id": self.new_id(), "createdAt": now, "createdBy": by, "modifiedAt": now, "modifiedBy": by}

    def put(self, resource: str, row: Document) -> Document:
        """Keep a record, and what it means for statuses. Returns it."""
        self[resource].put(row)
        if resource == "opportunities":
            self._close(row["_id"])
            if 0 < (row.get("probability") or 0) < 100:  # neither lost nor won (§7)
                self._open[row["_id"]] = member, company = row.get("member"), row.get("company")
                self._open_of_member[member] += 1
                self._open_of_company[company] += 1
        return row

    def remove(self, resource: str, identity: str) -> Document | None:
        """Take a record out and return it as it was shown; None when it is not there."""
        row = self[resource].rows.get(identity)
        if row is None:
            return None
        shown = self.shown(resource, row)
        self[resource].remove(identity)
        self._close(identity)
        self.manual.pop(identity, None)
        self.memberships.pop(identity, None)
        return shown

    def shown(self, resource: str, row: Document) -> Document:
        """A record as answers show it, with its status."""
        if resource in {"members", "companies"}:
            return {**row, "status": self.status_of(resource, row)}
        return row

    def status_of(self, resource: str, row: Document) -> str:
        """The status of a member or company (§3.8, §7)."""
        identity, company = row["_id"], row.get("company")
        if resource == "companies":
            return self._calculated((identity,), is_lead=bool(self._open_of_company.get(identity)), otherwise="inactive")
        if identity in self.manual:
            return self.manual[identity]
        is_lead = bool(self._open_of_member.get(identity)) or (company is not None and bool(self._open_of_company.get(company)))
        return self._calculated((identity, company), is_lead=is_lead, otherwise="contact")

    def custom_property(self, resource: str, key: str) -> Document | None:
        """The custom property of this resource with this key, if it is set up (§3.6)."""
        target = TARGETS[resource]
        rows = self["custom-properties"].all()
        return next((row for row in rows if row["key"] == key and target in row["targets"]), None)

    def _calculated(self, owners: tuple[str | None, ...], *, is_lead: bool, otherwise: str) -> str:
        """A calculated status: memberships first, then an open opportunity, then memberships that ended."""
        seeded = [self.memberships[owner] for owner in owners if owner in self.memberships]
        strong = next((status for status in seeded if status in _STRONG), None)
        if strong is not None:
            return strong
        if is_lead:
            return "lead"
        return seeded[0] if seeded and seeded[0] == "former" else otherwise

    def _close(self, identity: str) -> None:
        """Stop counting an opportunity as open."""
        if identity in self._open:
            member, company = self._open.pop(identity)
            self._open_of_member[member] -= 1
            self._open_of_company[company] -= 1
