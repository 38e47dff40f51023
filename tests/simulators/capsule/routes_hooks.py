"""The paths of REST hooks (reference/capsule.md §1.2, §1.3): only for an administrator, through a registered application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from tests.simulators.capsule.calls import BASE, Call, Desk, no_content
from tests.simulators.capsule.errors import NotFound, Refusal
from tests.simulators.control import Json

if TYPE_CHECKING:
    from starlette.responses import Response

    from tests.simulators.capsule.hooks import Hook


def hook_routes(desk: Desk) -> list[Route]:
    """List, show, subscribe, unsubscribe. There is no update, no test delivery and no list of past deliveries."""
    return [
        Route(f"{BASE}/resthooks", desk.endpoint(list_hooks), methods=["GET"]),
        Route(f"{BASE}/resthooks", desk.endpoint(subscribe, scope="write"), methods=["POST"]),
        Route(f"{BASE}/resthooks/{{id}}", desk.endpoint(show), methods=["GET"]),
        Route(f"{BASE}/resthooks/{{id}}", desk.endpoint(unsubscribe, scope="write"), methods=["DELETE"]),
    ]


def list_hooks(call: Call) -> Response:
    """The hooks that this application subscribed, and no other's."""
    client = application(call)
    hooks = call.desk.hooks
    return Json({"restHooks": [hooks.document(hook) for hook in hooks.hooks.values() if hook.client == client]})


def show(call: Call) -> Response:
    """One hook of this application."""
    return Json({"restHook": call.desk.hooks.document(_own(call))})


def subscribe(call: Call) -> Response:
    """201. No verification request goes to the URL."""
    client = application(call)
    hook = call.desk.hooks.subscribe(call.wrapped("restHook"), client=client, user=call.token.user)
    return call.created(f"resthooks/{hook.id}", {"restHook": call.desk.hooks.document(hook)})


def unsubscribe(call: Call) -> Response:
    """204; events stop at once."""
    call.desk.hooks.unsubscribe(_own(call).id)
    return no_content()


def application(call: Call) -> str:
    """The application that calls. Raises the refusal of a personal token, or of a user without the Administrator role."""
    if call.token.application is None:
        status = int(call.desk.control.switches["pat_hooks"])
        said = {"WWW-Authenticate": 'Bearer realm="Capsule", error="insufficient_scope"'}
        raise Refusal(status, {"message": "REST hooks can only be managed by a registered application"}, said)
    call.need_administrator()
    return call.token.application


def _own(call: Call) -> Hook:
    """A hook of this application. Raises NotFound for another's."""
    client = application(call)
    hook = call.desk.hooks.hooks.get(call.number("id"))
    if hook is None or hook.client != client:
        raise NotFound("restHook")
    return hook
