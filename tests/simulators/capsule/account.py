"""What the account holds, in memory.

Records are dicts with references as ids (`organisation`, `owner`, `milestone`, …), `tags` as a list of tag ids, `fields` as
{definition id: {"id", "value"}}, times as whole seconds since the epoch. Ids grow; those of different kinds share numbers on
purpose, since the reference says that they may (§4.6).
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tests.simulators.capsule.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulators.control import Control

Record = dict[str, Any]

FIRST_ID = 100_001
PLURALS = {"party": "parties", "opportunity": "opportunities", "kase": "kases", "task": "tasks", "entry": "entries"}
KINDS = tuple(PLURALS)
TAGGED = ("party", "opportunity", "kase")
REFERENCE = ("user", "team", "pipeline", "milestone", "board", "stage", "lostReason", "category", "activityType")


class Account:
    """The records, definitions, users and deletions of one Capsule account.

    `listener(event, record)` is told of every event; the simulator sets it to the hooks.
    """

    def __init__(self, control: Control) -> None:
        self.control = control
        self.listener: Callable[[str, Record], None] = lambda _event, _record: None
        self.clear()

    def clear(self) -> None:
        """Empty the account."""
        self.records: dict[str, dict[int, Record]] = {kind: {} for kind in KINDS}
        self.tags: dict[str, dict[int, Record]] = {kind: {} for kind in TAGGED}
        self.definitions: dict[str, dict[int, Record]] = {kind: {} for kind in TAGGED}
        self.reference: dict[str, dict[int, Record]] = {name: {} for name in REFERENCE}
        self.deleted: dict[str, dict[int, int]] = {kind: {} for kind in TAGGED}
        self.restricted: dict[tuple[str, int], int] = {}
        self.people_of: dict[int, set[int]] = defaultdict(set)
        self.jobs: dict[str, Record] = {}
        self._ids: dict[str, int] = defaultdict(lambda: FIRST_ID)
        self._lists: dict[tuple[str, str, str], list[int]] = {}

    def now(self) -> int:
        """Whole seconds since the epoch, by the simulator's clock."""
        return int(self.control.now())

    def next_id(self, sort: str) -> int:
        """A new id of this sort."""
        number = self._ids[sort]
        self._ids[sort] = number + 1
        return number

    def put(self, kind: str, record: Record) -> None:
        """Store a record, new or changed."""
        before = self.records[kind].get(record["id"])
        if kind == "party":
            self._link(before, record)
        record["_written"] = self.control.now()
        self.records[kind][record["id"]] = record
        self._lists.clear()

    def drop(self, kind: str, number: int, *, listed: bool = True) -> Record:
        """Take a record away; `listed` puts it on the deleted list where its kind has one."""
        record = self.records[kind].pop(number)
        if kind == "party":
            self._link(record, None)
        if listed and kind in self.deleted:
            self.deleted[kind][number] = self.now()
        self.restricted.pop((kind, number), None)
        self._lists.clear()
        return record

    def restrict(self, kind: str, number: int) -> None:
        """Hide a record from the users that call."""
        if number not in self.records[kind]:
            raise NotFound(kind)
        self.restricted[kind, number] = self.now()
        self._lists.clear()

    def unrestrict(self, kind: str, number: int) -> None:
        """Show a hidden record again."""
        self.restricted.pop((kind, number), None)
        self._lists.clear()

    def visible(self, kind: str, number: int) -> bool:
        """Whether there is such a record that the caller may see."""
        return number in self.records[kind] and (kind, number) not in self.restricted

    def get(self, kind: str, number: int) -> Record:
        """A record that the caller may see. Raises NotFound."""
        if not self.visible(kind, number):
            raise NotFound(kind)
        return self.records[kind][number]

    def find_reference(self, sort: str, number: int) -> Record:
        """A row of the reference data. Raises NotFound."""
        try:
            return self.reference[sort][number]
        except KeyError:
            raise NotFound(sort) from None

    def listed(self, kind: str, key: str, choose: Callable[[], list[int]]) -> list[int]:
        """The ids of a list, remembered until the next write: a full read by pages asks for the same list again and again."""
        order = self.control.switches["list_order"]
        if (kind, key, order) not in self._lists:
            self._lists[kind, key, order] = self.ordered(kind, choose())
        return self._lists[kind, key, order]

    def ordered(self, kind: str, ids: list[int]) -> list[int]:
        """Ids in the order of lists (switch list_order, §3.3)."""
        order = self.control.switches["list_order"]
        records = self.records[kind]
        if order.startswith("updated"):
            return sorted(ids, key=lambda number: (records[number]["updatedAt"], number), reverse=order == "updated_descending")
        return sorted(ids, reverse=order == "id_descending")

    def everything(self, kind: str) -> list[int]:
        """The ids of all records of a kind that the caller may see."""
        return [number for number in self.records[kind] if (kind, number) not in self.restricted]

    def fire(self, kind: str, operation: str, record: Record) -> None:
        """Tell the hooks of an event, unless events are being lost (switch events_lost)."""
        if not self.control.is_on("events_lost"):
            self.listener(f"{kind}/{operation}", record)

    def _link(self, before: Record | None, after: Record | None) -> None:
        """Keep the index of an organisation's people."""
        for record, change in ((before, set.discard), (after, set.add)):
            if record is not None and record.get("organisation") is not None:
                change(self.people_of[record["organisation"]], record["id"])
