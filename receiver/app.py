"""The receiver's parts put together: the hooks' door, the health questions, and what runs once a second beside them."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from typing import TYPE_CHECKING, Final

from starlette.applications import Starlette
from starlette.routing import Route

from mapping.running import SIGN, SIGN_S
from mapping.scripts import SCRIPTS
from receiver import counts, letters
from receiver.admit import Admission
from receiver.health import Health, answer
from receiver.hooks import Hooks
from receiver.log import Refusals
from receiver.shelter import Shelter
from receiver.signs import Signs
from receiver.slow import cut_slow_senders
from receiver.spool import Spool
from receiver.store import Store
from receiver.tracing import Traces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from receiver.settings import Settings
    from receiver.tracing import Spans

TICK_S: Final = 1.0
"""Seconds between two times at which counters and held-back log lines are written."""


def _store(settings: Settings) -> Store:
    texts = {"open": SCRIPTS["open"], "count": counts.COUNT, "look": letters.LOOK, "keep": letters.KEEP, "sign": SIGN}
    return Store(settings.redis_url, texts)


class Receiver:
    """The receiver as an ASGI application. `hooks` is there for those who come another way (receiver/protocol.py)."""

    def __init__(self, hooks: Hooks, rest: ASGIApp) -> None:
        self.hooks = hooks
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or lives through the start and the end of the process."""
        # Hooks go past the framework: its layers would cost as much as everything that we do.
        if scope["type"] == "http" and scope["path"].removeprefix(scope.get("root_path", "")).startswith("/hooks/"):
            await self.hooks(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


def build(
    settings: Settings,
    *,
    reload: Callable[[], Settings | None] | None = None,
    store: Store | None = None,
    spans: Spans | None = None,
) -> Receiver:
    """The receiver as an ASGI application. Nothing is connected before the first request.

    `reload` is asked once a second and gives other settings when the rules file has changed; of those the connections count.
    `store` stands in for Redis in tests. `spans`: who exports them.
    """
    store = store or _store(settings)
    signs = Signs(store)
    tally = counts.Counts()
    refusals = Refusals()
    traces = Traces(spans)

    shelter = Shelter(
        _opener(store),
        letters=letters.Letters(store, settings.secret_keys),
        counts=tally,
        folder=Spool(settings.spool, settings.spool_bytes) if settings.spool is not None else None,
    )

    async def every_second() -> None:
        for tick in itertools.count():
            # Together with the other processes of this machine (workers/beat.py); a moment later, never a moment before.
            await asyncio.sleep(1.005 * TICK_S - time.monotonic() % TICK_S)
            refusals.flush()
            cut_slow_senders()
            if reload is not None and (changed := reload()) is not None:
                hooks.take_over(changed)
            if tick % SIGN_S == 0:
                shelter.look()
            if not shelter.away:
                await tally.flush(store)
                if tick % SIGN_S == 0:
                    await signs.give()

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await shelter.prepare()
        ticking = asyncio.create_task(every_second())
        try:
            yield
        finally:
            # By now every request has been answered: uvicorn waits for them before it comes here.
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking
            await shelter.close()
            refusals.flush(everything=True)
            await tally.flush(store)
            await signs.end()
            await store.close()
            traces.close()

    hooks = Hooks(
        settings,
        admission=Admission(shelter.open, patience_s=shelter.patience_s),
        letters=shelter,
        counts=tally,
        refusals=refusals,
        traces=traces,
    )
    health = Health(store, shelter)
    rest = Starlette(
        routes=[Route("/live", health.live), Route("/ready", health.ready)],
        exception_handlers={404: _not_found, 405: _not_allowed},
        lifespan=lifespan,
    )
    rest.router.redirect_slashes = False

    return Receiver(hooks, rest)


def _opener(store: Store) -> Callable[[Collection[str]], Awaitable[None]]:
    async def open_records(records: Collection[str]) -> None:
        # What comes from a delivery has its trace beside it; what comes from the spool has none any more.
        traces = "".join(records.values()) if isinstance(records, dict) else ""
        await store.script("open", "live", "event", "", "0", traces, *records)

    return open_records


async def _not_found(_: Request, __: Exception) -> Response:
    return answer(404, {"error": "not found"})


async def _not_allowed(_: Request, error: Exception) -> Response:
    refused = answer(405, {"error": "method not allowed"})
    refused.headers.update(getattr(error, "headers", None) or {})
    return refused
