"""`capsule-relay sync`: runs a full sync from the terminal and shows how far it is.

A bar on a terminal; elsewhere a line now and then. Both go to standard error, so that standard output holds the result alone.
"""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from workers import tracing
from workers.errors import QueueAway
from workers.flows.reconcile import Outcome, full_sync, incremental_sync
from workers.flows.rehearse import Rehearsal, rehearse
from workers.log import configure
from workers.services import build

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from workers.services import Services
    from workers.settings import Settings

STAGES: Final = {
    "index": "what OfficeRnD holds",
    "read": "reading Capsule",
    "sync": "bringing in step",
    "replay": "handing over",
    "paused": "paused, waiting",
    "outcome": "waiting for the outcome",
    "discard": "discarding",
}
GUARDED: Final = 3
LINE_SECONDS: Final = 2.0
STILL_SECONDS: Final = 30.0
LEFT_SECONDS: Final = 2.0  # how often the limits are looked at for the bar


@dataclass(frozen=True, slots=True)
class Result:
    """How a sync ended, in the forms that the command prints. `waited` is False when nobody waited for the end."""

    outcome: Outcome
    waited: bool

    @property
    def exit_status(self) -> int:
        """0 when all is in step, held or out, or when nobody waited; 1: something failed or still waits; 3: the guard stopped."""
        if self.outcome.guarded:
            return GUARDED
        return 0 if self.outcome.ok or not self.waited else 1

    def document(self) -> dict[str, Any]:
        """The same as a JSON document."""
        return {**asdict(self.outcome), "waited": self.waited, "ok": self.outcome.ok if self.waited else None}

    def sentence(self) -> str:
        """One line for a person."""
        outcome = self.outcome
        found = f"{outcome.connection}: {outcome.found} records found, {outcome.opened} opened"
        if outcome.guarded:
            return (
                f"{outcome.connection}: {outcome.guarded} records would be released, more than guard_percent and guard_records "
                "allow, so none was; see why, then give --allow-release"
            )
        if not self.waited:
            return f"{found}; the workers bring them in step (capsule-relay status shows how far they are)"
        parts = [f"{number} {outcome.replace('_', ' ')}" for outcome, number in sorted(self.outcome.outcomes.items())]
        parts += [f"{self.outcome.failed} failed"] if self.outcome.failed else []
        parts += [f"{self.outcome.waiting} still waiting"] if self.outcome.waiting else []
        left = "".join(f"; {number} calls left of {window}" for window, number in sorted(outcome.left.items()))
        return f"{found} in {outcome.seconds:.1f} s; now {', '.join(parts) or 'nothing to do'}{left}"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command was asked for."""

    full: bool = True
    wait: bool = True
    allow_release: bool = False
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a dry run found, in the forms that the command prints."""

    rehearsal: Rehearsal

    @property
    def exit_status(self) -> int:
        """3 when the guard would stop the sync, else 0."""
        return GUARDED if self.rehearsal.guarded else 0

    def document(self) -> dict[str, Any]:
        """The same as a JSON document."""
        return {**asdict(self.rehearsal), "dry_run": True}

    def sentence(self) -> str:
        """One line for a person."""
        seen = self.rehearsal
        said = ", ".join(f"{number} {what}" for what, number in sorted(seen.would.items()) if number) or "nothing to do"
        stop = f"; the guard would stop the release of {seen.guarded} more" if seen.guarded else ""
        left = "".join(f"; {number} calls left of {window}" for window, number in sorted(seen.left.items()))
        return f"{seen.connection}: {seen.found} records found; a sync would end with: {said}{stop} (nothing was written){left}"


def run_sync(settings: Settings, connection: str, *, redis_url: str, wish: Wish, quiet: bool) -> Result | Forecast:
    """Runs a reconcile of this connection with the workers that `redis_url` leads to.

    Raises:
        WorkerError: the sync could not be made; its advice says what to do.
    """
    # Progress is what a person sees here; the log is for what went wrong on the way.
    configure(settings.log_format, "WARNING")
    services = build(replace(settings, redis_url=redis_url))
    try:
        services.start()
        with (
            contextlib.nullcontext(_silent) if quiet else shown_on(sys.stderr, left=calls_left(services, connection)) as progress,
            tracing.work("reconcile"),
        ):
            if wish.dry_run:
                return Forecast(rehearse(services, connection, progress, full=wish.full, allow_release=wish.allow_release))
            if wish.full:
                outcome = full_sync(services, connection, progress, wait=wish.wait, allow_release=wish.allow_release, resume=True)
            else:
                outcome = incremental_sync(services, connection, progress, wait=wish.wait, allow_release=wish.allow_release)
    finally:
        services.close()
    return Result(outcome=outcome, waited=wish.wait)


