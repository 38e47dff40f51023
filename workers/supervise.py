"""Keeps child processes alive, and sees to it that none outlives its parent.

Each child leads a process group of its own. So Ctrl-C at the terminal reaches the supervisor alone, which then ends
the children in order; and what a child has forked (Dramatiq forks its workers) can be ended with it.

A parent that is killed with SIGKILL cannot end anybody. So a guard, a small shell process in a session of its own, reads a
pipe that only the parent writes to. When the pipe closes without a farewell, the guard ends the groups that it was told of.
This works wherever there is a POSIX shell, and it reaches forked grandchildren, as Linux's parent-death signal would not.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FIRST_PAUSE: Final = 0.2
LONGEST_PAUSE: Final = 5.0
# Whoever has lived so long was well: its next end begins with the shortest pause again.
WELL_SECONDS: Final = 10.0

# `+ G` and `- G` add and remove a process group, `= G` names the data store's, which must end last; `.` is the farewell.
_GUARD: Final = r"""
trap '' INT HUP TERM
groups='' last=''
while read -r sign group; do
  case "$sign" in
    +) groups="$groups $group" ;;
    -) kept=''; for g in $groups; do [ "$g" = "$group" ] || kept="$kept $g"; done; groups=$kept ;;
    =) last=$group ;;
    .) exit 0 ;;
  esac
done
for g in $groups; do kill -s TERM -- "-$g"; done 2>/dev/null
tries=0
while [ "$tries" -lt 10 ]; do
  alive=''
  for g in $groups; do kill -s 0 -- "-$g" && alive=1; done 2>/dev/null
  [ -n "$alive" ] || break
  sleep 0.5; tries=$((tries + 1))
done
for g in $groups; do kill -s KILL -- "-$g"; done 2>/dev/null
[ -z "$last" ] || kill -s TERM -- "-$last" 2>/dev/null
tries=0
while [ -n "$last" ] && [ "$tries" -lt 20 ] && kill -s 0 -- "-$last" 2>/dev/null; do sleep 0.5; tries=$((tries + 1)); done
"""


@dataclass(frozen=True, slots=True)
class Program:
    """One process to keep running. `stop_seconds` is how long it may take to end after SIGTERM."""

    name: str
    command: tuple[str, ...]
    stop_seconds: float
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)


class Guard:
    """The shell process that ends the children of a killed parent.

    `held` are file descriptors that stay open until it has ended them all: a lock on the data, for instance, so that a
    successor cannot start too early.
    """

    def __init__(self, *held: int) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own script, with no argument from outside
            ["/bin/sh", "-c", _GUARD],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=held,
            text=True,
            bufsize=1,
        )

    def add(self, group: int) -> None:
        """Ends this process group too."""
        self._tell(f"+ {group}\n")

    def remove(self, group: int) -> None:
        """No longer ends it: it has ended."""
        self._tell(f"- {group}\n")

    def last(self, group: int | None) -> None:
        """The group of the data store, to be ended after all others; None when there is none any more."""
        self._tell(f"= {group or ''}\n")

    def dismiss(self) -> None:
        """The parent ends properly: nothing is left to do."""
        self._tell(".\n")
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._process.wait()

    def _tell(self, line: str) -> None:
        # Without a guard (somebody killed it) the children still end in every case but the parent's SIGKILL.
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.write(line)
                self._process.stdin.flush()


class Screen:
    """Prints what the children say, each line with its speaker's name before it, coloured on a terminal."""

    _COLOURS: Final = (36, 32, 33, 35, 34)

    def __init__(self, stream: TextIO, names: tuple[str, ...]) -> None:
        self._stream = stream
        self._width = max(map(len, names))
        self._colours = dict(zip(names, self._COLOURS * len(names), strict=False)) if stream.isatty() else {}
        self._turn = threading.Lock()

    def line(self, name: str, text: str) -> None:
        """One line. A reader that has gone away (`up | head`) is no reason to stop working."""
        head = f"{name:<{self._width}} |"
        if name in self._colours:
            head = f"\033[{self._colours[name]}m{head}\033[0m"
        with self._turn, contextlib.suppress(OSError, ValueError):
            self._stream.write(f"{head} {text}\n")
            self._stream.flush()


class Child:
    """One program: its process, if it runs, and when it may start again. Times are seconds of the monotonic clock."""

    def __init__(self, program: Program, guard: Guard, screen: Screen) -> None:
        self.program = program
        self.starts = 0
        self._guard = guard
        self._screen = screen
        self._process: subprocess.Popen[str] | None = None
        self._began = 0.0
        self._pause = FIRST_PAUSE
        self._next_start = 0.0

    @property
    def running(self) -> bool:
        """Whether its process has been started and was not seen to have ended."""
        return self._process is not None

    def start(self) -> None:
        """Starts the process, and a thread that prints what it says."""
        self._process = subprocess.Popen(  # noqa: S603 - our own programs, with arguments that we wrote
            self.program.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.program.environ,
            start_new_session=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._guard.add(self._process.pid)
        self._began = time.monotonic()
        self.starts += 1
        threading.Thread(target=self._listen, args=(self._process,), name=f"listen-{self.program.name}", daemon=True).start()

    def tend(self) -> None:
        """Notices an end, says so, and starts the program again once its pause is over."""
        now = time.monotonic()
        if self._process is None:
            if now >= self._next_start:
                self.start()
            return
        status = self._process.poll()
        if status is None:
            return
        if now - self._began >= WELL_SECONDS:
            self._pause = FIRST_PAUSE
        self._screen.line("up", f"{self.program.name} {ending(status)}; it starts again in {self._pause:g} s")
        # What it has forked must not go on beside its successor.
        self._signal_group(signal.SIGTERM)
        self._forget()
        self._next_start = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def ask_to_end(self) -> None:
        """SIGTERM to the process alone: it passes the word on to what it has forked."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()

    def wait(self, deadline: float, hurry: Callable[[], bool]) -> bool:
        """Waits for the end, until `deadline` or until `hurry` says that there is no time. False if it had to be killed."""
        if self._process is None:
            return True
        while self._process.poll() is None and time.monotonic() < deadline and not hurry():
            time.sleep(0.02)
        in_time = self._process.poll() is not None
        if not in_time and not hurry():
            self._screen.line("up", f"{self.program.name} has not ended in {self.program.stop_seconds:g} s; it is killed")
        self._signal_group(signal.SIGKILL)
        self._process.wait()
        self._forget()
        return in_time

    def _signal_group(self, how: signal.Signals) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, how)

    def _forget(self) -> None:
        if self._process is not None:
            self._guard.remove(self._process.pid)
            self._process = None

    def _listen(self, process: subprocess.Popen[str]) -> None:
        if process.stdout is not None:
            with process.stdout as said:
                for line in said:
                    self._screen.line(self.program.name, line.rstrip("\n"))


def ending(status: int) -> str:
    """How a process ended, in words, from its status as `subprocess` gives it."""
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
