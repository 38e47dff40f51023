"""A receiver as a process of its own, for the acceptance tests."""

from __future__ import annotations

import base64
import hashlib
import hmac
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import httpx
import orjson
from cryptography.fernet import Fernet, MultiFernet

from mapping.agenda import COUNTS, deliveries_key
from mapping.keys import fernet_keys, hook_path, hook_token, signed_path
from workers.embedded import EmbeddedServer, free_port

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    import redis

ROOT = Path(__file__).parent.parent.parent
SECRET = "canary-secret-key-0123456789-abcdef"
OLD_SECRET = "older-secret-key-0123456789-abcdefg"
SIGNING_KEY = bytes(range(24))
START_SECONDS = 20.0
_STARTS = itertools.count(1)

RULES = """
[connections.acme]
downstream = "officernd"
hook_generation = 2
[connections.uni]
downstream = "unified"
[connections.shared]
downstream = "officernd"
[connections.guest]
downstream = "unified"
[connections.guest.capsule]
account = "shared"
"""


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Waits for a condition, and fails if it does not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.01)


PROTOCOL = "receiver.protocol:HookProtocol"
"""As the Procfile has it."""


class Receiver:
    """`uvicorn --factory receiver.main:app`, with the Procfile's protocol if `options` name no other."""

    def __init__(
        self, directory: Path, redis_url: str, *options: str, shared: socket.socket | None = None, **environ: str
    ) -> None:
        """With `shared` it listens on a socket that its parent holds, as under systemd's socket activation."""
        rules = directory / "relay.toml"
        rules.write_text(RULES, encoding="utf-8")
        self.port = shared.getsockname()[1] if shared is not None else free_port()
        if shared is not None:
            options = ("--fd", str(shared.fileno()), *options)
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = directory / f"receiver-{self.port}-{next(_STARTS)}.log"
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
        if "--http" not in options:
            options = ("--http", PROTOCOL, *options)
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "--factory", "receiver.main:app", "--port", str(self.port), *options],
                cwd=ROOT,
                env={
                    **kept,
                    "RELAY_CONFIG": str(rules),
                    "RELAY_SECRET_KEY": f"{SECRET},{OLD_SECRET}",
                    "RELAY_ACME_SIGNING_SECRET": "whsec_" + base64.b64encode(SIGNING_KEY).decode(),
                    "RELAY_DATA_DIR": str(directory / "data"),
                    "REDIS_URL": redis_url,
                    **environ,
                },
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(shared.fileno(),) if shared is not None else (),
            )
        self.client = httpx.Client(base_url=self.url, timeout=10, trust_env=False)

    def __enter__(self) -> Self:
        until(self._lives, START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _lives(self) -> bool:
        assert self.process.poll() is None, self.output.read_text()
        try:
            return self.client.get("/live").status_code == 200
        except httpx.TransportError:
            return False

    @property
    def log(self) -> str:
        """All that it has written so far."""
        return self.output.read_text(encoding="utf-8")

    def post(self, body: bytes, *, connection: str = "acme", headers: dict[str, str] | None = None) -> httpx.Response:
        """One delivery at the plain door, with the token that Capsule would have now."""
        return self.client.post(path_of(connection), content=body, headers=headers)

    def post_signed(self, body: bytes, *, connection: str = "acme", **changed: str) -> httpx.Response:
        """One delivery at the door of signed relays; `changed` replaces headers (`webhook_id` and so on)."""
        stamp = changed.get("webhook_timestamp", str(int(time.time())))
        mac = hmac.digest(SIGNING_KEY, f"msg_1.{stamp}.".encode() + body, hashlib.sha256)
        headers = {
            "webhook-id": "msg_1",
            "webhook-timestamp": stamp,
            "webhook-signature": "v1," + base64.b64encode(mac).decode(),
        }
        headers |= {name.replace("_", "-"): value for name, value in changed.items()}
        return self.client.post(signed_path(connection), content=body, headers=headers)


def path_of(connection: str) -> str:
    """The path at which a connection's deliveries come in now."""
    generation = {"acme": 2}.get(connection, 1)
    return hook_path(connection, hook_token(SECRET, connection, generation))


def body_of(*ids: object, event: str = "party/updated") -> bytes:
    return json.dumps({"event": event, "payload": [{"id": number} for number in ids]}).encode()


def opened(store: redis.Redis) -> set[str]:
    return {record.decode() for record in cast("list[bytes]", store.zrange("relay:open", 0, -1))}


def letters(store: redis.Redis, connection: str = "acme") -> list[dict[str, object]]:
    cipher = MultiFernet([Fernet(key) for key in fernet_keys([SECRET])])
    return [orjson.loads(cipher.decrypt(value)) for value in store.hvals(deliveries_key(connection))]


def counts(store: redis.Redis) -> dict[str, int]:
    held = cast("dict[bytes, bytes]", store.hgetall(COUNTS))
    return {field.decode(): int(value) for field, value in held.items()}


def answer_of(link: socket.socket) -> bytes:
    """Everything that comes until the other side ends the connection."""
    parts = []
    while part := link.recv(65_536):
        parts.append(part)
    return b"".join(parts)


class stopped:  # noqa: N801 - reads as a clause: with stopped(server)
    """The server hangs for as long as the block runs: it takes connections and answers nothing."""

    def __init__(self, server: EmbeddedServer) -> None:
        assert server.process is not None
        self.process = server.process

    def __enter__(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGCONT)
