"""When to try again, and when to stop: the one place that decides. Pure: the random number comes from the caller.

Twelve attempts over about a day (DESIGN.md §3): a quarter of a minute of trouble costs seconds, a night costs no letter.
Waiting for a limit, for credentials or for a process to stop is not a failure of the record and spends no attempt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from workers.errors import CredentialsRefused, LeaseLost, Permanent, QueueAway, RateLimited, ShuttingDown, Stopped

SECOND: Final = 1000
MINUTE: Final = 60 * SECOND
HOUR: Final = 60 * MINUTE

# The wait after the first failure, the second, ...: 23 hours together. The attempt after the last wait is the twelfth.
WAITS_MS: Final = (
    5 * SECOND,
    20 * SECOND,
    1 * MINUTE,
    3 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    90 * MINUTE,
    3 * HOUR,
    6 * HOUR,
    6 * HOUR,
    6 * HOUR,
)
MOST_ATTEMPTS: Final = len(WAITS_MS) + 1
JITTER: Final = 0.25
CREDENTIALS_WAIT_MS: Final = MINUTE


@dataclass(frozen=True, slots=True)
class Again:
    """Try again in `wait_ms` milliseconds; `spend` says whether this failure counts as one of the attempts."""

    wait_ms: int
    spend: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Bury it: trying again changes nothing ("permanent"), or it was tried often enough ("exhausted")."""

    why: Literal["permanent", "exhausted"]


Decision: TypeAlias = Again | GiveUp


def next_wait_ms(attempts: int, random: float) -> int:
    """Milliseconds to wait after the `attempts`-th failure (1 = the first).

    `random`, from 0 to 1, moves the wait by up to a quarter either way, so that records that failed together come back apart.
    """
    base = WAITS_MS[min(max(attempts, 1), len(WAITS_MS)) - 1]
    return round(base * (1 - JITTER + 2 * JITTER * min(max(random, 0.0), 1.0)))


def give_up(attempts: int) -> bool:
    """Whether a record that has failed `attempts` times, this one included, is to be buried."""
    return attempts >= MOST_ATTEMPTS


def again(error: Exception, attempts: int, *, random: float = 0.5) -> Decision:
    """What to do after a run failed with `error` when `attempts` failures were counted before it.

    An error that is none of ours is a fault in the program: it is tried like a temporary one and ends as a letter.

    Raises:
        TypeError: the run has no say any more (LeaseLost) or cannot be answered (QueueAway); see workers/errors.py.
    """
    if isinstance(error, LeaseLost | QueueAway):
        raise TypeError(f"A run that ends with {type(error).__name__} is not answered.") from error
    if isinstance(error, Permanent):
        return GiveUp("permanent")
    if isinstance(error, ShuttingDown):
        return Again(0, spend=False)
    if isinstance(error, RateLimited):
        return Again(max(error.wait_ms, 0), spend=False)
    if isinstance(error, CredentialsRefused | Stopped):
        return Again(CREDENTIALS_WAIT_MS, spend=False)
    if give_up(attempts + 1):
        return GiveUp("exhausted")
    return Again(next_wait_ms(attempts + 1, random), spend=True)
