"""Capsule Relay's peers as the fault suite can run them: a webhook and workers, started again when they die, and a Redis."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Any

import httpx
import redis

from tests.acceptance.harness import ROOT, until
from tests.faults.installation import Installation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.faults.installation import Kind

RESTART_SECONDS = 0.3
DRAMATIQ = ("dramatiq:default.msgs", "dramatiq:default.DQ.msgs")


class Keeper:
    """Runs programs and starts again what dies, each with everything that it has forked, as a service manager would."""

    def __init__(self, programs: Mapping[str, Sequence[str]], *, env: Mapping[str, str], log: Path) -> None:
        self._programs = programs
        self._env = env
        self._log = log
        self._stop = threading.Event()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._thread = threading.Thread(target=self._watch, name="keeper", daemon=True)

    def start(self) -> None:
        """Starts all of them."""
        for name in self._programs:
            self._begin(name)
        self._thread.start()

    def stop(self) -> None:
        """Ends all of them."""
        self._stop.set()
        self._thread.join()
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._end(process)

    def _watch(self) -> None:
        while not self._stop.wait(RESTART_SECONDS):
            for name, process in list(self.processes.items()):
                if process.poll() is not None:
                    self._end(process)
                    self._begin(name)

    def _begin(self, name: str) -> None:
        with self._log.open("ab") as log:
            self.processes[name] = subprocess.Popen(
                list(self._programs[name]), cwd=ROOT, env=dict(self._env), stdout=log, stderr=log, start_new_session=True
            )

    @staticmethod
    def _end(process: subprocess.Popen[bytes]) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


class PeerInstallation(Installation):
    """Both simulators, a webhook and workers of a peer. `python` is that of the benchmarks' virtual environment."""

    def __init__(
        self,
        directory: Path,
        *,
        peer: str,
        python: Path,
        redis_proxied: bool = True,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(directory, own_redis=True, redis_proxied=redis_proxied, environment=environment)
        self.peer = peer
        self.python = python
        self.keeper: Keeper | None = None

    @property
    def env(self) -> dict[str, str]:
        """The relay's own environment is of no use to them, but for where things are."""
        return super().env | {
            "PEER": f"tests.benchmarks.peers.with_{self.peer}",
            "PEER_RULES": str(self.directory / "relay.toml"),
            "PEER_CAPSULE": self.capsule.url,
            "PEER_OFFICERND": self.officernd.url,
        }

    def hook_url(self) -> str:
        """The webhook."""
        return f"http://127.0.0.1:{self.web_port}/hook"

    def up(self) -> None:
        """Starts the webhook and the workers, and waits for the webhook."""
        module = self.env["PEER"]
        python = str(self.python)
        worker = {
            "dramatiq": (python, "-m", "dramatiq", module, "--processes", "1", "--threads", "16"),
            "celery": (python, "-m", "celery", "-A", module, "worker", "--loglevel", "WARNING", "--concurrency", "4"),
        }[self.peer]
        web = (python, "-m", "uvicorn", "tests.benchmarks.peers.web:app", "--port", str(self.web_port), "--no-access-log")
        self.keeper = Keeper({"web": web, "worker": worker}, env=self.env, log=self.directory / "up.log")
        self.keeper.start()
        until(self._ready, "the webhook is ready", seconds=60, every=0.1)

    def _ready(self) -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{self.web_port}/ready", timeout=2, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def down(self) -> int:
        """Ends everything."""
        if self.keeper is not None:
            self.keeper.stop()
            self.keeper = None
        return 0

    def alive(self) -> bool:
        """Whether the webhook answers and workers run."""
        return bool(self.find("worker child")) and self._ready()

    def find(self, kind: Kind) -> list[int]:
        """As `Installation.find`, for what a peer has."""
        if self.keeper is None or kind in {"clock", "solo"}:
            return []
        if kind == "redis":
            return super().find(kind) if self.server is None else [self.server.process.pid] if self.server.process else []
        if kind == "receiver":
            return [self.keeper.processes["web"].pid]
        master = self.keeper.processes["worker"].pid
        return [master] if kind == "worker master" else self._below(master, ())

    def held(self) -> dict[int, int]:
        """Messages that the peer's queue still holds, by the record that they are about."""
        found: dict[int, int] = {}
        with self.store() as store:
            for number in self._held_by_dramatiq(store) if self.peer == "dramatiq" else self._held_by_celery(store):
                found[number] = found.get(number, 0) + 1
        return found

    def dead(self) -> int:
        """Messages that the peer has given up."""
        with self.store() as store:
            return int(store.zcard("dramatiq:default.XQ"))

    def quiet(self) -> bool:
        """Whether the queue is empty."""
        try:
            return not self.held()
        except redis.RedisError:
            return False

    @staticmethod
    def _held_by_dramatiq(store: redis.Redis) -> list[int]:
        return [int(json.loads(body)["args"][1]) for name in DRAMATIQ for body in store.hvals(name)]

    @staticmethod
    def _held_by_celery(store: redis.Redis) -> list[int]:
        messages: list[Any] = [json.loads(one) for one in store.lrange("celery", 0, -1)]
        messages += [json.loads(one)[0] for one in store.hvals("unacked")]
        return [int(json.loads(base64.b64decode(one["body"]))[0][1]) for one in messages]
