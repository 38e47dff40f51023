"""uvicorn's protocol with a shorter way for what nearly every request is: an authentic delivery that comes in one piece.

`uvicorn --http receiver.protocol:HookProtocol`. uvicorn makes a task, a cycle and three messages for each request, which costs
as much as all that we do for a delivery. Here a delivery goes from the parser's last callback into the agenda and is
answered by one write. Only what needs none of the rest goes that way: POST by HTTP/1.1 to a hook whose token is right, nothing
before it still unanswered, its whole body in what was read at once. Everything else, refusals included, takes uvicorn's own
way to the application, which answers the same (tests/acceptance/test_receiver_protocol.py compares the two). Without this
class nothing but speed is lost.

What is relied on of uvicorn is named in `LEANS_ON`; a test asserts that it is there in the pinned version.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from receiver.app import Receiver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from receiver.hooks import Answer, Hooks

LEANS_ON: Final = (
    *("on_headers_complete", "on_body", "on_message_complete", "on_response_complete", "data_received"),
    *("parser", "url", "headers", "cycle", "flow", "transport", "config", "root_path", "limit_concurrency"),
    *("expect_100_continue", "server_state", "loop"),
)
_DOOR: Final = b"/hooks/capsule/"


class _NoEvent:
    """Stands for the event by which uvicorn wakes a task that waits for more of a request: here none waits."""

    def set(self) -> None:
        """Nobody to wake."""


_NO_EVENT: Final = _NoEvent()


class _Short:
    """A delivery that is being admitted, as uvicorn looks at a request under way: what it reads and sets is here."""

    __slots__ = ("_protocol", "disconnected", "keep_alive", "message_event", "response_complete")

    def __init__(self, protocol: HookProtocol, *, keep_alive: bool) -> None:
        self._protocol = protocol
        self.disconnected = False
        self.keep_alive = keep_alive  # uvicorn sets it to False when the process is to stop
        self.response_complete = False
        self.message_event = _NO_EVENT

    def answered(self, answer: Answer) -> None:
        """Writes the answer, unless the sender has gone, and lets the connection's next request begin."""
        protocol = self._protocol
        if protocol.parsing:
            # The next request may stand in what is being read: uvicorn expects no answer to be complete before all of it is.
            protocol.loop.call_soon(self._write, answer)
        else:
            self._write(answer)

    def _write(self, answer: Answer) -> None:
        self.response_complete = True
        protocol = self._protocol
        transport = protocol.transport
        if not self.disconnected and not transport.is_closing():
            transport.write(wire(answer, protocol.server_state.default_headers, close=not self.keep_alive))
            if not self.keep_alive or answer.closes:
                transport.close()
        protocol.on_response_complete()


class HookProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401 - uvicorn's, handed on as they are
        super().__init__(*arguments, **named)
        # Where something stands between uvicorn and the application, it wants to see every request.
        app: object = self.config.loaded_app
        plain = isinstance(app, Receiver) and not self.root_path and self.limit_concurrency is None
        self._hooks: Hooks | None = app.hooks if isinstance(app, Receiver) and plain else None
        self._name: str | None = None
        self._parts: list[bytes] = []
        self.parsing = False

    def data_received(self, data: bytes) -> None:
        """Parses what has come. A delivery of which only a part is there takes uvicorn's way from here on."""
        self.parsing = True
        super().data_received(data)
        self.parsing = False
        if self._name is not None and not self.transport.is_closing():
            self._the_long_way()

    def on_headers_complete(self) -> None:
        """Sees whether the request may take the short way."""
        if self._hooks is not None and (self.cycle is None or self.cycle.response_complete) and self._is_plain():
            self._name = self._hooks.opens(self.url.decode("latin-1"))
        if self._name is None:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._name is None:
            super().on_body(body)
        else:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        name, hooks = self._name, self._hooks
        if name is None or hooks is None:
            super().on_message_complete()
            return
        body = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._name = None
        self._parts.clear()
        short = _Short(self, keep_alive=self.parser.should_keep_alive())
        self.cycle = cast("RequestResponseCycle", short)
        hooks.take(name, body, self.headers, short.answered)

    def _is_plain(self) -> bool:
        parser = self.parser
        return (
            self.url.startswith(_DOOR)
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and not parser.should_upgrade()
            and not self.expect_100_continue
            # A sender who does not read its answers must not pile them up: uvicorn's way waits for it.
            and not self.flow.write_paused
        )

    def _the_long_way(self) -> None:
        """Begins uvicorn's way with what has come so far; the parser still stands within this request."""
        parts, self._parts, self._name = self._parts, [], None
        super().on_headers_complete()
        for part in parts:
            super().on_body(part)


# The bytes of an answer, with the headers that uvicorn makes anew each second (the date).
_wired: dict[tuple[int, bool], tuple[object, Answer, bytes]] = {}


def wire(answer: Answer, headers: Sequence[tuple[bytes, bytes]], *, close: bool) -> bytes:
    """An answer as it goes over the wire, behind uvicorn's own headers."""
    kept = _wired.get((answer.status, close))
    if kept is not None and kept[0] is headers and kept[1] is answer:
        return kept[2]
    lines = [b"HTTP/1.1 %d %s" % (answer.status, HTTPStatus(answer.status).phrase.encode())]
    lines += [b"%s: %s" % pair for pair in (*headers, *answer.start["headers"])]
    if close and not answer.closes:
        lines.append(b"connection: close")
    whole = b"\r\n".join((*lines, b"", answer.body["body"]))
    _wired[answer.status, close] = headers, answer, whole
    return whole
