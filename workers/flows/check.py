"""Asks Capsule and OfficeRnD what the rules rest on, for `capsule-relay check --live`. Reads only.

It needs no data store and no running relay: a check must work before the first start, and must see what the credentials of
this moment open, not what a token from an hour ago does. Its calls, a dozen or two for a connection, take no slot of the
counted limits; the workers learn of them from the headers of their own next answers.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from mapping.errors import UnreadableRecord
from workers.flows.check_calls import Asked, Stop, nobody
from workers.flows.check_capsule import ask_capsule
from workers.flows.check_officernd import ask_officernd

if TYPE_CHECKING:
    from collections.abc import Callable

    from workers.flows.check_calls import Bearer
    from workers.http import Http
    from workers.settings import Settings

__all__ = ["Asked", "ask"]


def ask(settings: Settings, http: Http, told: Callable[[str], None], *, signed_in: Bearer = nobody) -> tuple[Asked, ...]:
    """Both sides of every connection, in their order. `told` hears whom it is about to ask. Raises nothing of theirs.

    `signed_in` gives the access token of an account that was connected by OAuth; without it such an account is not asked.
    """
    found: list[Asked] = []
    for name, connection in settings.connections.items():
        for side, work in (("Capsule", partial(ask_capsule, signed_in=signed_in)), ("OfficeRnD", ask_officernd)):
            if side == "OfficeRnD" and connection.officernd is None:
                continue
            told(f"asking {side} for {name}")
            try:
                found.append(work(settings, http, connection))
            except Stop as stop:
                faults = () if stop.fault is None else (stop.fault,)
                found.append(Asked(name, side, faults=faults, unasked=stop.unasked))
            except UnreadableRecord as error:
                found.append(Asked(name, side, unasked=f"it answers something that cannot be read: {error}"))
    return tuple(found)
