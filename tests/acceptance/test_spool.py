"""The receiver with its spool, on a server that hangs, dies, refuses writes; and receivers that are killed meanwhile."""

from __future__ import annotations

import contextlib
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import httpx
import orjson
import pytest
import redis

from receiver.spool import read
from tests.acceptance.receiving import Receiver, body_of, counts, letters, opened, path_of, stopped, until
from workers.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.processes


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    with EmbeddedServer(tmp_path / "valkey") as running:
        yield running


@pytest.fixture
def own(own_server: EmbeddedServer, tmp_path: Path) -> Iterator[Receiver]:
    with Receiver(tmp_path, own_server.url) as running:
        yield running


@pytest.fixture
def client(own_server: EmbeddedServer) -> Iterator[redis.Redis]:
    made = redis.Redis.from_url(own_server.url)
    yield made
    made.close()


def spooled(directory: Path) -> list[Any]:
    """The entries that wait in the folder of a receiver that was started in `directory`."""
    folder = directory / "data" / "spool"
    return [entry for path in sorted(folder.glob("*.spool")) for entry in read(path.read_bytes()).entries]


def records(directory: Path) -> set[str]:
    return {record for entry in spooled(directory) for record in entry.get("open", ())}


def test_while_redis_hangs_everything_is_taken_soon_and_is_in_redis_afterwards(
    own: Receiver, own_server: EmbeddedServer, client: redis.Redis, tmp_path: Path
) -> None:
    assert own.post(body_of(1)).status_code == 202

    def timed(number: int) -> tuple[int, float]:
        began = time.monotonic()
        return own.post(body_of(number) if number % 3 else b"unreadable %d" % number).status_code, time.monotonic() - began

    with stopped(own_server):
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(timed, range(2, 302)))
        ready = own.client.get("/ready")
        waiting = records(tmp_path)
    assert {status for status, _ in answers} == {202}
    slow = sorted(seconds for _, seconds in answers)
    print(f"while Redis hangs: p50 {slow[150] * 1000:.1f} ms, p99 {slow[296] * 1000:.1f} ms, longest {slow[-1] * 1000:.0f} ms")
    # Only those that came before it was known to hang have waited for it
    assert sum(seconds > 0.5 for _, seconds in answers) <= 40
    assert ready.status_code == 200
    assert ready.json()["redis"]
    assert ready.json()["spool"]["bytes"] > 0
    wanted = {f"acme|party|{number}" for number in range(2, 302) if number % 3}
    assert waiting == wanted
    # When it answers again
    until(lambda: wanted <= opened(client))
    until(lambda: len(letters(client)) == 100)
    until(lambda: not spooled(tmp_path))
    assert not list((tmp_path / "data" / "spool").iterdir())
    until(lambda: own.client.get("/ready").json() == {"ready": True})
    until(lambda: counts(client).get("delivery.admitted|acme") == 201)
    until(lambda: counts(client).get("spool.replayed", 0) >= 300)
    assert "Traceback" not in own.log


def test_a_killed_redis_costs_nothing_and_new_deliveries_do_not_wait_for_the_old(
    own: Receiver, own_server: EmbeddedServer, client: redis.Redis, tmp_path: Path
) -> None:
    own_server.kill()
    assert {own.post(body_of(number)).status_code for number in range(1, 41)} == {202}
    assert len(records(tmp_path)) == 40
    own_server.start()
    until(lambda: len(opened(client)) == 40)
    until(lambda: not spooled(tmp_path))
    assert own.post(body_of(99)).status_code == 202
    assert "acme|party|99" in opened(client)


