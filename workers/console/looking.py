"""The endpoints that only look: the status, one connection, the metrics, and that this process answers."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

import redis
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from workers import metrics, overview
from workers.console import frame as frames
from workers.console import status_pages
from workers.errors import QueueAway
from workers.flows import connect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from workers.console.door import Door
    from workers.console.frame import Frame
    from workers.services import Services
    from workers.views import Overview

KEPT_SECONDS: Final = 0.5


class Looking:
    """Each endpoint is a plain function that runs in a thread, since it waits for Redis."""

    def __init__(self, services: Services, door: Door) -> None:
        self._services = services
        self._door = door
        self._vault = overview.vault(services.settings.secret_keys)
        self._lock = threading.Lock()
        self._held: tuple[float, Overview] | None = None

    def home(self, _: Request, frame: Frame, __: Mapping[str, str]) -> Response:
        """Everything at a glance."""
        return HTMLResponse(status_pages.home(self._look(), frame))

    def connection(self, request: Request, frame: Frame, _: Mapping[str, str]) -> Response:
        """One connection; the page asks for itself again."""
        name = request.path_params["name"]
        found = next((view for view in self._look().connections if view.name == name), None)
        if found is None:
            return HTMLResponse(frames.message("Not found", f"There is no connection {name}.", frame=frame), 404)
        return HTMLResponse(status_pages.connection(found, connect.told(self._services, found.account), frame))

    def live(self, _: Request) -> Response:
        """That this process answers."""
        return PlainTextResponse("ok\n")

    def metrics(self, request: Request) -> Response:
        """The figures in Prometheus' form."""
        try:
            may = self._door.keeper.may_scrape(request)
        except (redis.RedisError, QueueAway):
            may = False
        if not may:
            text = "Give the token of RELAY_METRICS_TOKEN: Authorization: Bearer ...\n"
            return PlainTextResponse(text, 401, headers={"WWW-Authenticate": "Bearer"})
        return Response(metrics.render(self._look_if_there), media_type=metrics.CONTENT_TYPE)

    def _look_if_there(self) -> Overview | None:
        try:
            return self._look()
        except (redis.RedisError, QueueAway):
            return None

    def _look(self) -> Overview:
        """The overview; one look serves all who ask at the same moment."""
        with self._lock:
            if self._held is None or time.monotonic() - self._held[0] > KEPT_SECONDS:
                found = overview.read(self._services.redis, self._services.connections, self._vault)
                self._held = time.monotonic(), found
            return self._held[1]
