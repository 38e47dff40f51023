"""Runs the demonstration: `python -m tests.demo`, or `make demo`.

DEMO_SECONDS   how long it lasts (default: until Ctrl-C); the edits stop a few seconds earlier
DEMO_LIMITS    `real` keeps the vendors' limits; else they are raised a hundredfold, so that a minute is enough
DEMO_SEED      another number makes other edits

Exit status: 0 when both sides are in step at the end, 1 when not, 2 for a variable that cannot be read.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import httpx
import redis

from mapping.keys import hook_path
from tests.demo import product as follower
from tests.demo.compare import Comparison, compare
from tests.demo.person import Person
from tests.demo.relay import DemoFailed, Relay
from tests.demo.view import NAME, Gauges, View
from tests.simulators.run import Simulator
from workers.overview import reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

EVENTS = (
    *(f"party/{what}" for what in ("created", "updated", "deleted")),
    *(f"opportunity/{what}" for what in ("created", "updated", "deleted", "closed", "moved")),
)
SEEDED = {"organisations": 200, "people": 800, "opportunities": 100, "tags": ["member", "guest"], "seed": 7}
RAISED = 100
RAISABLE = frozenset({"requests_per_hour", "read_minute", "write_minute", "read_day", "write_day"})
SHOWN = 10


class Stop(Exception):
    """Ctrl-C or SIGTERM."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What the environment asks for. `seconds` is None for: until Ctrl-C. Times in seconds."""

    seconds: float | None
    real_limits: bool
    seed: int

    @property
    def between_edits(self) -> float:
        """OfficeRnD's own limit allows 100 writes a minute."""
        return 2.0 if self.real_limits else 0.2

    @property
    def drain(self) -> float:
        """How long everything may take to come in step after the last edit."""
        return 1800.0 if self.real_limits else 60.0

    def edits_end(self, began: float, synced: float) -> float:
        """When the edits stop: early enough to end in time, and not before there were some."""
        if self.seconds is None:
            return float("inf")
        return max(began + self.seconds - min(10.0, self.seconds / 4), synced + 5.0)


def plan(environ: dict[str, str]) -> Plan:
    """Reads the demonstration's own variables. Raises ValueError."""
    seconds = environ.get("DEMO_SECONDS", "").strip()
    limits = environ.get("DEMO_LIMITS", "").strip()
    if limits not in {"", "real"}:
        raise ValueError("DEMO_LIMITS can be `real` or left out")
    length = float(seconds) if seconds else None
    if length is not None and not 0 < length < float("inf"):
        raise ValueError("DEMO_SECONDS must be a number of seconds")
    return Plan(seconds=length, real_limits=limits == "real", seed=int(environ.get("DEMO_SEED", "1")))


