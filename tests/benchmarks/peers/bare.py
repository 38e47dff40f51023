"""The limits of a receiver under uvicorn: 202 at once (`app`), and 202 once the body has been read (`reading`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

START: Final[Message] = {"type": "http.response.start", "status": 202, "headers": [(b"content-length", b"0")]}
END: Final[Message] = {"type": "http.response.body", "body": b""}


async def app(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - the form that ASGI gives it
    """Answers whatever comes."""
    await send(START)
    await send(END)


async def reading(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - the form that ASGI gives it
    """Reads the body first, as any receiver must."""
    while (await receive()).get("more_body"):
        pass
    await send(START)
    await send(END)
