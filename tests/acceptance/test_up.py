"""`capsule-relay up` as a person runs it: whole processes over an embedded data store, started, killed, stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import redis

from workers.embedded import EmbeddedServer, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="finds processes through /proc"),
]

ROOT = Path(__file__).resolve().parents[2]
RULES = """
[connections.acme]
downstream = "officernd"
auto_sync = false
[connections.acme.capsule]
auth = "token"
api_url = "http://127.0.0.1:9/api/v2"
[connections.acme.officernd]
organization = "acme-spaces"
api_url = "http://127.0.0.1:9/api/v2"
token_url = "http://127.0.0.1:9/oauth/token"
"""
# The end of a word of each program's command line that no other has.
MARKS = {
    "web": "receiver.main:app",
    "worker": "live",
    "solo": "solo",
    "clock": "clock",
    "console": "console.main:app",
    "store": "/valkey-server",
}


def until(true: Callable[[], object], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "the condition did not come about in time"
        time.sleep(0.05)


def parents() -> dict[int, int]:
    """Every process that runs, with its parent."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    found[int(folder.name)] = int(parent)
    return found


def family(process: int) -> set[int]:
    """All descendants of a process."""
    tree = parents()
    found: set[int] = set()
    new = {process}
    while new:
        new = {child for child, parent in tree.items() if parent in new}
        found |= new
    return found


def words(process: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_text().replace(" 127.0.0.1:", "\0").split("\0")  # Valkey's own title
    return []


@dataclass
class Up:
    """One run of `up`, in a folder of its own."""

    folder: Path
    environ: dict[str, str]
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / ".relay"

    @property
    def said(self) -> str:
        return (self.folder / "up.log").read_text(encoding="utf-8")

    def start(self) -> None:
        """Starts it and waits until the receiver is ready and every program runs."""
        with (self.folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "workers", "up"],
                cwd=self.folder,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(self.ready)
        until(lambda: set(self.programs()) == set(MARKS))
        until(lambda: self.client().exists("relay:procs"))  # a worker beats, so it has begun its work

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.said
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.port}/ready", timeout=2, trust_env=False).is_success
        return False

    def programs(self) -> dict[str, int]:
        """The programs that `up` itself has started, by name."""
        assert self.process is not None
        children = [child for child, parent in parents().items() if parent == self.process.pid]
        return {name: child for child in children for name, mark in MARKS.items() if any(w.endswith(mark) for w in words(child))}

    def client(self) -> redis.Redis:
        port = int((self.data / "redis-port").read_text())
        return redis.Redis(port=port, decode_responses=True, socket_timeout=5)

    def stop(self, how: signal.Signals = signal.SIGTERM, *, seconds: float = 60) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(seconds)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    """A folder in which `up` can run; what still runs afterwards is ended."""
    (tmp_path / "relay.toml").write_text(RULES, encoding="utf-8")
    port = free_port()
    environ = dict(os.environ) | {
        "PYTHONPATH": str(ROOT),
        "RELAY_SECRET_KEY": "k" * 32,
        "RELAY_WEB_PORT": str(port),
        "RELAY_CONSOLE_PORT": str(free_port()),
        "RELAY_ACME_CAPSULE_TOKEN": "token",
        "RELAY_ACME_OFFICERND_CLIENT_ID": "id",
        "RELAY_ACME_OFFICERND_CLIENT_SECRET": "secret",
    }
    made = Up(folder=tmp_path, environ=environ, port=port)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.terminate()
        try:
            made.process.wait(60)
        except subprocess.TimeoutExpired:
            made.process.kill()
            made.process.wait()


def test_everything_starts_and_a_clean_stop_leaves_nothing_but_the_data(up: Up) -> None:
    """Given a run that noted something, When Ctrl-C ends it, Then the next run finds it, and that the stop was clean."""
    up.start()
    up.client().set("relay:test", "kept")
    assert oct(up.data.stat().st_mode & 0o777) == "0o700"
    assert up.process is not None
    everybody = family(up.process.pid)
    assert up.stop(signal.SIGINT) == 0, up.said
    assert not everybody & set(parents())
    with EmbeddedServer(up.data / "valkey") as server, redis.Redis.from_url(server.url, decode_responses=True) as client:
        assert client.get("relay:test") == "kept"
        seconds, micros = client.time()
        assert 0 <= seconds + micros / 1e6 - int(client.get("relay:clean_stop") or 0) / 1000 < 60
    up.start()
    assert up.client().get("relay:test") == "kept"
    assert up.stop() == 0, up.said


