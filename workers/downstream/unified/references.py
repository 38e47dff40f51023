"""What records of an account refer to: custom fields, milestones, stages of boards, users. Kept for an hour in each process.

One that a record names and that is not known is asked for at once, but at most once a minute: it was made since.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

from mapping.unified import definitions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mapping.unified.parts import Definitions
    from workers.downstream.port import Alive

GOOD_FOR_S: Final = 3600.0
AGAIN_AFTER_S: Final = 60.0


class Account(Protocol):
    """What is asked of the Capsule account."""

    def definitions(self, entity: str, *, alive: Alive) -> Sequence[Mapping[str, Any]]:
        """The custom fields of parties, opportunities or kases."""

    def milestones(self, *, alive: Alive) -> Sequence[Mapping[str, Any]]:
        """The milestones of all pipelines, each with its pipeline."""

    def stages(self, *, alive: Alive) -> Sequence[Mapping[str, Any]]:
        """The stages of all boards, each with its board."""

    def users(self, *, alive: Alive) -> Sequence[Mapping[str, Any]]:
        """The users, each with its party."""


class References:
    """One account's reference data, shared by the threads of a process."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, dict[int, Mapping[str, Any]]]] = {}

    def definitions(self, entity: str, body: Mapping[str, Any], *, alive: Alive) -> Definitions:
        """The custom fields of an entity, those that `body` carries certainly among them if Capsule has them."""
        needed = [one["definition"]["id"] for one in body.get("fields") or () if isinstance(one.get("definition"), dict)]
        found = self._all(entity, lambda: self._account.definitions(entity, alive=alive), needed)
        return definitions.definitions(list(found.values()))

    def milestone(self, nested: Mapping[str, Any] | None, *, alive: Alive) -> Mapping[str, Any] | None:
        """The milestone of an opportunity with its pipeline; as the record shows it where Capsule lists none."""
        return self._one("milestones", lambda: self._account.milestones(alive=alive), nested)

    def stage(self, nested: Mapping[str, Any] | None, *, alive: Alive) -> Mapping[str, Any] | None:
        """The stage of a project with its board, as `milestone`."""
        return self._one("stages", lambda: self._account.stages(alive=alive), nested)

    def timezone(self, owner: Mapping[str, Any] | None, *, alive: Alive) -> str | None:
        """The time zone of a user (IANA name), None where it is not known."""
        found = self._one("users", lambda: self._account.users(alive=alive), owner)
        zone = found.get("timezone") if found is not None else None
        return zone if isinstance(zone, str) and zone else None

    def _one(
        self, name: str, ask: Callable[[], Sequence[Mapping[str, Any]]], nested: Mapping[str, Any] | None
    ) -> Mapping[str, Any] | None:
        if nested is None or not isinstance(nested.get("id"), int):
            return nested
        found: Mapping[str, Any] = self._all(name, ask, [nested["id"]]).get(nested["id"], nested)
        return found

    def _all(
        self, name: str, ask: Callable[[], Sequence[Mapping[str, Any]]], needed: Sequence[int]
    ) -> dict[int, Mapping[str, Any]]:
        now = time.monotonic()
        with self._lock:
            kept = self._kept.get(name)
        if kept is not None:
            age = now - kept[0]
            if age < AGAIN_AFTER_S or (age < GOOD_FOR_S and all(number in kept[1] for number in needed)):
                return kept[1]
        found = {int(one["id"]): one for one in ask()}
        with self._lock:
            self._kept[name] = (time.monotonic(), found)
        return found
