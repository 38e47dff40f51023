"""The one Dramatiq actor: a bell was heard, so take the next ready record and bring it in step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dramatiq
from dramatiq.middleware import CurrentMessage

from mapping.agenda import ACTOR
from workers.errors import QueueAway
from workers.flows.ahead import Ahead
from workers.flows.sync import synchronise

if TYPE_CHECKING:
    from mapping.agenda import Lane
    from workers.agenda import Agenda, Taken
    from workers.services import Services


def next_record(agenda: Agenda, bell: Lane, *, proc: str) -> Taken | None:
    """The record to work on after a bell of this lane: on any bell but `solo`, live records first (agenda.md §9.3)."""
    lanes: tuple[Lane, ...] = ("solo",) if bell == "solo" else ("live",) if bell == "live" else ("live", bell)
    for lane in lanes:
        taken = agenda.take(lane, proc=proc)
        if taken is not None:
            return taken
    return None


def register(broker: dramatiq.Broker, services: Services) -> None:
    """Makes the actor `work` of this broker."""
    ahead = Ahead(services)

    def work() -> None:
        message = CurrentMessage.get_current_message()
        queue = message.queue_name if message is not None else "live"
        bell: Lane = "solo" if queue == "solo" else "bulk" if queue == "bulk" else "live"
        try:
            taken = next_record(services.agenda, bell, proc=services.proc)
        except QueueAway as error:
            # The bell is lost and the record is not: the sweep rings again when Redis is back.
            services.log.warning("take", error=str(error))
            return
        if taken is not None:
            synchronise(services, taken)
            if taken.lane == "live":
                ahead.look()

    dramatiq.actor(actor_name=ACTOR, broker=broker, queue_name="live")(work)
