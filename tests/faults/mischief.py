"""What others send and what machines do: poison, hostile senders, redirects, wrong clocks, full disks, killed reconciles."""

from __future__ import annotations

import contextlib
import gzip
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from tests.acceptance.harness import NAME, ROOT, until
from tests.faults.installation import pause
from tests.faults.load import Profile
from tests.faults.scene import Case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.scene import Scene
    from tests.faults.verdict import Verdict

REFUSED = {"statusCode": 400, "message": ["phone must be a string"], "error": "Bad Request"}
GIANT = 2 << 20
SLOW_SOCKETS = 100
ELSEWHERE = 307
PERCENT_OF_DRIFT = 10


# ---------------------------------------------------------------------- records made for a purpose
class Victim:
    """A person of our own, told of by deliveries of our own."""

    def __init__(self, scene: Scene, first: str) -> None:
        self.scene = scene
        self.installation = scene.installation
        self.name = ""
        made = self.installation.party(type="person", firstName=first, lastName="r00000000", tags=[{"name": "member"}])
        self.number = int(made["id"])
        self.record = f"{NAME}|party|{self.number}"
        self.tell()
        until(self.member, "the victim came over", seconds=60, every=0.1)

    def member(self) -> dict[str, Any] | None:
        """What OfficeRnD holds of it."""
        return self.installation.linked("members", self.number)

    def edit(self, first: str) -> None:
        """An edit, and its delivery."""
        self.installation.edit(self.number, firstName=first)
        self.tell()

    def tell(self) -> None:
        """A delivery, again until it is accepted."""
        body = {"event": "party/updated", "payload": [{"id": self.number}]}
        until(
            lambda: post(self.installation.hook_url(), orjson.dumps(body)) == 202,
            "the delivery is accepted",
            seconds=60,
            every=0.3,
        )

    def is_dead(self) -> bool:
        """Whether it is a dead letter."""
        with self.installation.store() as store:
            return bool(store.hexists("relay:letters", self.record))


def post(url: str, body: bytes, **headers: str) -> int:
    """The status of one POST; 0 when there was no answer."""
    try:
        given = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return httpx.post(url, content=body, headers=given, timeout=15, trust_env=False).status_code
    except httpx.HTTPError:
        return 0


# ---------------------------------------------------------------------- poison
def poison(scene: Scene) -> None:
    """Messages that nobody can read, actors that nobody knows, bodies that are no JSON, and a record that OfficeRnD refuses."""
    installation = scene.installation
    with installation.store() as store:
        for number in range(20):
            stranger = {
                "queue_name": "live",
                "actor_name": "stranger",
                "args": [],
                "kwargs": {},
                "options": {},
                "message_id": "x",
            }
            body = b"\xff no message" if number % 2 else orjson.dumps({**stranger, "message_timestamp": 1})
            store.hset("dramatiq:live.msgs", f"poison-{number}", body)
            store.rpush("dramatiq:live", f"poison-{number}")
            scene.faults["unreadable message"] += 1
    for body in (b"no json", b"{}", b'{"event": 1, "payload": []}', b'{"event": "party/updated", "payload": [{"id": "x"}]}'):
        assert post(installation.hook_url(), body) == 202
        scene.faults["unreadable delivery"] += 1
    victim = Victim(scene, "Poison")
    member = victim.member()
    assert member is not None
    scene.strike("officernd", route="PUT *", path=member["_id"], kind="status", status=400, body=REFUSED, count=1)
    victim.edit("Refused")
    until(victim.is_dead, "what OfficeRnD refuses is a dead letter", seconds=60, every=0.1)
    victim.edit("Accepted")
    until(lambda: not victim.is_dead(), "an edit heals it", seconds=60, every=0.1)


def killer(scene: Scene) -> None:
    """A record whose every run ends with the death of its worker."""
    victim = Victim(scene, "Killer")
    member = victim.member()
    assert member is not None
    # Held back and never applied: a value that is there already would end the second run before it is killed.
    scene.strike("officernd", route="PUT *", path=member["_id"], kind="cut", seconds=3.0)
    victim.edit("Deadly")
    killed: set[int] = set()
    began = time.monotonic()
    with scene.installation.store() as store:
        while not victim.is_dead():
            assert time.monotonic() < began + 180, f"not a dead letter after {len(killed)} kills"
            lease = store.hget("relay:lease", victim.record)
            process = int(lease.decode().split(" ")[5].split(":")[1]) if lease else 0
            if process and process not in killed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                killed.add(process)
                scene.faults["kill -9 by a record"] += 1
            pause(0.02)
    scene.figures["kills until it was buried"] = len(killed)
    scene.figures["seconds until it was buried"] = round(time.monotonic() - began, 1)
    scene.peace()
    victim.edit("Harmless")
    until(lambda: not victim.is_dead(), "an edit heals it", seconds=60, every=0.1)


