"""One run of one case: an installation under load, faults until the time is over, then peace, catching up, and the judgement."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.acceptance.harness import until
from tests.demo.compare import expected
from tests.faults.installation import Installation, pause
from tests.faults.load import TOKEN, Load, Profile
from tests.faults.verdict import Verdict, everything, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tests.demo.compare import Place
    from tests.faults.installation import Kind
    from tests.simulators.run import Simulator

CATCH_UP_SECONDS = 90.0
PEOPLE_OF_A_HUNDRED = {"organisations": 12, "people": 78, "opportunities": 10}


@dataclass(frozen=True)
class Case:
    """One kind of fault. `numbers` are those of reference/dramatiq-redis.md C2, `what` is a line for the table.

    `faults` runs beside the load and returns when `scene.over()`; `needs` are arguments of Installation; `buried` says that
    dead letters are what is wanted, so that they do not count as stuck; `short` that the tests of every run have it too, and
    `alone` that it needs an installation of its own.
    """

    name: str
    numbers: str
    what: str
    faults: Callable[[Scene], None]
    needs: Mapping[str, Any] = field(default_factory=dict)
    profile: Profile = field(default_factory=Profile)
    buried: bool = False
    short: bool = True
    alone: bool = False
    check: Callable[[Scene, Verdict], None] | None = None


class Scene:
    """What a case's faults work with: the installation, a seeded generator, the time, and a count of what was done."""

    def __init__(self, installation: Installation, *, seed: int) -> None:
        self.installation = installation
        self.chance = random.Random(seed)
        self.seed = seed
        self.faults: Counter[str] = Counter()
        self.figures: dict[str, Any] = {}
        self.load: Load | None = None
        # What was in at some time stays in OfficeRnD (`on_gone = "keep"`).
        self.ever: set[Place] = set()
        self._ends = 0.0
        self._number = 1

    def settle(self, records: int) -> None:
        """Seeds both sides and brings them in step."""
        installation = self.installation
        user = installation.capsule.control("POST", "users", {"name": "Load", "username": "load", "admin": True})
        installation.capsule.control("POST", "tokens", {"token": TOKEN, "user": user["id"]})
        seeded = {name: max(1, share * records // 100) for name, share in PEOPLE_OF_A_HUNDRED.items()}
        installation.capsule.control("POST", "seed", {**seeded, "seed": self.seed % 1000, "tags": ["member"]})
        installation.settle()

    def over(self) -> bool:
        """Whether the time for faults is over."""
        return time.monotonic() >= self._ends

    def left(self) -> float:
        """Seconds left for faults."""
        return max(0.0, self._ends - time.monotonic())

    def wait(self, shortest: float, longest: float) -> bool:
        """Waits for a random time. False when the time for faults is over."""
        pause(min(self.chance.uniform(shortest, longest), self.left()))
        return not self.over()

    def kill(self, kind: Kind) -> int:
        """`kill -9` of a kind of process, counted."""
        struck = self.installation.kill(kind)
        self.faults[f"kill -9 {kind}"] += struck
        return struck

    def strike(self, simulator: str, **fault: Any) -> None:
        """Orders a simulator to fail."""
        which = self.installation.capsule if simulator == "capsule" else self.installation.officernd
        which.control("POST", "faults", {"count": None, **fault})

    def peace(self) -> None:
        """Takes back the orders of `strike`, and counts how often they struck."""
        for simulator in (self.installation.capsule, self.installation.officernd):
            for fault in simulator.control("GET", "faults")["faults"]:
                if fault["struck"]:
                    self.faults[f"{simulator.name} {fault['kind']} {fault['status'] or ''}".strip()] += fault["struck"]
            simulator.control("DELETE", "faults")

    def run(self, case: Case, *, seconds: float, scale: float = 1.0) -> Verdict:
        """Load and faults for so many seconds, then catching up, then the judgement. `scale` multiplies the load."""
        installation = self.installation
        self.faults.clear()
        self.figures = {}
        marks = {one.name: last(one) for one in (installation.capsule, installation.officernd)}
        before = installation.capsule.control("GET", "state")
        self.ever |= set(expected(before))
        profile = replace(case.profile, edits=case.profile.edits * scale)
        self._ends = time.monotonic() + seconds
        load = self.load = Load(installation, seed=self.seed, profile=profile, first=self._number)
        try:
            with load:
                case.faults(self)
                while not self.over():
                    self.wait(0.1, 0.2)
                self.peace()
            self._number = load.number
            began = time.monotonic()
            until(installation.alive, "the relay's processes run again", seconds=30, every=0.1)
            caught_up = settled(installation)
            catch_up = round(time.monotonic() - began, 1)
        finally:
            self.peace()
        if load.sent.deleted:
            self.ever |= everything(before) | {("members", str(number)) for number in load.sent.deleted}
        verdict = judge(installation, load.sent, marks=marks, ever=self.ever)
        verdict.catch_up_s = catch_up
        if not caught_up:
            verdict.say(f"not caught up after {catch_up} s")
        if case.buried:
            verdict.stuck -= verdict.buried
        unaccepted = sum(1 for one in load.sent.deliveries if not one.accepted)
        if unaccepted or load.sent.failures:
            verdict.bugs += 1
            verdict.say(f"{unaccepted} deliveries were never accepted; edits failed: {load.sent.failures[:2]}")
        if case.check is not None:
            case.check(self, verdict)
        return verdict


def settled(installation: Installation) -> bool:
    """Waits until nothing is open; False when that takes longer than it may."""
    try:
        until(installation.quiet, "nothing is open", seconds=CATCH_UP_SECONDS, every=0.1)
    except AssertionError:
        return False
    return True


def last(simulator: Simulator) -> int:
    """The number of the last request that a simulator has seen; its log is never emptied here."""
    return int(sum(simulator.control("GET", "counts").values()))


def once(
    case: Case, directory: Path, *, seed: int, seconds: float, records: int, scale: float = 1.0
) -> tuple[Verdict, dict[str, int], dict[str, Any]]:
    """A run in an installation of its own: verdict, faults, figures."""
    with Installation(directory, **dict(case.needs)) as installation:
        scene = Scene(installation, seed=seed)
        scene.settle(records)
        verdict = scene.run(case, seconds=seconds, scale=scale)
        return verdict, dict(scene.faults), scene.figures
