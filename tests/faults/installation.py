"""The whole system as the fault suite runs it: processes that can be found and killed, a Redis that can be spoilt."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import redis

from tests.acceptance.harness import NAME, System, until
from tests.demo.compare import RULES
from tests.faults.proxy import Proxy
from workers.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

Kind = Literal["receiver", "worker child", "worker master", "solo", "solo child", "clock", "redis"]
# What a process' command line holds.
MARKS: dict[str, tuple[bytes, ...]] = {
    "receiver": (b"receiver.main:app",),
    "worker master": (b"workers.main:setup", b"live"),
    "solo": (b"workers.main:setup", b"solo"),
    "clock": (b"workers", b"clock"),
}
CANARY = "canary"
CAPSULE_TOKEN = "capsule-token"
ORIGINS = {"capsule": CAPSULE_TOKEN, "officernd": "officernd-secret"}


class Installation(System):
    """Both simulators and `capsule-relay up`.

    `deadline_s` and `stray_s` are D and S. With `own_redis` the server is the test's, and `redis_proxy` stands before it unless
    `redis_proxied` is False; else it is the embedded one. With `vendor_proxy` OfficeRnD is reached through a proxy.
    """

    def __init__(
        self,
        directory: Path,
        *,
        deadline_s: float = 3.0,
        stray_s: float = 2.0,
        own_redis: bool = False,
        redis_proxied: bool = True,
        vendor_proxy: bool = False,
        small_disk: bool = False,
        behind_front: bool = False,
        real_limits: bool = False,
        environment: Mapping[str, str] | None = None,
        extra: str = "",
    ) -> None:
        given = {"RELAY_CALL_DEADLINE": str(deadline_s), "RELAY_STRAY": str(stray_s), **(environment or {})}
        super().__init__(directory, environment=given, hooks=False, real_limits=real_limits, extra=extra)
        self.window_s = 1.1 * deadline_s + stray_s
        self.lease_s = 2 * deadline_s
        self._small_disk = directory / "small" if small_disk else None
        own = own_redis or small_disk
        self.server: EmbeddedServer | None = EmbeddedServer((self._small_disk or directory) / "valkey") if own else None
        self.redis_proxy: Proxy | None = None
        self._redis_proxied = redis_proxied
        self.vendor_proxy: Proxy | None = None
        self._with_vendor_proxy = vendor_proxy
        # What the load posts to: the receiver itself, or a proxy whose target can change under it.
        self.front: Proxy | None = Proxy(self.web_port) if behind_front else None
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        if self._small_disk is not None:
            self._stack.enter_context(small_disk(self._small_disk))
        if self.server is not None:
            self._stack.enter_context(self.server)
            self.environment["REDIS_URL"] = self.server.url
            if self._redis_proxied:
                self.redis_proxy = self._stack.enter_context(Proxy(self.server.port))
                self.environment["REDIS_URL"] = f"redis://127.0.0.1:{self.redis_proxy.port}/0"
        if self.front is not None:
            self._stack.enter_context(self.front)
        super().__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self._stack.close()

    def up(self) -> None:
        """As usual, but where disks are to be small the log goes to one that is full."""
        if self._small_disk is not None:
            (self.directory / "up.log").unlink(missing_ok=True)
            (self.directory / "up.log").symlink_to("/dev/full")
        super().up()

    def log(self) -> str:
        """What was logged, if it went to a file."""
        return super().log() if self._small_disk is None else ""

    def rules(self) -> str:
        """The demonstration's rules, since `tests/demo/compare.py` judges by them without the product's own mapping."""
        officernd = self.officernd.url
        if self._with_vendor_proxy:
            self.vendor_proxy = self._stack.enter_context(Proxy(self.officernd.port))
            officernd = f"http://127.0.0.1:{self.vendor_proxy.port}"
        text = RULES.replace("connections.demo", f"connections.{NAME}")
        head, _, rest = text.partition('on_gone = "keep"\n')
        return (head + 'on_gone = "keep"\n' + self.extra + rest).format(capsule=self.capsule.url, officernd=officernd)

    def redis_url(self) -> str:
        """The server itself, past the proxy."""
        return self.server.url if self.server is not None else super().redis_url()

    def store(self) -> redis.Redis:
        """A client that waits for nothing long."""
        return redis.Redis.from_url(self.redis_url(), socket_timeout=5, socket_connect_timeout=2)

    def settle(self, *, seconds: float = 120.0) -> None:
        """A full sync, run to its end: both sides are in step."""
        done = self.run("sync", NAME, "--full", "--json", timeout=seconds)
        assert done.returncode == 0, done.stdout + done.stderr
        until(self.quiet, "nothing is open", seconds=seconds, every=0.1)

    def quiet(self) -> bool:
        """Whether nothing is open; False while Redis does not answer."""
        try:
            return self.idle()
        except redis.RedisError:
            return False

    @property
    def front_port(self) -> int:
        """The port that deliveries are posted to."""
        return self.front.port if self.front is not None else self.web_port

    def alive(self) -> bool:
        """Whether every process runs and the receiver answers."""
        kinds: tuple[Kind, ...] = ("receiver", "worker child", "worker master", "solo", "clock", "redis")
        with contextlib.suppress(OSError, redis.RedisError):
            return all(self.find(kind) for kind in kinds) and self._ready()
        return False

    def find(self, kind: Kind) -> list[int]:
        """The processes of a kind that run now."""
        assert self.process is not None
        if kind == "redis":
            server = self.server.process if self.server is not None else None
            return [server.pid] if server is not None else self._below(self.process.pid, (b"valkey-server",), deep=False)
        if kind == "worker child":
            return [child for master in self.find("worker master") for child in self._below(master, MARKS["worker master"])]
        if kind == "solo child":
            return [child for master in self.find("solo") for child in self._below(master, MARKS["solo"])]
        return self._below(self.process.pid, MARKS[kind], deep=False)

    def _below(self, parent: int, marks: tuple[bytes, ...], *, deep: bool = True) -> list[int]:
        """Processes that descend from `parent` (its own children only unless `deep`) with all of `marks` as words."""
        parents = dict(_processes())
        found = []
        for process, its_parent in parents.items():
            ancestor: int | None = its_parent
            while deep and ancestor not in {None, 0, 1, parent}:
                ancestor = parents.get(ancestor or 0)
            if ancestor == parent and _has(process, marks):
                found.append(process)
        return found

    def kill(self, kind: Kind) -> int:
        """`kill -9` of every process of a kind; how many there were. A Redis of ours is started again by us."""
        if kind == "redis" and self.server is not None:
            self.server.kill()
            self.server.start()
            return 1
        struck = 0
        for process in self.find(kind):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
                struck += 1
        return struck

    @contextlib.contextmanager
    def frozen(self, kind: Kind) -> Iterator[int]:
        """Every process of a kind stands still (SIGSTOP) within the block."""
        stopped = self.find(kind)
        for process in stopped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
        try:
            yield len(stopped)
        finally:
            for process in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGCONT)

    def command(self, *words: str) -> object:
        """One command of Redis, past the proxy."""
        with self.store() as store:
            return store.execute_command(*words)


@contextlib.contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A file system in memory that is soon full. Raises NoSmallDisk where we may not mount one."""
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(place)], capture_output=True, check=False)
    if made.returncode:
        raise NoSmallDisk("a small file system cannot be mounted here: run this case as root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


class NoSmallDisk(Exception):
    """This machine does not let us make a disk that is soon full."""


def _processes() -> Iterator[tuple[int, int]]:
    """Every process and its parent."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                if fields[0] != "Z":
                    yield int(entry.name), int(fields[1])


def _has(process: int, marks: tuple[bytes, ...]) -> bool:
    """Whether each mark is a word of the process' command line, or the file name in one."""
    with contextlib.suppress(OSError):
        # Valkey writes its address into its name, so words end at spaces too.
        words = {word.rpartition(b"/")[2] for word in Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").split()}
        return words.issuperset(marks)
    return False


def pause(seconds: float) -> None:
    """Lets a fault last. It is the length of the fault, not a wait for a condition."""
    time.sleep(seconds)
