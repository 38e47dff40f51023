"""`capsule-relay doctor`: every check, in the order in which one rests on another. It reads, and changes nothing.

Without a data store, without processes, or without a side it says what could be found out and what could not.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from workers.flows import doctor_machine, doctor_sides, doctor_store
from workers.flows.diagnosis import AWAY, Check, Result, examine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from mapping.rules import Connection
    from workers.http import Http
    from workers.services import Services
    from workers.settings import Settings

SIDES_SECONDS: Final = 90.0  # a dozen calls of ten seconds at most, a connection
STORE: Final = ("clock", "persistence", "eviction", "memory", "version", "agenda", "dead letters", "snapshot", "signs of life")
MEND_FIRST: Final = "Mend the settings first."


def doctor(
    settings: Settings,
    services: Services | None,
    http: Http,
    *,
    only: str | None,
    away: str = "",
    told: Callable[[str], None],
) -> Iterator[Result]:
    """Every check beside that of the settings. `services` is None when there is no data store, for the reason `away`.

    `only`: what concerns a connection is asked for this one alone.
    """
    chosen: Mapping[str, Connection] = {
        name: connection for name, connection in settings.connections.items() if only in {None, name}
    }
    checks = [Check("dramatiq", doctor_machine.dramatiq), Check("disk", partial(doctor_machine.disk, settings.data_dir))]
    checks.append(Check("receiver", partial(doctor_machine.receiver, settings, http)))
    reached = services is not None and not away
    if services is not None and reached:
        client, names = services.redis, tuple(chosen)
        one_of = (doctor_store.clock, doctor_store.persistence, doctor_store.eviction, doctor_store.memory, doctor_store.version)
        checks += [Check(name, partial(ask, client)) for name, ask in zip(STORE, one_of, strict=False)]
        checks.append(Check("agenda", partial(doctor_store.agenda, client, names)))
        checks.append(Check("dead letters", partial(doctor_store.letters, client, names)))
        checks += [Check("snapshot", partial(doctor_store.snapshot, client, name, chosen[name])) for name in chosen]
        checks.append(Check("signs of life", partial(doctor_machine.processes, client)))
    yield from examine(checks, told)
    if not reached:
        yield Result("data store", "wrong", away or AWAY, "Start it (`capsule-relay up`), or mend REDIS_URL.")
        yield from (Result(name, "unasked", AWAY) for name in (*STORE, "hooks"))
    one = replace(settings, connections=chosen)
    signed_in = doctor_sides.bearer(services) if services is not None and reached else _nobody
    last = [Check("both sides", partial(doctor_sides.sides, one, http, told, signed_in=signed_in), SIDES_SECONDS * len(chosen))]
    if services is not None and reached:
        last.append(Check("hooks", partial(doctor_sides.hooks, services, set(chosen))))
    yield from examine(last, told)


def _nobody(_owner: str) -> str | None:
    return None
