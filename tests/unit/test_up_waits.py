"""`up` sleeps when all runs: signals and ends of children wake it, whenever they come."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from workers import local
from workers.embedded import free_port
from workers.local import REST, TICK, _Signals, _watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


class Started:
    """A child that takes note of when it was first looked after."""

    def __init__(self, name: str, order: list[str]) -> None:
        self.name = name
        self.order = order

    @property
    def running(self) -> bool:
        return self.name in self.order

    def tend(self) -> None:
        if not self.running:
            self.order.append(self.name)


class Rounds:
    """In place of signals: asks for the end after a number of rounds, and notes how long each was to be."""

    def __init__(self, rounds: int, between: Callable[[int], None] = lambda _: None) -> None:
        self.rounds = rounds
        self.between = between
        self.waits: list[float] = []

    @property
    def asked(self) -> int:
        return int(len(self.waits) >= self.rounds)

    def wait(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.between(len(self.waits))


def watch(port: int, rounds: Rounds, *, well: bool = True) -> list[str]:
    """The order in which the children began."""
    order: list[str] = []
    settings: Any = SimpleNamespace(web_host="127.0.0.1", web_port=port, console_base="http://127.0.0.1:1")
    store: Any = SimpleNamespace(tend=lambda: None, well=well)
    children: Any = {name: Started(name, order) for name in ("web", "worker", "clock")}
    screen: Any = SimpleNamespace(line=lambda *_: None)
    _watch(settings, store, children, screen, rounds)  # type: ignore[arg-type]
    return order


def test_the_receiver_has_the_processors_to_itself_until_it_listens() -> None:
    port = free_port()
    begun: list[socket.socket] = []

    def between(number: int) -> None:
        if number == 2:
            begun.append(socket.create_server(("127.0.0.1", port)))

    rounds = Rounds(2, between)
    assert watch(port, rounds) == ["web"]
    assert rounds.waits == [TICK, TICK]
    rounds = Rounds(2)
    assert watch(port, rounds) == ["web", "worker", "clock"]
    assert rounds.waits == [TICK, REST], "when all run there is nothing to look after"
    begun[0].close()


def test_a_receiver_that_does_not_come_holds_up_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "HEAD_START", -1.0)
    rounds = Rounds(1)
    assert watch(free_port(), rounds) == ["web", "worker", "clock"]
    assert rounds.waits == [TICK]


def test_a_data_store_that_is_to_start_again_is_looked_after_often() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        rounds = Rounds(3)
        watch(listening.getsockname()[1], rounds, well=False)
    assert rounds.waits == [TICK] * 3
