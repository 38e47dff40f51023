"""The rate limit (reference/capsule.md §3.1): so many requests an hour per user, in a fixed window with a reset time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from tests.simulators.capsule.errors import Refusal

if TYPE_CHECKING:
    from tests.simulators.control import Control


class RateLimit:
    """Counts each user's requests. A user's window begins with the first request after the last one ended."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._windows: dict[int, tuple[float, int]] = {}

    def clear(self) -> None:
        """Begin anew."""
        self._windows.clear()

    def take(self, user: int) -> dict[str, str]:
        """Count a request and return its headers. Raises the 429, with the same headers and no Retry-After."""
        now = self._control.now()
        ends, used = self._windows.get(user, (0.0, 0))
        if now >= ends:
            ends, used = math.ceil(now) + float(self._control.limits["window_seconds"]), 0
        limit = int(self._control.limits["requests_per_hour"])
        used += 1
        self._windows[user] = (ends, used)
        headers = {
            "X-RateLimit-Limit": str(limit),
            "X-RateLimit-Remaining": str(max(0, limit - used)),
            "X-RateLimit-Reset": str(int(ends)),
        }
        if used > limit:
            raise Refusal(429, {"error": "rate limit reached"}, headers)
        return headers
