"""The routes of the unified API and of the proxy, with their own form of mistakes: an application inside the console's.

Each endpoint is a plain function that runs in a thread, since it waits for Redis and Capsule.
"""

from __future__ import annotations

import asyncio
import traceback
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import orjson
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Mount, Route

from workers.console.unified import document, filters, making, problems, proxy, queries
from workers.console.unified.access import Gate
from workers.console.unified.catalogue import Catalogue
from workers.console.unified.problems import Problem
from workers.console.unified.reading import Reader
from workers.console.unified.writes import WRITABLE
from workers.errors import WorkerError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request

    from workers.console.unified.access import Entrance
    from workers.services import Services

    Endpoint = Callable[["Desk", Request, Entrance, bytes], Response]

MODELS: Final = (
    "accounts",
    "contacts",
    "engagement_types",
    "engagements",
    "fields",
    "notes",
    "opportunities",
    "pipelines",
    "projects",
    "stages",
    "tasks",
    "users",
)
DIRECTORY: Final = "directory_users"
MOST_BYTES: Final = 1_048_576
MOST_AT_ONCE: Final = 24


class Desk:
    """What the endpoints share."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.gate = Gate(services)
        self.catalogue = Catalogue()
        # Fewer than there are threads: however many products wait for Capsule, the pages and the figures are still served.
        self._room = asyncio.Semaphore(MOST_AT_ONCE)

    def reader(self, entrance: Entrance) -> Reader:
        """Reads for one request."""
        return Reader(self.services, self.catalogue, entrance.connection)

    def endpoint(self, do: Endpoint, *, largest: int = MOST_BYTES) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint: who asks, the body, the answer, the state of the limit; every mistake in the documented form."""

        async def handler(request: Request) -> Response:
            try:
                body = await _body(request, largest)
            except Problem as problem:
                return told(problem)
            async with self._room:
                return await run_in_threadpool(self._serve, do, request, body)

        return handler

    def _serve(self, do: Endpoint, request: Request, body: bytes) -> Response:
        entrance: Entrance | None = None
        try:
            entrance = self.gate.enter(request, named=request.path_params.get("connection", ""))
            answer = do(self, request, entrance, body)
        except Exception as error:  # noqa: BLE001 - every mistake has the documented form
            problem = problems.of_error(error)
            if problem is None:
                # Only the kind: the text, and that of a trace, may hold a value of a record.
                self.services.log.error("unified", error=type(error).__name__, at=_place(error))  # noqa: TRY400 - a trace too
                problem = Problem(500, "Something went wrong here. It has been logged.")
            answer = told(problem)
        if entrance is not None:
            self._limits(answer, entrance)
        return answer

    def _limits(self, answer: Response, entrance: Entrance) -> None:
        """The state of Capsule's hourly limit (reference/unified-crm.md §1.6): the reset in seconds from now."""
        try:
            name = self.services.capsule(entrance.connection).window.name
            found = next((one for one in self.services.limits.usage() if one.name == name and one.limit), None)
        except WorkerError:  # headers that are only told do not spoil an answer
            return
        if found is not None:
            answer.headers["ratelimit-limit"] = str(found.limit)
            answer.headers["ratelimit-remaining"] = str(max(found.limit - found.used, 0))
            answer.headers["ratelimit-reset"] = str(-(-found.ends_in_ms // 1000))


def mounts(services: Services) -> list[Mount]:
    """The two parts, to be put among the console's routes."""
    desk = Desk(services)
    routes = [Route("/openapi.json", lambda _: answered(document.document()), methods=["GET"])]
    for model in MODELS:
        routes += _of_model(desk, f"/crm/{model}", model)
    routes += _of_model(desk, "/user-directory/users", DIRECTORY)
    through = desk.endpoint(proxy.passed, largest=proxy.MOST_BYTES)
    to_capsule = [Route("/capsule/{connection}/{path:path}", through, methods=["GET", "POST", "PUT", "DELETE"])]
    return [Mount("/unified", app=_application(routes)), Mount("/proxy", app=_application(to_capsule))]


def _of_model(desk: Desk, path: str, model: str) -> list[Route]:
    listed, one = {"GET": _listed(model)}, {"GET": _one(model)}
    if model in WRITABLE:
        listed["POST"] = _created(model)
        one |= {"PATCH": _updated(model), "DELETE": _deleted(model)}
    return [_route(desk, path, listed), _route(desk, f"{path}/{{id}}", one)]


def _route(desk: Desk, path: str, by_method: Mapping[str, Endpoint]) -> Route:
    """One route for all methods of a path, so that a 405 names all of them."""

    def do(there: Desk, request: Request, entrance: Entrance, body: bytes) -> Response:
        return by_method["GET" if request.method == "HEAD" else request.method](there, request, entrance, body)

    return Route(path, desk.endpoint(do), methods=list(by_method))


def _listed(model: str) -> Endpoint:
    def do(desk: Desk, request: Request, entrance: Entrance, _: bytes) -> Response:
        ask = _ask(request, model, listing=True)
        page = desk.reader(entrance).page(model, ask)
        whole = {
            "result": page.records,
            "next_cursor": page.next,
            "prev_cursor": page.previous,
            "result_count": len(page.records),
            "is_partial_response": False,
        }
        return answered(whole)

    return do


def _one(model: str) -> Endpoint:
    def do(desk: Desk, request: Request, entrance: Entrance, _: bytes) -> Response:
        return answered(desk.reader(entrance).get(model, request.path_params["id"], _ask(request, model, listing=False)))

    return do


def _created(model: str) -> Endpoint:
    def do(desk: Desk, request: Request, entrance: Entrance, body: bytes) -> Response:
        ask = _ask(request, model, listing=False)
        return making.create(desk.reader(entrance), model, request, body, ask)

    return do


def _updated(model: str) -> Endpoint:
    def do(desk: Desk, request: Request, entrance: Entrance, body: bytes) -> Response:
        ask = _ask(request, model, listing=False)
        return making.update(desk.reader(entrance), model, request, body, ask)

    return do


def _deleted(model: str) -> Endpoint:
    def do(desk: Desk, request: Request, entrance: Entrance, body: bytes) -> Response:
        _ask(request, model, listing=False)
        return making.delete(desk.reader(entrance), model, request, body)

    return do


def _ask(request: Request, model: str, *, listing: bool) -> queries.Ask:
    known = filters.FILTERS[model]
    dated = [name for name, one in known.items() if one.dated]
    return queries.parse(request.query_params.multi_items(), filters=known, dated=dated, listing=listing)


def _place(error: Exception) -> str:
    """Where an error was raised: `file:line`."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename.rpartition('/')[2]}:{last.lineno}"


def answered(document: Any, status: int = 200) -> Response:  # noqa: ANN401 - JSON
    """A document as an answer."""
    return Response(orjson.dumps(document), status, media_type="application/json")


def told(problem: Problem) -> Response:
    """A problem as an answer."""
    return Response(orjson.dumps(problem.document()), problem.status, problem.headers, media_type="application/json")


async def _body(request: Request, largest: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > largest:
            raise Problem(413, f"The body is larger than {largest} bytes.")
        parts.append(part)
    return b"".join(parts)


def _application(routes: list[Route]) -> Starlette:
    app = Starlette(routes=routes, exception_handlers={HTTPException: _not_served})
    app.router.redirect_slashes = False
    return app


def _not_served(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    answer = told(Problem(status, HTTPStatus(status).description or HTTPStatus(status).phrase))
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer
