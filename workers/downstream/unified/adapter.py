"""A product as the sync flow sees it: it is told of each record, and cannot be asked what it holds."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from mapping.agenda import RecordKey
from mapping.plan import Create, Nothing, Update, Wanted
from mapping.records import Attached, Opportunity, Organisation, Person
from mapping.unified import deals, deliveries, entries, parties, people, work
from mapping.unified.deliveries import DELETED
from mapping.unified.triggers import triggers
from workers.downstream.port import Existing
from workers.downstream.unified.client import SYSTEM
from workers.echo import DELETED as GONE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mapping.agenda import Lane
    from mapping.plan import Note, Plan
    from mapping.rules import Connection
    from mapping.unified.deliveries import Event, Message
    from workers.downstream.port import Alive, Leaving, Subject, Visit
    from workers.downstream.unified.client import Product
    from workers.downstream.unified.copies import Copies
    from workers.downstream.unified.echoes import Echoes
    from workers.downstream.unified.references import References
    from workers.downstream.unified.versions import Versions

ACCOUNT: Final = "account"
CONTACT: Final = "contact"
OPPORTUNITY: Final = "opportunity"
NOTE: Final = "note"
# The model of each kind but parties. An entry is an engagement, and a plain note is a note as well.
MODELS: Final = {"kase": "project", "task": "task", "user": "user", "entry": "engagement"}


class UnifiedDownstream:
    """One product that follows one connection's Capsule account."""

    name = SYSTEM
    can_be_asked = False

    def __init__(
        self,
        connection: Connection,
        references: References,
        versions: Versions,
        product: Product,
        *,
        echoes: Echoes,
        copies: Copies | None = None,
    ) -> None:
        rules = connection.unified
        self.connection = connection
        self.references = references
        self.versions = versions
        self.product = product
        self.echoes = echoes
        self.copies = copies
        self.triggers = frozenset(rules.triggers) if rules is not None else frozenset()
        self.models = frozenset(rules.models) if rules is not None and rules.models is not None else frozenset(deliveries.MODELS)
        self.kinds = _kinds(self.models)
        self._since = ""

    def declines(self, subject: Subject) -> str:
        """A model that the rules leave out."""
        if isinstance(subject.record, Attached) and subject.record.kind == "entry":
            left_out = "engagements" not in self.models and not entries.is_note(subject.record.raw)
            return "notes alone are sent (models), and this entry is none" if left_out else ""
        collection = deliveries.COLLECTIONS[self.resource(subject)]
        return "" if collection in self.models else f"{collection} are not among the models that are sent"

    def resource(self, subject: Subject) -> str:
        """The model."""
        if isinstance(subject.record, Attached):
            alone = subject.record.kind == "entry" and "engagements" not in self.models
            return NOTE if alone else MODELS[subject.record.kind]
        if isinstance(subject.record, Opportunity):
            return OPPORTUNITY
        return ACCOUNT if isinstance(subject.record, Organisation) else CONTACT

    def wanted(self, subject: Subject, *, alive: Alive) -> Wanted:
        """The record as a unified one."""
        return Wanted(self.resource(subject), self._unified(subject, alive))

    def _unified(self, subject: Subject, alive: Alive) -> Mapping[str, Any]:
        body = subject.record.raw
        if isinstance(subject.record, Attached):
            return self._attached(subject.record, alive)
        if isinstance(subject.record, Opportunity):
            milestone = self.references.milestone(_nested(body, "milestone"), alive=alive)
            return deals.opportunity(body, self.references.definitions("opportunities", body, alive=alive), milestone=milestone)
        definitions = self.references.definitions("parties", body, alive=alive)
        if isinstance(subject.record, Person):
            return parties.contact(body, definitions)
        return parties.account(body, definitions)

    def _attached(self, record: Attached, alive: Alive) -> Mapping[str, Any]:
        body = record.raw
        if record.kind == "kase":
            stage = self.references.stage(_nested(body, "stage"), alive=alive)
            return work.project(body, self.references.definitions("kases", body, alive=alive), stage=stage)
        if record.kind == "task":
            return work.task(body, timezone=self.references.timezone(_nested(body, "owner"), alive=alive))
        if record.kind == "user":
            return people.user(body)
        note = entries.note(body) if entries.is_note(body) and "notes" in self.models else None
        return {**entries.engagement(body), NOTE: note} if "engagements" in self.models else note or {}

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
        have: Mapping[str, Any] | None,
        current: Mapping[str, Any] | None,  # noqa: ARG002
    ) -> tuple[Sequence[Message], Sequence[Note]]:
        """A message with the whole record, or one that it is to be dropped; two for an entry that is a note as well."""
        if isinstance(plan, Nothing):
            return (), ()
        removed, before = DELETED in wanted.fields, have if have is not None and DELETED not in have else None
        names = frozenset(plan.changed) if isinstance(plan, Update) and not removed else frozenset()
        own = _own(wanted.fields)
        first = self._message(key, wanted.resource, own, names - {NOTE})
        # The product may have made an entry as an engagement or as a note.
        contents = {wanted.resource: own, NOTE: wanted.fields.get(NOTE)}
        told = {deliveries.digest(model, one) for model, one in contents.items() if isinstance(one, dict)}
        if self.echoes.is_ours(key, {GONE} if removed else told, unknown=before is None):
            first = replace(first, silent=True)
        found = [first, *self._happened(first, before)]
        note, was = wanted.fields.get(NOTE), (before or {}).get(NOTE)
        if isinstance(note, dict) and (not names or NOTE in names):
            changed = deliveries.changed(was, note) if isinstance(was, dict) else ()
            found.append(self._message(key, NOTE, note, changed))
            found += self._happened(found[-1], was if isinstance(was, dict) else None)
        elif isinstance(was, dict) and not isinstance(note, dict):
            found.append(self._message(key, NOTE, {DELETED: wanted.fields.get(DELETED, "deleted")}, ()))
        return [replace(one, silent=True) for one in found] if first.silent else found, ()

    def _happened(self, cause: Message, was: Mapping[str, Any] | None) -> list[Message]:
        """The triggers that were asked for and that this change is."""
        if not self.triggers or cause.event == "record:deleted":
            return []
        self._since = self._since or self.versions.since(self.connection.name)
        found = triggers(cause.model, was, cause.record, since=self._since)
        return [deliveries.of_trigger(cause, one.name, one.details) for one in found if one.name in self.triggers]

    def _message(self, key: RecordKey, model: str, now: Mapping[str, Any], changed: Collection[str]) -> Message:
        """`changed` are the fields that differ; none: the product has no such record yet."""
        number = str(key.id)
        if DELETED in now:
            reason = str(now[DELETED])
            version = self.versions.draw(key, model, f"{DELETED}:{reason}")
            return deliveries.of_removal(model, number, version, reason=reason)
        version = self.versions.draw(key, model, deliveries.digest(model, now))
        event: Event = "updated" if changed else "created"
        return deliveries.of_record(event, model, number, version, record=now, changed=changed or now.keys())

    def read(self, resource: str, downstream_id: str, *, lane: Lane, alive: Alive) -> Mapping[str, Any] | None:  # noqa: ARG002 - the port's shape
        """Nobody asks a product (`can_be_asked`). None would say that the record is gone, and a removal would not be told.

        Raises:
            TypeError: always; a fault in the program.
        """
        raise TypeError(f"{self.name} cannot be asked what it holds of {resource} {downstream_id}: see can_be_asked.")

    def find(self, subject: Subject, wanted: Wanted, *, fresh: bool, lane: Lane, alive: Alive) -> Existing | None:  # noqa: ARG002 - the port's shape
        """None: the product keeps records under Capsule's own ids, so there is nothing to look for."""
        return None

    def linked(self, kind: str, capsule_id: int, *, lane: Lane, alive: Alive) -> tuple[str, Existing] | None:  # noqa: ARG002 - the port's shape
        """What a message was begun for whose answer never came."""
        models: tuple[str, ...] = (CONTACT, ACCOUNT)
        if kind != "party":
            models = (MODELS.get(kind, OPPORTUNITY), *((NOTE,) if kind == "entry" else ()))
        model = self.versions.model(RecordKey(self.connection.name, kind, capsule_id), models)
        return (model, Existing(id=str(capsule_id), current={})) if model is not None else None

    def room(self, lane: Lane) -> int:
        """0, or how long the product asked us to wait."""
        return self.product.room(lane)

    def reserve_write(self, lane: Lane, *, alive: Alive) -> int:  # noqa: ARG002 - nothing is waited for here
        """0 when a message may go now."""
        return self.product.reserve(lane)

    def send(self, write: Message, *, downstream_id: str | None, before_send: Alive) -> Mapping[str, Any]:  # noqa: ARG002 - the port's shape
        """Sends one message, once. One that the product caused itself is only noted."""
        if not write.silent:
            self.product.deliver(write, before_send=before_send)
        if self.copies is not None and write.event != "trigger":
            self.copies.keep(write)
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


def _kinds(models: Collection[str]) -> frozenset[str]:
    """The kinds of records to follow. Parties always: the verdict on other records rests on theirs."""
    needed = {kind for kind, model in MODELS.items() if deliveries.COLLECTIONS[model] in models}
    needed |= {"entry"} if "notes" in models else set()
    return frozenset({"party", *needed, *({"opportunity"} if "opportunities" in models else ())})


def _nested(body: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    found = body.get(key)
    return found if isinstance(found, dict) else None


def _own(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """A record without the other one that is remembered with it."""
    return {name: value for name, value in record.items() if name != NOTE}


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

    def __init__(self, connection: Connection, references: References, versions: Versions) -> None:
        self.connection = connection
        self.references = references
        self.versions = versions
        self.kinds = frozenset()
