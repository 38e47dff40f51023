"""Cuts off senders that are slow on purpose, and spares those who have just come when the process is asked to stop.

uvicorn waits for the head of a request, and for a reader, as long as they like; and when it stops, it ends at once what it
has accepted and not read yet. It offers no setting for either, and no place to put one. So we take note of the set in which
it keeps its connections, look at them once a second, and put off that end for a moment. A test asserts that what is read
here is still there in the pinned version.
"""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any, Final

from receiver.log import say

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_S: Final = 4.0
"""Seconds for the head of a request. With those for its body and the second between two looks: within 10."""
WHOLE_S: Final = 20.0
"""Seconds from the end of the head to the end of the answer. A delivery takes 2 s at most and its body 5; beyond this somebody
does not read what we answer."""
JUST_COME_S: Final = 0.5
"""Seconds in which the request of a connection that was accepted before the stop may still come."""

PROTOCOLS: Final = (
    ("uvicorn.protocols.http.httptools_impl", "HttpToolsProtocol"),
    ("uvicorn.protocols.http.h11_impl", "H11Protocol"),
)


class _Watch:
    """The connections of this process, and since when each has been in the state in which it is."""

    def __init__(self) -> None:
        self.connections: set[Any] = set()
        self._since: dict[Any, tuple[object, float]] = {}

    def cut(self, now: float) -> int:
        """Ends the connections whose time is over; how many that were."""
        since: dict[Any, tuple[object, float]] = {}
        late: list[Any] = []
        for connection in tuple(self.connections):
            cycle = connection.cycle
            busy = cycle is not None and not cycle.response_complete
            if not busy and connection.timeout_keep_alive_task is not None:
                continue  # Idle between two requests: uvicorn's own time-out ends it.
            state, began = self._since.get(connection, (None, now))
            here = cycle, busy
            if state != here:
                began = now
            since[connection] = here, began
            if now - began >= (WHOLE_S if busy else HEAD_S):
                late.append(connection)
        self._since = since
        for connection in late:
            self._since.pop(connection, None)
            connection.transport.abort()
        return len(late)


_WATCH: Final = _Watch()


def watch() -> None:
    """Takes note of the connections that uvicorn makes from now on."""
    for module, name in PROTOCOLS:
        try:
            protocol = getattr(importlib.import_module(module), name)
        except ImportError:
            continue
        if not hasattr(protocol.connection_made, "watched"):
            protocol.connection_made = _noting(protocol.connection_made)
            protocol.shutdown = _sparing(protocol.shutdown)


def _noting(connection_made: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def noted(self: Any, transport: Any) -> None:  # noqa: ANN401 - uvicorn's own classes
        _WATCH.connections = self.connections
        connection_made(self, transport)

    noted.watched = True  # type: ignore[attr-defined]
    return noted


def _sparing(shutdown: Callable[[Any], None]) -> Callable[[Any], None]:
    def spared(self: Any) -> None:  # noqa: ANN401 - uvicorn's own classes
        if self.cycle is None:
            self.loop.call_later(JUST_COME_S, shutdown, self)
        else:
            shutdown(self)

    return spared


def cut_slow_senders() -> None:
    """Ends the connections whose request does not come, or whose answer is not read."""
    number = _WATCH.cut(time.monotonic())
    if number:
        say("connection.slow", {"times": number, "action": "cut"}, level="warning")
