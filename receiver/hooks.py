"""The hooks' door: is it authentic, which records, admitted; in that order, and an answer for everything.

Plain ASGI rather than a framework's request and response, because this is the path that must be fast. Answers are 202,
401, 404, 405, 408, 413 and 503; never 410 and never a 5xx for what a sender wrote, since Capsule drops a subscription
after a few of them (reference/capsule.md §1.9).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson

from mapping.agenda import pack
from mapping.errors import UnreadableDelivery
from mapping.events import delivery, kinds_of_interest
from receiver import body, verify
from receiver.log import say, say_error
from receiver.store import StoreAway

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.types import Message, Receive, Scope, Send

    from receiver.admit import Admission
    from receiver.counts import Counts
    from receiver.log import Refusals
    from receiver.settings import Connection, Settings
    from receiver.shelter import Shelter
    from receiver.tracing import Delivery, Traces

    Headers = Sequence[tuple[bytes, bytes]]

ANSWER_S: Final = 1.6
"""Seconds after which a delivery that Redis has not taken is answered 503. Admission keeps within it by itself."""
RETRY_AFTER_S: Final = 5
CAPSULE_ROUTE: Final = "/hooks/capsule/{connection}/{token}"
SIGNED_ROUTE: Final = "/hooks/signed/{connection}"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer, made once: the two messages that ASGI sends for it, and whether the connection ends with it."""

    status: int
    start: Message
    body: Message
    closes: bool = False

    @classmethod
    def of(cls, status: int, content: Mapping[str, object], *headers: tuple[bytes, bytes]) -> Answer:
        """An answer with a JSON body, or with none if there is nothing to say."""
        text = orjson.dumps(content) if content else b""
        fixed = [(b"content-length", str(len(text)).encode())]
        if text:
            fixed.append((b"content-type", b"application/json"))
        return cls(
            status,
            {"type": "http.response.start", "status": status, "headers": [*fixed, *headers]},
            {"type": "http.response.body", "body": text},
            _CLOSE in headers,
        )


# A sender whose body is not read to its end is cut off, so that it does not go on sending.
_CLOSE: Final = (b"connection", b"close")

ACCEPTED: Final = Answer.of(202, {})
BAD_SIGNATURE: Final = Answer.of(401, {"error": "bad signature"})
NOT_FOUND: Final = Answer.of(404, {"error": "not found"})
NOT_ALLOWED: Final = Answer.of(405, {"error": "method not allowed"}, (b"allow", b"POST"))
TOO_SLOW: Final = Answer.of(408, {"error": "body did not come in time"}, _CLOSE)
TOO_LARGE: Final = Answer.of(413, {"error": "body too large"}, _CLOSE)
TRY_AGAIN: Final = Answer.of(503, {"error": "try again"}, (b"retry-after", str(RETRY_AFTER_S).encode()))


class _Refused(Exception):
    """A delivery that is answered without being admitted."""

    def __init__(self, answer: Answer, *, connection: str = "", reason: str = "") -> None:
        super().__init__(answer.status)
        self.answer = answer
        self.connection = connection
        self.reason = reason


class _Arrival:
    """An authentic delivery on its way into the agenda. `answered` is called once, with its answer."""

    __slots__ = ("answered", "began", "event", "name", "opened", "records", "trace")

    def __init__(self, name: str, trace: Delivery, answered: Callable[[Answer], None], *, began: float) -> None:
        self.name = name
        self.trace = trace
        self.answered = answered
        self.began = began
        self.event = ""
        self.records: list[str] = []
        self.opened: list[tuple[str, int]] = []


