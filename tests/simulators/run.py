"""A simulator as a process of its own, for tests and for the demonstration."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 20.0
# A test's own client lets an idle connection go before the simulator, after five seconds, closes it under a request.
SHORT_IDLE = httpx.Limits(keepalive_expiry=2.0)


def free_port() -> int:
    """A TCP port on loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Simulator:
    """Starts `python -m tests.simulators NAME --port PORT`, waits until it answers, and stops it.

    Without `port` a free one is taken. `options` become command line options: `Simulator("capsule", limit=400_000)`.
    Raises RuntimeError, with what the process printed, when it does not answer within 20 seconds.
    """

    def __init__(self, name: str, *, port: int | None = None, **options: str | float) -> None:
        self.name = name
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._said: IO[bytes] | None = None
        self._client: httpx.Client | None = None

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Start the process and wait until it answers."""
        options = [text for name, value in self._options.items() for text in (f"--{name.replace('_', '-')}", str(value))]
        command = [sys.executable, "-m", "tests.simulators", self.name, "--port", str(self.port), *options]
        said = self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._client = httpx.Client(base_url=self.url, timeout=60.0, trust_env=False, limits=SHORT_IDLE)
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said.seek(0)
                text = said.read().decode(errors="replace")[-2000:]
                self.stop()
                raise RuntimeError(f"simulator {self.name} did not start on port {self.port}: {text}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop the process; a second call does nothing, and `start` begins anew on the same port."""
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._said is not None:
            self._said.close()
            self._said = None
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def control(self, method: str, path: str, json: object = None) -> Any:
        """One control request, such as `control("POST", "/_control/faults", {...})`; the answer's document.

        `path` may leave `/_control` out. Raises RuntimeError, with the simulator's message, when it is refused.
        """
        whole = path if path.startswith("/_control") else f"/_control/{path.lstrip('/')}"
        if self._client is None:
            raise RuntimeError(f"simulator {self.name} is not running")
        answer = self._client.request(method, whole, json=json)
        if answer.is_error:
            raise RuntimeError(f"{method} {whole}: {answer.status_code} {answer.text[:500]}")
        return answer.json()

    def _answers(self) -> bool:
        """Whether the process answers for itself."""
        if self._client is None:
            return False
        try:
            return self._client.get("/_control/limits").is_success
        except httpx.TransportError:
            return False
