"""Errors of the workers, named by what the caller should do.

WorkerError
├── Temporary                wait and try again; spends an attempt unless told otherwise
│   ├── NoAnswer             the call may or may not have had its effect (time-out, cut, 502, 504)
│   ├── SystemDown           the other side said it cannot now (500, 503), known to have had no effect
│   ├── RateLimited          the other side's limit is used up; wait; never spends an attempt
│   ├── Stopped              the other side wants no more (410); the connection is paused until a person resumes it
│   └── CredentialsRefused   401 even with a new token; the connection is paused; never spends an attempt
│       └── ReconnectNeeded  no new token without a person; the connection is paused until it is connected again
├── Permanent                trying again changes nothing: a dead letter at once
│   ├── Refused              the other side refuses what we sent (400, 404 on a write, a known permanent 500)
│   └── Misconfigured        a setting or a permission must be changed by a person
├── LeaseLost                another run has this record now: stop, make no more calls
├── QueueAway                Redis did not answer: end the run unanswered, the sweep takes it back
└── ShuttingDown             the process was asked to stop: hand the record back
"""

from __future__ import annotations


class WorkerError(Exception):
    """Root of what a worker raises on purpose. `advice` is one sentence for the person who reads it at night."""

    advice = "Look at the log line of this record."

    def __init__(self, message: str, *, advice: str | None = None) -> None:
        super().__init__(message)
        if advice is not None:
            self.advice = advice


class Temporary(WorkerError):
    """It may work later. The record goes back to the agenda with a back-off.

    `status` is the HTTP status of the answer, or None without one; `system` is the side that failed, such as "capsule".
    """

    advice = "Nothing to do: it is tried again by itself."

    def __init__(
        self,
        message: str,
        *,
        system: str = "",
        status: int | None = None,
        answer: str = "",
        advice: str | None = None,
    ) -> None:
        super().__init__(message, advice=advice)
        self.system = system
        self.status = status
        self.answer = answer


class NoAnswer(Temporary):
    """The call was sent and its answer is unknown: it may still take effect. A write must be looked for before it is repeated."""


class SystemDown(Temporary):
    """The other side failed in a way that is known to have had no effect."""


class RateLimited(Temporary):
    """The other side's limit is used up.

    `wait_ms` is how long until a slot is expected, in milliseconds.
    """

    def __init__(self, message: str, *, wait_ms: int, system: str = "", status: int | None = None) -> None:
        super().__init__(message, system=system, status=status)
        self.wait_ms = wait_ms


class Stopped(Temporary):
    """The other side wants nothing more of us. Its connection is paused, and only a person ends that; spends no attempt."""

    advice = "Once it takes messages again, run `capsule-relay resume NAME`; what has changed meanwhile is sent then."


class CredentialsRefused(Temporary):
    """The other side refuses our credentials even with a new token. Its connection is paused and probed."""

    advice = "Check the credentials and their scopes for this connection; work resumes by itself once they are accepted."


class ReconnectNeeded(CredentialsRefused):
    """Capsule gives no new token any more, or never gave one: a person must connect the account again.

    Whoever raises it has paused the connections of that account. It spends no attempt.
    """

    advice = "Run `capsule-relay connect NAME` and open the link that it prints; work resumes by itself."


class Permanent(WorkerError):
    """Trying again changes nothing: the record becomes a dead letter.

    `method`, `route` and `body` are what was tried, `status` and `answer` what came back (first KiB).
    """

    def __init__(
        self,
        message: str,
        *,
        advice: str | None = None,
        system: str = "",
        status: int | None = None,
        answer: str = "",
        method: str = "",
        route: str = "",
        body: bytes = b"",
    ) -> None:
        super().__init__(message, advice=advice)
        self.system = system
        self.status = status
        self.answer = answer
        self.method = method
        self.route = route
        self.body = body


class Refused(Permanent):
    """The other side refuses what we sent."""

    advice = "Read the answer, mend the record in Capsule or the rule that maps it, then replay the letter."


class Misconfigured(Permanent):
    """A setting or a permission must be changed by a person before this can work."""

    advice = "Mend the setting that the message names, then replay the letter."


class LeaseLost(WorkerError):
    """This run no longer has the record. Whoever catches this makes no more calls for it."""


class QueueAway(WorkerError):
    """Redis did not answer. The run ends without an answer; its lease expires and the sweep takes the record back."""


class ShuttingDown(WorkerError):
    """The process was asked to stop before this record's first write: it is handed back at once."""
