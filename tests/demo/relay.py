"""Capsule Relay as the demonstration runs it: in a folder and an environment of its own, through its commands alone."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests.demo import product as follower
from tests.demo.compare import RULES
from tests.simulators.product.app import SECRET
from tests.simulators.run import free_port

if TYPE_CHECKING:
    from tests.simulators.run import Simulator

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30.0
STOP_SECONDS = 90.0


class DemoFailed(Exception):
    """The demonstration could not be given."""


class Relay:
    """Capsule Relay as a person would run it, in a folder of its own, with its output in a file there."""

    def __init__(self, folder: Path, capsule: Simulator, officernd: Simulator, product: Simulator) -> None:
        self.folder = folder
        self._port = free_port()
        rules = RULES.format(capsule=capsule.url, officernd=officernd.url)
        rules += follower.RULES.format(capsule=capsule.url, product=product.url)
        (folder / "relay.toml").write_text(rules, encoding="utf-8")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_") and name != "REDIS_URL"}
        self._environ = kept | {
            "PYTHONPATH": str(ROOT),
            "RELAY_SECRET_KEY": secrets.token_urlsafe(32),
            "RELAY_PUBLIC_URL": f"http://127.0.0.1:{self._port}",
            "RELAY_WEB_PORT": str(self._port),
            "RELAY_CONSOLE_PORT": str(free_port()),
            "RELAY_DEMO_CAPSULE_TOKEN": "capsule-token",
            "RELAY_DEMO_OFFICERND_CLIENT_ID": "officernd-client",
            "RELAY_DEMO_OFFICERND_CLIENT_SECRET": "officernd-secret",
            "RELAY_PRODUCT_WEBHOOK_SECRETS": SECRET,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, *words: str, capture: bool = False) -> subprocess.CompletedProcess[str]:
        """Runs one command of `capsule-relay` to its end; what it shows is seen unless it is captured."""
        return subprocess.run(
            [sys.executable, "-m", "workers", *words],
            cwd=self.folder,
            env=self._environ,
            stdout=subprocess.PIPE if capture else None,
            text=True,
            check=False,
        )

    def start(self) -> None:
        """Starts `up` and waits until the receiver is ready. Raises DemoFailed."""
        with (self.folder / "up.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "workers", "up"],
                cwd=self.folder,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise DemoFailed("capsule-relay up did not become ready")
            time.sleep(0.1)

    def stop(self) -> int | None:
        """Ends `up` as Ctrl-C would, and returns its exit status."""
        if self._process is None:
            return None
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    @property
    def redis_url(self) -> str:
        """The address of the embedded data store."""
        port = (self.folder / ".relay" / "redis-port").read_text(encoding="ascii").strip()
        return f"redis://127.0.0.1:{port}/0"

    def _ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self._port}/ready", timeout=2, trust_env=False).is_success
        except httpx.TransportError:
            return False
