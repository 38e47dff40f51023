"""Makes the simulator of Capsule CRM."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from tests.simulators.capsule.account import PLURALS, Account
from tests.simulators.capsule.calls import BASE, Desk
from tests.simulators.capsule.errors import COULD_NOT_FIND
from tests.simulators.capsule.oauth import DEFAULT_SCOPE, Token
from tests.simulators.capsule.routes_control import CapsuleControl
from tests.simulators.capsule.routes_definitions import definition_routes
from tests.simulators.capsule.routes_hooks import hook_routes
from tests.simulators.capsule.routes_oauth import oauth_routes
from tests.simulators.capsule.routes_records import RecordRoutes
from tests.simulators.capsule.routes_reference import reference_routes
from tests.simulators.capsule.routes_related import related_routes
from tests.simulators.capsule.seed import furnish, grow
from tests.simulators.capsule.switches import LIMITS, SWITCHES
from tests.simulators.control import Control, Document, Json, control_routes
from tests.simulators.stage import SimulatorApp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response


def build(
    *,
    token: str = "capsule-token",
    limit: int = 4_000,
    time_scale: float = 1.0,
    subdomain: str = "exampleco",
    client_id: str = "capsule-client",
    client_secret: str = "capsule-secret",
    seed_organisations: int = 0,
    seed_people: int = 0,
    seed_opportunities: int = 0,
    seed_tags: str = "",
    seed: int = 1,
) -> Starlette:
    """A simulated account with one personal access token, one registered application, and the seeded records.

    `limit` is in requests an hour per user; `time_scale` multiplies the waits between delivery attempts; `seed_tags` is a
    comma list. `POST /_control/reset` makes the account anew with the same options; with a body, that is what is seeded.
    """
    control = Control(switches=SWITCHES, limits={**LIMITS, "requests_per_hour": limit, "time_scale": time_scale})
    account = Account(control)
    user = furnish(account)
    desk = Desk(account, subdomain=subdomain, user=user)
    doors = CapsuleControl(desk, client_id=client_id, user=user)
    first: Document = {
        "organisations": seed_organisations,
        "people": seed_people,
        "opportunities": seed_opportunities,
        "tags": [name.strip() for name in seed_tags.split(",") if name.strip()],
        "seed": seed,
    }

    def plant(wanted: Document) -> Document:
        return dict(grow(account, wanted, user))

    def reset(options: Document) -> Document:
        account.clear()
        furnish(account)
        desk.hooks.clear()
        desk.limit.clear()
        desk.tokens.clear()
        desk.tokens.applications[client_id] = client_secret
        desk.tokens.tokens[token] = Token(token, user, DEFAULT_SCOPE)
        return plant(options or first)

    control.expire = desk.tokens.expire
    account.listener = desk.hooks.notice
    reset({})

    @contextlib.asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[None]:
        yield
        await desk.hooks.close()

    return SimulatorApp(
        control=control,
        base=BASE,
        routes=[
            *definition_routes(desk),
            *(route for kind in PLURALS for route in RecordRoutes(kind).routes(desk)),
            *related_routes(desk),
            *reference_routes(desk),
            *hook_routes(desk),
            *oauth_routes(desk),
            *doors.routes(),
            *control_routes(control, reset=reset, state=doors.state, seed=plant),
        ],
        lifespan=lifespan,
        exception_handlers={404: _not_found, 405: _not_allowed},
    )


async def _not_found(_request: Request, _error: Any) -> Response:
    """A path that does not exist (§3.10)."""
    return Json({"message": COULD_NOT_FIND}, status_code=404)


async def _not_allowed(_request: Request, _error: Any) -> Response:
    """A method that a path does not have (§3.10)."""
    return Json({"message": "Method not allowed"}, status_code=405)
