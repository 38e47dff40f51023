"""A Redis with a user of its own for the relay (`deploy/redis-acl.conf`), and one behind TLS."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self, cast

import pytest
import redis
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from receiver.store import Store, StoreAway
from tests.acceptance.harness import System, until
from tests.acceptance.receiving import Receiver, body_of
from workers import agenda
from workers.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]

ACL = Path(__file__).resolve().parents[2] / "deploy" / "redis-acl.conf"
PASSWORD = "replace-this-password"


class WithUser(System):
    """The system on a server where it is the user `relay`."""

    def __init__(self, directory: Path, server: EmbeddedServer) -> None:
        super().__init__(directory, environment={"REDIS_URL": f"redis://relay:{PASSWORD}@127.0.0.1:{server.port}/0"})

    def redis_url(self) -> str:
        return self.environment["REDIS_URL"]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server with the users of the file; the default one stays, for the test itself."""
    with EmbeddedServer(tmp_path / "valkey") as server:
        admin = redis.Redis.from_url(server.url)
        for line in ACL.read_text(encoding="utf-8").splitlines():
            if line.startswith("user ") and not line.startswith("user default"):
                cast("Any", admin).execute_command("ACL", "SETUSER", *line.split()[1:])
        yield server
        admin.close()


def test_the_whole_relay_runs_as_the_user_of_the_file(own: EmbeddedServer, tmp_path: Path) -> None:
    admin = redis.Redis.from_url(own.url)
    with WithUser(tmp_path, own) as system:
        made = system.party(type="person", firstName="Ada", lastName="Example", tags=[{"name": "member"}])
        until(lambda: system.linked("members", int(made["id"])), "the person is a member", seconds=90)
        for words in (["status"], ["sync", "acme", "--full"], ["sync", "acme", "--dry-run"], ["status", "--json"]):
            done = system.run(*words)
            assert done.returncode == 0, (words, done.stderr[-500:])
        until(system.idle, "nothing is open", seconds=60)
        assert "NOPERM" not in system.log()
    # And nothing that it tried was refused
    refused = cast("list[Any]", cast("Any", admin).execute_command("ACL", "LOG"))
    assert not refused
    keys = cast("list[bytes]", admin.keys("*"))
    assert all(key.startswith((b"relay:", b"dramatiq:")) for key in keys)
    admin.close()


@pytest.mark.parametrize(
    "command",
    [
        *("FLUSHALL", "FLUSHDB", "SHUTDOWN", "SAVE", "MONITOR", "ACL WHOAMI", "CONFIG GET dir", "CONFIG SET dir /tmp"),
        *("REPLICAOF 127.0.0.1 1", "CLIENT LIST", "GET other", "SET other 1", "HGETALL celery", "FUNCTION LIST"),
        *("MODULE LIST", "SWAPDB 0 1", "RESTORE relay:x 0 x", "MIGRATE 127.0.0.1 1 relay:x 0 1", "PUBLISH x y", "SORT relay:x"),
    ],
)
def test_the_user_may_do_nothing_else(own: EmbeddedServer, command: str) -> None:
    client = redis.Redis.from_url(f"redis://relay:{PASSWORD}@127.0.0.1:{own.port}/0")
    with pytest.raises(redis.exceptions.NoPermissionError):
        cast("Any", client).execute_command(*command.split())
    client.close()


def test_a_wrong_password_of_redis_is_not_in_the_log(own: EmbeddedServer, tmp_path: Path) -> None:
    with Receiver(tmp_path, f"redis://relay:canary-password@127.0.0.1:{own.port}/0", RELAY_SPOOL="off") as receiver:
        assert receiver.post(body_of(1)).status_code == 503
        assert receiver.client.get("/ready").status_code == 503
        until(lambda: "refused_503" in receiver.log, "it is told")
        assert "canary" not in receiver.log


# TLS: the bundled server has none, so a small proxy holds the certificate, as stunnel or a cloud's endpoint would


def certificate(directory: Path) -> Path:
    """A key and a certificate for localhost that it has signed itself, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "certificate.pem"
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path


class Tls:
    """Ends TLS before a server, in a thread of its own."""

    def __init__(self, server: EmbeddedServer, held: Path) -> None:
        self._server = server
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(held)
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._relay, "127.0.0.1", 0, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._over.wait()
        server.close()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind, before = await asyncio.open_connection("127.0.0.1", self._server.port)
        try:
            await asyncio.gather(_pump(reader, before), _pump(behind, writer))
        finally:
            before.close()
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        writer.close()


def test_tls_is_spoken_and_certificates_are_checked(server: EmbeddedServer, store: redis.Redis, tmp_path: Path) -> None:
    held = certificate(tmp_path)

    async def asked(url: str) -> None:
        made = Store(url, {})
        try:
            await made.ping()
        finally:
            await made.close()

    with Tls(server, held) as tls:
        trusted = f"rediss://localhost:{tls.port}/0?ssl_ca_certs={held}"
        stranger = f"rediss://localhost:{tls.port}/0"
        # The receiver and the workers, with an authority that they know
        asyncio.run(asked(trusted))
        client = agenda.connect(trusted)
        assert client.ping()
        client.close()
        # And with one that they do not know: nothing is said to it
        with pytest.raises(StoreAway):
            asyncio.run(asked(stranger))
        client = agenda.connect(stranger)
        with pytest.raises(redis.ConnectionError):
            client.ping()
        client.close()
        # A whole receiver
        with Receiver(tmp_path, trusted, RELAY_SPOOL="off") as receiver:
            assert receiver.post(body_of(1)).status_code == 202
    assert store.zcard("relay:open") == 1
