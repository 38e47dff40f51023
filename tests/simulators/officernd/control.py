"""The routes under `/_control/` that only this simulator has.

POST   /_control/edit               {"resource", "id" or "ids", "fields"}: an edit by staff by hand
POST   /_control/remove             {"resource", "id"}: a record taken away by staff
POST   /_control/custom-properties  one or a list of {"key", "type", "targets"}; DELETE with {"key"}
POST   /_control/statuses           one or a list of {"description", "probability"}; DELETE with {"id"}
POST   /_control/locations          one or a list of {"name"}; DELETE with {"id"}
DELETE /_control/tokens             every token ends now
POST   /_control/application        {"scopes", "client_id", "client_secret"}: what the application is from now on
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Route

from tests.simulators.control import ControlRefused, guarded, read_json
from tests.simulators.officernd.seed import edit, remove, seed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from tests.simulators.officernd.store import Store


def own_control_routes(
    store: Store, *, end_tokens: Callable[[], int], set_application: Callable[[Mapping[str, Any]], object]
) -> list[Route]:
    """The routes named above."""

    def settings(path: str, resource: str, key: str) -> Route:
        async def change(request: Request) -> object:
            return _change(store, resource, key, request.method, await read_json(request))

        return Route(f"/_control/{path}", guarded(change), methods=["GET", "POST", "DELETE"])

    async def do_edit(request: Request) -> object:
        return edit(store, await read_json(request))

    async def do_remove(request: Request) -> object:
        return remove(store, await read_json(request))

    async def do_end_tokens(_request: Request) -> object:
        return {"ended": end_tokens()}

    async def do_application(request: Request) -> object:
        return set_application(await read_json(request))

    return [
        Route("/_control/edit", guarded(do_edit), methods=["POST"]),
        Route("/_control/remove", guarded(do_remove), methods=["POST"]),
        settings("custom-properties", "custom-properties", "key"),
        settings("statuses", "opportunity-statuses", "_id"),
        settings("locations", "locations", "_id"),
        Route("/_control/tokens", guarded(do_end_tokens), methods=["DELETE"]),
        Route("/_control/application", guarded(do_application), methods=["POST"]),
    ]


def _change(store: Store, resource: str, key: str, method: str, content: Any) -> object:
    """Read, add to or take from one list that staff keep in the settings of the portal. Returns the list."""
    if method == "POST":
        seed(store, {resource: content if isinstance(content, list) else [content]})
    elif method == "DELETE":
        found = [row["_id"] for row in store[resource].all() if row[key] == content.get(key.lstrip("_"))]
        if not found:
            raise ControlRefused(f"no such record: {resource} {content}")
        for identity in found:
            store.remove(resource, identity)
    return {resource: list(store[resource].all())}
