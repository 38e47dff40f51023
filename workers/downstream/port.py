"""What the sync flow asks of a system that follows Capsule. A new downstream is a folder with an object of this shape.

The flow knows nothing else of it: no path, no field name, no status word.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mapping.agenda import Lane, RecordKey
    from mapping.judge import Verdict
    from mapping.plan import Held, Note, Plan, Waits, Wanted
    from mapping.records import Attached, Opportunity, Organisation, Person

# Called before each read and while waiting; renews the lease, and raises to stop the run.
Alive = Callable[[], None]

# Why a record leaves: gone in Capsule, hidden from our user there, or no longer in by the rules.
Leaving = Literal["deleted", "restricted", "out"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A record as Capsule holds it now, with all that its verdict rests on.

    `organisation` is the person's, or that of the party; `party` is the one by which any other record is judged.
    `organisation_in` says whether that organisation itself is in by the rules.
    """

    key: RecordKey
    record: Person | Organisation | Opportunity | Attached
    verdict: Verdict
    organisation: Organisation | None = None
    organisation_in: bool = False
    party: Person | Organisation | None = None


@dataclass(frozen=True, slots=True)
class Existing:
    """A downstream record that is the one we look for; `current` is its body as the downstream answers it."""

    id: str
    current: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shown:
    """A record as a list of the downstream shows it: `number` is the Capsule id that it carries, if any."""

    id: str
    kind: str
    number: int | None
    fields: Mapping[str, Any]


# A page of a survey, and the place after it.
Visit = Callable[["Sequence[Shown]", str], None]


class Downstream(Protocol):
    """A system that follows Capsule, for one connection.

    `can_be_asked`: it says what it holds. One that does not is told of each record and takes the same write twice without
    harm: nothing of it is read, listed or found, and no write of it need wait until an earlier one can no longer land.
    """

    name: str
    kinds: frozenset[str]
    can_be_asked: bool

    def resource(self, subject: Subject) -> str:
        """The word under which this kind of record is linked and stored there."""

    def declines(self, subject: Subject) -> str:
        """Why it takes no such record although the rules let it in; empty when it takes it."""

    def wanted(self, subject: Subject, *, alive: Alive) -> Wanted | Held | Waits:
        """What it should hold for a record that is in, or why that cannot be said yet."""

    def released(self, resource: str, wrote: Mapping[str, Any], *, why: Leaving) -> Wanted | None:
        """What it should hold for a record that is no longer in; None to leave everything as it is."""

    def observed(self, resource: str, current: Mapping[str, Any]) -> Mapping[str, Any]:
        """A body of its own in our flat form."""

    def compare(self, wanted: Wanted, have: Mapping[str, Any] | None, *, ours: Collection[str], unsure: bool = False) -> Plan:
        """What must be done so that `have` becomes `wanted`; `ours` are the fields that we wrote before.

        `unsure`: a write may have come since, and it cannot be asked. Then doing nothing is no answer.
        """

    def remembered(
        self, wanted: Wanted, plan: Plan, have: Mapping[str, Any] | None, *, ours: Collection[str]
    ) -> Mapping[str, Any]:
        """What the ledger keeps as ours once a plan was carried out."""

    def needs_current(self, plan: Plan) -> bool:
        """Whether the writes of this plan can only be made safely with the current body at hand."""

    def writes(
        self,
        key: RecordKey,
        wanted: Wanted,
        plan: Plan,
        *,
        downstream_id: str | None,
        have: Mapping[str, Any] | None,
        current: Mapping[str, Any] | None,
    ) -> tuple[Sequence[Any], Sequence[Note]]:
        """The requests of a plan in order, and what it refuses to change. `have` is what the plan was made against."""

    def read(self, resource: str, downstream_id: str, *, lane: Lane, alive: Alive) -> Mapping[str, Any] | None:
        """One record as it is now, or None when it is not there."""

    def find(self, subject: Subject, wanted: Wanted, *, fresh: bool, lane: Lane, alive: Alive) -> Existing | Held | None:
        """The record to take up instead of creating one. `fresh`: ask it, do not trust an index."""

    def linked(self, kind: str, capsule_id: int, *, lane: Lane, alive: Alive) -> tuple[str, Existing] | None:
        """The record that carries this Capsule id, with its resource, by asking; None when there is none or more than one."""

    def room(self, lane: Lane) -> int:
        """0, or the ms to wait before a write of this lane would be let through; books nothing."""

    def reserve_write(self, lane: Lane, *, alive: Alive) -> int:
        """0 when a write may go now, else the ms until the slot that was booked."""

    def send(self, write: Any, *, downstream_id: str | None, before_send: Alive) -> Mapping[str, Any]:  # noqa: ANN401 - its own kind of write
        """Sends one write, never twice. `before_send` is called right before each HTTP request."""

    def id_of(self, answer: Mapping[str, Any]) -> str:
        """The id of the record in an answer."""

    def remember(self, resource: str, capsule_id: int, downstream_id: str, fields: Mapping[str, Any]) -> None:
        """Adds a record that was just created or adopted to the index."""

    def inherited(self, organisation: Organisation) -> Mapping[str, Any]:
        """What its people take from an organisation beside being in, of Capsule's content and the rules alone."""

    def survey(self, visit: Visit, *, owner: str, start: str, alive: Alive) -> bool:
        """Walks everything that is there, page by page, and renews the index on the way.

        `visit` is given each page and the place to go on from (`start`) if the walk `owner` is broken off. False when
        another walk is under way.
        """

    def ask(self, *, alive: Alive) -> None:
        """One cheap read, made to learn whether it answers at all. Raises `Temporary` or `Permanent` when it does not."""

    def differs(self, wrote: Mapping[str, Any], observed: Mapping[str, Any]) -> Sequence[str]:
        """The fields that we wrote and that hold something else now."""
