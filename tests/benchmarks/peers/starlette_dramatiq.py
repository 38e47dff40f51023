"""A lean webhook of the usual kind: Starlette, and stock Dramatiq's `actor.send` in a thread for each record."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from tests.benchmarks.peers.with_dramatiq import queue

if TYPE_CHECKING:
    from starlette.requests import Request


async def hook(request: Request) -> Response:
    """Queues, then answers."""
    delivery = orjson.loads(await request.body())
    kind = delivery["event"].partition("/")[0]
    for item in delivery["payload"]:
        await run_in_threadpool(queue, kind, item["id"])
    return Response(status_code=202)


app = Starlette(routes=[Route("/hook", hook, methods=["POST"])])
