"""A product as the sync flow sees it: it is told of each record, and cannot be asked what it holds."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from mapping.agenda import RecordKey
from mapping.plan import Create, Nothing, Update, Wanted
from mapping.records import Opportunity, Organisation, Person
from mapping.unified import deals, deliveries, parties
from mapping.unified.deliveries import DELETED
from workers.downstream.port import Existing
from workers.downstream.unified.client import SYSTEM

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mapping.agenda import Lane
    from mapping.plan import Note, Plan
    from mapping.rules import Connection
    from mapping.unified.deliveries import Message
    from workers.downstream.port import Alive, Leaving, Subject, Visit
    from workers.downstream.unified.client import Product
    from workers.downstream.unified.references import References
    from workers.downstream.unified.versions import Versions

ACCOUNT: Final = "account"
CONTACT: Final = "contact"
OPPORTUNITY: Final = "opportunity"


class UnifiedDownstream:
    """One product that follows one connection's Capsule account."""

    name = SYSTEM
    kinds: frozenset[str] = frozenset({"party", "opportunity"})
    can_be_asked = False

    def __init__(self, connection: Connection, references: References, versions: Versions, product: Product) -> None:
        self.connection = connection
        self.product = product
        self.references = references
        self.versions = versions

    def resource(self, subject: Subject) -> str:
        """The model: `account`, `contact` or `opportunity`."""
        if isinstance(subject.record, Opportunity):
            return OPPORTUNITY
        return ACCOUNT if isinstance(subject.record, Organisation) else CONTACT

    def wanted(self, subject: Subject, *, alive: Alive) -> Wanted:
        """The record as a unified one."""
        return Wanted(self.resource(subject), self._unified(subject, alive))

    def _unified(self, subject: Subject, alive: Alive) -> Mapping[str, Any]:
        body = subject.record.raw
        if isinstance(subject.record, Opportunity):
            nested = body.get("milestone")
            milestone = self.references.milestone(nested if isinstance(nested, dict) else None, alive=alive)
            return deals.opportunity(body, self.references.definitions("opportunities", body, alive=alive), milestone=milestone)
        definitions = self.references.definitions("parties", body, alive=alive)
        if isinstance(subject.record, Person):
            return parties.contact(body, definitions)
        return parties.account(body, definitions)

    def released(self, resource: str, wrote: Mapping[str, Any], *, why: Leaving) -> Wanted | None:
        """The product is told to drop it, once."""
        return Wanted(resource, {DELETED: wrote.get(DELETED) or why})

    def observed(self, resource: str, current: Mapping[str, Any]) -> Mapping[str, Any]:  # noqa: ARG002 - the port's shape
        """What is known of it, which is nothing."""
        return dict(current)

    def compare(self, wanted: Wanted, have: Mapping[str, Any] | None, *, ours: Collection[str], unsure: bool = False) -> Plan:
        """The whole record when the product has none, else what differs; while we are not sure, it is told again in any case."""
        if DELETED in wanted.fields:
            told = have is not None and DELETED in have
            return Nothing() if told and not unsure else Update({DELETED: wanted.fields[DELETED]})
        if have is None or DELETED in have:
            return Create(dict(wanted.fields))
        names: Collection[str] = deliveries.changed(have, wanted.fields)
        if unsure:
            # What an unanswered message set may be there, so what it set is part of the difference.
            names = {*names, *(set(ours) & set(wanted.fields) - deliveries.RESTLESS)}
        return Update({name: wanted.fields.get(name) for name in sorted(names)}) if names else Nothing()

    def remembered(
        self,
        wanted: Wanted,
        plan: Plan,  # noqa: ARG002 - the port's shape
        have: Mapping[str, Any] | None,  # noqa: ARG002
        *,
        ours: Collection[str],  # noqa: ARG002
    ) -> Mapping[str, Any]:
        """The record as it was told last, or that the product was told to drop it."""
        return dict(wanted.fields)

    def needs_current(self, plan: Plan) -> bool:  # noqa: ARG002 - the port's shape
        """A message holds the whole record."""
        return False

    def writes(
        self,
        key: RecordKey,
        wanted: Wanted,
        plan: Plan,
        *,
        downstream_id: str | None,  # noqa: ARG002 - the port's shape
        have: Mapping[str, Any] | None,  # noqa: ARG002
        current: Mapping[str, Any] | None,  # noqa: ARG002
    ) -> tuple[Sequence[Message], Sequence[Note]]:
        """One message with the whole record, or one that it is to be dropped."""
        if isinstance(plan, Nothing):
            return (), ()
        model, number = wanted.resource, str(key.id)
        if DELETED in wanted.fields:
            reason = str(wanted.fields[DELETED])
            version = self.versions.draw(key, model, f"{DELETED}:{reason}")
            return (deliveries.of_removal(model, number, version, reason=reason),), ()
        version = self.versions.draw(key, model, deliveries.digest(model, wanted.fields))
        if isinstance(plan, Create):
            changed = tuple(sorted(plan.fields))
            return (deliveries.of_record("created", model, number, version, record=wanted.fields, changed=changed),), ()
        return (deliveries.of_record("updated", model, number, version, record=wanted.fields, changed=tuple(plan.changed)),), ()

    def read(self, resource: str, downstream_id: str, *, lane: Lane, alive: Alive) -> Mapping[str, Any] | None:
        """Never called: it cannot be asked."""
        raise NotImplementedError

    def find(self, subject: Subject, wanted: Wanted, *, fresh: bool, lane: Lane, alive: Alive) -> Existing | None:  # noqa: ARG002 - the port's shape
        """None: the product keeps records under Capsule's own ids, so there is nothing to look for."""
        return None

    def linked(self, kind: str, capsule_id: int, *, lane: Lane, alive: Alive) -> tuple[str, Existing] | None:  # noqa: ARG002 - the port's shape
        """What a message was begun for whose answer never came."""
        model = self.versions.model(RecordKey(self.connection.name, kind, capsule_id))
        return (model, Existing(id=str(capsule_id), current={})) if model is not None else None

    def room(self, lane: Lane) -> int:
        """0, or how long the product asked us to wait."""
        return self.product.room(lane)

    def reserve_write(self, lane: Lane, *, alive: Alive) -> int:  # noqa: ARG002 - nothing is waited for here
        """0 when a message may go now."""
        return self.product.reserve(lane)

    def send(self, write: Message, *, downstream_id: str | None, before_send: Alive) -> Mapping[str, Any]:  # noqa: ARG002 - the port's shape
        """Sends one message, once."""
        self.product.deliver(write, before_send=before_send)
        return {"id": write.id}

    def id_of(self, answer: Mapping[str, Any]) -> str:
        """Capsule's own id, under which the product keeps it."""
        return str(answer["id"])

    def remember(self, resource: str, capsule_id: int, downstream_id: str, fields: Mapping[str, Any]) -> None:
        """Nothing to index."""

    def inherited(self, organisation: Organisation) -> Mapping[str, Any]:
        """A contact shows the name of its account."""
        return {"name": hashlib.sha256(organisation.name.encode()).hexdigest()[:16]}

    def survey(self, visit: Visit, *, owner: str, start: str, alive: Alive) -> bool:  # noqa: ARG002 - the port's shape
        """Nothing can be listed."""
        return True

    def ask(self, *, alive: Alive) -> None:
        """Nothing can be asked without a message: the next record shows whether it answers."""

    def differs(self, wrote: Mapping[str, Any], observed: Mapping[str, Any]) -> tuple[str, ...]:  # noqa: ARG002 - the port's shape
        """What the product holds cannot be seen."""
        return ()


