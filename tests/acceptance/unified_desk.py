"""The console as a process, Capsule's simulator as another, and a product that asks over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Self

import httpx
import redis

from tests.simulators.run import ROOT, Simulator, free_port
from workers.ledger import Vault
from workers.unified_tokens import UnifiedTokens

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from workers.unified_tokens import Scope

SECRET = "k" * 40
START_SECONDS = 40.0
RULES = """
[connections.acme]
downstream = "unified"
[connections.acme.capsule]
api_url = "{capsule}/api/v2"
auth = "token"

[connections.other]
downstream = "unified"
[connections.other.capsule]
api_url = "{capsule}/api/v2"
auth = "token"
"""


class UnifiedDesk:
    """Both processes over one data store, with so many records in the account, and `tags` spread over them."""

    def __init__(
        self,
        directory: Path,
        redis_url: str,
        *,
        call_deadline: str = "5",
        organisations: int = 0,
        people: int = 0,
        opportunities: int = 0,
        tags: str = "",
    ) -> None:
        self.directory = directory
        self.redis_url = redis_url
        self.capsule = Simulator(
            "capsule",
            limit=4_000_000,
            seed_organisations=organisations,
            seed_people=people,
            seed_opportunities=opportunities,
            seed_tags=tags,
        )
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._deadline = call_deadline
        self._process: subprocess.Popen[bytes] | None = None
        self._store = redis.Redis.from_url(redis_url)

    def __enter__(self) -> Self:
        self.capsule.start()
        (self.directory / "relay.toml").write_text(RULES.format(capsule=self.capsule.url), encoding="utf-8")
        with (self.directory / "console.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "--factory", "workers.console.main:app", "--port", str(self.port)],
                cwd=ROOT,
                env=self.env,
                stdout=log,
                stderr=log,
            )
        ends = time.monotonic() + START_SECONDS
        while not self._live():
            if self._process.poll() is not None or time.monotonic() > ends:
                raise AssertionError(f"the console did not start: {self.log()[-3000:]}")
            time.sleep(0.05)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20)
        self.capsule.stop()
        self._store.close()
        if error is not None:
            print(self.log()[-4000:])

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_") and name != "REDIS_URL"}
        return kept | {
            "PYTHONPATH": str(ROOT),
            "REDIS_URL": self.redis_url,
            "RELAY_CONFIG": str(self.directory / "relay.toml"),
            "RELAY_DATA_DIR": str(self.directory),
            "RELAY_SECRET_KEY": SECRET,
            "RELAY_CONSOLE_PORT": str(self.port),
            "RELAY_CALL_DEADLINE": self._deadline,
            "RELAY_ACME_CAPSULE_TOKEN": "capsule-token",
            "RELAY_OTHER_CAPSULE_TOKEN": "capsule-token",
        }

    def _live(self) -> bool:
        try:
            return httpx.get(f"{self.url}/live", timeout=2, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def log(self) -> str:
        return (self.directory / "console.log").read_text(errors="replace")

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """One command of the CLI."""
        command = [sys.executable, "-m", "workers", *words]
        return subprocess.run(command, cwd=ROOT, env=self.env, capture_output=True, text=True, timeout=120, check=False)

    def product(self, scope: Scope = "write", *connections: str) -> Product:
        """Somebody with a token of their own."""
        _, text = UnifiedTokens(self._store, Vault((SECRET,))).create(connections or ("acme",), scope, label="a product")
        return Product(self.url, text)

    def held(self) -> dict[str, Any]:
        """What the simulator holds."""
        state: dict[str, Any] = self.capsule.control("GET", "state")
        return state

    def party(self, number: str) -> dict[str, Any]:
        """A party as Capsule's API shows it."""
        headers = {"Authorization": "Bearer capsule-token"}
        url = f"{self.capsule.url}/api/v2/parties/{number}"
        answer = httpx.get(url, params={"embed": "tags,fields"}, headers=headers, trust_env=False)
        found: dict[str, Any] = answer.json()["party"]
        return found

    def requests(self) -> list[dict[str, Any]]:
        """What the simulator was asked."""
        seen = self.capsule.control("GET", "requests")
        found: list[dict[str, Any]] = seen["requests"] if isinstance(seen, dict) else seen
        return found


class Product:
    """A client of the unified API."""

    def __init__(self, url: str, token: str) -> None:
        self.token = token
        self.url = url

    def ask(self, method: str, path: str, **rest: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}", **rest.pop("headers", {})}
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=60, trust_env=False, **rest)

    def get(self, path: str, **query: str | int) -> httpx.Response:
        return self.ask("GET", path, params=query or None)

    def pages(self, path: str, **query: str | int) -> list[list[dict[str, Any]]]:
        """Every page to the end, beginning with an empty cursor as the SDK does (reference/unified-crm.md §1.4)."""
        found, cursor = [], ""
        for _ in range(1_000):
            answer = self.ask("GET", path, params={**query, "next_cursor": cursor})
            assert answer.status_code == 200, answer.text
            document = answer.json()
            assert document["result_count"] == len(document["result"])
            found.append(document["result"])
            cursor = document["next_cursor"]
            if cursor is None:
                return found
        raise AssertionError("the list has no end")

    def every(self, path: str, **query: str | int) -> list[dict[str, Any]]:
        return [record for page in self.pages(path, **query) for record in page]
