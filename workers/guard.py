"""The clock's part in staying connected: tokens are refreshed before they end, hooks are compared, gaps are closed.

Two clocks do it side by side without harm: a refresh, an exchange of hooks and a sync each have a lock for all processes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING, Final

import redis

from mapping.errors import MappingError
from workers.accounts import HOOKS_TROUBLE, owners, sharing
from workers.beat import until_beat
from workers.errors import Misconfigured, QueueAway, WorkerError
from workers.flows import subscribe

if TYPE_CHECKING:
    from workers.services import Services

TOKEN_SECONDS: Final = 1.0
GAP_SECONDS: Final = 5.0
GAP_AGAIN_SECONDS: Final = 60.0  # after a failure: a sync begins by listing what OfficeRnD holds


class HookGuard:
    """Looks after every account that was connected by OAuth. `every_s` is how often its hooks are compared, in seconds."""

    def __init__(self, services: Services, *, every_s: float) -> None:
        self.services = services
        self.every_s = every_s
        self._said = dict.fromkeys(owners(services.connections), "just begun")

    def run(self) -> None:
        """Until the process is to stop. What takes long, closing a gap, has a thread of its own."""
        closing = threading.Thread(target=self._close_gaps, name="gaps", daemon=True)
        closing.start()
        due = 0.0
        while not self.services.stopping.is_set():
            signed_in = [owner for owner in owners(self.services.connections) if self._keep_signed_in(owner)]
            if time.monotonic() >= due:
                for owner in signed_in:
                    self.compare(owner)
                due = time.monotonic() + self.every_s
            self.services.stopping.wait(min(until_beat(TOKEN_SECONDS), self.every_s))

    def _keep_signed_in(self, owner: str) -> bool:
        """Asks for the token, which refreshes it when its time has come, work or not. False without OAuth or a token."""
        try:
            tokens = self.services.oauth(owner)
            if tokens is None:
                return False
            tokens.bearer()
        except (WorkerError, redis.RedisError) as error:
            self._say(owner, "sign-in", error)
            return False
        if self._said.pop(owner, ""):
            self.services.log.info("sign-in", account=owner, state="signed in")
            with contextlib.suppress(QueueAway):
                tokens.resume()
        return True

    def compare(self, owner: str) -> None:
        """One look at the hooks of an account, and the mending."""
        try:
            done = subscribe.ensure(self.services, owner)
        except (WorkerError, redis.RedisError) as error:
            advice = error.advice if isinstance(error, WorkerError) else ""
            self.services.log.warning("hooks", account=owner, error=type(error).__name__, text=str(error), advice=advice)
            with contextlib.suppress(redis.RedisError):
                self.services.redis.hset(HOOKS_TROUBLE, owner, f"{error} {advice}")
            return
        if done.subscribed or done.removed:
            self.services.log.info(
                "hooks", account=owner, subscribed=done.subscribed, removed=len(done.removed), missing=done.missing
            )

    def _close_gaps(self) -> None:
        services = self.services
        again_at: dict[str, float] = {}
        while not services.stopping.wait(min(GAP_SECONDS, self.every_s)):
            for owner in owners(services.connections):
                if time.monotonic() < again_at.get(owner, 0.0):
                    continue
                try:
                    if subscribe.gap_since(services, owner) is None or not services.signed_in(owner):
                        continue
                    opened = subscribe.close_gap(services, owner)
                    services.log.info("gap closed", account=owner, opened=opened)
                except Misconfigured as error:
                    services.log.info("gap", account=owner, text=str(error), action="tried again")
                except (WorkerError, MappingError, redis.RedisError) as error:
                    again_at[owner] = time.monotonic() + GAP_AGAIN_SECONDS
                    services.log.warning("gap", account=owner, error=type(error).__name__, text=str(error), action="tried again")

    def _say(self, owner: str, what: str, error: Exception) -> None:
        """Once for each trouble, not every second."""
        if self._said.get(owner) != str(error):
            self._said[owner] = str(error)
            advice = error.advice if isinstance(error, WorkerError) else ""
            names = [connection.name for connection in sharing(self.services.connections, owner)]
            self.services.log.warning(what, account=owner, connections=names, text=str(error), advice=advice)
