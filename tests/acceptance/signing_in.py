"""The whole system with an account that is connected by OAuth, through the console, as a person does it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx

from tests.acceptance.harness import NAME, System, until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class OAuthSystem(System):
    """No personal token and no hook seeded: the relay has to get both by itself."""

    def __init__(self, directory: Path, *, hooks_every: float = 1.0, environment: Mapping[str, str] | None = None) -> None:
        settings = {
            "RELAY_ACME_CAPSULE_CLIENT_ID": "capsule-client",
            "RELAY_ACME_CAPSULE_CLIENT_SECRET": "capsule-secret",
            "RELAY_HOOKS_EVERY": str(hooks_every),
        }
        super().__init__(directory, hooks=False, environment=settings | dict(environment or {}))

    def rules(self) -> str:
        """The account signs in by OAuth."""
        oauth = f'auth = "oauth"\noauth_url = "{self.capsule.url}/oauth"'
        return super().rules().replace('auth = "token"', oauth)

    @property
    def env(self) -> dict[str, str]:
        found = super().env
        del found["RELAY_ACME_CAPSULE_TOKEN"]
        return found

    @property
    def console(self) -> str:
        return f"http://127.0.0.1:{self.console_port}"

    def console_ready(self) -> bool:
        try:
            return httpx.get(f"{self.console}/live", timeout=1, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def link(self) -> str:
        """A one-time link, as the command prints it."""
        until(self.console_ready, "the console is ready")
        done = self.run("connect", NAME)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def connect(self) -> str:
        """Connects the account by an HTTP client; the page on which it ends."""
        return follow(self.link())

    def hook_events(self) -> list[tuple[str, str]]:
        """Event and address of every hook of the account."""
        hooks = self.capsule.control("GET", "hooks")["restHooks"]
        return sorted((hook["event"], hook["targetUrl"]) for hook in hooks)

    def paused(self) -> str:
        """The pause of the connection as Redis holds it, empty without one."""
        with self.store() as store:
            return (store.hget("relay:paused", NAME) or b"").decode()

    def refreshes(self) -> int:
        """Refreshes asked for, whatever the answer."""
        seen = self.capsule.control("GET", "requests?since=0")["requests"]
        return sum(1 for one in seen if one["path"] == "/oauth/token" and "refresh_token" in str(one["body"]))


def follow(url: str) -> str:
    """Follows an address with its redirects, as a browser does, with cookies; the page on which it ends."""
    with httpx.Client(follow_redirects=True, trust_env=False, timeout=20) as client:
        return client.get(url).text


def member(system: System, **fields: Any) -> int:
    """A tagged person made in Capsule; its id."""
    return int(system.party(type="person", tags=[{"name": "member"}], **fields)["id"])
