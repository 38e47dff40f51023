"""The raw body of a request: whole, never more of it than is allowed, and within a time.

Bodies are not decompressed: a kilobyte can hold a gigabyte.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import Receive

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
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a body is read by a task")
    # What asyncio.timeout does, without its objects: this is the hot path, and a tenth of it would go there. The timer
    # can only fire while this task waits below, so its cancellation always ends up in the `except` here.
    timer = asyncio.get_running_loop().call_later(IN_TIME_S, task.cancel)
    try:
        return await _whole(receive, limit)
    except asyncio.CancelledError:
        if timer.when() > asyncio.get_running_loop().time():
            raise
        task.uncancel()
        raise BodyTooSlow from None
    finally:
        timer.cancel()


async def _whole(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise SenderGone
        part: bytes = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise BodyTooLarge
        if not message.get("more_body", False):
            return b"".join((*parts, part)) if parts else part
        parts.append(part)


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes:
    """The first value of a header, in lower-case `name`; nothing if it is not there."""
    for there, value in headers:
        if there == name:
            return value
    return b""
