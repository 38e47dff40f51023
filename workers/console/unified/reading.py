"""Lists and records of the unified API, read live from Capsule or from the copy that the relay keeps."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from mapping.unified import deals, entries, parties, work
from mapping.unified.draft import nested_id
from workers.capsule import wire
from workers.console.unified import capsule_calls as calls
from workers.console.unified import copies, sources
from workers.console.unified.cursors import Cursors, Place
from workers.console.unified.problems import Problem
from workers.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mapping.unified.parts import Definitions
    from workers.answers import Body
    from workers.capsule.caller import Caller
    from workers.console.unified.catalogue import Catalogue
    from workers.console.unified.queries import Ask
    from workers.services import Services

MOST_CALLS: Final = 5  # a page that must be filled up from several of Capsule's comes short after so many
RECORD_ID: Final = re.compile(r"[1-9][0-9]{0,17}")


def nobody() -> Problem:
    """404: Capsule does not say which of these it is (reference/capsule.md §6, trap 10)."""
    return Problem(404, "There is no such record, or it is not of this model, or Capsule hides it from this connection.")


@dataclass(frozen=True, slots=True)
class Listed:
    """A page: the records, and where the pages before and behind it begin."""

    records: Sequence[Any]
    next: str | None
    previous: str | None


@dataclass(slots=True)
class Reader:
    """Reads for one request of one connection. Nothing is held back between requests but the catalogue."""

    services: Services
    catalogue: Catalogue
    connection: str
    _caller: Caller | None = field(default=None)

    @property
    def caller(self) -> Caller:
        """The account's caller."""
        if self._caller is None:
            self._caller = self.services.caller(self.connection)
        return self._caller

    def definitions(self, kind: str) -> Definitions:
        """The custom fields of a kind of record."""
        return self.catalogue.definitions(self.caller, self.connection, kind)

    # Lists -----------------------------------------------------------------------------------------------------------
    def page(self, model: str, ask: Ask) -> Listed:
        """A page of a model.

        Raises:
            Problem: 400, it cannot be served; or Capsule refuses.
            RateLimited, CredentialsRefused, SystemDown, NoAnswer, QueueAway: as `Caller.ask`.
        """
        cursors = Cursors(self.services.vault, self.connection, model, ask.essence)
        place = cursors.open(ask.cursor)
        sources.check(model, ask)
        if ask.cached:
            records, following = self._copied(model, ask, place)
        elif model in sources.KIND_OF:
            records, following = self._sourced(model, ask, place)
        else:
            records, following = self._catalogued(model, ask, place)
        return Listed(records, cursors.seal(following), cursors.seal(place.previous()))

    def _sourced(self, model: str, ask: Ask, place: Place) -> tuple[list[Any], Place | None]:
        kind = sources.KIND_OF[model]
        fields = kind in ("party", "opportunity", "kase")
        source = sources.of(model, ask, lambda: self.definitions(kind))
        definitions = self.definitions(kind) if fields else None
        size = place.size or (min(ask.limit, source.largest) if source.exact else source.largest)
        found: list[Any] = []
        number, skip = place.page, place.skip
        for _ in range(MOST_CALLS):
            try:
                bodies, more = source.page(self.caller, number, size)
            except RateLimited:
                if not found:
                    raise
                return found, place.next(number, skip, size)
            for index in range(skip, len(bodies)):
                record = self.record(model, bodies[index])
                if record is None or not sources.holds(model, ask, definitions, record):
                    continue
                found.append(self.shown(record, bodies[index], ask))
                if len(found) == ask.limit and index + 1 < len(bodies):
                    return found, place.next(number, index + 1, size)
            number, skip = number + 1, 0
            if not more:
                return found, None
            if len(found) >= ask.limit:
                break
        return found, place.next(number, 0, size)

    def _catalogued(self, model: str, ask: Ask, place: Place) -> tuple[list[Any], Place | None]:
        rows = self.catalogue.rows(self.caller, self.connection, model)
        chosen = [(record, body) for record, body in rows if sources.holds(model, ask, None, record)]
        end = place.skip + ask.limit
        found = [self.shown(record, body, ask) for record, body in chosen[place.skip : end]]
        return found, place.next(1, end, 0) if end < len(chosen) else None

    def _copied(self, model: str, ask: Ask, place: Place) -> tuple[list[Any], Place | None]:
        copy = copies.Copy(self.services, self.connection, model)
        copy.need(raw=ask.raw)
        found: list[Any] = []
        scan, skip = place.page - 1, place.skip
        for _ in range(copies.MOST_SCANS):
            following, kept = copy.scan(scan, ask.limit)
            for index in range(skip, len(kept)):
                record = kept[index]
                if not sources.holds(model, ask, None, record):
                    continue
                found.append(_without(record, ask))
                if len(found) == ask.limit and index + 1 < len(kept):
                    return found, place.next(scan + 1, index + 1, 0)
            scan, skip = following, 0
            if not scan:
                return found, None
            if len(found) >= ask.limit:
                break
        return found, place.next(scan + 1, 0, 0)

    # One record ------------------------------------------------------------------------------------------------------
    def get(self, model: str, number: str, ask: Ask) -> Any:  # noqa: ANN401 - a record in either form
        """One record. Raises as `page`, and Problem 404 when there is none of this model."""
        if ask.cached:
            copy = copies.Copy(self.services, self.connection, model)
            copy.need(raw=ask.raw)
            record = copy.get(number)
            if record is None:
                raise nobody()
            return _without(record, ask)
        if model not in sources.KIND_OF:
            for record, body in self.catalogue.rows(self.caller, self.connection, model):
                if record["id"] == number:
                    return self.shown(record, body, ask)
            raise nobody()
        found, body = self.current(model, number)
        return self.shown(found, body, ask)

    def current(self, model: str, number: str) -> tuple[dict[str, Any], Body]:
        """A record as it is now, in both forms, with its additional parties. Raises as `get`."""
        body = self.body(model, number)
        record = self.record(model, body, others=self.others(model, body)) if body is not None else None
        if body is None or record is None:
            raise nobody()
        return record, body

    def body(self, model: str, number: str) -> Body | None:
        """Capsule's body of a record, None when it is gone or of another model."""
        if not RECORD_ID.fullmatch(number):
            return None
        body = calls.one(self.caller, sources.KIND_OF[model], int(number))
        return body if body is not None and _belongs(model, body) else None

    def others(self, model: str, body: Body) -> list[Any]:
        """The additional parties of an opportunity or a project: one call more, so lists do not have them."""
        kind = sources.KIND_OF[model]
        if kind not in ("opportunity", "kase"):
            return []
        path = f"/{calls.PATHS[kind]}/{body['id']:d}/parties"
        found, _ = calls.page(
            self.caller, path, "parties", number=1, size=calls.LARGEST, lane="live", route=f"/{calls.PATHS[kind]}/{{id}}/parties"
        )
        return found

    def record(self, model: str, body: Body, *, others: Sequence[Any] = ()) -> dict[str, Any] | None:
        """Capsule's body in the unified form, None when it is of another model. Raises UnreadableRecord."""
        if not _belongs(model, body):
            return None
        read: dict[str, Callable[[], dict[str, Any]]] = {
            "accounts": lambda: parties.account(body, self.definitions("party")),
            "contacts": lambda: parties.contact(body, self.definitions("party")),
            "engagements": lambda: entries.engagement(body),
            "notes": lambda: entries.note(body),
            "opportunities": lambda: deals.opportunity(body, self.definitions("opportunity"), others=others),
            "projects": lambda: self._project(body, others),
            "tasks": lambda: work.task(body, timezone=self.timezone(body) if body.get("dueTime") else None),
        }
        return read[model]()

    def timezone(self, task: Body) -> str | None:
        """The time zone of a task's owner."""
        return self.catalogue.timezone(self.caller, self.connection, nested_id(task, "owner"))

    def _project(self, body: Body, others: Sequence[Any]) -> dict[str, Any]:
        stage = self.catalogue.stage(self.caller, self.connection, nested_id(body, "stage"))
        return work.project(body, self.definitions("kase"), stage=stage, others=others)

    def shown(self, record: dict[str, Any], body: Body, ask: Ask) -> Any:  # noqa: ANN401 - either form
        """The record as it was asked for: raw, or unified with the moment of the reading."""
        if ask.raw:
            return body
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        whole = {**record, "remote_url": None, "synced_at": now, "remote_data": body if ask.remote_data else None}
        return _without(whole, ask)


def _without(record: dict[str, Any], ask: Ask) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in ask.without or name == "id"}


def _belongs(model: str, body: Body) -> bool:
    if model in sources.TYPE_OF:
        return body.get("type") == sources.TYPE_OF[model] and wire.seen(body) is not None
    return model != "notes" or entries.is_note(body)
