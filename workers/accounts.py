"""Connections that share a Capsule account: who they are, and the pause that holds for all of them while nobody is signed in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import redis

from mapping.agenda import key
from mapping.keys import hook_owner
from workers.errors import QueueAway

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mapping.rules import Connection
    from workers.agenda import Agenda

RECONNECT: Final = "reconnect"
HOOKS_ALIVE: Final = key("hooks-alive")  # hash account -> ms of Redis' clock at which every hook was last seen
HOOKS_TROUBLE: Final = key("hooks-trouble")  # hash account -> why the hooks could not be ensured, in words
# The pauses that a new sign-in ends. One that a person made is that person's to end.
_ENDED_BY_CONNECTING: Final = (RECONNECT, "capsule: credentials refused")


def owner_of(connections: Mapping[str, Connection], name: str) -> str:
    """The connection whose account, sign-in and hooks serve this one."""
    return hook_owner(name, connections[name].capsule.account)


def owners(connections: Mapping[str, Connection]) -> tuple[str, ...]:
    """Every connection that has an account of its own."""
    return tuple(name for name, connection in connections.items() if connection.capsule.account is None)


def sharing(connections: Mapping[str, Connection], owner: str) -> tuple[Connection, ...]:
    """The connections that live on this owner's account, itself among them."""
    return tuple(connection for name, connection in connections.items() if owner_of(connections, name) == owner)


class SignInPause:
    """Pauses and resumes every connection of one account. Nothing is probed: only a person can give what is missing."""

    def __init__(self, agenda: Agenda, connections: Mapping[str, Connection], owner: str) -> None:
        self._agenda = agenda
        self._names = tuple(connection.name for connection in sharing(connections, owner))
        self._reason = f"{RECONNECT}: not signed in to Capsule; run `capsule-relay connect {owner}`"

    def pause(self) -> None:
        """No run begins until `resume`; events go on being admitted.

        Raises:
            QueueAway: Redis did not answer.
        """
        for name in self._names:
            self._agenda.pause(name, reason=self._reason)

    def resume(self) -> None:
        """Ends what `pause` began, and a pause because of refused credentials.

        Raises:
            QueueAway: Redis did not answer.
        """
        for name in self._names:
            try:
                paused = self._agenda.client.hget(key("paused"), name)
            except redis.RedisError as error:
                raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
            if paused is None:
                continue
            text = paused.decode() if isinstance(paused, bytes) else str(paused)
            if text.split(" ", 3)[-1].startswith(_ENDED_BY_CONNECTING):
                self._agenda.resume(name)