class RehearsedUnified(UnifiedDownstream):
    """For a dry run: nothing is sent and no version is drawn."""

    def room(self, lane: Lane) -> int:  # noqa: ARG002 - nothing is sent
        """There is always room."""
        return 0

    def reserve_write(self, lane: Lane, *, alive: Alive) -> int:  # noqa: ARG002 - nothing is sent
        """No slot is needed."""
        return 0

    def writes(
        self,
        key: RecordKey,
        wanted: Wanted,
        plan: Plan,
        *,
        downstream_id: str | None,  # noqa: ARG002 - the port's shape
        have: Mapping[str, Any] | None,  # noqa: ARG002
        current: Mapping[str, Any] | None,  # noqa: ARG002
    ) -> tuple[Sequence[Message], Sequence[Note]]:
        """One message that never leaves."""
        if isinstance(plan, Nothing):
            return (), ()
        return (deliveries.of_removal(wanted.resource, str(key.id), 0, reason=""),), ()

    def send(self, write: Message, *, downstream_id: str | None, before_send: Alive) -> Mapping[str, Any]:  # noqa: ARG002 - nothing is sent
        """As if it had been taken."""
        return {"id": write.id}


class UntoldUnified(UnifiedDownstream):
    """A connection without a product's address: only the unified API serves it, and nothing is followed."""

    kinds: frozenset[str] = frozenset()

    def __init__(self, connection: Connection, references: References, versions: Versions) -> None:
        self.connection = connection
        self.references = references
        self.versions = versions
