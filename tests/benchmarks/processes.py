"""Processes of a benchmark: pinned to a core of their own, with the processor time and the memory that they take."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.benchmarks.report import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

TICKS = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
SERVER = frozenset({CORES[0]})
"""The core of what is measured. With one core alone there is nothing to separate."""
OTHERS = frozenset(CORES[1:] or CORES)
"""The cores of the load and of the data store."""


def until(condition: Callable[[], bool], what: str, *, seconds: float = 30.0, every: float = 0.01) -> None:
    """Waits for a condition.

    Raises:
        TimeoutError: it did not come true in time.
    """
    ends = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > ends:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(every)


class Process:
    """A program in a session of its own, on the cores `pinned`; what it says goes to a file that nobody keeps."""

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], pinned: Iterable[int] = ()) -> None:
        self._command = list(command)
        self._env = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT), **env}
        self._pinned = set(pinned)
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this object
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, cwd=ROOT, env=self._env, stdout=self._said, stderr=subprocess.STDOUT, start_new_session=True
        )
        if self._pinned:
            pin(self._process.pid, self._pinned)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._said.close()

    def runs(self) -> bool:
        """True; or an error with the last of what it said."""
        assert self._process is not None
        if self._process.poll() is not None:
            self._said.seek(0)
            raise RuntimeError(f"{self._command[:4]} ended: {self._said.read()[-2000:].decode(errors='replace')}")
        return True


@dataclass(frozen=True, slots=True)
class Took:
    """What a program took from its start to its end: seconds, seconds of processor time, and its largest memory in MiB."""

    seconds: float
    cpu: float
    peak_mib: float


def took(command: Sequence[str], *, env: Mapping[str, str], said: Path) -> Took:
    """Runs a program to its end; what it prints goes to the file `said`. No other child may end meanwhile.

    Raises:
        RuntimeError: it failed, with the last of what it complained of.
    """
    with said.open("wb") as out, tempfile.TemporaryFile() as complaints:
        before, began = children_cpu(), time.perf_counter()
        process = subprocess.Popen(list(command), cwd=ROOT, env=dict(env), stdout=out, stderr=complaints)
        # What `wait4` says of a child's memory begins with that of its parent at the fork, so the kernel's own mark is read.
        peak, beat = 0, threading.Event()
        while process.poll() is None:
            peak = max(peak, high_water_kib(process.pid))
            beat.wait(0.05)
        seconds = time.perf_counter() - began
        if process.returncode:
            complaints.seek(0)
            text = complaints.read()[-2000:].decode(errors="replace")
            raise RuntimeError(f"{list(command)[:4]} ended with {process.returncode}: {text}")
    return Took(seconds, children_cpu() - before, peak / 1024)


def children_cpu() -> float:
    """Processor time of all children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def high_water_kib(pid: int) -> int:
    """The largest memory that a process ever had, in KiB; 0 when it has ended."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM:")), 0)


def pin(pid: int, cores: Iterable[int]) -> None:
    """Puts a process, with all its threads, on these cores."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), cores)


def cpu_seconds(*pids: int) -> float:
    """Processor time of these processes so far, in user and system mode, all threads."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def pss_mib(pid: int) -> float:
    """Memory of a process in MiB, what it shares with others counted in proportion (PSS)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise ValueError("the kernel does not say")


def below(pid: int) -> list[int]:
    """A process and all its descendants."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text(encoding="ascii", errors="replace")
            except OSError:
                continue
            children.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found
