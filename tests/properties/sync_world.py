"""A history of a whole account: Capsule, the relay and OfficeRnD with everything that goes wrong, and how it must end."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.properties.sync_capsule import CapsuleSide
from tests.properties.sync_compare import RESOURCES, by_link, differences, ledger_lies, link_of
from tests.properties.sync_relay import CALL_S, NAME, Relay, Trap, wait_until
from tests.simulators.run import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mapping.agenda import RecordKey
    from workers.ledger import Entry

Document = dict[str, Any]

LIMITS: Final = {
    "read_minute": 1_000_000,
    "write_minute": 1_000_000,
    "read_day": 10_000_000,
    "write_day": 10_000_000,
    "token_minute": 10_000,
}
PLAN: Final = {"key": "plan", "type": "String", "targets": ["member"]}
PATIENT_S: Final = 10.0  # the reference meets no faults, and a busy machine is none
TRIES: Final = 5
LAST_LINES: Final = 60
LOOPS_ARE_DEFECTS: Final = "HISTORIES_WITH_LOOPS" not in os.environ


class Wrong(AssertionError):
    """The history ended in a state that a fresh sync would not give, or something happened that never may."""


@dataclass(frozen=True)
class Rules:
    """What of relay.toml a history draws."""

    tags_to_sync: str = "member"
    sync_untagged_contacts: bool = True
    on_gone: str = "keep"
    default_location: bool = True
    lost_has_status: bool = True
    own_field: bool = True

    def document(self, *, capsule: str, officernd: str) -> Document:
        """The table of the connection."""
        statuses = {"New": "Tour booked", "Bid": "Negotiation", "Renewals / Bid": "Tour booked", "Won": "won"}
        return {
            "downstream": "officernd",
            "tags_to_sync": self.tags_to_sync,
            "sync_untagged_contacts": self.sync_untagged_contacts,
            "auto_sync": False,
            "on_gone": self.on_gone,
            **({"default_location": "London Bridge"} if self.default_location else {}),
            "capsule": {"api_url": f"{capsule}/api/v2", "auth": "token"},
            "officernd": {
                "organization": "acme-spaces",
                "api_url": f"{officernd}/api/v2",
                "token_url": f"{officernd}/oauth/token",
            },
            "locations": {"Shoreditch": ["shoreditch"], "London Bridge": ["london"]},
            "opportunity_statuses": statuses | ({"Lost": "lost"} if self.lost_has_status else {}),
            **(
                {"fields": {"person": {"properties.plan": "fields[?definition.name=='Plan'].value | [0]"}}}
                if self.own_field
                else {}
            ),
        }


class Stage:
    """The simulators as processes, for all histories of a run; `mirror` is the OfficeRnD that a fresh sync fills."""

    def __init__(self, server_url: str) -> None:
        self.server = server_url.rsplit("/", 1)[0]
        self.simulators = (Simulator("capsule", limit=4_000_000), Simulator("officernd"), Simulator("officernd"))
        for simulator in self.simulators:
            simulator.start()
        capsule, self.officernd, self.mirror = self.simulators
        self.capsule = CapsuleSide(capsule)

    def stop(self) -> None:
        """Ends the processes."""
        self.capsule.close()
        for simulator in self.simulators:
            simulator.stop()


@dataclass
class World:
    """One history. `switches` are those of both simulators by vendor; with `events_alone` no event is ever lost."""

    stage: Stage
    rules: Rules
    switches: Mapping[str, Mapping[str, str]]
    events_alone: bool
    wire: list[RecordKey] = field(default_factory=list)
    needs_full_sync: bool = False
    refusals: int = 0
    staff: dict[tuple[str, str, str], str] = field(default_factory=dict)
    letters: int = 0
    struck: dict[str, list[Document]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.capsule = self.stage.capsule
        self.capsule.begin(dict(self.switches["capsule"]))
        for simulator in (self.stage.officernd, self.stage.mirror):
            simulator.control("POST", "reset", {})
            simulator.control("POST", "switches", dict(self.switches["officernd"]))
            simulator.control("POST", "limits", LIMITS)
            simulator.control("POST", "custom-properties", PLAN)
        self._slow = False
        self.relay = self._relay(0, self.stage.officernd, calm=self.calm)

    def _relay(self, database: int, officernd: Simulator, calm: Callable[[], None] | None = None) -> Relay:
        rules = self.rules.document(capsule=self.stage.simulators[0].url, officernd=officernd.url)
        call_s = CALL_S if calm is not None else PATIENT_S
        return Relay(f"{self.stage.server}/{database}", rules, officernd, call_s, calm or (lambda: None))

    def close(self) -> None:
        """Ends the relay of this history."""
        self.relay.close()

    def calm(self) -> None:
        """Waits until OfficeRnD has finished what is still under way there, if there may be such a thing."""
        if self._slow:
            wait_until(self._is_calm, "OfficeRnD has finished every request")
            self._slow = any(one["kind"] in {"slow", "stall"} and one["count"] for one in self._faults())

    def _is_calm(self) -> bool:
        seen = self.stage.officernd.control("GET", "requests")["requests"]
        return all(one["seconds"] is not None for one in seen)

    def _faults(self) -> list[Document]:
        found: list[Document] = self.stage.officernd.control("GET", "faults")["faults"]
        return found

    # ------------------------------------------------------------------ Capsule
    def happens(self, act: Callable[[], Any], *, primary: RecordKey | None = None, how: str = "event") -> None:
        """A change in Capsule.

        `how` its events come: `event`, `double`: some time; `at once`; `worked`: at once, and all that is ready is worked on;
        `lost`: never.
        """
        told, silent = self.capsule.change(act, primary=primary)
        lost = how == "lost" and not self.events_alone
        self.needs_full_sync = self.needs_full_sync or silent or (lost and bool(told))
        if lost:
            return
        self.wire += sorted(told) * (2 if how == "double" else 1)
        if how in {"at once", "worked"}:
            self.deliver_all()
        if how == "worked":
            self.relay.drain()

    def create(self, kind: str, fields: Document, how: str = "event") -> None:
        self.happens(lambda: self.capsule.create(kind, fields), how=how)

    def edit(self, record: RecordKey, fields: Document, how: str = "event") -> None:
        self.happens(lambda: self.capsule.edit(record, fields), primary=record, how=how)

    def delete(self, record: RecordKey, how: str = "event") -> None:
        self.happens(lambda: self.capsule.delete(record), primary=record, how=how)

    def hide(self, record: RecordKey, *, hidden: bool, how: str = "event") -> None:
        """Capsule tells nobody of it (reference/capsule.md §1.11), but an event of the record may come by chance."""
        self.needs_full_sync = True
        self.happens(lambda: self.capsule.hide(record, hidden=hidden), primary=record, how=how)
        if how != "lost":
            self.wire.append(record)

    def deliver(self, n: int, *, keep: bool) -> None:
        """One event arrives, in any order; with `keep` it will arrive again."""
        record = self.wire[n % len(self.wire)] if keep else self.wire.pop(n % len(self.wire))
        self.relay.open([record])

    def deliver_all(self) -> None:
        """Every event that is still under way arrives, the newest first."""
        self.relay.open(reversed(self.wire))
        self.wire.clear()

    # ------------------------------------------------------------------ what goes wrong
    def fault(self, side: str, fault: Document) -> None:
        """An order to fail for one of the simulators."""
        simulator = self.stage.officernd if side == "officernd" else self.stage.simulators[0]
        simulator.control("POST", "faults", fault)
        self._slow = self._slow or fault["kind"] in {"slow", "stall"}
        self.refusals += fault.get("status") == 400

    def clear_faults(self) -> None:
        """Both sides work again."""
        for simulator in self.stage.simulators[:2]:
            simulator.control("DELETE", "faults")

    def trap(self, what: str, *, at: int, writes: bool, act: Callable[[], None]) -> None:
        """Something happens in the middle of a run."""
        self.relay.set_trap(Trap(what, at=at, writes=writes, act=act))

    def staff_edits(self, n: int, value: str) -> None:
        """A person in OfficeRnD writes into a field that is not ours."""
        state = self.stage.officernd.control("GET", "state")
        records = [(resource, body) for resource in RESOURCES for body in state[resource] if link_of(body)]
        if not records:
            return
        resource, body = records[n % len(records)]
        bag = {**body["properties"], "Preferred Desk": value}
        fields: Document = {"properties": bag}
        self.staff[resource, body["_id"], "properties"] = value
        if resource == "companies":
            fields["description"] = value
            self.staff[resource, body["_id"], "description"] = value
        self.stage.officernd.control("POST", "edit", {"resource": resource, "id": body["_id"], "fields": fields})

    # ------------------------------------------------------------------ the end
    def counts(self) -> Counter[str]:
        """What this history was made of."""
        entries = self.relay.entries().values()
        in_step = sum(entry.outcome == "in_step" for entry in entries)
        found = {"histories": 1, "runs": self.relay.runs, "kills": self.relay.kills, "records": len(entries)}
        found |= {"records in step": in_step, "letters": self.letters, "synced at the end": int(self.needs_full_sync)}
        struck = {f"faults of {side}": sum(one["struck"] for one in faults) for side, faults in self.struck.items()}
        return Counter(found | struck)

    def finish(self) -> None:
        """The faults end, everything is delivered and worked on; then it must be as a fresh sync makes it, and stay so.

        Raises:
            Wrong: it is not.
        """
        try:
            self._finish()
        except AssertionError as error:
            lines = "\n".join(self.relay.log.lines[-LAST_LINES:])
            raise Wrong(
                f"{error}\nrules: {self.rules}\nswitches: {self.switches}\n--- the last lines of the log\n{lines}"
            ) from error

    def _finish(self) -> None:
        relay = self.relay
        self.deliver_all()
        relay.settle()  # what was prepared to go wrong may still do so
        for simulator in self.stage.simulators[:2]:
            self.struck[simulator.name] = simulator.control("GET", "faults")["faults"]
            simulator.control("DELETE", "faults")
        relay.clear_trap()
        self.deliver_all()
        relay.settle()
        assert not (self.events_alone and self.needs_full_sync), "this history should need no full sync"
        if self.needs_full_sync:
            assert any(relay.full_sync() for _ in range(TRIES)), "a full sync failed without a fault"
            relay.settle()
        self._letters_are_explained()
        self.letters = len(relay.letters())
        relay.open(relay.letters(), why="replay")
        relay.settle()

        found = [f"a bug was logged: {bug}" for bug in relay.log.bugs]
        found += [f"still a dead letter: {record.field}: {letter}" for record, letter in relay.letters().items()]
        found += [f"ran again and again within a second: {record.field}" for record in sorted(relay.loops) if LOOPS_ARE_DEFECTS]
        found += [f"left over in Redis: {name}: {size}" for name, size in relay.leftovers().items()]
        state, entries = self.stage.officernd.control("GET", "state"), relay.entries()
        fresh, fresh_entries = self._fresh()
        found += differences(state, fresh, entries, fresh_entries, on_gone=self.rules.on_gone)
        found += ledger_lies(state, entries)
        found += self._lost_edits_of_staff(state)
        if found:
            raise Wrong("\n".join(found))
        self._once_more_writes_nothing(sorted(entries))

    def _letters_are_explained(self) -> None:
        for record, letter in self.relay.letters().items():
            explained = (letter["class"] == "Refused" and self.refusals) or (letter["class"] == "killer" and self.relay.kills > 2)
            assert explained, f"a dead letter that no fault explains: {record.field}: {letter}"

    def _fresh(self) -> tuple[Document, dict[RecordKey, Entry]]:
        """What a full sync of the Capsule state makes of an empty OfficeRnD with an empty Redis."""
        reference = self._relay(1, self.stage.mirror)
        try:
            assert reference.full_sync(), "the reference's full sync failed"
            reference.settle()
            assert not reference.letters(), f"the reference has dead letters: {reference.letters()}"
            assert not reference.log.bugs, f"the reference has logged a bug: {reference.log.bugs}"
            state: Document = self.stage.mirror.control("GET", "state")
            return state, reference.entries()
        finally:
            reference.close()

    def _lost_edits_of_staff(self, state: Document) -> list[str]:
        found = []
        for (resource, number, name), value in self.staff.items():
            body = next(one for one in state[resource] if one["_id"] == number)
            have = body["properties"].get("Preferred Desk") if name == "properties" else body.get(name)
            if have != value:
                found.append(f"{resource} {link_of(body)}: staff wrote {name} = {value!r}, now it is {have!r}")
        return found

    def _once_more_writes_nothing(self, records: list[RecordKey]) -> None:
        """One more run of every record, by an event, by a full sync, and without trust in the ledger."""
        before = self._writes()
        for name, again in (
            ("event", lambda: self.relay.open(records)),
            ("full sync", self.relay.full_sync),
            ("replay", lambda: self.relay.open(records, why="replay")),
        ):
            again()
            self.relay.settle()
            after = self._writes()
            assert after == before, f"{name}: one more run of every record wrote again: {self._last_writes(after - before)}"
        assert not self.relay.log.bugs, f"a bug was logged: {self.relay.log.bugs}"
        by_link(self.stage.officernd.control("GET", "state"))

    def _writes(self) -> int:
        counts = self.stage.officernd.control("GET", "counts")
        return sum(count for route, count in counts.items() if route.startswith(("POST /", "PUT /")) and "oauth" not in route)

    def _last_writes(self, count: int) -> list[Document]:
        seen = self.stage.officernd.control("GET", "requests")["requests"]
        writes = [one for one in seen if one["method"] in {"POST", "PUT"} and "oauth" not in one["path"]]
        return [{"path": one["path"], "body": one["body"], "status": one["status"]} for one in writes[-count:]]


__all__ = ["NAME", "Rules", "Stage", "World", "Wrong"]
