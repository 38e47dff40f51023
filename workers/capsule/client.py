"""Reads Capsule: records by id in shared calls, lists by page, within the limit that all processes count together.

Only reads; what a product writes through the unified API goes by `caller`. Each call takes a slot of the hourly window first,
live work before bulk (reference/capsule.md §3.1), and is followed by a look at the headers.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from workers.capsule import wire
from workers.capsule.batch import UNSETTLED, Batch
from workers.errors import CredentialsRefused, QueueAway, RateLimited, SystemDown
from workers.limits import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from workers.answers import Answer, Body
    from workers.http import Http
    from workers.limits import Limits
    from workers.tokens import Tokens

LONGEST_STEP_S: Final = 0.5
MOST_REFUSALS: Final = 3
LIST_WAIT_MS: Final = wire.HOUR_MS + 5 * 60_000


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: its number, its records, and whether more follow. Iterates over the records."""

    number: int
    bodies: Sequence[Body]
    more: bool

    def __iter__(self) -> Iterator[Body]:
        return iter(self.bodies)

    def __len__(self) -> int:
        return len(self.bodies)


def _nothing() -> None:
    """For callers that hold no lease."""


class Capsule:
    """Capsule as one connection sees it; one per process, shared by its threads.

    `api_url` ends in `/api/v2`. `account` names whom Capsule counts calls for: connections that share an account share its
    window. `lease_ms` is the lease of the records that callers hold; `max_wait_ms` the longest that a call waits for a slot
    before it raises RateLimited (default: half a lease). `crowd` is the number of threads that may ask at the same time;
    `gather_s` see `batch.Batch`.

    Every `alive` is called before each HTTP read and at least every quarter of a lease while waiting, and may raise to stop.
    Only the walks over all records, which hold no lease, wait for longer: until the hour's window has ended.
    """

    name: Final = wire.SYSTEM

    def __init__(
        self,
        connection: str,
        http: Http,
        limits: Limits,
        tokens: Tokens,
        *,
        api_url: str = "https://api.capsulecrm.com/api/v2",
        account: str | None = None,
        hourly: int = wire.HOURLY,
        deadline_s: float = 10.0,
        lease_ms: int | None = None,
        max_wait_ms: int | None = None,
        gather_s: float = 0.2,
        crowd: int = wire.MOST_IDS,
    ) -> None:
        self.connection = connection
        self.window = Window(f"{wire.SYSTEM}:{account or connection}", hourly, wire.HOUR_MS)
        self._http = http
        self._limits = limits
        self._tokens = tokens
        self._api_url = api_url
        self._deadline_s = deadline_s
        lease = lease_ms if lease_ms is not None else round(2000 * deadline_s)
        self._max_wait_ms = max_wait_ms if max_wait_ms is not None else lease // 2
        self._step_s = min(LONGEST_STEP_S, lease / 4000)
        self._batches = {
            kind: Batch(
                partial(self._several, kind),
                self._slot,
                system=wire.SYSTEM,
                size=wire.MOST_IDS,
                crowd=crowd,
                gather_s=gather_s,
                max_wait_ms=self._max_wait_ms,
                alive_every_s=self._step_s,
            )
            for kind in wire.SHARED
        }

    def party(self, number: int, *, lane: str, alive: Callable[[], None]) -> Body | None:
        """A person or organisation as it is now, read together with what other threads ask for; None = gone or restricted.

        Raises:
            Temporary, Permanent: see `wire.decipher`; RateLimited also when the wait for a slot would be too long.
            QueueAway: Redis did not answer. Also whatever `alive` raises.
        """
        return self._shared("party", number, lane=lane, alive=alive)

    def opportunity(self, number: int, *, lane: str, alive: Callable[[], None]) -> Body | None:
        """An opportunity, as `party`."""
        return self._shared("opportunity", number, lane=lane, alive=alive)

    def record(self, kind: str, number: int, *, lane: str, alive: Callable[[], None]) -> Body | None:
        """A record of any kind, as `party`; those of which Capsule answers one at a time are read by themselves."""
        read = self._shared if kind in wire.SHARED else self._single
        return read(kind, number, lane=lane, alive=alive)

    def parties(self, ids: Sequence[int], *, lane: str = "bulk", alive: Callable[[], None] = _nothing) -> dict[int, Body | None]:
        """Many persons and organisations, ten a call; None = gone or restricted. Raises as `party`."""
        return self._many("party", ids, lane=lane, alive=alive)

    def opportunities(
        self, ids: Sequence[int], *, lane: str = "bulk", alive: Callable[[], None] = _nothing
    ) -> dict[int, Body | None]:
        """Many opportunities, as `parties`."""
        return self._many("opportunity", ids, lane=lane, alive=alive)

    def people_of(self, organisation_id: int, *, lane: str = "bulk", alive: Callable[[], None] = _nothing) -> Iterator[Page]:
        """The persons of an organisation by pages of 100; nothing when it is gone. Raises as `party`, and as the lists."""
        return self._pages(lambda page: wire.people(organisation_id, page=page), "parties", lane=lane, alive=alive)

    def opportunities_of(self, party_id: int, *, lane: str = "bulk", alive: Callable[[], None] = _nothing) -> Iterator[Page]:
        """The opportunities of a party, as `people_of`."""
        return self._pages(lambda page: wire.opportunities_of(party_id, page=page), "opportunities", lane=lane, alive=alive)

    def kases_of(self, party_id: int, *, lane: str = "bulk", alive: Callable[[], None] = _nothing) -> Iterator[Page]:
        """The kases of a party, as `people_of`."""
        return self._pages(lambda page: wire.kases_of(party_id, page=page), "kases", lane=lane, alive=alive)

    def list_records(
        self,
        kind: str,
        *,
        since: str | None = None,
        page: int = 1,
        lane: str = "bulk",
        alive: Callable[[], None] = _nothing,
    ) -> Iterator[Page]:
        """All records of a kind from `page` on, or those changed after `since`; where Capsule has no `since` see `wire.listing`.

        Raises as `list_parties`.
        """
        return self._pages(
            lambda number: wire.listing(kind, page=number, since=since),
            wire.COLLECTIONS[kind],
            page=page,
            lane=lane,
            alive=alive,
            max_wait_ms=LIST_WAIT_MS,
        )

    def list_parties(
        self,
        *,
        since: str | None = None,
        page: int = 1,
        per_page: int = wire.MOST_PER_PAGE,
        lane: str = "bulk",
        alive: Callable[[], None] = _nothing,
    ) -> Iterator[Page]:
        """All persons and organisations from `page` on, or those changed after `since` (ISO 8601), by pages of `per_page`.

        Pages move while records come and go: a walk may show a record twice and may miss one (reference/capsule.md §3.3).

        Raises:
            SystemDown: Capsule answers a page that it has answered before in this walk. Otherwise as `party`.
        """
        return self._pages(
            lambda number: wire.listing("party", page=number, since=since, per_page=per_page),
            "parties",
            page=page,
            lane=lane,
            alive=alive,
            max_wait_ms=LIST_WAIT_MS,
        )

    def list_opportunities(
        self,
        *,
        since: str | None = None,
        page: int = 1,
        per_page: int = wire.MOST_PER_PAGE,
        lane: str = "bulk",
        alive: Callable[[], None] = _nothing,
    ) -> Iterator[Page]:
        """All opportunities, as `list_parties`."""
        return self._pages(
            lambda number: wire.listing("opportunity", page=number, since=since, per_page=per_page),
            "opportunities",
            page=page,
            lane=lane,
            alive=alive,
            max_wait_ms=LIST_WAIT_MS,
        )

    def deleted(
        self, kind: str, *, since: str, lane: str = "bulk", alive: Callable[[], None] = _nothing
    ) -> Iterator[Sequence[int]]:
        """The ids of the parties or opportunities that were deleted or hidden from us after `since`, an answer at a time.

        Capsule documents no pages for this list, so it is most likely one answer; one that announces another is followed.

        Raises:
            SystemDown: Capsule answers a page that it has answered before in this walk. Otherwise as `party`.
        """
        met: set[int] = set()
        page: int | None = 1
        while page is not None:
            read = wire.deleted(kind, since=since, page=page)
            document, headers = self._read(read, lane=lane, alive=alive, max_wait_ms=LIST_WAIT_MS)
            found = [] if document is None else wire.gone(document, kind)
            if not found:
                return
            if hash(tuple(found)) in met:
                raise SystemDown(f"{wire.SYSTEM}: {read.route}: page {page} was answered before", system=wire.SYSTEM)
            met.add(hash(tuple(found)))
            yield found
            page = wire.next_page(headers, page)

    def tagged(self, tag: str, *, page: int = 1, lane: str = "bulk", alive: Callable[[], None] = _nothing) -> Iterator[Page]:
        """The parties that carry a tag, from `page` on, by pages of 100. Raises as `list_parties`."""
        return self._pages(
            lambda number: wire.tagged(tag, page=number),
            "parties",
            page=page,
            lane=lane,
            alive=alive,
            max_wait_ms=LIST_WAIT_MS,
        )

    def milestones(self, *, lane: str = "live", alive: Callable[[], None] = _nothing) -> tuple[Body, ...]:
        """The milestones of all pipelines, each with its `pipeline` (`id` and `name`). Raises as `list_parties`."""
        found: list[Body] = []
        for pipeline in self._all(wire.pipelines, "pipelines", lane=lane, alive=alive):
            number = pipeline["id"]
            whose = {"id": number, "name": pipeline.get("name")}
            belonging = self._all(partial(wire.milestones, number), "milestones", lane=lane, alive=alive)
            found.extend({**milestone, "pipeline": whose} for milestone in belonging)
        return tuple(found)

    def definitions(self, entity: str, *, lane: str = "live", alive: Callable[[], None] = _nothing) -> tuple[Body, ...]:
        """The custom fields of `parties`, `opportunities` or `kases`. Raises as `list_parties`."""
        return tuple(self._all(partial(wire.definitions, entity), "definitions", lane=lane, alive=alive))

    def stages(self, *, lane: str = "live", alive: Callable[[], None] = _nothing) -> tuple[Body, ...]:
        """The stages of all boards, each with its board. Raises as `list_parties`."""
        return tuple(self._all(wire.stages, "stages", lane=lane, alive=alive))

    def users(self, *, lane: str = "live", alive: Callable[[], None] = _nothing) -> tuple[Body, ...]:
        """The users, each with its party. Raises as `list_parties`."""
        return tuple(self._all(wire.users, "users", lane=lane, alive=alive))

    def ask(self, *, alive: Callable[[], None] = _nothing) -> None:
        """One cheap call, made to learn whether Capsule answers at all. Raises as `party`, when it does not."""
        self._read(wire.CURRENT_USER, lane="live", alive=alive)

    def site(self, *, lane: str = "live", alive: Callable[[], None] = _nothing) -> str:
        """The account's own address for a browser, "" when it is not told. Raises as `party`."""
        document, _ = self._read(wire.Read("GET /site", "/site"), lane=lane, alive=alive)
        found = (document or {}).get("site")
        url = found.get("url") if isinstance(found, dict) else None
        return url if isinstance(url, str) and url.startswith("https://") else ""

    def _shared(self, kind: str, number: int, *, lane: str, alive: Callable[[], None]) -> Body | None:
        # Fetched before the batch leaves: while it is under way nobody can ask for the leader's lease.
        self._tokens.bearer(alive)
        found = self._batches[kind].get(number, lane=lane, alive=alive)
        return self._single(kind, number, lane=lane, alive=alive) if found is UNSETTLED else found

    def _single(self, kind: str, number: int, *, lane: str, alive: Callable[[], None]) -> Body | None:
        document, _ = self._read(wire.records(kind, (number,)), lane=lane, alive=alive)
        return None if document is None else wire.one(document, kind, number)

    def _several(self, kind: str, ids: tuple[int, ...]) -> Mapping[int, Body | None]:
        """One call whose slot is taken. What is left out of the answer is left out of the result: unsettled."""
        read = wire.records(kind, ids)
        answer = self._call(read)
        document = self._understood(answer, read)
        if len(ids) == 1:
            return {ids[0]: None if document is None else wire.one(document, kind, ids[0])}
        if document is None:
            return {}
        bodies = wire.many(document, wire.COLLECTIONS[kind], route=read.route)
        asked = set(ids)
        return {body["id"]: wire.seen(body) for body in bodies if body["id"] in asked}

    def _many(self, kind: str, ids: Sequence[int], *, lane: str, alive: Callable[[], None]) -> dict[int, Body | None]:
        wanted = list(dict.fromkeys(ids))
        found: dict[int, Body | None] = {}
        for start in range(0, len(wanted), wire.MOST_IDS):
            chunk = tuple(wanted[start : start + wire.MOST_IDS])
            self._wait(lane=lane, alive=alive)
            alive()
            held = self._several(kind, chunk)
            for number in chunk:
                found[number] = held[number] if number in held else self._single(kind, number, lane=lane, alive=alive)
        return found

    def _all(self, read: Callable[..., wire.Read], wrapper: str, *, lane: str, alive: Callable[[], None]) -> Iterator[Body]:
        for page in self._pages(lambda number: read(page=number), wrapper, lane=lane, alive=alive):
            yield from page

    def _pages(
        self,
        read: Callable[[int], wire.Read],
        wrapper: str,
        *,
        page: int = 1,
        lane: str,
        alive: Callable[[], None],
        max_wait_ms: int | None = None,
    ) -> Iterator[Page]:
        met: set[int] = set()
        number: int | None = page
        while number is not None:
            asked = read(number)
            document, headers = self._read(asked, lane=lane, alive=alive, max_wait_ms=max_wait_ms)
            if document is None:
                return
            bodies = wire.many(document, wrapper, route=asked.route)
            if not bodies:
                return
            mark = hash(tuple(body["id"] for body in bodies))
            if mark in met:
                raise SystemDown(f"{wire.SYSTEM}: {asked.route}: page {number} was answered before", system=wire.SYSTEM)
            met.add(mark)
            following = wire.next_page(headers, number)
            yield Page(number, bodies, more=following is not None)
            number = following

    def _read(
        self, read: wire.Read, *, lane: str, alive: Callable[[], None], max_wait_ms: int | None = None
    ) -> tuple[Body | None, Mapping[str, str]]:
        """Waits for a slot and calls; a 429 is waited for too, if the wait is short. Returns document and headers."""
        refused: RateLimited | None = None
        for _ in range(MOST_REFUSALS):
            self._wait(lane=lane, alive=alive, max_wait_ms=max_wait_ms)
            self._tokens.bearer(alive)
            alive()
            answer = self._call(read)
            try:
                return self._understood(answer, read), answer.headers
            except RateLimited as error:
                refused = error
        raise refused or SystemDown(f"{wire.SYSTEM}: {read.route}: not called", system=wire.SYSTEM)

    def _understood(self, answer: Answer, read: wire.Read) -> Body | None:
        """What the answer means; a 429 closes the window for all processes."""
        try:
            return wire.decipher(answer, route=read.route)
        except RateLimited as error:
            with contextlib.suppress(QueueAway):
                self._limits.exhausted(self.window, error.wait_ms)
            raise

    def _call(self, read: wire.Read) -> Answer:
        """One read, and a second with a new token after a 401."""
        answer: Answer | None = None
        for _ in range(2):
            token = self._tokens.bearer()
            answer = self._http.request(
                "GET" if read.body is None else "POST",
                read.url(self._api_url),
                system=wire.SYSTEM,
                route=read.route,
                headers={"Authorization": f"Bearer {token}"},
                json=read.body,
                deadline_s=self._deadline_s,
            )
            seen = wire.observation(answer.headers, self.window.name)
            if seen is not None:
                # The answer counts for more than the counter: without Redis the next step says so.
                with contextlib.suppress(QueueAway):
                    self._limits.learn((self.window,), (seen,))
            if answer.status != 401:  # noqa: PLR2004 - "unauthorised"
                return answer
            if not self._tokens.refused(token):
                break
        raise CredentialsRefused(f"{wire.SYSTEM}: {read.route}: 401", system=wire.SYSTEM, status=401)

    def _slot(self, lane: str) -> int:
        return self._limits.reserve((self.window,), lane=lane)

    def _wait(self, *, lane: str, alive: Callable[[], None], max_wait_ms: int | None = None) -> None:
        self._limits.acquire(
            (self.window,),
            lane=lane,
            system=wire.SYSTEM,
            max_wait_ms=self._max_wait_ms if max_wait_ms is None else max_wait_ms,
            alive=alive,
            alive_every_s=self._step_s,
        )
