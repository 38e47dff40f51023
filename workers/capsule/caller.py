"""One call to Capsule on behalf of a product: any method, the account's budget and token, and Capsule's own answer.

Unlike `client`, which turns a refusal into one of our errors, this hands the answer out as it came, since the product is to
read it. A GET, and a POST that only reads, are tried again after a failure that a moment may mend; a write never is: Capsule has
no idempotency key (reference/capsule.md §3.2).
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from workers.capsule import wire
from workers.errors import CredentialsRefused, NoAnswer, QueueAway, RateLimited, SystemDown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.answers import Answer
    from workers.http import Http
    from workers.limits import Limits, Window
    from workers.tokens import Tokens

PATIENCE_MS: Final = 2_000  # a product waits itself rather than hold a connection open
TRIES: Final = 3
PAUSE_S: Final = 0.2
STEP_S: Final = 0.25
UNAUTHORISED: Final = 401
TOO_MANY: Final = 429
PASSING: Final = frozenset({408, 425, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Call:
    """What to ask. `route` is the template that a log or metric may name, `query` is in its order; `body` is JSON.

    `reads` says that the call changes nothing, whatever its method, so that it may be repeated.
    """

    method: str
    path: str
    route: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    reads: bool = False
    lane: str = "live"


class Caller:
    """Calls one account. Cheap to make; `window` is the account's hourly limit, shared with everything else."""

    def __init__(
        self, http: Http, limits: Limits, tokens: Tokens, *, api_url: str, window: Window, deadline_s: float = 10.0
    ) -> None:
        self.window = window
        self._http = http
        self._limits = limits
        self._tokens = tokens
        self._api_url = api_url.rstrip("/")
        self._deadline_s = deadline_s

    def ask(self, call: Call) -> Answer:
        """The answer, whatever its status but 401 and 429.

        Raises:
            RateLimited: our window or Capsule's is used up; nothing was done.
            CredentialsRefused: Capsule refuses our token, or nobody is signed in.
            SystemDown: nothing was sent, or (for a read) it failed several times.
            NoAnswer: it was sent and the answer is unknown: a write may have had its effect.
            QueueAway: Redis did not answer.
        """
        trouble: NoAnswer | SystemDown | None = None
        for number in range(TRIES if call.reads else 1):
            if number:
                time.sleep(PAUSE_S * number)
            self._limits.acquire(
                (self.window,),
                lane=call.lane,
                system=wire.SYSTEM,
                max_wait_ms=PATIENCE_MS,
                alive=_nothing,
                alive_every_s=STEP_S,
            )
            try:
                answer = self._send(call)
            except (NoAnswer, SystemDown) as error:
                trouble = error
                continue
            if answer.status not in PASSING or number == TRIES - 1 or not call.reads:
                return answer
        raise trouble or SystemDown(f"{wire.SYSTEM}: {call.route}: not called", system=wire.SYSTEM)

    def _send(self, call: Call) -> Answer:
        """One call, and a second with a new token after a 401: a call that is refused so has had no effect."""
        url = self._api_url + call.path + (f"?{urlencode(call.query)}" if call.query else "")
        for _ in range(2):
            token = self._tokens.bearer()
            answer = self._http.request(
                call.method,
                url,
                system=wire.SYSTEM,
                route=call.route,
                headers={"Authorization": f"Bearer {token}"},
                json=call.body,
                deadline_s=self._deadline_s,
            )
            self._learn(answer.headers)
            if answer.status == TOO_MANY:
                wait_ms = wire.wait_ms(answer.headers)
                with contextlib.suppress(QueueAway):
                    self._limits.exhausted(self.window, wait_ms)
                where = f"{wire.SYSTEM}: {call.route}: {answer.status}: the hour's calls are used up"
                raise RateLimited(where, wait_ms=wait_ms, system=wire.SYSTEM, status=answer.status)
            if answer.status != UNAUTHORISED:
                return answer
            if not self._tokens.refused(token):
                break
        raise CredentialsRefused(f"{wire.SYSTEM}: {call.route}: 401", system=wire.SYSTEM, status=UNAUTHORISED)

    def _learn(self, headers: Mapping[str, str]) -> None:
        seen = wire.observation(headers, self.window.name)
        if seen is not None:
            # The answer counts for more than the counter.
            with contextlib.suppress(QueueAway):
                self._limits.learn((self.window,), (seen,))


def _nothing() -> None:
    """No lease is held for a product's call."""
