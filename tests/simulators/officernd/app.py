"""The routes of OfficeRnD's API v2, and what every request meets before its own rules (reference/officernd.md §2)."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from tests.simulators.control import Control, ControlRefused, control_routes
from tests.simulators.officernd.answers import ALWAYS, Refusal, as_json, empty, no_such_item, unauthorized
from tests.simulators.officernd.control import own_control_routes
from tests.simulators.officernd.limits import LIMITS, THROTTLED, Windows
from tests.simulators.officernd.lists import page, read_query
from tests.simulators.officernd.seed import Account, account_from, furnish, seed
from tests.simulators.officernd.store import RESOURCES, Store
from tests.simulators.officernd.switches import SWITCHES
from tests.simulators.officernd.token import Tokens
from tests.simulators.officernd.writes import Writes
from tests.simulators.stage import SimulatorApp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.applications import Starlette
    from starlette.requests import Request

    from tests.simulators.control import Document

BASE = "/api/v2/organizations/{slug}"
VERBS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
SCOPES = {
    "members": "flex.community.members",
    "companies": "flex.community.companies",
    "opportunities": "flex.community.opportunities",
    "opportunity-statuses": "flex.community.opportunityStatuses",
    "locations": "flex.space.locations",
    "custom-properties": "flex.settings.customProperties",
}
WRITTEN = ("members", "companies", "opportunities")
COUNTED = ("members", "opportunities")
READ_BY_ID = (*WRITTEN, "locations")

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
_BELOW_A_SLUG = re.compile(r"/api/v2/organizations/([^/]*)(/.*)?")
_GATEWAY_TIMEOUT = "<html><head><title>504 Gateway Time-out</title></head><body><h1>504 Gateway Time-out</h1></body></html>"


@dataclass(frozen=True, slots=True)
class Call:
    """One route: its verb and template, the scope it needs, and what it does."""

    verb: str
    template: str
    scope: str
    work: Callable[[Request], Awaitable[Response]]


class Api:
    """The account, its records and its limits, and the answers to requests."""

    def __init__(self, control: Control, account: Account) -> None:
        self._control = control
        self._first_account = account
        self._windows = Windows(control)
        self._store = Store(control)
        self._writes = Writes(self._store, control)
        self.tokens = Tokens(control, self._windows, account)
        self._calls: dict[str, list[Call]] = {}
        for call in self._table():
            self._calls.setdefault(call.template, []).append(call)
        self._begin(account)

    def routes(self) -> list[Route]:
        """The vendor's routes and the control's."""
        token = Route("/oauth/token", self.tokens.answer, methods=["POST"])
        own = [Route(BASE + template, self._endpoint(calls), methods=VERBS) for template, calls in self._calls.items()]
        shared = control_routes(self._control, reset=self.reset, state=self.state, seed=lambda given: seed(self._store, given))
        mine = own_control_routes(self._store, end_tokens=self.tokens.expire_all, set_application=self.set_application)
        return [token, *own, *shared, *mine]

    def reset(self, options: Document) -> object:
        """Begin again with the account of `build`, changed by `options`. Raises ControlRefused for an unknown one."""
        first = self._first_account
        given = account_from({**{name: getattr(first, name) for name in first.__slots__}, **options})
        self.tokens.expire_all()
        self._windows.clear()
        self._store.clear()
        self._begin(given)
        return "done"

    def state(self) -> object:
        """Every record, and the statuses set by hand."""
        shown = {name: [self._store.shown(name, row) for row in self._store[name].all()] for name in RESOURCES}
        return {**shown, "manual_statuses": self._store.manual}

    def set_application(self, order: Mapping[str, Any]) -> object:
        """Change what the application is: its scopes or its credentials. Tokens that were given keep their scopes."""
        allowed = {"scopes", "client_id", "client_secret"}
        if not set(order) <= allowed:
            raise ControlRefused(f"an application has {', '.join(sorted(allowed))}")
        values: dict[str, Any] = {name: frozenset(value) if name == "scopes" else value for name, value in order.items()}
        self.tokens.account = replace(self.tokens.account, **values)
        return {"scopes": sorted(self.tokens.account.scopes)}

    async def nothing_here(self, request: Request, _problem: Exception) -> Response:
        """The answer where no route is."""
        found = _BELOW_A_SLUG.fullmatch(request.url.path)
        if found is None:
            return Refusal(404, f"Cannot {request.method} {request.url.path}").answer(ALWAYS)
        return await self._answer(request, found[1], [])

    def _begin(self, account: Account) -> None:
        """Set up an account in an empty store."""
        self.tokens.account = account
        raised = {name: value * account.limit_factor for name, value in LIMITS.items() if not name.endswith("_seconds")}
        self._control.set_limits({**raised, **account.limits})
        self._control.set_switches(account.switches)
        furnish(self._store, account)

    def _endpoint(self, calls: list[Call]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await self._answer(request, request.path_params["slug"], calls)

        return answer

    async def _answer(self, request: Request, slug: str, calls: list[Call]) -> Response:
        """Slug, limits, token, organisation, verb, scope, and then the route's own work."""
        if slug and _SLUG.fullmatch(slug) is None:
            return Response(status_code=302, headers={**ALWAYS, "Location": "/login"})
        admitted, headers = self._windows.count(request.method)
        if not admitted:
            return as_json(THROTTLED, status=429, headers=headers)
        try:
            response = await self._call(request, slug, calls).work(request)
        except Refusal as refusal:
            return refusal.answer(headers)
        response.headers.update(headers)
        return response

    def _call(self, request: Request, slug: str, calls: list[Call]) -> Call:
        """The route's work that a request may have done. Raises Refusal for a request that may not."""
        scopes = self.tokens.scopes(request.headers.get("authorization", ""))
        if scopes is None or not slug:
            raise unauthorized()
        if slug != self.tokens.account.slug:
            raise Refusal(500, "Organization not found")
        call = next((call for call in calls if call.verb == request.method and self._has_verb(call)), None)
        if call is None:
            raise Refusal(404, f"Cannot {request.method} {request.url.path}")
        if call.scope not in scopes:
            raise unauthorized()
        return call

    def _has_verb(self, call: Call) -> bool:
        """Whether the verb exists as the switches `status_verb` and `company_verb` stand."""
        part = call.template.rpartition("/")[2]
        return part not in {"status", "company"} or self._control.switches[f"{part}_verb"] in {"both", call.verb.lower()}

    def _table(self) -> list[Call]:
        """Every route; `/count` stands before `/{id}`."""
        table = [Call("GET", f"/{name}", f"{SCOPES[name]}.read", self._listing(name)) for name in RESOURCES]
        table += [Call("GET", f"/{name}/count", f"{SCOPES[name]}.read", self._counting(name)) for name in COUNTED]
        table += [Call("GET", f"/{name}/{{id}}", f"{SCOPES[name]}.read", self._reading(name)) for name in READ_BY_ID]
        for name in WRITTEN:
            table.append(Call("POST", f"/{name}", f"{SCOPES[name]}.create", self._creating(name)))
            table.append(Call("PUT", f"/{name}/{{id}}", f"{SCOPES[name]}.update", self._updating(name)))
            table.append(Call("DELETE", f"/{name}/{{id}}", f"{SCOPES[name]}.delete", self._deleting(name)))
        for verb in ("PUT", "PATCH"):
            table.append(Call(verb, "/members/{id}/status", f"{SCOPES['members']}.update", self._set_status))
            table.append(Call(verb, "/members/{id}/company", f"{SCOPES['members']}.update", self._set_company))
        return table

    def _listing(self, resource: str) -> Callable[[Request], Awaitable[Response]]:
        async def work(request: Request) -> Response:
            query = read_query(self._store, self._control, resource, request.url.query)
            if query.onward is not None and query.back is not None:
                await asyncio.sleep(self._control.limits["hang_seconds"])
                return HTMLResponse(_GATEWAY_TIMEOUT, status_code=504, headers=ALWAYS)
            return as_json(page(self._store, self._control, resource, query))

        return work

    def _counting(self, resource: str) -> Callable[[Request], Awaitable[Response]]:
        async def work(_request: Request) -> Response:
            return as_json({"total": len(self._store[resource].ids)})

        return work

    def _reading(self, resource: str) -> Callable[[Request], Awaitable[Response]]:
        async def work(request: Request) -> Response:
            identity = request.path_params["id"]
            row = self._store[resource].rows.get(identity)
            if row is None:
                raise no_such_item(identity)
            shown = dict(self._store.shown(resource, row))
            if not shown.get("properties"):
                shown.pop("properties", None)
            return as_json(shown)

        return work

    def _creating(self, resource: str) -> Callable[[Request], Awaitable[Response]]:
        async def work(request: Request) -> Response:
            return as_json(self._writes.create(resource, await _body(request)), status=201)

        return work

    def _updating(self, resource: str) -> Callable[[Request], Awaitable[Response]]:
        async def work(request: Request) -> Response:
            return as_json(self._writes.update(resource, request.path_params["id"], await _body(request)))

        return work

    def _deleting(self, resource: str) -> Callable[[Request], Awaitable[Response]]:
        async def work(request: Request) -> Response:
            return as_json(self._writes.delete(resource, request.path_params["id"]))

        return work

    async def _set_status(self, request: Request) -> Response:
        self._writes.set_status(request.path_params["id"], await _body(request))
        return empty()

    async def _set_company(self, request: Request) -> Response:
        return as_json(self._writes.set_company(request.path_params["id"], await _body(request)))


async def _body(request: Request) -> object:
    """The body of a write. Without the JSON content type it is not parsed (§1.2). Raises a 400 for malformed JSON."""
    content = await request.body()
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json" or not content:
        return {}
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as problem:
        raise Refusal(400, f"Unexpected token in JSON at position {problem.pos}") from problem
    if not isinstance(document, dict | list):
        raise Refusal(400, "Unexpected token in JSON at position 0")
    return document


def build(**options: Any) -> Starlette:
    """The simulator. `options` are those of `seed.Account`, among them slug, client_id, client_secret and limit_factor.

    Raises:
        ControlRefused: an option, a switch or a limit that does not exist.
    """
    control = Control(switches=SWITCHES, limits=LIMITS)
    api = Api(control, account_from(options))
    control.expire = api.tokens.expire
    app = SimulatorApp(
        control=control,
        base=BASE,
        routes=api.routes(),
        exception_handlers={404: api.nothing_here, 405: api.nothing_here},
    )
    app.router.redirect_slashes = False
    return app
