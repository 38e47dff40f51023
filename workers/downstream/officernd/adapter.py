"""OfficeRnD as the sync flow sees it: the pure mapping, the client and the index behind one object per connection."""

from __future__ import annotations

import hashlib
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from mapping import officernd
from mapping.capsule import milestone as milestone_of
from mapping.drift import drifted
from mapping.errors import UnreadableRecord
from mapping.officernd_fields import COMPANY, MEMBER, OPPORTUNITY, TARGETS
from mapping.plan import Held, compare, remembered
from mapping.records import Attached, Opportunity, Organisation
from workers.downstream.port import Existing, Shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from mapping.agenda import Lane, RecordKey
    from mapping.officernd import Context, Write
    from mapping.plan import Note, Plan, Waits, Wanted
    from mapping.records import Milestone
    from mapping.rules import Connection
    from workers.downstream.officernd.client import OfficeRnD
    from workers.downstream.officernd.index import Lookups
    from workers.downstream.port import Alive, Leaving, Subject, Visit

MILESTONES_SECONDS: Final = 3600.0
REFRESH_AT_MOST_EVERY_SECONDS: Final = 60.0
INDEX_GOOD_FOR_MS: Final = 15 * 60_000
# Held for a name that OfficeRnD or Capsule may have learnt since we last asked.
MAY_BE_NEW: Final = frozenset({"location_unknown", "status_unknown", "no_status", "no_link_property"})


