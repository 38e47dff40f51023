"""Creating, changing and deleting in Capsule for a product: only what differs is sent, once, with a mark for its echo.

Capsule has no idempotency key and no locking (reference/capsule.md §3.2). A change whose answer was lost is looked at: when the
record holds what was asked, it was applied. A creation whose answer was lost is not repeated; see `making`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mapping.unified import deliveries, writing
from mapping.unified.draft import nested_id
from mapping.unified.sent import SENT, checked
from workers.capsule import wire
from workers.console.unified import capsule_calls as calls
from workers.console.unified import problems
from workers.console.unified.problems import Problem
from workers.console.unified.reading import nobody
from workers.console.unified.sources import KIND_OF
from workers.echo import DELETED, Echoes
from workers.errors import NoAnswer, SystemDown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mapping.unified.draft import Change
    from workers.answers import Answer, Body
    from workers.console.unified.reading import Reader

WRITABLE: Final = tuple(sorted(SENT))
MOST_LOOKED: Final = 20  # pages that are looked through for a record whose making was not answered
UNIFIED: Final = "unified"
BESIDE: Final = deliveries.RESTLESS | {"remote_url"}


@dataclass(frozen=True, slots=True)
class Written:
    """A record after a write, as Capsule answered it, in both forms."""

    record: dict[str, Any]
    body: Body


class Writer:
    """Writes for one request of one connection. Raises as `Reader` does, and BodyInvalid for what cannot be written."""

    def __init__(self, reader: Reader, model: str) -> None:
        self._reader = reader
        self._model = model
        self._kind = KIND_OF[model]
        self._path = f"/{calls.PATHS[self._kind]}"
        connection = reader.services.connections[reader.connection]
        # Without that downstream nobody reads the marks.
        self._echoes = Echoes(reader.services.redis, reader.connection) if connection.downstream == UNIFIED else None

    def create(self, document: object) -> Written:
        """Makes a record."""
        change = self._change(checked(self._model, document, creating=True), None)
        if self._echoes is not None:
            self._echoes.creating()
        try:
            answer = self._send("POST", self._path, self._path, change)
            body = self._body_of(answer)
            self._mark(body)
        finally:
            if self._echoes is not None:
                self._echoes.created()
        return self._with_parties(body, change)

    def update(self, number: str, document: object) -> Written:
        """Changes a record; what it holds already is not sent again."""
        shown, body = self._reader.current(self._model, number)
        # A whole record is sent back with what has changed by itself since it was read.
        beside = {name: document[name] for name in BESIDE if name in document} if isinstance(document, dict) else {}
        sent = checked(self._model, document, creating=False, shown=shown | beside)
        change = self._change(sent, self._beside(body))
        if change.nothing:
            return Written(shown, body)
        if change.body:
            body = self._put(int(number), sent, change)
        return self._with_parties(body, change)

    def _put(self, number: int, sent: Mapping[str, Any], change: Change) -> Body:
        if self._echoes is not None:
            self._echoes.pending(self._kind, number)
        try:
            answer = self._send("PUT", f"{self._path}/{number:d}", f"{self._path}/{{id}}", change)
        except NoAnswer:
            # The record says whether it was applied; a second PUT could add a list's entries twice (§5.2).
            body = self._reader.body(self._model, str(number))
            if body is None or self._change(sent, self._beside(body)).body:
                raise
        except (Problem, SystemDown):
            if self._echoes is not None:
                self._echoes.nothing(self._kind, number)
            raise
        else:
            body = self._body_of(answer)
        self._mark(body)
        return body

    def delete(self, number: str) -> None:
        """Deletes a record, for good (§5.6)."""
        body = self._reader.body(self._model, number)
        if body is None:
            raise nobody()
        own = body["id"]
        if self._echoes is not None:
            self._echoes.pending(self._kind, own)
        try:
            calls.write(self._reader.caller, "DELETE", f"{self._path}/{own:d}", f"{self._path}/{{id}}")
        except NoAnswer:
            if self._reader.body(self._model, number) is not None:
                raise
        if self._echoes is not None:
            self._echoes.done(self._kind, own, DELETED)

    def made(self, document: object, since: str) -> Written | None:
        """The record that an earlier attempt made, if one made after `since` (ISO 8601) is just what was to be made.

        Raises:
            Problem: 409, there is too much to look through.
        """
        sent = checked(self._model, document, creating=True)
        for body in self._made_after(since):
            record = self._reader.record(self._model, body)
            if record is not None and (record["created_at"] or "") >= since:
                change = self._change(sent, self._beside(body))
                if not change.body:
                    return self._with_parties(body, change)
        return None

    def _made_after(self, since: str) -> Iterator[Body]:
        query: list[tuple[str, str]] = [("embed", calls.EMBED[self._kind])]
        size = calls.LARGEST_ENTRIES if self._kind == "entry" else calls.LARGEST
        if self._kind == "task":
            query.append(("status", "open,completed,pending"))
        elif self._kind != "entry":
            query.append(("since", since))
        for page in range(1, MOST_LOOKED + 1):
            bodies, more = calls.page(
                self._reader.caller, self._path, calls.PATHS[self._kind], number=page, size=size, query=query, lane="live"
            )
            yield from bodies
            # Entries come newest first, by a time that a product may set: one of long ago is not among the newest.
            if not more:
                return
        said = "The answer of the first attempt was lost, and there is too much to look through for what it made."
        raise Problem(409, f"{said} Look for it, then send a new Idempotency-Key if it is not there.")

    def _change(self, sent: Mapping[str, Any], current: Body | None) -> Change:
        reader = self._reader
        if self._model in ("accounts", "contacts", "opportunities", "projects"):
            definitions = reader.definitions(self._kind)
            return {
                "accounts": writing.account,
                "contacts": writing.contact,
                "opportunities": writing.opportunity,
                "projects": writing.project,
            }[self._model](sent, current, definitions)
        if self._model == "tasks":
            return writing.task(sent, current, timezone=self._timezone(sent, current))
        return (writing.note if self._model == "notes" else writing.engagement)(sent, current)

    def _timezone(self, sent: Mapping[str, Any], current: Body | None) -> str | None:
        if "T" not in (sent.get("due_date") or ""):
            return None
        reader = self._reader
        owner = sent.get("owner")
        number = int(owner["id"]) if owner is not None else nested_id(current, "owner")
        if number is None:
            number = reader.catalogue.current_user(reader.caller, reader.connection)
        return reader.catalogue.timezone(reader.caller, reader.connection, number)

    def _beside(self, body: Body) -> Body:
        """The record with its additional parties, which `writing` compares with."""
        return {**body, writing.ADDITIONAL: self._reader.others(self._model, body)}

    def _send(self, method: str, path: str, route: str, change: Change) -> Answer:
        body = {self._kind: change.body}
        return calls.write(self._reader.caller, method, path, route, body=body, kind=self._kind)

    def _body_of(self, answer: Answer) -> Body:
        found = (calls.document(answer) or {}).get(self._kind)
        if not isinstance(found, dict) or not isinstance(found.get("id"), int):
            raise NoAnswer(f"capsule: there is no {self._kind} in the answer", system=wire.SYSTEM, status=answer.status)
        return found

    def _mark(self, body: Body) -> None:
        """The echo of this write says what a run will read of the record, in a shared call with fewer embeds."""
        if self._echoes is None:
            return
        model = "engagements" if self._kind == "entry" else self._model
        party = body.get("party")
        if self._kind in ("opportunity", "kase") and isinstance(party, dict):
            body = {**body, "party": {name: value for name, value in party.items() if name != "organisation"}}
        record = self._reader.record(model, body)
        if record is not None:
            self._echoes.done(self._kind, body["id"], deliveries.digest(model, record))

    def _with_parties(self, body: Body, change: Change) -> Written:
        """Adds the further parties. One that is there already is no mistake."""
        number = body["id"]
        left = list(change.parties)
        while left:
            route = f"{self._path}/{{id}}/parties/{{id}}"
            try:
                calls.write(self._reader.caller, "POST", f"{self._path}/{number:d}/parties/{left[0]:d}", route)
            except Problem as problem:
                there = {one["id"] for one in self._reader.others(self._model, body)}
                if left[0] not in there:
                    raise _half(problem, number, left) from problem
            left.pop(0)
        record = self._reader.record(self._model, body, others=self._reader.others(self._model, body))
        if record is None:  # it was changed into one of another model
            raise nobody()
        return Written(record, body)


def _half(problem: Problem, number: int, left: list[int]) -> Problem:
    said = "The record was written; of its contacts, those under `details.not_added` could not be added."
    details = {**problem.details, "id": str(number), "not_added": [str(one) for one in left]}
    return problems.Problem(problem.status, said, details=details, remote=True, raw=problem.raw)
