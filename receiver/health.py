"""`/live` says that the process runs, `/ready` that it can admit deliveries."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
from starlette.responses import Response

from receiver.store import StoreAway

if TYPE_CHECKING:
    from starlette.requests import Request

    from receiver.shelter import Shelter
    from receiver.store import Store


def answer(status: int, content: dict[str, object]) -> Response:
    """A JSON answer that nobody keeps."""
    return Response(
        orjson.dumps(content), status_code=status, media_type="application/json", headers={"cache-control": "no-store"}
    )


class Health:
    """The two questions that a supervisor or a load balancer asks."""

    def __init__(self, store: Store, shelter: Shelter) -> None:
        self._store = store
        self._shelter = shelter
        self._asking: asyncio.Task[tuple[int, dict[str, object]]] | None = None

    async def live(self, _: Request) -> Response:
        """200 as long as the process answers at all: a Redis that is away is no reason to restart it."""
        return answer(200, {"live": True})

    async def ready(self, _: Request) -> Response:
        """200 if Redis answers within a second or the spool has room, else 503 with a short reason.

        A load balancer that took us out while Redis is away would cost what the spool saves, so then it is 200 too, and says
        `redis`. `spool` (bytes, files, seconds since the oldest was begun) is there while something waits in it.
        """
        # One question at a time, shared by all who ask meanwhile: anybody can ask us.
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        status, content = await asyncio.shield(self._asking)
        return answer(status, content)

    async def _ask(self) -> tuple[int, dict[str, object]]:
        reason = ""
        try:
            await self._store.ping()
        except StoreAway as away:
            reason = away.reason
        held = await self._shelter.held()
        content: dict[str, object] = {"ready": not reason or (held is not None and held.room > 0)}
        if reason and content["ready"]:
            content["redis"] = reason
        elif reason:
            content["reason"] = f"redis: {reason}"
        if held is not None and held.files:
            content["spool"] = {"bytes": held.size, "files": held.files, "age_s": round(held.age_s, 1)}
        return (200 if content["ready"] else 503), content
