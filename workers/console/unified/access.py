"""Who asks, and through which connection: a bearer token of ours, and never a cookie, so that no page can ask for its reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from workers.console.unified.problems import Problem
from workers.unified_tokens import UnifiedTokens

if TYPE_CHECKING:
    from starlette.requests import Request

    from workers.services import Services
    from workers.unified_tokens import ApiToken

CONNECTION: Final = "x-connection"
PARAMETER: Final = "integrated_account_id"
_HOW: Final = "Send `Authorization: Bearer TOKEN`; `capsule-relay token NAME create` makes one."


@dataclass(frozen=True, slots=True)
class Entrance:
    """One request that may be served: its token, and the connection that it is for."""

    token: ApiToken
    connection: str


class Gate:
    """Lets requests in."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tokens = UnifiedTokens(services.redis, services.vault)

    def enter(self, request: Request, *, named: str = "") -> Entrance:
        """Who asks, and for which connection. `named` is the one that the path names. Waits for Redis.

        Raises:
            Problem: 401 without a good token, 403 for what it may not, 400 where the connection is not clear.
            QueueAway: Redis did not answer.
        """
        kind, _, text = request.headers.get("authorization", "").partition(" ")
        token = self._tokens.find(text.strip()) if kind.lower() == "bearer" else None
        if token is None:
            raise Problem(
                401, f"There is no token that is good. {_HOW}", headers={"WWW-Authenticate": 'Bearer realm="capsule-relay"'}
            )
        if request.method not in ("GET", "HEAD") and not token.may_write:
            raise Problem(403, "This token may only read. Make one with --scope write.")
        return Entrance(token, self._connection(request, token, named))

    def _connection(self, request: Request, token: ApiToken, named: str) -> str:
        asked = {name for name in (named, request.headers.get(CONNECTION, ""), request.query_params.get(PARAMETER, "")) if name}
        if asked - set(token.connections):
            raise Problem(403, "This token does not open that connection.")
        if len(asked) > 1:
            raise Problem(400, f"The path, {CONNECTION} and {PARAMETER} name different connections. Name one.")
        if not asked and len(token.connections) > 1:
            raise Problem(400, f"This token opens several connections. Name one by {CONNECTION} or {PARAMETER}.")
        name = asked.pop() if asked else token.connections[0]
        if name not in self._services.connections:
            raise Problem(404, "This connection is no longer in relay.toml.")
        return name
