"""What a person does with dead letters: count, replay, discard, cancel, and read what was done.

Plain functions over the services, for the command line and the console alike.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from workers import tracing
from workers.flows.handover import CHUNK, HandOver, Progress, Result, Watch, batches
from workers.letters.jobs import Jobs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from workers.letters import Filter, Letter
    from workers.letters.jobs import Entry, Job
    from workers.services import Services

__all__ = ["RATE", "Group", "Progress", "Result", "Summary", "Tally", "audit", "cancel", "count", "discard", "replay", "revealed"]

RATE: Final = 20.0
"""Records a second, if nothing else is asked for: a dozen times what OfficeRnD lets us write, and little beside live work."""


@dataclass(frozen=True, slots=True)
class Group:
    """Letters that are alike: how many there are, and when (ms) the oldest and the newest of them failed last."""

    connection: str
    what: str
    error: str
    system: str
    status: int | None
    advice: str
    number: int
    oldest_ms: int
    newest_ms: int


@dataclass(frozen=True, slots=True)
class Summary:
    """How many letters a filter admits, grouped, the largest group first; `open` of them are being tried already."""

    total: int
    open: int
    groups: tuple[Group, ...]


def _silent(stage: str, done: int, total: int | None) -> None:
    """For callers that do not look."""


def _never() -> bool:
    return False


class Tally:
    """Counts letters by what is wrong with them, on their way to somebody who wants them for something else too."""

    def __init__(self) -> None:
        self._groups: dict[tuple[Any, ...], list[int]] = {}
        self._total = self._open = 0

    def through(self, letters: Iterable[Letter]) -> Iterator[Letter]:
        """The same letters, counted."""
        for letter in letters:
            sort = (letter.connection, letter.what, letter.error, letter.system, letter.status, letter.advice)
            seen = self._groups.setdefault(sort, [0, letter.last_ms, letter.last_ms])
            seen[:] = seen[0] + 1, min(seen[1], letter.last_ms), max(seen[2], letter.last_ms)
            self._total += 1
            self._open += letter.place is not None
            yield letter

    def summary(self) -> Summary:
        """What was counted so far."""
        groups = sorted((Group(*(*sort, *seen)) for sort, seen in self._groups.items()), key=lambda one: -one.number)
        return Summary(self._total, self._open, tuple(groups))


def count(services: Services, wanted: Filter) -> Summary:
    """How many letters a filter admits, of which sorts. Reads them all, by pages."""
    tally = Tally()
    for _ in tally.through(services.letters.find(wanted, connections=services.connections)):
        pass
    return tally.summary()


def replay(
    services: Services,
    wanted: Filter,
    *,
    who: str,
    rate: float = RATE,
    progress: Progress = _silent,
    cancelled: Callable[[], bool] = _never,
    keep_going: bool = False,
    wait: bool = True,
) -> Result:
    """Has the records of these letters tried again, each as it is now, and reads unreadable deliveries again.

    At most `rate` a second and MOST_UNDER_WAY at a time are handed over. Without `keep_going` it stops when at least
    MOST_FAILED, and half of those that were decided, have failed again. With `wait` it returns when what it handed over is
    decided, or waits for something that will not come soon. `cancelled` is asked often; `cancel` does the same from elsewhere.

    Raises:
        QueueAway: Redis did not answer. What was handed over stays so, and the rest are letters still.
    """
    jobs = Jobs(services.redis)
    total = count(services, wanted).total
    job = jobs.begin("replay", who=who, asked=wanted.document(), total=total)
    # What was buried since the first replay that is under way began has failed in it: not ours to try once more.
    before = min([job.began_ms, *(one.began_ms for one in jobs.active() if one.action == "replay")])
    bound = before if wanted.before_ms is None else min(before, wanted.before_ms)
    result = Result(job.id, "replay", total, bound)
    walk = HandOver(
        services,
        replace(wanted, before_ms=bound),
        result,
        Watch(services, jobs, job, result, progress, cancelled),
        rate=rate,
        keep_going=keep_going,
    )
    return _ended(services, jobs, job, result, lambda: walk.run(wait=wait))


def discard(
    services: Services, wanted: Filter, *, who: str, progress: Progress = _silent, cancelled: Callable[[], bool] = _never
) -> Result:
    """Takes letters away. Their records are left as they are until they change or a full pass looks at them.

    Raises:
        QueueAway: Redis did not answer.
    """
    jobs = Jobs(services.redis)
    total = count(services, wanted).total
    job = jobs.begin("discard", who=who, asked=wanted.document(), total=total)
    bound = job.began_ms if wanted.before_ms is None else min(job.began_ms, wanted.before_ms)
    result = Result(job.id, "discard", total, bound)
    watch = Watch(services, jobs, job, result, progress, cancelled)

    def run() -> None:
        for batch in batches(services.letters.find(replace(wanted, before_ms=bound), connections=services.connections), CHUNK):
            if watch.stop("discard"):
                result.ended = "cancelled"
                return
            records = [(one.record, one.id) for one in batch if one.record is not None]
            answers = services.agenda.discard(records)
            for one in batch:
                if one.delivery is not None or one.kind == "delivery":
                    gone = services.letters.forget_delivery(one.connection, one.field)
                    answers.append("discarded" if gone else "changed")
            told = Counter(answers)
            result.done += told["discarded"]
            result.open += told["open"]
            result.changed += told["changed"]
        watch.tell("discard")

    return _ended(services, jobs, job, result, run)


def cancel(services: Services, job: str = "", *, who: str) -> list[Job]:
    """Asks a replay or discard that runs elsewhere, or all of them, to stop; returns those that were asked."""
    return Jobs(services.redis).cancel(job, who=who)


def audit(services: Services, limit: int = 100) -> list[Entry]:
    """The newest actions on dead letters, newest first."""
    return Jobs(services.redis).audit(limit)


def revealed(services: Services, letter: Letter, *, who: str) -> None:
    """Writes down that somebody looked at the personal data in a letter."""
    jobs = Jobs(services.redis)
    jobs.end(jobs.begin("reveal", who=who, asked={"ids": [letter.id]}, total=1), "done", {})


def _ended(services: Services, jobs: Jobs, job: Job, result: Result, run: Callable[[], None]) -> Result:
    """Does the work with a trace of its own, which the runs of what it opens go on with, and says in one line how it ended."""
    began = time.monotonic()
    with tracing.work(result.action, job=job.id, total=result.total) as work:

        def tell(end: str) -> None:
            result.seconds = time.monotonic() - began
            told: dict[str, str | int] = {"job": job.id, "total": result.total, **result.counts(), "end": end}
            work.tell(**told)
            # Who asked stands in the audit list: it may be somebody's name.
            filter_ = {name: len(value) if isinstance(value, list) else value for name, value in job.filter.items()}
            line = {**told, "filter": filter_, "ms": round(result.seconds * 1000)}
            if result.action == "replay":
                services.log.info("replay", **line)
            else:
                services.log.info("discard", **line)

        try:
            run()
        except BaseException as error:
            work.failed(type(error).__name__)
            tell("broken off")
            jobs.end(job, "broken off", result.counts())
            raise
        tell(result.ended)
        jobs.end(job, result.ended, result.counts())
    return result
