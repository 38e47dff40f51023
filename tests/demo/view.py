"""The figures of the demonstration: a table that changes in place on a terminal, a line every two seconds elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from mapping.rules import parse
from workers.overview import quantile, read

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    import redis

    from tests.demo.person import Person
    from tests.simulators.run import Simulator

LINE_SECONDS = 2.0
NAME = "demo"
CONNECTIONS = parse(
    {"connections": {NAME: {"downstream": "officernd", "officernd": {"organization": "demo"}, "capsule": {"auth": "token"}}}}
)


@dataclass(frozen=True, slots=True)
class Figures:
    """What is shown at one moment. The lags are upper bounds in milliseconds, since the first sync ended."""

    seconds: float
    edits: int
    accepted: int
    in_step: int
    held: int
    waiting: int
    dead: int
    lag_p50_ms: int | None
    lag_p95_ms: int | None
    capsule_calls: int
    officernd_calls: int

    def pairs(self) -> list[tuple[str, str]]:
        """Names and values, as they are shown."""
        return [
            ("edits", f"{self.edits:,}"),
            ("accepted", f"{self.accepted:,}"),
            ("in step", f"{self.in_step:,}"),
            ("held", f"{self.held:,}"),
            ("waiting", f"{self.waiting:,}"),
            ("dead", f"{self.dead:,}"),
            ("lag p50", _lag(self.lag_p50_ms)),
            ("lag p95", _lag(self.lag_p95_ms)),
            ("Capsule calls", f"{self.capsule_calls:,}"),
            ("OfficeRnD calls", f"{self.officernd_calls:,}"),
        ]


def _lag(bound: int | None) -> str:
    return "-" if bound is None else f"<= {bound:,} ms"


class Gauges:
    """Reads the figures: from Redis what the relay says of itself, from the simulators what was asked of them."""

    def __init__(self, client: redis.Redis, *, capsule: Simulator, officernd: Simulator, person: Person) -> None:
        self._client = client
        self._capsule = capsule
        self._officernd = officernd
        self._person = person
        self._began = time.monotonic()
        self._before: Mapping[str, int] = {}

    def forget_lag(self) -> None:
        """Counts lags from now on: those of a first sync tell how long its queue was and nothing else."""
        (view,) = read(self._client, CONNECTIONS).connections
        self._before = view.counts

    def read(self) -> Figures:
        """The figures of this moment."""
        (view,) = read(self._client, CONNECTIONS).connections
        since = {name: number - self._before.get(name, 0) for name, number in view.counts.items()}
        return Figures(
            seconds=time.monotonic() - self._began,
            edits=self._person.edits,
            accepted=view.counts.get("delivery.admitted", 0),
            in_step=view.tally["in_step"],
            held=view.tally["held"],
            waiting=view.waiting,
            dead=view.letters,
            lag_p50_ms=quantile(since, 0.5),
            lag_p95_ms=quantile(since, 0.95),
            capsule_calls=sum(self._capsule.control("GET", "counts").values()) - self._person.calls,
            officernd_calls=sum(self._officernd.control("GET", "counts").values()),
        )


class View:
    """Shows figures as they come. `note` is the last thing that happened."""

    def __init__(self) -> None:
        self._console = Console()
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_terminal else None
        self._next = 0.0

    def show(self, figures: Figures, note: str, *, now: bool = False) -> None:
        """Shows these figures: at once on a terminal, elsewhere if it is time or `now` is set."""
        if self._live is not None:
            table = Table.grid(padding=(0, 3))
            for name, value in figures.pairs():
                table.add_row(name, value)
            table.add_row("last edit", note)
            self._live.update(table, refresh=True)
        elif now or time.monotonic() >= self._next:
            self._next = time.monotonic() + LINE_SECONDS
            said = ", ".join(f"{name} {value}" for name, value in figures.pairs())
            sys.stdout.write(f"{figures.seconds:5.0f} s  {said}\n")
            sys.stdout.flush()

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()
