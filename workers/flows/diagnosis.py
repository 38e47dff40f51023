"""What a check of `capsule-relay doctor` is: a name, a question that takes only so long, and one sentence for an answer."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import redis

from mapping.errors import MappingError
from workers.errors import QueueAway, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

State = Literal["ok", "warning", "wrong", "unasked"]
LIMIT_SECONDS: Final = 20.0
AWAY: Final = "the data store does not answer"


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found. `about` is a connection, "" for the whole; `advice` is one sentence of what to do, "" when ok.

    A `warning` is told and spoils nothing; `unasked` says that the check could not be made, and why.
    """

    check: str
    state: State
    said: str
    advice: str = ""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One question. `ask` returns its results, of which several may be about single connections; it takes `limit_s` at most."""

    name: str
    ask: Callable[[], Iterable[Result]]
    limit_s: float = LIMIT_SECONDS


def examine(checks: Iterable[Check], told: Callable[[str], None]) -> Iterator[Result]:
    """Makes the checks, one after another; `told` hears the name of each before it begins.

    A check that fails or takes too long says so, and the others go on. Its thread is left to its own time limits.
    """
    for check in checks:
        told(check.name)
        yield from _within(check)


def _within(check: Check) -> list[Result]:
    found: list[list[Result]] = []

    def work() -> None:
        found.append(_asked(check))

    thread = threading.Thread(target=work, name=f"check {check.name}", daemon=True)
    thread.start()
    thread.join(check.limit_s)
    if not found:
        text = f"no answer within {check.limit_s:g} s"
        return [Result(check.name, "unasked", text, "Try again when there is less to do.")]
    return found[0]


def _asked(check: Check) -> list[Result]:
    try:
        return list(check.ask())
    except (redis.RedisError, QueueAway) as error:
        return [Result(check.name, "unasked", f"{AWAY} ({type(error).__name__})", "Start it, and ask again.")]
    except (WorkerError, MappingError) as error:
        advice = error.advice if isinstance(error, WorkerError) else ""
        return [Result(check.name, "unasked", str(error).rstrip("."), advice)]
    except Exception as bug:  # noqa: BLE001 - a check that cannot be made must not hide the others
        return [Result(check.name, "unasked", f"the check itself failed: {type(bug).__name__}", "Report it, with your version.")]
