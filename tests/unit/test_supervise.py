"""The supervisor: what dies starts again, what is told to end ends, and nobody outlives a killed parent."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from workers.supervise import FIRST_PAUSE, Child, Guard, Program, Screen, ending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.processes

SLEEPS = "import time; print('ready', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"


def until(true: Callable[[], bool], *, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "the condition did not come about in time"
        time.sleep(0.01)


def alive(process: int) -> bool:
    """Whether it runs; a zombie that nobody has reaped yet does not."""
    try:
        with open(f"/proc/{process}/stat", encoding="ascii") as file:  # noqa: PTH123 - a line of the kernel's, not a file
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def guard() -> Iterator[Guard]:
    made = Guard()
    yield made
    made.dismiss()


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def make(guard: Guard, said: io.StringIO) -> Iterator[Callable[..., Child]]:
    """Makes a child that runs a line of Python; all are ended afterwards."""
    made: list[Child] = []

    def one(code: str, *, stop_seconds: float = 5) -> Child:
        program = Program(name="child", command=(sys.executable, "-c", code), stop_seconds=stop_seconds, environ=dict(os.environ))
        made.append(Child(program, guard, Screen(said, ("up", "child"))))
        return made[-1]

    yield one
    for child in made:
        child.wait(0, lambda: True)


def test_a_child_that_dies_starts_again_after_a_pause_that_grows(make: Callable[..., Child], said: io.StringIO) -> None:
    child = make("raise SystemExit(3)")

    def started(times: int) -> bool:
        child.tend()
        return child.starts >= times

    began = time.monotonic()
    until(lambda: started(3))
    assert time.monotonic() - began >= FIRST_PAUSE + 2 * FIRST_PAUSE
    assert "child ended with status 3; it starts again in 0.2 s" in said.getvalue()
    assert "child ended with status 3; it starts again in 0.4 s" in said.getvalue()


def test_what_a_child_says_is_printed_with_its_name(make: Callable[..., Child], said: io.StringIO) -> None:
    child = make("import sys; print('out'); print('err', file=sys.stderr); sys.stdout.buffer.write(b'\\xff\\n')")
    child.start()
    until(lambda: said.getvalue().count("\n") == 3)
    assert {"child | out", "child | err", "child | \N{REPLACEMENT CHARACTER}"} == set(said.getvalue().splitlines())


def test_a_child_that_is_asked_to_end_ends(make: Callable[..., Child], said: io.StringIO) -> None:
    child = make(SLEEPS)
    child.start()
    until(lambda: "ready" in said.getvalue())
    child.ask_to_end()
    assert child.wait(time.monotonic() + 5, lambda: False)
    assert not child.running


def test_a_child_that_does_not_listen_is_killed_when_its_time_is_over(make: Callable[..., Child], said: io.StringIO) -> None:
    child = make(STUBBORN, stop_seconds=0.3)
    child.start()
    until(lambda: "ready" in said.getvalue())
    child.ask_to_end()
    assert not child.wait(time.monotonic() + 0.3, lambda: False)
    assert "child has not ended in 0.3 s; it is killed" in said.getvalue()


def test_what_a_dead_child_has_forked_ends_with_it(make: Callable[..., Child], said: io.StringIO) -> None:
    """Dramatiq's master killed with SIGKILL leaves its workers behind (reference/dramatiq-redis.md D8)."""
    child = make("import os, time\npid = os.fork()\nif pid: print(os.getpid(), pid, flush=True)\ntime.sleep(60)")
    child.start()
    until(lambda: "\n" in said.getvalue())
    parent, forked = map(int, said.getvalue().split("|")[1].split())
    os.kill(parent, signal.SIGKILL)

    def noticed() -> bool:
        child.tend()
        return not child.running

    until(noticed)
    assert "child was ended by SIGKILL" in said.getvalue()
    until(lambda: not alive(forked))


PARENT = """
import io, os, sys, time
from workers.supervise import Child, Guard, Program, Screen
guard = Guard()
for code in sys.argv[1:]:
    program = Program(name="child", command=(sys.executable, "-c", code), stop_seconds=5, environ=dict(os.environ))
    child = Child(program, guard, Screen(sys.stdout, ("child",)))
    child.start()
time.sleep(60)
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes through /proc")  # noqa: PTH112 - the kernel's folder
def test_a_parent_killed_with_sigkill_takes_all_its_children_along() -> None:
    """Given a parent with a meek child, a stubborn one and one that forked, When it is killed, Then all of them end."""
    tell = "os.write(1, b'%d\\n' % os.getpid()); time.sleep(60)"
    forks = f"import os, time; os.fork(); {tell}"
    stubborn = f"import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); {tell}"
    meek = f"import os, time; {tell}"
    with subprocess.Popen([sys.executable, "-c", PARENT, forks, stubborn, meek], stdout=subprocess.PIPE, text=True) as parent:
        try:
            assert parent.stdout is not None
            children = [int(parent.stdout.readline().split("|")[1]) for _ in range(4)]
            assert all(map(alive, children))
        finally:
            parent.kill()
        until(lambda: not any(map(alive, children)), seconds=15)


def test_endings_are_told_in_words() -> None:
    assert ending(0) == "ended with status 0"
    assert ending(-9) == "was ended by SIGKILL"
    assert ending(-200) == "was ended by signal 200"
