"""`capsule-relay resume NAME`: ends a pause that only a person may end, such as that of a product which wanted no more (410)."""

from __future__ import annotations

from workers.account_commands import Said
from workers.agenda import Agenda, Timing, connect


def resume(name: str, *, redis_url: str) -> Said:
    """Ends the pause of a connection; what waits for it goes on within seconds.

    Raises:
        QueueAway: Redis did not answer.
    """
    client = connect(redis_url)
    try:
        agenda = Agenda(client, Timing())
        why = agenda.why_paused(name)
        was = agenda.resume(name)
    finally:
        client.close()
    document = {"connection": name, "resumed": was, "was": why}
    text = f"{name} goes on. It was paused: {why}." if was else f"{name} is not paused."
    return Said(document, (text,))