def _silent(stage: str, done: int, total: int | None) -> None:
    """For `--json`."""


def calls_left(services: Services, connection: str) -> Callable[[], str]:
    """What is left of the fullest limit of a connection, in words; looks at most every LEFT_SECONDS."""
    said, looked = "", float("-inf")

    def left() -> str:
        nonlocal said, looked
        if time.monotonic() >= looked + LEFT_SECONDS:
            looked = time.monotonic()
            with contextlib.suppress(QueueAway):
                windows = [one for one in services.usage(connection) if one.limit and one.used]
                fullest = max(windows, key=lambda one: one.used / one.limit, default=None)
                said = "" if fullest is None else f"{max(fullest.limit - fullest.used, 0)} calls left of {fullest.name}"
        return said

    return left


def _nothing_left() -> str:
    return ""


def shown_on(stream: TextIO, *, left: Callable[[], str] = _nothing_left) -> Bar | Lines:
    """A bar where a person looks on, lines elsewhere. `left` says what is left of the vendors' limits."""
    return Bar(Console(file=stream), left=left) if stream.isatty() else Lines(stream, left=left)


class Rate(ProgressColumn):
    """Records a second."""

    def render(self, task: Task) -> Text:
        """Nothing while it is not known."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.0f}/s" if speed else "")


class Bar:
    """A bar for each stage, on a terminal."""

    def __init__(self, console: Console, *, left: Callable[[], str] = _nothing_left) -> None:
        words, left_column = TextColumn("{task.description:<22}"), TextColumn("{task.fields[left]}")
        self._progress = Progress(
            words, BarColumn(), MofNCompleteColumn(), Rate(), TimeElapsedColumn(), left_column, console=console
        )
        self._left = left
        self._tasks = {
            stage: self._progress.add_task(label, total=None, visible=False, left="") for stage, label in STAGES.items()
        }
        self._stage = ""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Shows that `done` of `total` are done; the stages before this one are complete."""
        if stage != self._stage:
            self._finish()
            self._stage = stage
        self._progress.update(self._tasks[stage], completed=done, total=total, visible=True, left=self._left())

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._finish()
        self._progress.stop()

    def _finish(self) -> None:
        if self._stage:
            task = self._tasks[self._stage]
            number = next(held.completed for held in self._progress.tasks if held.id == task)
            self._progress.update(task, total=number)


class Lines:
    """A line when a stage begins, then one every LINE_SECONDS at most (STILL_SECONDS without progress), and one at the end."""

    def __init__(self, stream: TextIO, *, left: Callable[[], str] = _nothing_left) -> None:
        self._stream = stream
        self._left = left
        self._began, self._began_with, self._done = 0.0, 0, 0
        self._stage = ""
        self._line = ""
        self._said = ""
        self._said_at = 0.0

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """Notes how far it is, and says so if it is time."""
        self._line = f"{STAGES[stage]}: {done}" + (f" of {total}" if total is not None else "")
        if stage != self._stage:
            self._began, self._began_with = time.monotonic(), done
        self._done = done
        wait = STILL_SECONDS if self._line == self._said else LINE_SECONDS
        if stage != self._stage or time.monotonic() >= self._said_at + wait:
            self._stage = stage
            self._say()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._line != self._said:
            self._say()

    def _say(self) -> None:
        seconds = time.monotonic() - self._began
        rate = f"{(self._done - self._began_with) / seconds:.0f}/s" if seconds >= 1 else ""
        self._stream.write(", ".join(part for part in (self._line, rate, self._left()) if part) + "\n")
        self._stream.flush()
        self._said = self._line
        self._said_at = time.monotonic()
