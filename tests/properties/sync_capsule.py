"""Capsule's side of a history: people and programs that create, change, hide and delete, and what an event would tell of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httpx

from mapping.agenda import RecordKey
from tests.properties.sync_relay import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulators.run import Simulator

# Moved by the server with any change, or shown of another record: no content of the record's own.
NOT_OWN: Final = frozenset({"updatedAt", "lastContactedAt", "lastStageChangedAt", "lastOpenMilestone", "pictureURL"})
PLURALS: Final = {"party": "parties", "opportunity": "opportunities"}

Document = dict[str, Any]


class CapsuleSide:
    """Writes through Capsule's own API and compares the account before and after."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.api = httpx.Client(
            base_url=f"{simulator.url}/api/v2/", headers={"Authorization": "Bearer capsule-token"}, timeout=30, trust_env=False
        )
        self.begin({})

    def begin(self, switches: dict[str, str]) -> None:
        """An empty account."""
        self.simulator.control("POST", "reset", {"organisations": 0})
        self.simulator.control("POST", "switches", switches)
        self.switches = switches
        self.look()

    def close(self) -> None:
        self.api.close()

    def look(self) -> None:
        """Reads the whole account anew."""
        state = self.simulator.control("GET", "state")
        self.restricted = {(one["kind"], one["id"]) for one in state["restricted"]}
        self.milestones: list[Document] = sorted(state["milestones"], key=lambda one: int(one["id"]))
        self.records: dict[RecordKey, Document] = {
            RecordKey(NAME, kind, one["id"]): one for kind, plural in PLURALS.items() for one in state[plural]
        }

    def visible(self, kind: str, *, sort: str | None = None) -> list[RecordKey]:
        """Records that the caller may see, oldest first; `sort` is person or organisation."""
        return sorted(
            record
            for record, body in self.records.items()
            if record.kind == kind and (kind, record.id) not in self.restricted and (sort is None or body["type"] == sort)
        )

    # ------------------------------------------------------------------ changes
    def change(self, act: Callable[[], Any], *, primary: RecordKey | None = None) -> tuple[set[RecordKey], bool]:
        """Carries out a change.

        Returns the records of which Capsule sends an event, and whether more has changed than those events tell
        (reference/capsule.md §1.4, §1.11, §5.6: what goes or is freed with another record, and what becomes hidden, is silent in
        the harsher positions of the switches). `primary` is the record that was changed; None when it is created.
        """
        before, hidden = {record: own(body) for record, body in self.records.items()}, self.restricted
        act()
        self.look()
        after = {record: own(body) for record, body in self.records.items()}
        changed = {record for record in {*before, *after} if before.get(record) != after.get(record)}
        unseen = {RecordKey(NAME, kind, number) for kind, number in hidden ^ self.restricted}
        told = {record for record in changed if record == primary or record not in before or self._told(record, after)}
        return told, bool((changed | unseen) - told)

    def _told(self, record: RecordKey, after: dict[RecordKey, Document]) -> bool:
        """Whether a change that came along with another record's has an event of its own."""
        if record not in after:
            return self.switches.get("cascade_fires_deleted") == "yes"
        return self.switches.get("people_of_deleted_organisation") == "updated"

    def create(self, kind: str, fields: Document) -> None:
        self._done(self.api.post(PLURALS[kind], json={kind: fields}))

    def edit(self, record: RecordKey, fields: Document) -> None:
        self._done(self.api.put(f"{PLURALS[record.kind]}/{record.id}", json={record.kind: fields}))

    def delete(self, record: RecordKey) -> None:
        self._done(self.api.delete(f"{PLURALS[record.kind]}/{record.id}"))

    def hide(self, record: RecordKey, *, hidden: bool) -> None:
        self.simulator.control("POST", "restrict" if hidden else "unrestrict", {"kind": record.kind, "id": record.id})

    def _done(self, answer: httpx.Response) -> None:
        assert answer.is_success, f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}"

    # ------------------------------------------------------------------ the bodies of changes
    def toggle_tag(self, record: RecordKey, tag: str) -> Document:
        """The change that puts a tag on, or takes it off."""
        on = next((one for one in self.records[record]["tags"] if one["name"].casefold() == tag.casefold()), None)
        return {"tags": [{"name": tag}] if on is None else [{"id": on["id"], "_delete": True}]}

    def contact(self, record: RecordKey, key: str, element: Document | None, *, where: Document | None = None) -> Document:
        """The change that sets the first entry of a contact list to `element`, or takes it away; `where` narrows the entries."""
        fitting = [one for one in self.records[record][key] if all(one.get(name) == text for name, text in (where or {}).items())]
        if element is None:
            return {key: [{"id": one["id"], "_delete": True} for one in fitting[:1]]}
        return {key: [{"id": fitting[0]["id"], **element} if fitting else {**element, **(where or {})}]}


def own_field(name: str, value: str | None) -> Document:
    """The change of a custom field by its name."""
    return {"fields": [{"definition": {"name": name}, "value": value}]}


def own(body: Document) -> Document:
    """What is a record's own: a link to another record counts by its id, and no time that the server moves."""
    kept = {name: value for name, value in body.items() if name not in NOT_OWN}
    for name in ("organisation", "party"):
        if isinstance(kept.get(name), dict):
            kept[name] = kept[name]["id"]
    return kept
