"""Sends signed messages to a product's address, and says what its answers mean (reference/unified-crm.md §7, delivery)."""

from __future__ import annotations

import datetime as dt
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import orjson

from mapping.unified import deliveries
from workers.errors import CredentialsRefused, NoAnswer, RateLimited, Refused, Stopped, SystemDown
from workers.limits import Window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mapping.unified.deliveries import Message
    from workers.answers import Answer
    from workers.http import Http
    from workers.limits import Limits

SYSTEM: Final = "unified"
HOUR_MS: Final = 3_600_000
UNKNOWN_WAIT_MS: Final = 30_000
# What the message itself is refused for. Everything else may be the address, a deployment or a gateway, and passes.
REFUSALS: Final = frozenset({400, 413, 414, 415, 422})


def _now() -> float:
    return time.time()


class Product:
    """The address of one connection's product. One per process, shared by its threads.

    `secrets` sign each message, newest first; `public_only` refuses addresses that are not on the public internet.
    """

    def __init__(
        self,
        connection: str,
        http: Http,
        limits: Limits,
        *,
        url: str,
        secrets: Sequence[str],
        public_only: bool,
        deadline_s: float = 10.0,
        now: Callable[[], float] = _now,
    ) -> None:
        self.connection = connection
        # How much it takes is not known: nothing is held back until it says that it is too much.
        self.window = Window(f"{SYSTEM}:{connection}", 0, HOUR_MS)
        self._http = http
        self._limits = limits
        self._url = url
        self._secrets = tuple(secrets)
        self._public_only = public_only
        self._deadline_s = deadline_s
        self._now = now

    def room(self, lane: str) -> int:
        """0, or the ms until it takes messages again."""
        return self._limits.room((self.window,), lane=lane)

    def reserve(self, lane: str) -> int:
        """0 when a message may go now, else the ms after which to ask again."""
        return self._limits.reserve((self.window,), lane=lane)

    def deliver(self, message: Message, *, before_send: Callable[[], None]) -> None:
        """Sends one message once. `before_send` is called right before.

        Raises:
            NoAnswer: it may have been taken: no answer came, or 5xx.
            RateLimited: 429, or 503 that says when to come again.
            CredentialsRefused: 401 or 403: the signature is not accepted.
            Stopped: 410: it wants no more.
            Refused: it refuses this message (400, 413, 414, 415, 422).
            SystemDown: nothing was sent, or the answer is none of a receiver (3xx, 404, ...).
        """
        seconds = self._now()
        when = dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = orjson.dumps(deliveries.document(message, timestamp=when))
        number = deliveries.message_id(self.connection, message)
        route = f"POST {message.type}"
        before_send()
        answer = self._http.request(
            "POST",
            self._url,
            system=SYSTEM,
            route=route,
            headers=deliveries.headers(self._secrets, number, int(seconds), body),
            json=body,
            deadline_s=self._deadline_s,
            public_only=self._public_only,
        )
        try:
            decipher(answer, route=route, body=body, now=seconds)
        except RateLimited as error:
            self._limits.exhausted(self.window, error.wait_ms)
            raise


def decipher(answer: Answer, *, route: str, body: bytes, now: float) -> None:
    """What an answer means. Raises as `Product.deliver`; 2xx is success, whatever the body says."""
    status = answer.status
    where = f"{SYSTEM}: {route}: {status}"
    if 200 <= status < 300:  # noqa: PLR2004 - every success
        return
    told = retry_after_ms(answer.headers, now)
    if status == 429 or (status == 503 and told is not None):  # noqa: PLR2004 - "too many requests", "unavailable until"
        raise RateLimited(f"{where}: it asks us to wait", wait_ms=told or UNKNOWN_WAIT_MS, system=SYSTEM, status=status)
    if status == 410:  # noqa: PLR2004 - "gone"
        raise Stopped(f"{where}: the product wants no more messages", system=SYSTEM, status=status)
    if status in (401, 403):
        advice = "Compare RELAY_<NAME>_WEBHOOK_SECRETS with the product's secret; work resumes by itself once it is accepted."
        raise CredentialsRefused(where, system=SYSTEM, status=status, answer=answer.excerpt(), advice=advice)
    if status in REFUSALS:
        raise Refused(where, system=SYSTEM, status=status, answer=answer.excerpt(), method="POST", route=route, body=body)
    if status >= 500 or status in (408, 409, 425):  # noqa: PLR2004 - every failure of a server
        # A receiver of which nothing is known may have kept the message before it failed.
        raise NoAnswer(where, system=SYSTEM, status=status, answer=answer.excerpt())
    raise SystemDown(f"{where}: that is no receiver of messages", system=SYSTEM, status=status, answer=answer.excerpt())


def retry_after_ms(headers: Mapping[str, str], now: float) -> int | None:
    """How long `Retry-After` asks us to wait, in ms: at least a second, at most an hour; None when it says nothing usable."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        seconds = float(min(int(text), HOUR_MS // 1000)) if len(text) < 10 else HOUR_MS / 1000  # noqa: PLR2004 - longer is too long
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, TypeError):
            return None
    return min(max(round(seconds * 1000), 1000), HOUR_MS)
