"""The whole system as an operator runs it: `capsule-relay up` and both simulators, each a process of its own."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
import redis

from mapping.keys import hook_path, hook_token
from tests.simulators.run import SHORT_IDLE, Simulator, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
NAME = "acme"
EVENTS = (
    "party/created",
    "party/updated",
    "party/deleted",
    "opportunity/created",
    "opportunity/updated",
    "opportunity/deleted",
    "opportunity/closed",
    "opportunity/moved",
)
RULES = """
[connections.acme]
downstream = "officernd"
tags_to_sync = "member"
sync_untagged_contacts = true
auto_sync = false
default_location = "London Bridge"
{extra}

[connections.acme.capsule]
api_url = "{capsule}/api/v2"
auth = "token"

[connections.acme.officernd]
organization = "acme-spaces"
api_url = "{officernd}/api/v2"
token_url = "{officernd}/oauth/token"

[connections.acme.locations]
"Shoreditch" = ["shoreditch"]

[connections.acme.opportunity_statuses]
"New" = "Tour booked"
"Bid" = "Negotiation"
"Won" = "won"
"Lost" = "lost"
"""


def until(condition: Callable[[], Any], what: str, *, seconds: float = 20.0, every: float = 0.02) -> Any:
    """Waits for a condition; fails with `what` when it does not come true in time."""
    ends = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > ends:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(every)
    return found


class System:
    """Both simulators and the relay. Limits are raised unless `real_limits`."""

    def __init__(
        self,
        directory: Path,
        *,
        extra: str = "",
        real_limits: bool = False,
        environment: Mapping[str, str] | None = None,
        hooks: bool = True,
    ) -> None:
        self.directory = directory
        self.extra = extra
        self.real_limits = real_limits
        self.hooks = hooks
        self.environment = dict(environment or {})
        self.secret = secrets.token_hex(24)
        self.web_port = free_port()
        self.console_port = free_port()
        self.capsule = Simulator("capsule", limit=4_000 if real_limits else 4_000_000)
        self.officernd = Simulator("officernd")
        self.process: subprocess.Popen[bytes] | None = None
        self.api = httpx.Client(timeout=30, trust_env=False, limits=SHORT_IDLE)

    # ------------------------------------------------------------------ life
    def __enter__(self) -> Self:
        self.capsule.start()
        self.officernd.start()
        if not self.real_limits:
            raised = {"read_minute": 1_000_000, "write_minute": 1_000_000, "read_day": 10_000_000, "write_day": 10_000_000}
            self.officernd.control("POST", "limits", raised)
        self.api.headers["Authorization"] = "Bearer capsule-token"
        self.api.base_url = httpx.URL(f"{self.capsule.url}/api/v2/")
        (self.directory / "relay.toml").write_text(self.rules(), encoding="utf-8")
        if self.hooks:
            url = self.hook_url()
            self.capsule.control("POST", "hooks", [{"event": event, "targetUrl": url} for event in EVENTS])
        self.up()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.down()
        self.api.close()
        self.capsule.stop()
        self.officernd.stop()
        if error is not None:
            print((self.directory / "up.log").read_text(errors="replace")[-6000:])

    def rules(self) -> str:
        """The text of relay.toml; what it needs of the simulators is running when this is asked."""
        return RULES.format(capsule=self.capsule.url, officernd=self.officernd.url, extra=self.extra)

    @property
    def env(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_") and name != "REDIS_URL"}
        return kept | {
            "PYTHONPATH": str(ROOT),
            "RELAY_CONFIG": str(self.directory / "relay.toml"),
            "RELAY_DATA_DIR": str(self.directory / "data"),
            "RELAY_SECRET_KEY": self.secret,
            "RELAY_WEB_PORT": str(self.web_port),
            "RELAY_CONSOLE_PORT": str(self.console_port),
            "RELAY_ACME_CAPSULE_TOKEN": "capsule-token",
            "RELAY_ACME_OFFICERND_CLIENT_ID": "officernd-client",
            "RELAY_ACME_OFFICERND_CLIENT_SECRET": "officernd-secret",
            **self.environment,
        }

    def up(self) -> None:
        log = (self.directory / "up.log").open("ab")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "workers", "up"], cwd=ROOT, env=self.env, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        until(self._ready, "the receiver is ready", seconds=30)

    def _ready(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"up ended with {self.process.returncode}: {self.log()[-3000:]}")
        try:
            return httpx.get(f"http://127.0.0.1:{self.web_port}/ready", timeout=1, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def down(self) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(45)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            code = self.process.wait()
        self.process = None
        return code

    def run(self, *words: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
        """One command of the CLI, in the environment of the running system."""
        return subprocess.run(
            [sys.executable, "-m", "workers", *words],
            cwd=ROOT,
            env=self.env | {"REDIS_URL": self.redis_url()},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def log(self) -> str:
        return (self.directory / "up.log").read_text(errors="replace")

    # ------------------------------------------------------------------ both sides
    def hook_url(self) -> str:
        return f"http://127.0.0.1:{self.web_port}{hook_path(NAME, hook_token(self.secret, NAME, 1))}"

    def redis_url(self) -> str:
        port = (self.directory / "data" / "redis-port").read_text().strip()
        return f"redis://127.0.0.1:{port}/0"

    def store(self) -> redis.Redis:
        return redis.Redis.from_url(self.redis_url())

    def party(self, **fields: Any) -> dict[str, Any]:
        """Creates a party through Capsule's API, as a person or program would."""
        answer = self.api.post("parties", json={"party": fields}, params={"embed": "tags,fields"})
        assert answer.status_code == 201, answer.text
        created: dict[str, Any] = answer.json()["party"]
        return created

    def edit(self, number: int, **fields: Any) -> dict[str, Any]:
        answer = self.api.put(f"parties/{number}", json={"party": fields}, params={"embed": "tags,fields"})
        assert answer.status_code == 200, answer.text
        changed: dict[str, Any] = answer.json()["party"]
        return changed

    def officernd_state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.officernd.control("GET", "state")
        return state

    def records(self, resource: str) -> list[dict[str, Any]]:
        """What OfficeRnD's simulator holds: members, companies or opportunities."""
        held = self.officernd_state()[resource]
        return list(held.values()) if isinstance(held, dict) else list(held)

    def linked(self, resource: str, number: int) -> dict[str, Any] | None:
        """The one record that carries this Capsule id; fails when there are two."""
        found = [one for one in self.records(resource) if one.get("properties", {}).get("capsule_link_id") == str(number)]
        assert len(found) < 2, f"{len(found)} {resource} for {number}"
        return found[0] if found else None

    def writes(self, since: int = 0) -> list[dict[str, Any]]:
        """Requests that change something, seen by OfficeRnD's simulator after number `since`, without token requests."""
        seen = self.officernd.control("GET", f"requests?since={since}")
        requests = seen["requests"] if isinstance(seen, dict) else seen
        return [
            one for one in requests if one["method"] in {"POST", "PUT"} and not one["path"].startswith(("/oauth", "/_control"))
        ]

    def last_request(self) -> int:
        seen = self.officernd.control("GET", "requests")
        requests = seen["requests"] if isinstance(seen, dict) else seen
        return int(requests[-1]["n"]) if requests else 0

    def idle(self) -> bool:
        """Whether nothing is open."""
        with self.store() as store:
            return not store.zcard("relay:open")
