"""Reads and writes, counted apart for a minute and for a day (reference/officernd.md §2.8).

The numbers and the lengths of the windows are limits of `Control`, read at each request, so that a change holds at once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulators.control import Control, Number

LIMITS: dict[str, Number] = {
    "read_minute": 400,
    "write_minute": 100,
    "read_day": 20_000,
    "write_day": 5_000,
    "minute_seconds": 60,
    "day_seconds": 86_400,
    "token_minute": 5,
    "token_seconds": 3_600,
    "hang_seconds": 10,
}
"""Requests per window, lengths of the windows, life of a token and the hang before a 504, in seconds."""

THROTTLED = {"statusCode": 429, "message": "ThrottlerException: Too Many Requests"}


class Windows:
    """Fixed windows that begin with the first request that they count. A refused request is not counted."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._windows: dict[str, tuple[float, int]] = {}

    def clear(self) -> None:
        """Begin every window anew."""
        self._windows.clear()

    def count(self, method: str) -> tuple[bool, dict[str, str]]:
        """Count a request to the API. Returns whether it may go on, and the headers that its answer carries."""
        kind = "read" if method in {"GET", "HEAD", "OPTIONS"} else "write"
        states = {name: self._state(name, span) for name, span in ((f"{kind}_minute", "minute"), (f"{kind}_day", "day"))}
        limits = self._control.limits
        full = [name for name, (_, used) in states.items() if used >= limits[name]]
        if not full:
            states = {name: (began, used + 1) for name, (began, used) in states.items()}
            self._windows.update(states)
        headers: dict[str, str] = {}
        for name, (began, used) in states.items():
            suffix = name.replace("_", "-")
            headers[f"x-ratelimit-limit-{suffix}"] = str(int(limits[name]))
            headers[f"x-ratelimit-remaining-{suffix}"] = str(max(int(limits[name]) - used, 0))
            headers[f"x-ratelimit-reset-{suffix}"] = str(self._reset(began, self._length(name)))
        return not full, headers | self._retry_after(full, states)

    def count_token(self) -> tuple[bool, dict[str, str]]:
        """Count a request to the token endpoint, refused ones too (§1.1)."""
        began, used = self._state("token_minute", "minute")
        if used >= self._control.limits["token_minute"]:
            seconds = self._left(began, self._length("token_minute"))
            return False, {"Retry-After": str(seconds)} if self._control.switches["token_retry_after"] == "plain" else {}
        self._windows["token_minute"] = (began, used + 1)
        return True, {}

    def _length(self, name: str) -> float:
        return self._control.limits[f"{name.partition('_')[2]}_seconds"]

    def _state(self, name: str, span: str) -> tuple[float, int]:
        """When the window of this name began and how many requests it has seen; a new one when the last is over."""
        now = self._control.now()
        began, used = self._windows.get(name, (now, 0))
        if now >= began + self._control.limits[f"{span}_seconds"]:
            return now, 0
        return began, used

    def _left(self, began: float, length: float) -> int:
        """Whole seconds until a window ends, at least one."""
        return max(math.ceil(began + length - self._control.now()), 1)

    def _reset(self, began: float, length: float) -> int:
        if self._control.switches["ratelimit_reset"] == "epoch":
            return math.ceil(began + length)
        return self._left(began, length)

    def _retry_after(self, full: list[str], states: dict[str, tuple[float, int]]) -> dict[str, str]:
        """The headers of a 429 that say when to come again, as the switch `retry_after` has them."""
        waits = {name: self._left(states[name][0], self._length(name)) for name in full}
        form = self._control.switches["retry_after"]
        if not waits or form == "none":
            return {}
        if form == "plain":
            return {"Retry-After": str(max(waits.values()))}
        return {f"Retry-After-{name.replace('_', '-')}": str(seconds) for name, seconds in waits.items()}