class OfficeRnDDownstream:
    """One OfficeRnD organisation that follows one connection's Capsule account."""

    name = "officernd"
    kinds = frozenset({"party", "opportunity"})
    can_be_asked = True

    def __init__(
        self,
        connection: Connection,
        client: OfficeRnD,
        index: Lookups,
        *,
        milestones: Callable[[Alive], Sequence[Mapping[str, Any]]],
        link: Callable[[str, int], str | None],
    ) -> None:
        self.connection = connection
        self.client = client
        self.index = index
        self._milestones_of = milestones
        self._link = link
        self._lock = threading.Lock()
        self._milestones: tuple[float, dict[int, Milestone]] | None = None
        self._refreshed = 0.0

    def resource(self, subject: Subject) -> str:
        """`company`, `member` or `opportunity`."""
        if isinstance(subject.record, Opportunity):
            return OPPORTUNITY
        return COMPANY if isinstance(subject.record, Organisation) else MEMBER

    def declines(self, subject: Subject) -> str:  # noqa: ARG002 - it takes whatever is in
        """Nothing."""
        return ""

    def wanted(self, subject: Subject, *, alive: Alive) -> Wanted | Held | Waits:
        """What OfficeRnD should hold; names that it may have learnt a moment ago are asked for again before it is held."""
        wanted = self._wanted(subject, self._context(subject, alive, refresh=False))
        if isinstance(wanted, Held) and wanted.code in MAY_BE_NEW and self._may_refresh():
            wanted = self._wanted(subject, self._context(subject, alive, refresh=True))
        return wanted

    def _wanted(self, subject: Subject, context: Context) -> Wanted | Held | Waits:
        if isinstance(subject.record, Opportunity):
            if subject.party is None:
                raise UnreadableRecord(f"opportunity {subject.record.id} is in, but its party was not read")
            return officernd.wanted_opportunity(context, subject.record, subject.party, subject.organisation)
        if isinstance(subject.record, Attached):
            raise UnreadableRecord(f"{subject.key.field} is of no kind that goes to OfficeRnD")
        return officernd.wanted_party(context, subject.record, subject.organisation, subject.organisation_in)

    def _may_refresh(self) -> bool:
        with self._lock:
            now = time.monotonic()
            if self._refreshed and now - self._refreshed < REFRESH_AT_MOST_EVERY_SECONDS:
                return False
            self._refreshed = now
            return True

    def _context(self, subject: Subject, alive: Alive, *, refresh: bool) -> Context:
        properties: dict[str, set[str]] = {target: set() for target in TARGETS.values()}
        for body in self.client.custom_properties(refresh=refresh, alive=alive):
            for target in body.get("targets") or ():
                properties.setdefault(str(target), set()).add(str(body.get("key")))
        deal = isinstance(subject.record, Opportunity)
        statuses = self.client.statuses(refresh=refresh, alive=alive) if deal else ()
        return officernd.Context(
            connection=self.connection,
            locations={
                str(body["_id"]): str(body.get("name", "")) for body in self.client.locations(refresh=refresh, alive=alive)
            },
            statuses={
                str(body["_id"]): officernd.Status(
                    id=str(body["_id"]),
                    description=str(body.get("description", "")),
                    probability=int(body.get("probability") or 0),
                    is_system=str(body.get("isSystem", "")).lower() == "true",
                )
                for body in statuses
            },
            properties={target: frozenset(keys) for target, keys in properties.items()},
            milestones=self._all_milestones(subject.record, alive, refresh=refresh) if deal else {},
            link=self._link,
        )

    def _all_milestones(self, record: object, alive: Alive, *, refresh: bool) -> Mapping[int, Milestone]:
        """Those of all pipelines, asked for again when an opportunity has one that we have not seen."""
        kept = self._milestones
        number = record.milestone_id if isinstance(record, Opportunity) else None
        stale = kept is None or time.monotonic() - kept[0] > MILESTONES_SECONDS
        unknown = kept is not None and number is not None and number not in kept[1]
        if kept is None or stale or refresh or (unknown and self._may_refresh()):
            found = [milestone_of(body) for body in self._milestones_of(alive)]
            kept = (time.monotonic(), {one.id: one for one in found})
            self._milestones = kept
        return kept[1]

    def released(self, resource: str, wrote: Mapping[str, Any], *, why: Leaving) -> Wanted | None:  # noqa: ARG002 - all the same there
        """What `on_gone` asks for."""
        context = officernd.Context(
            connection=self.connection, locations={}, statuses={}, properties={}, milestones={}, link=self._link
        )
        return officernd.released(context, resource, wrote)

    def observed(self, resource: str, current: Mapping[str, Any]) -> Mapping[str, Any]:
        """A body of OfficeRnD in our flat form."""
        return officernd.observed(resource, current)

    def compare(
        self,
        wanted: Wanted,
        have: Mapping[str, Any] | None,
        *,
        ours: Collection[str],
        unsure: bool = False,  # noqa: ARG002 - it is asked instead
    ) -> Plan:
        """What must be done."""
        return compare(wanted, have, officernd.same, ours=ours)

    def remembered(
        self, wanted: Wanted, plan: Plan, have: Mapping[str, Any] | None, *, ours: Collection[str]
    ) -> Mapping[str, Any]:
        """What of it is ours once the plan is carried out."""
        return remembered(wanted, plan, have, ours=ours)

    def needs_current(self, plan: Plan) -> bool:
        """Bags such as `properties` are sent whole, laid over what is there (reference/officernd.md §2.3)."""
        return officernd.needs_current(plan)

    def writes(
        self,
        key: RecordKey,  # noqa: ARG002 - it has an id of its own there
        wanted: Wanted,
        plan: Plan,
        *,
        downstream_id: str | None,
        have: Mapping[str, Any] | None,  # noqa: ARG002 - the plan holds what differs
        current: Mapping[str, Any] | None,
    ) -> tuple[tuple[Write, ...], tuple[Note, ...]]:
        """The requests of a plan, in order."""
        return officernd.writes(wanted.resource, plan, downstream_id=downstream_id, current=current)

    def read(self, resource: str, downstream_id: str, *, lane: Lane, alive: Alive) -> Mapping[str, Any] | None:
        """One record as it is now."""
        return self.client.get(resource, downstream_id, lane=lane, alive=alive)

    def find(self, subject: Subject, wanted: Wanted, *, fresh: bool, lane: Lane, alive: Alive) -> Existing | Held | None:
        """The record to take up instead of creating one: from the index if it is young enough, else by asking."""
        capsule_id, resource = subject.key.id, wanted.resource
        candidates: list[Mapping[str, Any]]
        age = None if fresh else self.index.age_ms()
        if age is not None and age <= INDEX_GOOD_FOR_MS:
            ids = list(self.index.lookup_links(resource, capsule_id))
            for term in officernd.search_terms(wanted):
                if not ids and term.by != "link":
                    ids = list(self.index.lookup_match(resource, term.value))
            read = (self.client.get(resource, one, lane=lane, alive=alive) for one in ids)
            candidates = [body for body in read if body is not None]
        else:
            both = {**wanted.initial, **wanted.fields}
            text = {name: str(both[name]) for name in ("email", "name", "company", "member") if both.get(name)}
            candidates = list(self.client.find(resource, link_id=capsule_id, lane=lane, alive=alive, **text))
        chosen = officernd.choose(wanted, candidates)
        return Existing(id=chosen.id, current=chosen.current) if isinstance(chosen, officernd.Adopt) else chosen

    def linked(self, kind: str, capsule_id: int, *, lane: Lane, alive: Alive) -> tuple[str, Existing] | None:
        """The record that carries this Capsule id: a company or member for a party, which may be gone and so be either."""
        resources = (OPPORTUNITY,) if kind == "opportunity" else (MEMBER, COMPANY)
        found = [
            (resource, Existing(id=str(body["_id"]), current=body))
            for resource in resources
            for body in self.client.find(resource, link_id=capsule_id, lane=lane, alive=alive)
        ]
        return found[0] if len(found) == 1 else None

    def room(self, lane: Lane) -> int:
        """How long a write of this lane would have to wait now, in ms; books nothing."""
        return self.client.room(lane)

    def reserve_write(self, lane: Lane, *, alive: Alive) -> int:
        """Takes the slot of a write: 0, or the ms until the one that was booked."""
        return self.client.reserve_write(lane, alive=alive)

    def send(self, write: Write, *, downstream_id: str | None, before_send: Alive) -> Mapping[str, Any]:
        """Sends one write, never twice."""
        return self.client.send(write, downstream_id=downstream_id, alive=before_send)

    def id_of(self, answer: Mapping[str, Any]) -> str:
        """The id of a created record."""
        return str(answer["_id"])

    def remember(self, resource: str, capsule_id: int, downstream_id: str, fields: Mapping[str, Any]) -> None:
        """Adds it to the index."""
        text = fields.get("email") if resource == MEMBER else fields.get("name") if resource == COMPANY else None
        self.index.remember(resource, capsule_id=capsule_id, downstream_id=downstream_id, text=str(text) if text else None)

    def inherited(self, organisation: Organisation) -> Mapping[str, Any]:
        """People inherit an organisation's location, and their own fields may use its name."""
        name = hashlib.sha256(organisation.name.encode()).hexdigest()[:16]
        return {"location": officernd.location_by_tags(self.connection, organisation), "name": name}

    def survey(self, visit: Visit, *, owner: str, start: str, alive: Alive) -> bool:
        """Walks companies, members and opportunities."""

        def page(resource: str, bodies: Sequence[Mapping[str, Any]], place: str) -> None:
            visit([_shown(resource, body) for body in bodies], place)

        return self.index.build(alive=alive, visit=page, owner=owner, start=start)

    def ask(self, *, alive: Alive) -> None:
        """Asks for the custom properties, past what is kept of them."""
        self.client.custom_properties(refresh=True, alive=alive)

    def differs(self, wrote: Mapping[str, Any], observed: Mapping[str, Any]) -> tuple[str, ...]:
        """By OfficeRnD's own measure of sameness."""
        return drifted(wrote, observed, officernd.same)


def _shown(resource: str, body: Mapping[str, Any]) -> Shown:
    link = officernd.link_of(body)
    return Shown(
        id=str(body["_id"]),
        kind="opportunity" if resource == OPPORTUNITY else "party",
        number=int(link) if link and link.isascii() and link.isdigit() else None,
        fields=officernd.observed(resource, body),
    )
