"""OfficeRnD for a dry run: everything is read and worked out, nothing is sent and nothing is kept outside this process."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

from workers.downstream.officernd import wire
from workers.downstream.officernd.adapter import OfficeRnDDownstream
from workers.downstream.officernd.index import BUILD_WAIT_MS, RESOURCES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mapping.agenda import Lane
    from mapping.officernd import Write
    from workers.downstream.officernd.client import OfficeRnD
    from workers.downstream.officernd.index import Visit
    from workers.downstream.port import Alive


class MemoryIndex:
    """The index of one dry run, in memory: it grows with the number of records."""

    def __init__(self, client: OfficeRnD) -> None:
        self._client = client
        self._links: dict[tuple[str, str], tuple[str, ...]] = {}
        self._matches: dict[tuple[str, str], tuple[str, ...]] = {}
        self._built: float | None = None

    def build(
        self,
        progress: Callable[[str, int], None] = lambda _resource, _count: None,
        *,
        lane: str = "bulk",
        alive: Callable[[], None] = lambda: None,
        visit: Visit = lambda _resource, _bodies, _place: None,
        owner: str = "",  # noqa: ARG002 - a dry run is never taken up again
        start: str = "",  # noqa: ARG002 - the same
    ) -> bool:
        """As `Index.build`."""
        for resource in RESOURCES:
            seen = 0
            for bodies, _ in self._client.pages(resource, lane=lane, alive=alive, max_wait_ms=BUILD_WAIT_MS):
                for body in bodies:
                    link, match = wire.link_of(body), wire.match_of(resource, body)
                    self._note(resource, link or "", match or "", body["_id"])
                visit(resource, bodies, "")
                seen += len(bodies)
                progress(resource, seen)
        self._built = time.monotonic()
        return True

    def lookup_links(self, resource: str, capsule_id: int | str) -> tuple[str, ...]:
        """As `Index.lookup_links`."""
        return self._links.get((resource, str(capsule_id)), ())

    def lookup_match(self, resource: str, text: str) -> tuple[str, ...]:
        """As `Index.lookup_match`."""
        return self._matches.get((resource, wire.matchable(resource, text)), ())

    def remember(self, resource: str, *, capsule_id: int | str, downstream_id: str, text: str | None = None) -> None:
        """Nothing: what a dry run would create cannot be read, so it must not be proposed."""

    def age_ms(self) -> int | None:
        """As `Index.age_ms`."""
        return None if self._built is None else round((time.monotonic() - self._built) * 1000)

    def _note(self, resource: str, link: str, match: str, number: str) -> None:
        for table, text in ((self._links, link), (self._matches, match)):
            if text:
                table[resource, text] = (*table.get((resource, text), ()), number)


class RehearsedOfficeRnD(OfficeRnDDownstream):
    """Sends nothing: a write is answered as if it had been taken."""

    _numbers = itertools.count(1)

    def room(self, lane: Lane) -> int:  # noqa: ARG002 - nothing is sent
        """There is always room."""
        return 0

    def reserve_write(self, lane: Lane, *, alive: Alive) -> int:  # noqa: ARG002 - nothing is sent
        """No slot is needed."""
        return 0

    def send(self, write: Write, *, downstream_id: str | None, before_send: Alive) -> Mapping[str, Any]:  # noqa: ARG002 - nothing is sent
        """An answer with an id that no record there has."""
        return {"_id": downstream_id or f"{next(self._numbers):024x}"}