def test_a_first_start_need_not_fear_writes_of_an_earlier_one(up: Up) -> None:
    """reference/agenda.md §9.4: over an empty folder, `born` lies further back than the stray window of 30 s."""
    up.start()
    until(lambda: up.client().get("relay:born"))
    born = int(str(up.client().get("relay:born")).split()[1])
    assert up.client().time()[0] - born / 1000 > 30


@pytest.mark.parametrize("name", MARKS)
def test_what_is_killed_starts_again(up: Up, name: str) -> None:
    up.start()
    killed = up.programs()[name]
    up.client().set("relay:test", "kept")
    if name == "store":
        up.client().waitaof(1, 0, 5000)  # the append-only file is written through every second
    os.kill(killed, signal.SIGKILL)
    until(lambda: up.programs().get(name, killed) != killed)
    until(up.ready)
    assert up.client().get("relay:test") == "kept"
    assert up.stop() == 0, up.said


def test_a_second_one_over_the_same_data_is_refused(up: Up) -> None:
    up.start()
    second = subprocess.run(
        [sys.executable, "-m", "workers", "up"],
        cwd=up.folder,
        env=up.environ,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert second.returncode == 1
    assert up.process is not None
    assert f"(process {up.process.pid})" in second.stderr
    assert "RELAY_DATA_DIR" in second.stderr
    assert up.ready()


def test_a_port_that_is_taken_is_told_at_once(up: Up) -> None:
    with socket.create_server(("127.0.0.1", up.port)):
        refused = subprocess.run(
            [sys.executable, "-m", "workers", "up"],
            cwd=up.folder,
            env=up.environ,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert refused.returncode == 1
    assert "RELAY_WEB_PORT" in refused.stderr


def test_nobody_outlives_an_up_that_was_killed_and_the_next_finds_the_data(up: Up) -> None:
    """Given a run killed with SIGKILL, When the next starts at once, Then it waits for the old processes and keeps the data."""
    up.start()
    up.client().set("relay:test", "kept")
    assert up.process is not None
    everybody = family(up.process.pid)
    assert len(everybody) > len(MARKS)
    up.stop(signal.SIGKILL)
    up.start()
    assert not everybody & set(parents())
    assert up.client().get("relay:test") == "kept"
    assert up.stop() == 0, up.said


def test_a_second_ctrl_c_ends_everything_at_once(up: Up) -> None:
    """Given a worker that does not answer (stopped), When Ctrl-C comes twice, Then nobody waits for it."""
    up.start()
    os.kill(up.programs()["web"], signal.SIGSTOP)
    assert up.process is not None
    everybody = family(up.process.pid)
    up.process.send_signal(signal.SIGINT)
    until(lambda: "stopping" in up.said)
    began = time.monotonic()
    assert up.stop(signal.SIGINT) == 1
    assert time.monotonic() - began < 10
    assert not everybody & set(parents())


def test_a_data_store_of_one_s_own_is_used_and_left_alone(up: Up, server: EmbeddedServer, store: redis.Redis) -> None:
    up.environ["REDIS_URL"] = server.url
    with (up.folder / "up.log").open("wb") as log:
        up.process = subprocess.Popen(
            [sys.executable, "-m", "workers", "up"], cwd=up.folder, env=up.environ, stdout=log, stderr=log, start_new_session=True
        )
    until(up.ready)
    until(lambda: store.exists("relay:procs"))
    assert set(up.programs()) == set(MARKS) - {"store"}
    assert up.stop() == 0, up.said
    assert store.ping()
    # Others may still be at work on it, so no clean stop is claimed for them.
    assert not store.exists("relay:clean_stop")


def test_a_data_store_that_outlived_everybody_is_ended_first(up: Up) -> None:
    """Given a server over our data whose `up` and guard were both killed, When `up` starts, Then only one has the data."""
    up.data.mkdir()
    orphan = EmbeddedServer(up.data / "valkey")
    orphan.start()
    assert orphan.process is not None
    try:
        (up.data / "redis-port").write_text(f"{orphan.port}\n")
        with redis.Redis.from_url(orphan.url) as client:
            client.set("relay:test", "kept")
        up.start()
        assert orphan.process.wait(5) == 0
        assert "an earlier run has left behind" in up.said
        assert up.client().get("relay:test") == "kept"
    finally:
        orphan.stop()
