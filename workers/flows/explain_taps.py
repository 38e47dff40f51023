"""Objects that stand before Capsule and a downstream while a record is explained, and note what passes by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from mapping.agenda import Lane, RecordKey
    from mapping.plan import Held, Note, Plan, Waits, Wanted
    from workers.capsule.client import Capsule
    from workers.downstream.port import Alive, Downstream, Existing, Subject


class CapsuleTap:
    """Reads each record once, and walks no lists: whom else a change concerns is no part of an explanation."""

    def __init__(self, inner: Capsule) -> None:
        self._inner = inner
        self.seen: dict[tuple[str, int], Mapping[str, Any] | None] = {}

    def party(self, number: int, *, lane: str, alive: Alive) -> Mapping[str, Any] | None:
        """As `Capsule.party`."""
        if ("party", number) not in self.seen:
            self.seen["party", number] = self._inner.party(number, lane=lane, alive=alive)
        return self.seen["party", number]

    def opportunity(self, number: int, *, lane: str, alive: Alive) -> Mapping[str, Any] | None:
        """As `Capsule.opportunity`."""
        if ("opportunity", number) not in self.seen:
            self.seen["opportunity", number] = self._inner.opportunity(number, lane=lane, alive=alive)
        return self.seen["opportunity", number]

    def record(self, kind: str, number: int, *, lane: str, alive: Alive) -> Mapping[str, Any] | None:
        """As `Capsule.record`."""
        if (kind, number) not in self.seen:
            self.seen[kind, number] = self._inner.record(kind, number, lane=lane, alive=alive)
        return self.seen[kind, number]

    def kases_of(self, party_id: int, *, lane: str, alive: Alive) -> Iterator[Any]:  # noqa: ARG002 - as Capsule's
        """None."""
        return iter(())

    def people_of(self, organisation_id: int, *, lane: str, alive: Alive) -> Iterator[Any]:  # noqa: ARG002 - as Capsule's
        """Nobody."""
        return iter(())

    def opportunities_of(self, party_id: int, *, lane: str, alive: Alive) -> Iterator[Any]:  # noqa: ARG002 - as Capsule's
        """None."""
        return iter(())

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - everything else of Capsule's client
        return getattr(self._inner, name)


class DownstreamTap:
    """Passes everything on to a downstream that sends nothing. `there` is what it was seen to hold, None if it was not read."""

    def __init__(self, inner: Downstream) -> None:
        self._inner = inner
        self.name = inner.name
        self.kinds = inner.kinds
        self.wanted_: Wanted | Held | Waits | None = None
        self.plan: Plan | None = None
        self.calls: Sequence[Any] = ()
        self.there: Mapping[str, Any] | None = None
        self.there_id: str | None = None

    def wanted(self, subject: Subject, *, alive: Alive) -> Wanted | Held | Waits:
        """As the port's."""
        self.wanted_ = self._inner.wanted(subject, alive=alive)
        return self.wanted_

    def observed(self, resource: str, current: Mapping[str, Any]) -> Mapping[str, Any]:
        """As the port's."""
        self.there = self._inner.observed(resource, current)
        return self.there

    def compare(self, wanted: Wanted, have: Mapping[str, Any] | None, *, ours: Collection[str], unsure: bool = False) -> Plan:
        """As the port's."""
        self.plan = self._inner.compare(wanted, have, ours=ours, unsure=unsure)
        return self.plan

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
        """As the port's."""
        self.calls, notes = self._inner.writes(key, wanted, plan, downstream_id=downstream_id, have=have, current=current)
        return self.calls, notes

    def read(self, resource: str, downstream_id: str, *, lane: Lane, alive: Alive) -> Mapping[str, Any] | None:
        """As the port's."""
        found = self._inner.read(resource, downstream_id, lane=lane, alive=alive)
        self.there_id = downstream_id if found is not None else None
        return found

    def find(self, subject: Subject, wanted: Wanted, *, fresh: bool, lane: Lane, alive: Alive) -> Existing | Held | None:
        """As the port's."""
        found = self._inner.find(subject, wanted, fresh=fresh, lane=lane, alive=alive)
        self.there_id = getattr(found, "id", None)
        return found

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - everything else of the port
        return getattr(self._inner, name)