def say(text: str) -> None:
    """One line of the story."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


@contextlib.contextmanager
def simulators(chosen: Plan) -> Iterator[tuple[Simulator, Simulator, Simulator]]:
    """Both simulated vendors, Capsule with its seeded account, and a product."""
    # Children inherit blocked signals: Ctrl-C at the terminal must leave the vendors running until the comparison is made.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with contextlib.ExitStack() as stack:
            capsule = stack.enter_context(Simulator("capsule"))
            officernd = stack.enter_context(Simulator("officernd"))
            product = stack.enter_context(Simulator("product"))
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            capsule.control("POST", "seed", SEEDED)
            if not chosen.real_limits:
                for vendor in (capsule, officernd):
                    limits = vendor.control("GET", "limits")["limits"]
                    counted = {name: number * RAISED for name, number in limits.items() if name in RAISABLE}
                    vendor.control("POST", "limits", counted)
            yield capsule, officernd, product
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def subscribe(relay: Relay, capsule: Simulator) -> None:
    """Gives Capsule the hooks that an OAuth application would have subscribed, with the address that `hooks NAME url` prints."""
    printed = relay.command("hooks", NAME, "url", capture=True)
    address = printed.stdout.strip()
    if printed.returncode or hook_path(NAME, "") not in address:
        raise DemoFailed("`capsule-relay hooks demo url` gave no address")
    capsule.control("POST", "hooks", [{"event": event, "targetUrl": address} for event in EVENTS])


class Demo:
    """One demonstration, from both vendors' start to the comparison."""

    def __init__(self, chosen: Plan, relay: Relay, *, capsule: Simulator, officernd: Simulator, product: Simulator) -> None:
        self._plan = chosen
        self._relay = relay
        self._capsule = capsule
        self._officernd = officernd
        self._product = product
        self._began = time.monotonic()

    def run(self) -> tuple[Comparison, Comparison]:
        """Gives it. Ctrl-C during the edits leads on to the comparison."""
        say("Capsule Relay starts, with Capsule, OfficeRnD and a product simulated on this machine.")
        self._relay.start()
        subscribe(self._relay, self._capsule)
        say(f"First sync of {SEEDED['organisations']} organisations, {SEEDED['people']} people and their opportunities:")
        if self._relay.command("sync", NAME, "--full").returncode:
            raise DemoFailed("the first sync failed")
        say("The same for the product, which is told by signed messages:")
        if self._relay.command("sync", follower.NAME, "--full").returncode:
            raise DemoFailed("the first sync to the product failed")
        synced = time.monotonic()
        person = Person(self._capsule, seed=self._plan.seed)
        try:
            with reading(self._relay.redis_url) as client:
                gauges = Gauges(client, capsule=self._capsule, officernd=self._officernd, person=person)
                gauges.forget_lag()
                until = "Ctrl-C" if self._plan.seconds is None else f"{self._plan.seconds:g} s are over"
                say(f"Now a person works in Capsule, and hooks tell the relay, until {until}:")
                with View() as view, contextlib.suppress(Stop):
                    self._edit(person, gauges, view, until=self._plan.edits_end(self._began, synced))
                say("No more edits; waiting until everything has come over.")
                return self._drain(person, client)
        finally:
            person.close()

    def _edit(self, person: Person, gauges: Gauges, view: View, *, until: float) -> None:
        """Edits and shows, side by side."""
        next_edit = next_view = time.monotonic()
        note = ""
        while (now := time.monotonic()) < until:
            if now >= next_edit:
                note = person.edit()
                next_edit = max(next_edit + self._plan.between_edits, now)
            if now >= next_view:
                view.show(gauges.read(), note)
                next_view = now + 0.5
            time.sleep(0.02)
        view.show(gauges.read(), note, now=True)

    def _drain(self, person: Person, client: redis.Redis) -> tuple[Comparison, Comparison]:
        """Compares until all sides are equal and nothing is on its way any more, or the time is over."""
        deadline = time.monotonic() + self._plan.drain
        while True:
            busy = self._capsule.control("GET", "deliveries")["pending"] or client.zcard("relay:open")
            capsule, officernd, product = (one.control("GET", "state") for one in (self._capsule, self._officernd, self._product))
            found, told = compare(capsule, officernd, ever=person.ever), follower.compare(capsule, product)
            if (found.equal and told.equal and not busy) or time.monotonic() > deadline:
                return found, told
            time.sleep(0.25)


def main() -> int:
    """Gives one demonstration."""
    try:
        chosen = plan(dict(os.environ))
    except ValueError as error:
        sys.stderr.write(f"demo: {error}\n")
        return 2

    def stop(_: int, __: FrameType | None) -> NoReturn:
        raise Stop

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    folder = Path(tempfile.mkdtemp(prefix="capsule-relay-demo-"))
    good = False
    try:
        good = give(chosen, folder)
    except Stop:
        say("Stopped before there was anything to compare.")
    except (DemoFailed, RuntimeError, httpx.HTTPError, redis.RedisError) as error:
        say(f"The demonstration failed: {error}")
    if good:
        shutil.rmtree(folder)
    else:
        say(f"What the relay said is in {folder / 'up.log'}.")
    return 0 if good else 1


def give(chosen: Plan, folder: Path) -> bool:
    """Sets the scene, gives the demonstration and says how it ended. True when both sides are in step."""
    with simulators(chosen) as (capsule, officernd, product):
        relay = Relay(folder, capsule, officernd, product)
        try:
            found, told = Demo(chosen, relay, capsule=capsule, officernd=officernd, product=product).run()
        finally:
            status = relay.stop()
    differences = (*found.differences, *told.differences)
    for difference in differences[:SHOWN]:
        say(f"  {difference}")
    if len(differences) > SHOWN:
        say(f"  and {len(differences) - SHOWN} more")
    if status:
        say(f"capsule-relay up ended with status {status}.")
    say(f"the product is in step: {told.in_step} of {told.expected}")
    say(f"in step: {found.in_step} of {found.expected}")
    return found.equal and told.equal and not status


if __name__ == "__main__":
    sys.exit(main())