def kills_three(scene: Scene, verdict: Verdict) -> None:
    """Three deaths, no more."""
    if scene.figures.get("kills until it was buried") != 3:
        verdict.bugs += 1
        verdict.say(f"buried after {scene.figures.get('kills until it was buried')} kills, not 3")


# ---------------------------------------------------------------------- senders
def hostile(scene: Scene) -> None:
    """What nobody should send, beside what Capsule sends; each has the answer of issue A1."""
    installation = scene.installation
    url, wrong = installation.hook_url(), installation.hook_url()[:-4] + "0000"
    item = b'{"event":"party/updated","payload":[{"id":%s}]}'
    bodies: list[tuple[str, int, bytes, dict[str, str]]] = [
        ("giant", 413, b" " * GIANT, {}),
        ("compressed", 202, gzip.compress(item % b"1"), {"content_encoding": "gzip"}),
        ("deep", 202, b"[" * 100_000, {}),
        ("not UTF-8", 202, b'{"event":"\xff\xfe"}', {}),
        ("NaN", 202, item % b"NaN", {}),
        ("huge number", 202, item % (b"9" * 400), {}),
        ("null id", 202, item % b"null", {}),
        ("empty", 202, b"", {}),
        ("unknown event", 202, b'{"event":"party/exploded","payload":[]}', {}),
    ]
    sockets = list(_half_open(installation.web_port))
    scene.faults["half-open request"] += len(sockets)
    seen: dict[str, set[int]] = {}
    while not scene.over():
        for name, _, body, headers in bodies:
            seen.setdefault(name, set()).add(post(url, body, **headers))
            scene.faults["hostile request"] += 1
        seen.setdefault("wrong token", set()).add(post(wrong, item % b"1"))
        seen.setdefault("chunked giant", set()).add(_chunked(url))
        seen.setdefault("GET", set()).add(httpx.get(url, trust_env=False).status_code)
        scene.wait(0.1, 0.5)
    for link in sockets:
        link.close()
    wanted = {name: status for name, status, _, _ in bodies} | {"wrong token": 404, "chunked giant": 413, "GET": 405}
    scene.figures["unexpected answers"] = {name: sorted(found) for name, found in seen.items() if found != {wanted[name]}}


def answered_as_wanted(scene: Scene, verdict: Verdict) -> None:
    """Every hostile request had the answer that it should have."""
    if odd := scene.figures["unexpected answers"]:
        verdict.bugs += 1
        verdict.say(f"unexpected answers: {odd}")


def _half_open(port: int) -> Iterator[socket.socket]:
    for _ in range(SLOW_SOCKETS):
        link = socket.create_connection(("127.0.0.1", port), timeout=5)
        link.sendall(b"POST /hooks/capsule/acme/x HTTP/1.1\r\nHost: x\r\nContent-Le")
        yield link


def _chunked(url: str) -> int:
    def chunks() -> Iterator[bytes]:
        for _ in range(GIANT >> 16):
            yield b" " * (1 << 16)

    try:
        return httpx.post(url, content=chunks(), timeout=15, trust_env=False).status_code
    except httpx.HTTPError:
        return 413  # cut off while it was sending: the refusal that it did not stay to read


def redirects(scene: Scene) -> None:
    """Both vendors answer reads with a redirect to a host of somebody else's, which must hear nothing; reads are tried again."""
    heard: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as canary:
        canary.settimeout(0.2)
        over = threading.Event()

        def listen() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    link, whence = canary.accept()
                    heard.append(whence)
                    link.close()

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        there = {"Location": f"http://127.0.0.1:{canary.getsockname()[1]}/x"}
        scene.strike("capsule", route="GET *", kind="status", status=ELSEWHERE, headers=there, chance=0.05)
        scene.strike("officernd", route="GET *", kind="status", status=ELSEWHERE, headers=there, chance=0.1)
        scene.wait(scene.left(), scene.left())
        over.set()
        listener.join()
    scene.figures["redirects followed"] = len(heard)


