"""The endpoints of dead letters: list, show, and what a person has done with them."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, RedirectResponse

from workers.console import frame as frames
from workers.console import letter_pages as pages
from workers.console.access import Refused
from workers.errors import QueueAway
from workers.flows import replay
from workers.letters import Filter
from workers.letters.jobs import Jobs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from workers.console.frame import Frame
    from workers.services import Services


class LetterDesk:
    """Each endpoint is a plain function that runs in a thread, since it waits for Redis."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def listed(self, request: Request, frame: Frame, _: Mapping[str, str]) -> Response:
        """What a filter admits."""
        services, wanted = self._services, _filter(request.query_params)
        letters = list(itertools.islice(services.letters.find(wanted, connections=services.connections), pages.SHOWN))
        jobs = Jobs(services.redis)
        lately = jobs.audit(pages.LAST) if frame.who else []
        said = pages.begun(request.query_params.get("begun", ""), request.query_params.get("number", ""))
        page = pages.listed(replay.count(services, wanted), wanted, letters, frame, jobs=jobs.active(), lately=lately, said=said)
        return HTMLResponse(page)

    def shown(self, request: Request, frame: Frame, _: Mapping[str, str]) -> Response:
        """One letter."""
        wanted = Filter(ids=frozenset({request.path_params["letter"]}))
        found = next(iter(self._services.letters.find(wanted, connections=self._services.connections)), None)
        if found is None:
            said = "There is no such letter: its record is in step by now, or it was discarded."
            return HTMLResponse(frames.message("Not found", said, frame=frame), 404)
        return HTMLResponse(pages.shown(found, frame))

    def ask(self, request: Request, frame: Frame, _: Mapping[str, str]) -> Response:
        """The question before an action."""
        wanted = _filter(request.query_params)
        return HTMLResponse(pages.ask(_action(request.query_params), replay.count(self._services, wanted), wanted, frame))

    def do(self, _: Request, frame: Frame, form: Mapping[str, str]) -> Response:
        """The action. It goes on when this has answered; the list shows it while it is under way."""
        services, action, wanted = self._services, _action(form), _filter(form)

        def work() -> None:
            try:
                if action == "replay":
                    replay.replay(services, wanted, who=frame.who, cancelled=services.stopping.is_set)
                else:
                    replay.discard(services, wanted, who=frame.who, cancelled=services.stopping.is_set)
            except QueueAway as error:
                services.log.warning("letters", action=action, error=type(error).__name__, text=str(error))

        number = replay.count(services, wanted).total
        threading.Thread(target=work, name=action, daemon=True).start()
        return RedirectResponse(f"{frame.root}letters?begun={action}&number={number}", 303)


def _action(fields: Mapping[str, str]) -> str:
    action = fields.get("action", "")
    if action not in pages.ACTIONS:
        raise Refused("There is no such action. Nothing was changed.", "Go back to the list.", status=400)
    return action


def _filter(fields: Mapping[str, str]) -> Filter:
    try:
        return Filter(
            connection=fields.get("connection", ""),
            kind=fields.get("kind", ""),
            error=fields.get("error", ""),
            system=fields.get("system", ""),
            status=int(fields["status"]) if fields.get("status") else None,
            before_ms=int(fields["before"]) if fields.get("before") else None,
            ids=frozenset({fields["id"]}) if fields.get("id") else frozenset(),
        )
    except ValueError:
        raise Refused("The filter cannot be read. Nothing was changed.", "Go back to the list.", status=400) from None