class Hooks:
    """Answers `/hooks/capsule/{connection}/{token}` and `/hooks/signed/{connection}`."""

    def __init__(
        self,
        settings: Settings,
        *,
        admission: Admission,
        letters: Shelter,
        counts: Counts,
        refusals: Refusals,
        traces: Traces,
    ) -> None:
        self._admission = admission
        self._letters = letters
        self._counts = counts
        self._refusals = refusals
        self._traces = traces
        self._keeping: set[asyncio.Task[None]] = set()
        self.take_over(settings)

    def take_over(self, settings: Settings) -> None:
        """Answers by these settings from now on: at the start, and when the rules file has changed."""
        self._max_body = settings.max_body
        self._tokens = verify.Tokens(settings.secret_keys, settings.connections)
        self._connections = {connection.name: connection for connection in settings.connections}
        # A delivery concerns every connection of its Capsule account, each with what its downstream is interested in.
        self._members = {
            connection.name: tuple(
                (member.name, kinds_of_interest(member.downstream))
                for member in settings.connections
                if member.owner == connection.owner
            )
            for connection in settings.connections
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        try:
            answer = await self._answer(scope, receive)
        except _Refused as refused:
            answer = refused.answer
            self._note_refusal(answer.status, connection=refused.connection, reason=refused.reason)
        except body.SenderGone:
            self._counts.add("delivery.cut")
            self._refusals.say("delivery.cut", status=0)
            return
        except Exception as error:  # noqa: BLE001 - a fault of ours: the sender comes again, and the line says where it is
            answer = self._failed(error)
        await send(answer.start)
        await send(answer.body)

    def opens(self, path: str) -> str | None:
        """The connection whose hook has this path, token included; None if there is none."""
        match path.split("/"):
            case ["", "hooks", "capsule", name, token]:
                return name if self._tokens.admit(name, token) else None
        return None

    def take(self, name: str, sent: bytes, headers: Headers, answered: Callable[[Answer], None]) -> None:
        """Admits a delivery that came in one piece at the door of `name` (`opens`).

        `answered` is called once, perhaps before this returns: with 202 when what the delivery concerns is in the agenda, else
        with 413 or 503. It must not raise.
        """
        if len(sent) > self._max_body:
            self._note_refusal(TOO_LARGE.status, connection=name, reason="")
            answered(TOO_LARGE)
            return
        arrival = _Arrival(name, self._traces.begin(route=CAPSULE_ROUTE), answered, began=time.perf_counter())
        self._begin(arrival, sent, body.header(headers, b"content-encoding"))

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        began = time.perf_counter()
        name, token = _door(scope)
        headers: Headers = scope["headers"]
        try:
            if token is None:
                sent = await self._signed_body(name, receive, headers)
            elif self._tokens.admit(name, token):
                sent = await body.read(receive, headers, limit=self._max_body)
            else:
                raise _Refused(NOT_FOUND)
        except body.BodyTooLarge:
            raise _Refused(TOO_LARGE, connection=name) from None
        except body.BodyTooSlow:
            raise _Refused(TOO_SLOW, connection=name) from None
        # Only who has signed names a trace of its own: an address may leak, and lines must not be joined by strangers.
        trace = self._traces.begin(headers, route=SIGNED_ROUTE) if token is None else self._traces.begin(route=CAPSULE_ROUTE)
        coming: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def answered(answer: Answer) -> None:
            if not coming.done():
                coming.set_result(answer)

        self._begin(_Arrival(name, trace, answered, began=began), sent, body.header(headers, b"content-encoding"))
        return await coming

    async def _signed_body(self, name: str, receive: Receive, headers: Headers) -> bytes:
        """The raw body if its signature is good. A signature that cannot be good is refused before the body is read."""
        connection: Connection | None = self._connections.get(name)
        if connection is None or not connection.signing_secrets:
            raise _Refused(NOT_FOUND)
        given = verify.signature_headers(headers)
        if given is None:
            raise _Refused(BAD_SIGNATURE, connection=name, reason="a header is missing or comes twice")
        identity, stamp, listed = given
        if not verify.timely(stamp, now=time.time()):
            raise _Refused(BAD_SIGNATURE, connection=name, reason="its time is not within five minutes of ours")
        sent = await body.read(receive, headers, limit=self._max_body)
        if not verify.signed(connection.signing_secrets, identity=identity, stamp=stamp, listed=listed, body=sent):
            raise _Refused(BAD_SIGNATURE, connection=name, reason="no signature matches")
        return sent

    def _begin(self, arrival: _Arrival, sent: bytes, encoding: bytes) -> None:
        """Opens what a delivery concerns. Whatever happens, it is answered; no task runs for it unless it cannot be read."""
        try:
            arrival.event, found, fault = _read(sent, encoding)
            for member, kinds in self._members[arrival.name]:
                wanted = [pack(member, kind, number) for kind, number in found if kind in kinds]
                arrival.records += wanted
                arrival.opened.append((member, len(wanted)))
            if fault:
                task = asyncio.create_task(self._keep(arrival, sent, encoding, fault))
                self._keeping.add(task)
                task.add_done_callback(self._keeping.discard)
            elif arrival.records:
                self._admission.submit(arrival.records, partial(self._admitted, arrival), arrival.trace.packed)
            else:
                self._admitted(arrival, None)
        except Exception as error:  # noqa: BLE001 - a fault of ours is an answer too
            arrival.answered(self._failed(error))

    def _admitted(self, arrival: _Arrival, failure: StoreAway | None) -> None:
        try:
            answer = self._accept(arrival) if failure is None else self._refuse(arrival, failure)
        except Exception as error:  # noqa: BLE001 - the same
            answer = self._failed(error)
        arrival.answered(answer)

    async def _keep(self, arrival: _Arrival, sent: bytes, encoding: bytes, fault: str) -> None:
        """Opens what an unreadable delivery names all the same, and keeps it as a letter."""
        try:
            await self._admission.admit(arrival.records, arrival.trace.packed)
            kept = await self._letters.keep(
                arrival.name,
                body=sent,
                reason=fault,
                event=arrival.event,
                encoding=encoding[:64].decode("latin-1"),
                opened=len(arrival.records),
                by=asyncio.get_running_loop().time() + ANSWER_S - (time.perf_counter() - arrival.began),
            )
            answer = self._accept(arrival, "delivery.unreadable" if kept else "delivery.unreadable_not_kept", fault)
        except StoreAway as away:
            answer = self._refuse(arrival, away)
        except Exception as error:  # noqa: BLE001 - the same
            answer = self._failed(error)
        arrival.answered(answer)

    def _accept(self, arrival: _Arrival, unreadable: str = "", fault: str = "") -> Answer:
        """Counts it and writes its line. `unreadable` is what became of one that could not be read, for the reason `fault`."""
        for member, number in arrival.opened:
            self._counts.delivered(member, number, readable=not unreadable)
        if unreadable:
            self._counts.add(unreadable, arrival.name)
        fields: dict[str, str | int | float] = {
            "connection": arrival.name,
            "hook": arrival.event,
            "records": len(arrival.records),
            "status": 202,
            "ms": round((time.perf_counter() - arrival.began) * 1000, 2),
            "trace": arrival.trace.id,
        }
        if fault:
            fields["reason"] = fault
        say(unreadable or ("delivery.admitted" if arrival.records else "delivery.not_of_interest"), fields)
        arrival.trace.end(ACCEPTED.status, fields)
        return ACCEPTED

    def _refuse(self, arrival: _Arrival, away: StoreAway) -> Answer:
        arrival.trace.end(TRY_AGAIN.status)
        self._note_refusal(TRY_AGAIN.status, connection=arrival.name, reason=away.reason)
        return TRY_AGAIN

    def _failed(self, error: Exception) -> Answer:
        """Notes a fault of ours: the sender comes again, and the line says where it is."""
        say_error("delivery.failed", error, status=TRY_AGAIN.status)
        self._counts.add("delivery.failed")
        return TRY_AGAIN

    def _note_refusal(self, status: int, *, connection: str, reason: str) -> None:
        self._counts.add(f"delivery.refused_{status}", connection)
        self._refusals.say(f"delivery.refused_{status}", connection=connection, status=status, reason=reason)


def _door(scope: Scope) -> tuple[str, str | None]:
    """The connection that a path names and its token, which is None at the door of signed relays.

    Raises:
        _Refused: there is no such door, or the method is not POST.
    """
    path: str = scope["path"]
    match path.removeprefix(scope.get("root_path", "")).split("/"):
        case ["", "hooks", "capsule", name, token]:
            door: tuple[str, str | None] = name, token
        case ["", "hooks", "signed", name]:
            door = name, None
        case _:
            raise _Refused(NOT_FOUND)
    if scope["method"] != "POST":
        raise _Refused(NOT_ALLOWED)
    return door


def _read(sent: bytes, encoding: bytes) -> tuple[str, tuple[tuple[str, int], ...], str]:
    """What a body says: its event (a documented one or nothing), its records, and why it is unreadable if it is.

    It is if it is compressed, no JSON, or not of the form that Capsule delivers.
    """
    if encoding and encoding.strip().lower() != b"identity":
        return "", (), "the body is compressed, which is not accepted"
    try:
        document: Any = orjson.loads(sent)
    except orjson.JSONDecodeError:
        # The parser's own words may quote the body.
        return "", (), "the body is not JSON"
    try:
        event, found = delivery(document)
    except UnreadableDelivery as error:
        return error.event, error.records, error.reason
    return event, found, ""