def not_followed(scene: Scene, verdict: Verdict) -> None:
    """Nobody called the other host."""
    if scene.figures["redirects followed"]:
        verdict.leaked += 1
        verdict.say(f"{scene.figures['redirects followed']} redirects were followed")


# ---------------------------------------------------------------------- machines
def skewed(scene: Scene) -> None:
    """The clocks have been wrong from the start (`tests/faults/skew`); workers are killed besides."""
    scene.faults["processes with a wrong clock"] += 4
    while scene.wait(1.0, 5.0):
        scene.kill(scene.chance.choice(("worker child", "clock", "receiver")))


def full_disk(scene: Scene) -> None:
    """The disk of Redis is full for some seconds, now and then; that of the log always (it is /dev/full)."""
    server = scene.installation.server
    assert server is not None
    ballast = server.directory / "ballast"
    scene.faults["log on a full disk"] += 1
    while scene.wait(0.5, 2.0):
        with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while file.write(bytes(1 << 16)):
                pass
        scene.faults["disk of Redis full"] += 1
        pause(scene.chance.uniform(1.0, 4.0))
        ballast.unlink()


# ---------------------------------------------------------------------- reconcile
def reconciles(scene: Scene) -> None:
    """Full passes that are killed at random moments, beside live edits, over records that staff have changed in OfficeRnD."""
    installation = scene.installation
    words = [sys.executable, "-m", "workers", "sync", NAME, "--full", "--json"]
    environment = installation.env | {"REDIS_URL": installation.redis_url()}
    drift(scene)
    while not scene.over():
        with subprocess.Popen(words, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sync:
            scene.wait(0.8, 3.0)
            sync.kill()
        scene.faults["reconcile killed"] += 1
    # The lock of one that was killed is forgotten after half a minute; until then the next is refused.
    until(
        lambda: installation.run("sync", NAME, "--full", "--json").returncode == 0,
        "a full pass runs to its end",
        seconds=90,
        every=1.0,
    )
    until(installation.quiet, "nothing is open", seconds=60, every=0.1)


def drift(scene: Scene) -> None:
    """Staff rename a tenth of the members."""
    installation, chance = scene.installation, random.Random(scene.seed)
    form = {
        "client_id": "officernd-client",
        "client_secret": "officernd-secret",
        "grant_type": "client_credentials",
        "scope": "flex.community.members.update",
    }
    token = installation.api.post(f"{installation.officernd.url}/oauth/token", data=form).json()["access_token"]
    members = [one for one in installation.records("members") if (one.get("properties") or {}).get("capsule_link_id")]
    for one in chance.sample(members, max(1, len(members) * PERCENT_OF_DRIFT // 100)):
        url = f"{installation.officernd.url}/api/v2/organizations/acme-spaces/members/{one['_id']}"
        answer = installation.api.put(url, json={"name": "Changed By Staff"}, headers={"Authorization": f"Bearer {token}"})
        answer.raise_for_status()
        scene.faults["changed by staff"] += 1


SKEW = {
    "PYTHONPATH": f"{ROOT / 'tests' / 'faults' / 'skew'}:{ROOT}",
    "FAULTS_CLOCK": "worker=691200,solo=-120,clock=-691200,receiver=120",
}
MISCHIEF = (
    Case("poison", "13", "unreadable messages and bodies, a record that is refused", poison),
    Case("killer", "13", "a record that kills its worker", killer, short=False, check=kills_three),
    Case("hostile", "18-20", "giant, deep, malformed, half-open requests", hostile, short=False, check=answered_as_wanted),
    Case("redirects", "22", "vendors redirect to another host", redirects, check=not_followed),
    Case("skewed", "16", "clocks 8 days and 2 minutes wrong, both ways", skewed, {"environment": SKEW}, alone=True, short=False),
    Case("full-disk", "25", "disks of the log and of Redis full", full_disk, {"small_disk": True}, alone=True, short=False),
    Case("reconciles", "26", "full passes killed, drift, live edits", reconciles, profile=Profile(edits=5.0)),
)

assert Path(SKEW["PYTHONPATH"].partition(":")[0]).is_dir()
