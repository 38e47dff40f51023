"""`/live` says that the process runs, `/ready` that it can admit deliveries."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
from starlette.responses import Response

from receiver.store import StoreAway

if TYPE_CHECKING:
    from starlette.requests import Request

    from receiver.store import Store


def answer(status: int, content: dict[str, object]) -> Response:
    """A JSON answer that nobody keeps."""
    return Response(
        orjson.dumps(content), status_code=status, media_type="application/json", headers={"cache-control": "no-store"}
    )


class Health:
    """The two questions that a supervisor or a load balancer asks."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asking: asyncio.Task[str] | None = None

    async def live(self, _: Request) -> Response:
        """200 as long as the process answers at all: a Redis that is away is no reason to restart it."""
        return answer(200, {"live": True})

    async def ready(self, _: Request) -> Response:
        """200 if Redis answers within a second, else 503 with a short reason."""
        # One question to Redis at a time, shared by all who ask meanwhile: anybody can ask us.
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        reason = await asyncio.shield(self._asking)
        return answer(503, {"ready": False, "reason": f"redis: {reason}"}) if reason else answer(200, {"ready": True})

    async def _ask(self) -> str:
        try:
            await self._store.ping()
        except StoreAway as away:
            return away.reason
        return ""
