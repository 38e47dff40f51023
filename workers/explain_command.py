"""What `capsule-relay explain` does: reads the words, asks with a sign of life, says what was found."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from workers import explain_report
from workers.account_commands import Said
from workers.flows.explain import explain
from workers.flows.explanation import kind_fault, record_of
from workers.log import configure
from workers.services import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.services import Services
    from workers.settings import Settings


def run(settings: Settings, name: str, kind: str, number: str, *, redis_url: str) -> Said:
    """Explains one record. Not in order when a side could not be asked.

    Raises:
        Misconfigured: a word is wrong, or credentials are not set.
        QueueAway: the data store does not answer.
    """
    record = record_of(name, kind, number)
    with looking(settings, redis_url) as services, Console(stderr=True).status("asking Capsule and the other side"):
        told = explain(services, record)
    other = kind_fault(kind.lower(), told)
    return Said(
        explain_report.document(told),
        tuple(explain_report.lines(told)),
        beside=(f"warning: {other}",) if other else (),
        in_order=not told.unasked,
    )


@contextlib.contextmanager
def looking(settings: Settings, redis_url: str) -> Iterator[Services]:
    """Services for a command that only reads."""
    configure(settings.log_format, "WARNING")
    services = build(replace(settings, redis_url=redis_url))
    services.start()
    try:
        yield services
    finally:
        services.close()
