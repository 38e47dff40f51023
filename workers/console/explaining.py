"""The endpoints that say why a record is as it is. Its values are somebody's personal data: for who has signed in alone."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import HTMLResponse, RedirectResponse

from workers.console import explain_pages as pages
from workers.console import frame as frames
from workers.console.access import Refused
from workers.errors import Misconfigured
from workers.flows.explain import explain
from workers.flows.explanation import kind_fault, record_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from workers.console.frame import Frame
    from workers.services import Services


class Explaining:
    """Each endpoint is a plain function that runs in a thread, since it asks both sides."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def asked(self, request: Request, frame: Frame, _: Mapping[str, str]) -> Response:
        """The form, and what it sends: on to the record's own page.

        Raises:
            Refused: nobody has signed in.
        """
        _signed_in(frame)
        if request.path_params["name"] not in self._services.connections:
            return self._no_connection(request, frame)
        if not request.query_params.get("id"):
            return HTMLResponse(pages.asking(request.path_params["name"], frame))
        words = [request.path_params["name"], "records", request.query_params.get("kind", ""), request.query_params.get("id", "")]
        path = "/".join(quote(word.strip(), safe="") or "-" for word in words)
        return RedirectResponse(f"{frame.root}connections/{path}", 303)

    def shown(self, request: Request, frame: Frame, _: Mapping[str, str]) -> Response:
        """One record. Both sides are asked, and nothing is written.

        Raises:
            Refused: nobody has signed in; neither side was asked.
        """
        _signed_in(frame)
        name, kind, number = (request.path_params[word] for word in ("name", "kind", "id"))
        if name not in self._services.connections:
            return self._no_connection(request, frame)
        try:
            record = record_of(name, kind, number)
        except Misconfigured as error:
            return HTMLResponse(frames.message("Not found", str(error), error.advice, frame=frame), 404)
        told = explain(self._services, record)
        return HTMLResponse(pages.explained(told, kind_fault(kind.lower(), told) or "", frame))

    @staticmethod
    def _no_connection(request: Request, frame: Frame) -> Response:
        said = f"There is no connection {request.path_params['name']}."
        return HTMLResponse(frames.message("Not found", said, frame=frame), 404)


def _signed_in(frame: Frame) -> None:
    if not frame.who:
        raise Refused(
            "A record's values are shown to people who have signed in, and this console has no sign-in.",
            "Set RELAY_CONSOLE_PASSWORD (README, The console) and restart; or run `capsule-relay explain NAME KIND ID`.",
        )
