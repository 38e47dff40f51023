"""`up` sleeps when all runs: signals and ends of children wake it, whenever they come."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from workers.local import _Signals

if TYPE_CHECKING:
    from collections.abc import Iterator

TAKEN = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD)
LONG = 60.0


@pytest.fixture
def signals() -> Iterator[_Signals]:
    before = {number: signal.getsignal(number) for number in TAKEN}
    made = _Signals()
    yield made
    os.close(signal.set_wakeup_fd(-1))
    os.close(made._woken)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.processes
def test_the_end_of_a_child_wakes_it(signals: _Signals) -> None:
    began = time.monotonic()
    with subprocess.Popen(["/bin/sh", "-c", "exit 3"]) as child:
        while child.poll() is None:
            signals.wait(LONG)
    assert child.returncode == 3
    assert time.monotonic() - began < LONG / 2
    assert not signals.asked


def test_a_signal_that_came_between_a_look_and_the_wait_is_not_lost(signals: _Signals) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.asked == 1
    began = time.monotonic()
    signals.wait(LONG)
    assert time.monotonic() - began < LONG / 2


def test_without_any_it_goes_on_when_its_time_is_over(signals: _Signals) -> None:
    began = time.monotonic()
    signals.wait(0.05)
    assert time.monotonic() - began >= 0.05
