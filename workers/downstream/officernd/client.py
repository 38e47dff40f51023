"""Reads and writes OfficeRnD. A write is one request, never repeated on its own (reference/officernd.md §2.3, §2.8).

Reads wait for their slot of the shared limits here; the slot of a write is taken by the caller with `reserve_write` before
the intent is noted (reference/agenda.md §4), so that nothing but the request itself lies between intent and effect.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Any, Final

import orjson

from mapping.officernd import otherwise
from workers.downstream.officernd import wire
from workers.errors import CredentialsRefused, QueueAway, RateLimited, Refused, SystemDown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mapping.officernd import Write
    from workers.answers import Answer, Body
    from workers.http import Http
    from workers.limits import Limits
    from workers.tokens import Tokens

LONGEST_STEP_S: Final = 0.5
MOST_REFUSALS: Final = 3
CACHE_S: Final = 3600.0


def _nothing() -> None:
    """For callers that hold no lease."""


class OfficeRnD:
    """One organisation of OfficeRnD as one connection uses it; one per process, shared by its threads.

    `resource` is always the mapping's word: "company", "member" or "opportunity". `organization` is the slug. The numbers of
    calls a minute are corrected from the answers. `lease_ms` and `max_wait_ms` are as for `workers.capsule.client.Capsule`,
    and so is `alive`, which is called before each HTTP read and while waiting.
    """

    def __init__(
        self,
        connection: str,
        http: Http,
        limits: Limits,
        tokens: Tokens,
        *,
        organization: str,
        api_url: str = "https://app.officernd.com/api/v2",
        reads_per_minute: int = wire.PER_MINUTE["read"],
        writes_per_minute: int = wire.PER_MINUTE["write"],
        deadline_s: float = 10.0,
        lease_ms: int | None = None,
        max_wait_ms: int | None = None,
        cache_s: float = CACHE_S,
    ) -> None:
        self.connection = connection
        self._http = http
        self._limits = limits
        self._tokens = tokens
        self._organization = organization
        self._base = wire.base_url(api_url, organization)
        self._windows = {
            "read": wire.windows(organization, "read", per_minute=reads_per_minute),
            "write": wire.windows(organization, "write", per_minute=writes_per_minute),
        }
        self._deadline_s = deadline_s
        lease = lease_ms if lease_ms is not None else round(2000 * deadline_s)
        self._max_wait_ms = max_wait_ms if max_wait_ms is not None else lease // 2
        self._step_s = min(LONGEST_STEP_S, lease / 4000)
        self._cache_s = cache_s
        self._cache: dict[str, tuple[float, tuple[Body, ...]]] = {}
        self._cache_lock = threading.Lock()

    def get(self, resource: str, downstream_id: str, *, lane: str = "live", alive: Callable[[], None] = _nothing) -> Body | None:
        """One record as it is now, None when it is not there.

        Raises:
            Temporary, Permanent: see `wire.decipher_read`; RateLimited also when the wait for a slot would be too long.
            ValueError: that is not an id of OfficeRnD.
            QueueAway: Redis did not answer. Also whatever `alive` raises.
        """
        read = wire.one(resource, downstream_id)
        document = self._read(read, lane=lane, alive=alive)
        if document is not None and not isinstance(document, dict):
            raise SystemDown(f"{wire.SYSTEM}: {read.route}: the answer is not an object", system=wire.SYSTEM)
        return document

    def list(
        self,
        resource: str,
        *,
        lane: str = "bulk",
        alive: Callable[[], None] = _nothing,
        max_wait_ms: int | None = None,
        **filters: str,
    ) -> Iterator[Sequence[Body]]:
        """All records that pass the filters, oldest first, by pages of 50.

        `max_wait_ms` is for callers that hold no lease and can wait longer for a slot than this client's own limit.

        Raises:
            SystemDown: a cursor came a second time, so that the walk would never end. Otherwise as `get`.
        """
        walk = self._pages(resource, filters, lane=lane, alive=alive, max_wait_ms=max_wait_ms)
        return (bodies for bodies, _ in walk)

    def pages(
        self,
        resource: str,
        *,
        cursor: str | None = None,
        lane: str = "bulk",
        alive: Callable[[], None] = _nothing,
        max_wait_ms: int | None = None,
    ) -> Iterator[tuple[Sequence[Body], str | None]]:
        """As `list` without filters, from a page's cursor on; each page with the cursor of the next, None after the last."""
        return self._pages(resource, {}, cursor=cursor, lane=lane, alive=alive, max_wait_ms=max_wait_ms)

    def find(
        self,
        resource: str,
        *,
        link_id: int | str,
        email: str | None = None,
        name: str | None = None,
        company: str | None = None,
        member: str | None = None,
        lane: str = "live",
        alive: Callable[[], None] = _nothing,
    ) -> Sequence[Body]:
        """Asks OfficeRnD itself for the records that may be the one of Capsule's id `link_id`.

        Those that carry the id, if any; else members with that e-mail, companies with that exact name. Opportunities cannot be
        filtered so: those of `member` and of `company` are walked, and without either all of them; only the id counts there
        (reference/officernd.md §2.6, §3.3, §3.11). What a filter lets through is checked again here. Raises as `list`.
        """
        link = str(link_id)
        if resource == wire.OPPORTUNITY:
            walks = [{key: value} for key, value in (("member", member), ("company", company)) if value] or [{}]
            found = self._walk(resource, walks, lane=lane, alive=alive)
            return [body for body in found if wire.link_of(body) == link]
        linked = [
            body for body in self._walk(resource, [wire.by_link(link)], lane=lane, alive=alive) if wire.link_of(body) == link
        ]
        key = wire.MATCHED_BY[resource]
        text = wire.matchable(resource, (email if key == "email" else name) or "")
        if linked or not text:
            return linked
        alike = self._walk(resource, [{key: text}], lane=lane, alive=alive)
        return [body for body in alike if wire.match_of(resource, body) == text]

    def locations(self, *, refresh: bool = False, alive: Callable[[], None] = _nothing) -> tuple[Body, ...]:
        """All locations, from a memory of at most about an hour unless `refresh`. Raises as `list`."""
        return self._reference(wire.LOCATION, refresh=refresh, alive=alive)

    def statuses(self, *, refresh: bool = False, alive: Callable[[], None] = _nothing) -> tuple[Body, ...]:
        """All opportunity statuses, as `locations`."""
        return self._reference(wire.STATUS, refresh=refresh, alive=alive)

    def custom_properties(self, *, refresh: bool = False, alive: Callable[[], None] = _nothing) -> tuple[Body, ...]:
        """All custom properties, as `locations`."""
        return self._reference(wire.CUSTOM_PROPERTY, refresh=refresh, alive=alive)

    def room(self, lane: str) -> int:
        """What `reserve_write` would answer now; takes and books nothing."""
        return self._limits.room(self._windows["write"], lane=lane)

    def reserve_write(self, lane: str, *, alive: Callable[[], None] = _nothing) -> int:
        """Takes the slot of one write: 0 = it may go now, else the ms until the place that was booked.

        Also makes sure that a token is at hand, which could take as long as a call.

        Raises:
            CredentialsRefused, RateLimited, SystemDown: no token is to be had. Nothing was sent.
            QueueAway: Redis did not answer.
        """
        self._tokens.bearer(alive)
        return self._limits.reserve(self._windows["write"], lane=lane)

    def send(self, write: Write, *, downstream_id: str | None, alive: Callable[[], None] = _nothing) -> Body:
        """Sends one write and returns the record in the answer (empty after a 204). Its slot must have been taken before.

        One request, and another only after an answer that is known to mean "no effect": a 401 (with a new token), or a refusal
        of one of two forms of which it is unknown which is right (`mapping.officernd.otherwise`). `alive` is called right
        before each: let it note the intent.

        Raises:
            NoAnswer: it may have had its effect, or still have it.
            SystemDown, Refused, RateLimited, CredentialsRefused, Misconfigured: it has had none; see `wire.decipher_write`.
            ValueError: the path needs an id and `downstream_id` is none.
        """
        route = f"{write.method} {wire.template(write.path)}"
        path = write.path
        if "{id}" in path:
            if downstream_id is None or not wire.is_id(downstream_id):
                raise ValueError(f"{route} needs the id of a record, 24 hex digits.")
            path = path.replace("{id}", downstream_id)
        body = orjson.dumps(write.body)
        answer = self._call(write.method, self._base + path, route=route, json=body, before=alive)
        try:
            return wire.decipher_write(answer, route=route, body=body)
        except RateLimited as error:
            self._shut(answer, "write", error)
            raise
        except Refused:
            # What is not known of the API may be said in two ways, and a refusal of the one has had no effect. There is no
            # third, so this goes at most one deep.
            other = otherwise(write, status=answer.status, message=answer.message())
            if other is None:
                raise
        return self.send(other, downstream_id=downstream_id, alive=alive)

    def _pages(
        self,
        resource: str,
        filters: Mapping[str, str],
        *,
        cursor: str | None = None,
        lane: str,
        alive: Callable[[], None],
        max_wait_ms: int | None = None,
    ) -> Iterator[tuple[Sequence[Body], str | None]]:
        met: set[int] = set()
        while True:
            read = wire.page(resource, filters, cursor=cursor)
            document = self._read(read, lane=lane, alive=alive, max_wait_ms=max_wait_ms)
            bodies, cursor = wire.results(document, route=read.route)
            if bodies:
                yield bodies, cursor
            if cursor is None:
                return
            if hash(cursor) in met:
                raise SystemDown(f"{wire.SYSTEM}: {read.route}: a cursor came twice", system=wire.SYSTEM)
            met.add(hash(cursor))

    def _walk(self, resource: str, walks: Sequence[dict[str, str]], *, lane: str, alive: Callable[[], None]) -> Sequence[Body]:
        """The records of several filtered lists, each once."""
        found: dict[str, Body] = {}
        for filters in walks:
            for bodies, _ in self._pages(resource, filters, lane=lane, alive=alive):
                found.update({body["_id"]: body for body in bodies})
        return tuple(found.values())

    def _reference(self, resource: str, *, refresh: bool, alive: Callable[[], None]) -> tuple[Body, ...]:
        kept = self._cache.get(resource)
        if kept is not None and not refresh and time.monotonic() < kept[0]:
            return kept[1]
        while not self._cache_lock.acquire(timeout=self._step_s):
            alive()
        try:
            newer = self._cache.get(resource)
            if newer is not None and newer is not kept and time.monotonic() < newer[0]:
                return newer[1]  # Another thread has just fetched it.
            bodies = self._walk(resource, [{}], lane="live", alive=alive)
            self._cache[resource] = (time.monotonic() + self._cache_s, tuple(bodies))
            return tuple(bodies)
        finally:
            self._cache_lock.release()

    def _read(self, read: wire.Read, *, lane: str, alive: Callable[[], None], max_wait_ms: int | None = None) -> Any | None:  # noqa: ANN401 - any JSON, narrowed by the callers
        """Waits for a slot and calls; a 429 is waited for too, if the wait is short."""
        refused: RateLimited | None = None
        for _ in range(MOST_REFUSALS):
            self._limits.acquire(
                self._windows["read"],
                lane=lane,
                system=wire.SYSTEM,
                max_wait_ms=self._max_wait_ms if max_wait_ms is None else max_wait_ms,
                alive=alive,
                alive_every_s=self._step_s,
            )
            self._tokens.bearer(alive)
            answer = self._call("GET", read.url(self._base), route=read.route, json=None, before=alive)
            try:
                return wire.decipher_read(answer, route=read.route)
            except RateLimited as error:
                self._shut(answer, "read", error)
                refused = error
        raise refused or SystemDown(f"{wire.SYSTEM}: {read.route}: not called", system=wire.SYSTEM)

    def _call(self, method: str, url: str, *, route: str, json: bytes | None, before: Callable[[], None]) -> Answer:
        """One request, and a second with a new token after a 401."""
        for _ in range(2):
            token = self._tokens.bearer()
            before()
            answer = self._http.request(
                method,
                url,
                system=wire.SYSTEM,
                route=route,
                headers={"Authorization": f"Bearer {token}"},
                json=json,
                deadline_s=self._deadline_s,
            )
            if answer.status != 401:  # noqa: PLR2004 - "unauthorised"
                # The answer counts for more than the counters: without Redis the next step says so.
                with contextlib.suppress(QueueAway):
                    seen = wire.observations(answer.headers, self._organization)
                    self._limits.learn((*self._windows["read"], *self._windows["write"]), seen)
                return answer
            if not self._tokens.refused(token):
                break
        raise CredentialsRefused(f"{wire.SYSTEM}: {route}: 401 even with a new token", system=wire.SYSTEM, status=401)

    def _shut(self, answer: Answer, side: wire.Side, error: RateLimited) -> None:
        """A 429 closes its window for all processes."""
        span, _ = wire.refusal(answer.headers, side)
        minute, day = self._windows[side]
        with contextlib.suppress(QueueAway):
            self._limits.exhausted(day if span == "day" else minute, error.wait_ms)