@pytest.mark.parametrize(
    ("spoil", "mend"),
    [
        pytest.param(("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), id="OOM"),
        pytest.param(("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), id="READONLY"),
        pytest.param(
            ("CONFIG", "SET", "min-replicas-to-write", "1"), ("CONFIG", "SET", "min-replicas-to-write", "0"), id="NOREPLICAS"
        ),
        pytest.param(("ACL", "SETUSER", "default", "-evalsha", "-eval"), ("ACL", "SETUSER", "default", "+@all"), id="NOPERM"),
        pytest.param(
            ("ACL", "SETUSER", "default", "resetpass", ">another"), ("ACL", "SETUSER", "default", "nopass"), id="WRONGPASS"
        ),
    ],
)
def test_a_redis_that_takes_no_writes_counts_as_away_until_it_does(
    own: Receiver, own_server: EmbeddedServer, tmp_path: Path, spoil: tuple[str, ...], mend: tuple[str, ...]
) -> None:
    client = redis.Redis.from_url(own_server.url)
    command = cast("Any", client).execute_command
    command("PING")
    command(*spoil)
    if "resetpass" in spoil:
        # A connection that is signed in stays so: the receiver's is cut, and the next one is refused.
        command("CLIENT", "KILL", "TYPE", "normal")
        client = redis.Redis.from_url(own_server.url, password="another")
        command = cast("Any", client).execute_command
    assert {own.post(body).status_code for body in (body_of(1), b"unreadable", body_of(2))} == {202}
    assert records(tmp_path) == {"acme|party|1", "acme|party|2"}
    command(*mend)
    until(lambda: opened(client) == {"acme|party|1", "acme|party|2"})
    until(lambda: len(letters(client)) == 1)
    until(lambda: not spooled(tmp_path))
    client.close()


def test_a_redis_that_still_loads_its_data_counts_as_away(own: Receiver, own_server: EmbeddedServer, client: redis.Redis) -> None:
    # Given a server that takes a while to load: each key costs it a thousand microseconds
    pipe = client.pipeline(transaction=False)
    for number in range(3_000):
        pipe.set(f"filler:{number}", b"x")
    pipe.execute()
    own_server.kill()
    own_server.extra = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
    # `start` waits for an answer that a loading server does not give, so the deliveries are sent beside it
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(own_server.start)
        answers: set[int] = set()
        while not starting.done():
            answers.add(own.post(body_of(len(answers) + 1)).status_code)
            time.sleep(0.05)
        starting.result()
    assert answers == {202}
    until(lambda: "acme|party|1" in opened(client))


def test_a_redis_that_comes_and_goes_loses_nothing(
    own: Receiver, own_server: EmbeddedServer, client: redis.Redis, tmp_path: Path
) -> None:
    sent = 0
    for _ in range(6):
        own_server.kill()
        for _ in range(5):
            sent += 1
            assert own.post(body_of(sent)).status_code == 202
        own_server.start()
        for _ in range(5):
            sent += 1
            assert own.post(body_of(sent)).status_code == 202
    until(lambda: len(opened(client)) == sent)
    until(lambda: not spooled(tmp_path))


# Kills


def test_what_a_killed_receiver_had_answered_is_opened_by_its_successor(
    own_server: EmbeddedServer, client: redis.Redis, tmp_path: Path
) -> None:
    accepted: set[int] = set()
    with stopped(own_server), Receiver(tmp_path, own_server.url) as first:

        def send(number: int) -> None:
            with contextlib.suppress(httpx.TransportError):
                if first.post(body_of(number)).status_code == 202:
                    accepted.add(number)

        with ThreadPoolExecutor(8) as pool:
            for number in range(1, 400):
                pool.submit(send, number)
            until(lambda: len(accepted) > 100)
            first.process.kill()
        first.process.wait()
    assert {f"acme|party|{number}" for number in accepted} <= records(tmp_path)
    # And its last line is torn
    last = max((tmp_path / "data" / "spool").glob("*.spool"))
    with last.open("ab") as file:
        file.write(b'12345678 {"at":1,"open":["acme|pa')
    with Receiver(tmp_path, own_server.url) as second:
        until(lambda: {f"acme|party|{number}" for number in accepted} <= opened(client))
        until(lambda: not list((tmp_path / "data" / "spool").iterdir()))
        until(lambda: "spool.torn" in second.log)


def test_a_live_receiver_brings_over_what_a_killed_neighbour_left(
    own_server: EmbeddedServer, client: redis.Redis, tmp_path: Path
) -> None:
    with Receiver(tmp_path, own_server.url) as stays, Receiver(tmp_path, own_server.url) as goes:
        with stopped(own_server):
            assert goes.post(body_of(1)).status_code == 202
            assert stays.post(body_of(2)).status_code == 202
            goes.process.kill()
            goes.process.wait()
        until(lambda: opened(client) == {"acme|party|1", "acme|party|2"})
        until(lambda: not spooled(tmp_path))


def test_several_processes_keep_and_bring_over_side_by_side(
    own_server: EmbeddedServer, client: redis.Redis, tmp_path: Path
) -> None:
    with Receiver(tmp_path, own_server.url, "--workers", "2") as many:

        def send(number: int) -> int:
            with socket.create_connection(("127.0.0.1", many.port), timeout=10) as link:
                body = body_of(number)
                head = f"POST {path_of('acme')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
                link.sendall(head.encode() + body)
                return int(link.recv(65_536)[9:12])

        with stopped(own_server), ThreadPoolExecutor(8) as pool:
            assert set(pool.map(send, range(1, 201))) == {202}
        until(lambda: len(opened(client)) == 200)
        until(lambda: not spooled(tmp_path))


def test_a_replay_that_is_killed_half_way_is_done_by_the_next(
    own_server: EmbeddedServer, client: redis.Redis, tmp_path: Path
) -> None:
    with stopped(own_server), Receiver(tmp_path, own_server.url) as first:
        for start in range(0, 40_000, 4_000):
            assert first.post(body_of(*range(start + 1, start + 4_001))).status_code == 202
        first.process.kill()
        first.process.wait()
    with Receiver(tmp_path, own_server.url) as second:
        until(lambda: client.zcard("relay:open") > 1_000)
        second.process.kill()
        second.process.wait()
    half = client.zcard("relay:open")
    with Receiver(tmp_path, own_server.url):
        until(lambda: client.zcard("relay:open") == 40_000, 30)
        until(lambda: not spooled(tmp_path))
    print(f"killed with {half} of 40000 records in Redis")


# Limits


def test_a_full_spool_is_503_with_a_time_to_come_again_and_recovers(
    own_server: EmbeddedServer, client: redis.Redis, tmp_path: Path
) -> None:
    with Receiver(tmp_path, own_server.url, RELAY_SPOOL_BYTES="65536") as small:
        statuses: dict[int, int] = {}
        with stopped(own_server):
            for number in range(20):
                answer = small.post(body_of(*range(number * 500 + 1, number * 500 + 501)))
                statuses[number] = answer.status_code
            assert answer.headers["retry-after"] == "5"
        assert set(statuses.values()) == {202, 503}
        assert sum(path.stat().st_size for path in (tmp_path / "data" / "spool").glob("*")) <= 65_536
        until(lambda: not spooled(tmp_path))
        taken = {f"acme|party|{n * 500 + 1}" for n, status in statuses.items() if status == 202}
        until(lambda: taken <= opened(client))
        assert small.post(body_of(1)).status_code == 202
        assert "the spool is full" in small.log


def test_a_folder_that_cannot_be_used_is_told_at_the_start_and_deliveries_are_503_in_an_outage(
    own_server: EmbeddedServer, tmp_path: Path
) -> None:
    (tmp_path / "data").write_text("a file in the way")
    with Receiver(tmp_path, own_server.url) as hindered:
        until(lambda: "spool.unusable" in hindered.log)
        assert hindered.post(body_of(1)).status_code == 202
        with stopped(own_server):
            assert {hindered.post(body_of(number)).status_code for number in range(3)} == {503}


def test_a_receiver_that_is_asked_to_stop_while_redis_is_away_answers_and_keeps(
    own: Receiver, own_server: EmbeddedServer, tmp_path: Path
) -> None:
    with stopped(own_server):
        assert own.post(body_of(1)).status_code == 202
        own.process.send_signal(signal.SIGTERM)
        assert own.process.wait(15) in {0, -signal.SIGTERM}
    assert records(tmp_path) == {"acme|party|1"}
    assert "Traceback" not in own.log


def test_nothing_personal_is_in_the_spool_or_told_about_it(own: Receiver, own_server: EmbeddedServer, tmp_path: Path) -> None:
    item = {"id": 77, "name": "canary-name", "emailAddresses": [{"address": "canary@example.com"}]}
    body = orjson.dumps({"event": "party/updated", "payload": [item, {"id": "canary-id"}]})
    with stopped(own_server):
        assert own.post(body).status_code == 202
        held = b"".join(path.read_bytes() for path in (tmp_path / "data" / "spool").iterdir())
    assert b"acme|party|77" in held
    for secret in (b"canary", path_of("acme").rpartition("/")[2].encode()):
        assert secret not in held
    own.__exit__()
    assert "canary" not in own.log
