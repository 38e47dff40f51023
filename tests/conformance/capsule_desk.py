"""What the tests of Capsule's simulator stand on: the simulator in process, and a receiver of hooks on a real port."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from tests.simulators.capsule.app import build

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE = 10.0
TOKEN = "capsule-token"


def eventually(condition: Callable[[], bool], *, what: str) -> None:
    """Wait until something holds; fails with `what` after 10 seconds."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"did not come about: {what}"
        time.sleep(0.005)


class Capsule:
    """The simulator in process, with an event loop of its own, so that hooks are delivered while a test waits."""

    def __init__(self, **options: Any) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._app = build(**options)
        self._stack = contextlib.AsyncExitStack()
        self._client: httpx.AsyncClient = self._run(self._open())
        self.application = self.control("POST", "tokens", {})["access_token"]

    def close(self) -> None:
        """End the simulator and its loop."""
        self._run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)
        self._loop.close()

    def ask(self, method: str, path: str, *, token: str | None = TOKEN, **more: Any) -> httpx.Response:
        """One request; a path without a leading `/oauth` or `/_control` is under /api/v2."""
        whole = path if path.startswith(("/oauth", "/_control")) else f"/api/v2{path}"
        headers = {**({} if token is None else {"Authorization": f"Bearer {token}"}), **more.pop("headers", {})}
        answer: httpx.Response = self._run(self._client.request(method, whole, headers=headers, **more))
        return answer

    def get(self, path: str, **query: Any) -> Any:
        """A read that must succeed; its document."""
        answer = self.ask("GET", path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def make(self, kind: str, plural: str, **body: Any) -> Any:
        """A record made by the API; the record."""
        answer = self.ask("POST", f"/{plural}", params={"embed": "tags,fields"}, json={kind: body})
        assert answer.status_code == 201, answer.text
        return answer.json()[kind]

    def person(self, **body: Any) -> Any:
        """A new person."""
        return self.make("party", "parties", **{"type": "person", "firstName": "Ada", "lastName": "Example", **body})

    def organisation(self, **body: Any) -> Any:
        """A new organisation."""
        return self.make("party", "parties", **{"type": "organisation", "name": "Example Works", **body})

    def opportunity(self, **body: Any) -> Any:
        """A new opportunity in the milestone New, of a new organisation unless told otherwise."""
        party = body.pop("party", None) or self.organisation()["id"]
        wanted = {"name": "Desks", "party": {"id": party}, "milestone": {"id": self.milestone("New")}, **body}
        return self.make("opportunity", "opportunities", **wanted)

    def put(self, path: str, kind: str, **changes: Any) -> Any:
        """A change that must succeed; the record with tags and fields."""
        answer = self.ask("PUT", path, params={"embed": "tags,fields"}, json={kind: changes})
        assert answer.status_code == 200, answer.text
        return answer.json()[kind]

    def milestone(self, name: str, *, pipeline: str = "Sales") -> int:
        """The id of a milestone."""
        rows = self.get("/milestones/all")["milestones"]
        return int(next(row["id"] for row in rows if row["name"] == name and row["pipeline"]["name"] == pipeline))

    def control(self, method: str, path: str, body: object = None) -> Any:
        """A control request that must succeed; its document."""
        answer = self.ask(method, f"/_control/{path}", token=None, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def switch(self, **positions: str) -> None:
        """Set switches."""
        self.control("POST", "switches", positions)

    def hook(self, event: str, url: str, **more: Any) -> int:
        """Subscribe as an application; the hook's id."""
        made = self.control("POST", "hooks", {"event": event, "targetUrl": url, **more})
        return int(made["restHooks"][0]["id"])

    def idle(self) -> list[Any]:
        """Wait until nothing is on its way; the attempts that were made."""
        eventually(lambda: self.control("GET", "deliveries")["pending"] == 0, what="all deliveries ended")
        attempts: list[Any] = self.control("GET", "deliveries")["deliveries"]
        return attempts

    async def _open(self) -> httpx.AsyncClient:
        """Begin the application's life and open a client on it."""
        await self._stack.enter_async_context(self._app.router.lifespan_context(self._app))
        transport = httpx.ASGITransport(app=self._app)
        return await self._stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://capsule.example"))

    def _run(self, work: Any) -> Any:
        """Run a coroutine in the simulator's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(DEADLINE)


class Receiver:
    """Takes deliveries on a real port. `answers` are the statuses to give in turn (0 ends the connection); then 202."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.answers: list[int] = []
        self.seconds = 0.0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"  # so that connections are kept

            def do_POST(self) -> None:
                receiver.take(self)

            def log_message(self, *_arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def take(self, handler: BaseHTTPRequestHandler) -> None:
        """Write a delivery down and answer it."""
        body = handler.rfile.read(int(handler.headers.get("content-length", "0")))
        self.headers.append({name.lower(): value for name, value in handler.headers.items()})
        self.bodies.append(orjson.loads(body))
        if self.seconds:
            time.sleep(self.seconds)
        status = self.answers.pop(0) if self.answers else 202
        if status == 0:
            handler.close_connection = True
            return
        with contextlib.suppress(OSError):
            handler.send_response(status)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

    def events(self) -> list[str]:
        """The names of the events taken."""
        return [body["event"] for body in self.bodies]

    def close(self) -> None:
        """End the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(DEADLINE)
