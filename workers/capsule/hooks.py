"""Manages REST hooks at Capsule: list, subscribe, unsubscribe (reference/capsule.md §1.2, §1.3).

Only a registered application may, with an administrator's token. Each call takes a slot of the account's hourly window.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from mapping.hooks import MOST_HOOKS, Hook
from workers.answers import NotJson
from workers.capsule import wire
from workers.errors import CredentialsRefused, Misconfigured, NoAnswer, RateLimited, Refused, SystemDown
from workers.limits import Window

if TYPE_CHECKING:
    from workers.answers import Answer
    from workers.http import Http
    from workers.limits import Limits
    from workers.tokens import Tokens

NEEDS_OAUTH: Final = (
    'Capsule lets only an administrator manage hooks, through a registered application: set capsule.auth = "oauth" and run '
    "`capsule-relay connect`, as a user with the Administrator role."
)
FULL: Final = (
    f"A Capsule account has at most {MOST_HOOKS} hooks, those of other integrations included, which we cannot see: remove an "
    "integration that is not needed (in Capsule: Account Settings, Integrations), then run `capsule-relay hooks NAME ensure`."
)
MAX_WAIT_MS: Final = 30_000


class RestHooks:
    """The hooks of one account, as our application sees them."""

    def __init__(
        self, account: str, http: Http, limits: Limits, tokens: Tokens, *, api_url: str, deadline_s: float = 10.0
    ) -> None:
        self._http = http
        self._limits = limits
        self._tokens = tokens
        self._api_url = api_url
        self._deadline_s = deadline_s
        self._window = Window(f"{wire.SYSTEM}:{account}", wire.HOURLY, wire.HOUR_MS)

    def list(self) -> tuple[Hook, ...]:
        """The hooks that our application subscribed.

        Raises:
            Misconfigured: we may not manage hooks; the advice says what is needed.
            Temporary: Capsule did not answer, or its limit is used up.
        """
        document = self._call("GET", "/resthooks", route="GET /resthooks", good=(200,))
        found = document.get("restHooks") if isinstance(document, dict) else None
        if not isinstance(found, list):
            raise SystemDown("capsule: GET /resthooks: there is no list of hooks in the answer", system=wire.SYSTEM)
        return tuple(hook for hook in map(_hook, found) if hook is not None)

    def subscribe(self, event: str, url: str, *, embed: str = "") -> int:
        """Subscribes; the new hook's id. No request goes to `url` because of it.

        Raises:
            Refused: Capsule does not take it, most likely because the account has 20 hooks already. Otherwise as `list`.
        """
        wanted = {"event": event, "targetUrl": url, "description": "Capsule Relay"} | ({"embed": embed} if embed else {})
        document = self._call("POST", "/resthooks", route="POST /resthooks", good=(200, 201), body={"restHook": wanted})
        hook = document.get("restHook") if isinstance(document, dict) else None
        number = hook.get("id") if isinstance(hook, dict) else None
        if isinstance(number, bool) or not isinstance(number, int):
            raise NoAnswer("capsule: POST /resthooks: there is no hook in the answer", system=wire.SYSTEM)
        return number

    def unsubscribe(self, number: int) -> None:
        """Takes a hook away; one that is gone already is no mistake. Raises as `list`."""
        self._call("DELETE", f"/resthooks/{number:d}", route="DELETE /resthooks/{id}", good=(200, 204, 404))

    def _call(self, method: str, path: str, *, route: str, good: tuple[int, ...], body: object = None) -> Any:  # noqa: ANN401
        self._limits.acquire(
            (self._window,), lane="live", system=wire.SYSTEM, max_wait_ms=MAX_WAIT_MS, alive=_nothing, alive_every_s=1.0
        )
        for _ in range(2):
            token = self._tokens.bearer()
            answer = self._http.request(
                method,
                self._api_url + path,
                system=wire.SYSTEM,
                route=route,
                headers={"Authorization": f"Bearer {token}"},
                json=orjson.dumps(body) if body is not None else None,
                deadline_s=self._deadline_s,
            )
            if answer.status != 401 or not self._tokens.refused(token):  # noqa: PLR2004 - "unauthorised"
                return _understood(answer, route=route, good=good)
        raise CredentialsRefused(f"capsule: {route}: 401", system=wire.SYSTEM, status=401)


def _nothing() -> None:
    """No lease is held while hooks are managed."""


def _understood(answer: Answer, *, route: str, good: tuple[int, ...]) -> Any:  # noqa: ANN401 - JSON, narrowed by the caller
    status, where = answer.status, f"capsule: {route}: {answer.status}"
    if status in good:
        try:
            return answer.json() if status in (200, 201) and answer.body else None
        except NotJson as error:
            raise NoAnswer(f"{where}: {error}", system=wire.SYSTEM, status=status) from None
    if status == 403:  # noqa: PLR2004 - "forbidden"
        raise Misconfigured(f"{where}: we may not manage hooks", advice=NEEDS_OAUTH, system=wire.SYSTEM, status=status)
    if status == 401:  # noqa: PLR2004 - "unauthorised"
        raise CredentialsRefused(where, system=wire.SYSTEM, status=status)
    if status == 429:  # noqa: PLR2004 - "too many requests"
        raise RateLimited(where, wait_ms=wire.wait_ms(answer.headers), system=wire.SYSTEM, status=status)
    if status == 422 and route.startswith("POST"):  # noqa: PLR2004 - "unprocessable": §1.3, the likely answer at the limit
        raise Refused(f"{where}: Capsule refuses another hook", advice=FULL, system=wire.SYSTEM, status=status, route=route)
    if 400 <= status < 500 and status not in (408, 425):  # noqa: PLR2004 - every other refusal
        raise Refused(where, system=wire.SYSTEM, status=status, answer=answer.excerpt(), method=route, route=route)
    raise SystemDown(where, system=wire.SYSTEM, status=status)


def _hook(found: object) -> Hook | None:
    """A hook of the list; all but id, event and address may be absent (§1.1)."""
    if not isinstance(found, dict):
        return None
    number, event, url, embed = found.get("id"), found.get("event"), found.get("targetUrl"), found.get("embed")
    if isinstance(number, bool) or not isinstance(number, int) or not isinstance(event, str) or not isinstance(url, str):
        return None
    return Hook(number, event, url, embed if isinstance(embed, str) else "")
