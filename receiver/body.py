"""The raw body of a request: whole, never more of it than is allowed, and within a time.

Bodies are not decompressed: a kilobyte can hold a gigabyte.
"""

from __future__ import annotations

import asyncio
import types
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Coroutine, Generator, Iterable

    from starlette.types import Message, Receive

IN_TIME_S: Final = 5.0
"""Seconds within which a body must have come: with its head (receiver/slow.py) a sender that drips has 10 s in all."""


class BodyTooLarge(Exception):
    """There is more than is allowed; answer 413 and close. What is beyond the limit was not read."""


class BodyTooSlow(Exception):
    """It did not come in time; answer 408 and close."""


class SenderGone(Exception):
    """The sender left before the end; there is nobody to answer."""


async def read(receive: Receive, headers: Iterable[tuple[bytes, bytes]], *, limit: int) -> bytes:
    """The body as it was sent, of at most `limit` bytes.

    Raises:
        BodyTooLarge: more is announced, or has come.
        BodyTooSlow: its end did not come within IN_TIME_S.
        SenderGone: the connection was closed before its end.
    """
    announced = header(headers, b"content-length")
    if announced.isdigit() and int(announced) > limit:
        raise BodyTooLarge
    coming = receive().__await__()
    try:
        # Nearly always the body came with the head. Then nothing is waited for, and no timer is made for it: it would cost
        # a fifth of all that is done for a delivery.
        pending = next(coming)
    except StopIteration as here:
        part, more = _part(here.value)
        if len(part) > limit:
            raise BodyTooLarge from None
        return part if not more else await _in_time(_whole(receive(), receive, [part], limit))
    return await _in_time(_whole(_resumed(coming, pending), receive, [], limit))


@types.coroutine
def _resumed(coming: Generator[Any, Any, Message], pending: object) -> Generator[Any, Any, Message]:
    """Goes on with what was begun by hand and waits for `pending`."""
    yield pending
    return (yield from coming)


async def _in_time(reading: Coroutine[Any, Any, bytes]) -> bytes:
    """What `reading` gives.

    Raises:
        BodyTooSlow: it took longer than IN_TIME_S.
    """
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a body is read by a task")
    # What asyncio.timeout does, without its objects. The timer can only fire while this task waits below, so its
    # cancellation always ends up in the `except` here.
    timer = asyncio.get_running_loop().call_later(IN_TIME_S, task.cancel)
    try:
        return await reading
    except asyncio.CancelledError:
        if timer.when() > asyncio.get_running_loop().time():
            raise
        task.uncancel()
        raise BodyTooSlow from None
    finally:
        timer.cancel()


async def _whole(first: Awaitable[Message], receive: Receive, parts: list[bytes], limit: int) -> bytes:
    """The body, of which `parts` have come; `first` is the message that is waited for."""
    size = sum(map(len, parts))
    coming = first
    while True:
        part, more = _part(await coming)
        size += len(part)
        if size > limit:
            raise BodyTooLarge
        parts.append(part)
        if not more:
            return b"".join(parts)
        coming = receive()


def _part(message: Message) -> tuple[bytes, bool]:
    if message["type"] != "http.request":
        raise SenderGone
    return message.get("body", b""), message.get("more_body", False)


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The first value of a header, in lower-case `name`; nothing if it is not there."""
    for there, value in headers:
        if there == name:
            return value
    return b""
