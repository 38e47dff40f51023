"""The spool: what the receiver was sent while Redis was away, in files of one folder, until it is in Redis.

An entry is a line: the CRC-32 of what follows in eight hex digits, a space, JSON, a line feed. It names records (ids are no
personal data) or holds an encrypted letter; never a body in plain text. It is on the disk (fsync) before its sender is answered.

Files, not one file, so that several processes need no common writer: a process appends to a file that it alone has locked
(flock), and whoever gets the lock of a file may replay and delete it. A killed process loses its lock with its life, so what
it left is replayed by any other or by its successor. Files are small, so a replay that is killed repeats little; that
repeat is harmless, as a record may be opened twice. Everything here blocks: the caller runs it in a thread.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

FILE_BYTES: Final = 1024 * 1024
MOST_FILES: Final = 64
"""A file that has reached FILE_BYTES, or its part of the bound in so many, is closed, and the next one begun."""
ENDING: Final = ".spool"
DAMAGED: Final = ".damaged"

_CHECKSUM: Final = 9  # eight digits and a space


class SpoolRefused(Exception):
    """Nothing was kept; answer 503. `reason` is a word or two without any data."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the spool does not take it: {reason}")
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Held:
    """What lies in the folder: bytes in all, files, seconds since the oldest file was begun; and the bytes that are free."""

    size: int
    files: int
    age_s: float
    room: int


@dataclass(frozen=True, slots=True)
class Content:
    """What a file says. `torn`: its last line was cut off; `damaged`: lines before it that cannot be right."""

    entries: tuple[Mapping[str, Any], ...]
    torn: bool
    damaged: int


def line_of(entry: Mapping[str, Any]) -> bytes:
    """An entry in the form in which it is kept."""
    text = orjson.dumps(entry)
    return b"%08x %b\n" % (zlib.crc32(text), text)


def read(content: bytes) -> Content:
    """The entries of a file, in their order. What is torn or damaged is counted and left out; this never raises."""
    *lines, rest = content.split(b"\n")
    entries: list[Mapping[str, Any]] = []
    damaged = 0
    for line in lines:
        entry = _entry(line)
        if entry is None:
            damaged += 1
        else:
            entries.append(entry)
    return Content(tuple(entries), torn=bool(rest), damaged=damaged)


def _entry(line: bytes) -> Mapping[str, Any] | None:
    text = line[_CHECKSUM:]
    if line[:_CHECKSUM] != b"%08x " % zlib.crc32(text):
        return None
    try:
        entry = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return entry if isinstance(entry, dict) else None


class Claim:
    """A file that nobody else writes or replays as long as this is open."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """None when another holds it, or has just done with it."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        if _lock(descriptor):
            return cls(path, descriptor)
        os.close(descriptor)
        return None

    def content(self) -> Content:
        """What it says."""
        return read(self.path.read_bytes())

    def remove(self, *, damaged: bool = False) -> None:
        """Deletes it: all of it is in Redis. A damaged one is set aside under another name, for a person to look at."""
        if damaged:
            self.path.rename(self.path.with_suffix(DAMAGED))
        else:
            self.path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Leaves it to whoever comes next."""
        os.close(self._descriptor)


class Spool:
    """The folder as one process sees it. Holds at most `most` bytes together with the other processes of this machine."""

    def __init__(self, folder: Path, most: int) -> None:
        self.folder = folder
        self.most = most
        self._file_bytes = max(FILE_BYTES, most // MOST_FILES)
        self._descriptor: int | None = None
        self._size = 0
        self._begun = 0

    def prepare(self) -> None:
        """Makes the folder, which only its owner may read.

        Raises:
            SpoolRefused: it cannot be made or written to.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise SpoolRefused(_word(error)) from None
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise SpoolRefused("EACCES")

    def append(self, entries: Iterable[Mapping[str, Any]]) -> bool:
        """Keeps entries, all or none; when it returns they are on the disk. True if a new file was begun with them.

        Raises:
            SpoolRefused: the bound is reached, the disk is full, or it cannot be written to.
        """
        data = b"".join(map(line_of, entries))
        try:
            fresh = self._descriptor is None or (self._size > 0 and self._size + len(data) > self._file_bytes)
            if self.held().size + len(data) > self.most:
                raise SpoolRefused("the spool is full")
            if fresh:
                self.rest()
                self._begin()
            self._write(data)
        except OSError as error:
            raise SpoolRefused(_word(error)) from None
        return fresh

    def _begin(self) -> None:
        self.prepare()
        while self._descriptor is None:
            self._begun += 1
            path = self.folder / f"{time.time_ns():020d}-{os.getpid()}-{self._begun}{ENDING}"
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
            # Another process that replays may have locked it between these two lines, found it empty and deleted it.
            if _lock(descriptor):
                self._descriptor, self._size = descriptor, 0
            else:
                os.close(descriptor)
        folder = os.open(self.folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)  # The name of the file must be as durable as its content.
        finally:
            os.close(folder)

    def _write(self, data: bytes) -> None:
        descriptor = self._descriptor
        if descriptor is None:
            raise SpoolRefused("no file is open")
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        except OSError:
            # Half a line must not stand before the next one. After a failed fsync nobody knows what is on the disk, so
            # this file gets no more lines either way: its whole ones are replayed, its torn end is dropped.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, self._size)
            self.rest()
            raise
        self._size += len(data)

    def rest(self) -> None:
        """Closes the file that is being written, so that it can be replayed. The next entry begins another."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            self._size = 0
            os.close(descriptor)

    def next(self, *, after: str = "") -> Claim | None:
        """The oldest file that waits to be replayed and whose name comes after that one; None when there is none."""
        for path in self._paths():
            if path.name > after and (claim := Claim.of(path)) is not None:
                return claim
        return None

    def held(self) -> Held:
        """What lies in the folder now, of all processes."""
        size = files = 0
        now = time.time()
        since = now
        for path in self._paths():
            with contextlib.suppress(FileNotFoundError):
                size += path.stat().st_size
                files += 1
            stamp = path.name.partition("-")[0]
            if stamp.isdigit():
                since = min(since, int(stamp) / 1e9)
        return Held(size, files, max(0.0, now - since), max(0, self.most - size))

    def _paths(self) -> Sequence[Path]:
        try:
            return sorted(path for path in self.folder.iterdir() if path.suffix == ENDING)
        except (FileNotFoundError, NotADirectoryError):
            return ()


def _lock(descriptor: int) -> bool:
    """Whether the file is now ours: locked, and still in its folder."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(descriptor).st_nlink > 0


def _word(error: OSError) -> str:
    """The system's name of an error, such as ENOSPC; its text would hold a path."""
    return errno.errorcode.get(error.errno or 0, "OSError")
