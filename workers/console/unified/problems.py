"""What a product is told when something cannot be done: the form of reference/unified-crm.md §1.5."""

from __future__ import annotations

import math
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import redis

from mapping.errors import BodyInvalid, UnreadableRecord
from workers.answers import NotJson
from workers.errors import CredentialsRefused, Misconfigured, NoAnswer, QueueAway, RateLimited, SystemDown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from workers.answers import Answer

CREDENTIALS: Final = "Capsule does not accept this connection's sign-in; its operator must connect the account again."
UNCLEAR: Final = (
    "The request was sent to Capsule and its answer was lost: it may or may not have had its effect. Look before you repeat it, "
    "or send an Idempotency-Key, with which a repetition looks by itself."
)
UNUSABLE: Final = "Capsule did not give an answer that can be used. Nothing was changed."
AWAY: Final = "The data store does not answer. Try again in a moment."
# Of Capsule's headers those that say something about the refusal; none that names its servers or cookies.
_FORWARDED: Final = ("www-authenticate", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset")
_PASSED_ON: Final = frozenset({400, 403, 404, 405, 409, 413, 415, 422})


class Problem(Exception):
    """An answer that is not a success. `details` holds facts for a program; `remote`: it is Capsule's own, `raw` its body."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        remote: bool = False,
        raw: Any = None,  # noqa: ANN401 - JSON of Capsule
        insight: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = dict(details or {})
        self.headers = dict(headers or {})
        self.remote = remote
        self.raw = raw
        self.insight = dict(insight or {})

    def document(self) -> dict[str, Any]:
        """The body."""
        found: dict[str, Any] = {
            "statusCode": self.status,
            "error": HTTPStatus(self.status).phrase,
            "message": self.message,
            "details": self.details,
        }
        if self.remote:
            found |= {"truto_is_remote_error": True, "raw_response": self.raw}
        if self.insight:
            found["truto_error_insight"] = self.insight
        return found


def failures(status: int, message: str, faults: Sequence[tuple[str, str, str]]) -> Problem:
    """A refusal that names every fault: its path, what is wrong, what to do."""
    listed = [{"path": path, "message": said, "hint": hint} for path, said, hint in faults]
    return Problem(status, message, details={"failures": listed})


def of_answer(answer: Answer) -> Problem:
    """Capsule's own refusal, handed on with its status; what is its trouble rather than the caller's becomes 502."""
    status = answer.status if answer.status in _PASSED_ON else 502
    try:
        raw = answer.json()
    except NotJson:
        raw = None
    insight = {"remote_error": {"description": "Capsule refused the request.", "value": answer.status}}
    if status == HTTPStatus.FORBIDDEN:
        said = "The connection's sign-in lacks a scope or a role in Capsule."
        insight = {"forbidden_error": {"description": said, "value": {"missing_scopes": []}}}
    headers = {name: answer.headers[name] for name in _FORWARDED if name in answer.headers}
    return Problem(status, answer.message(), headers=headers, remote=True, raw=raw, insight=insight)


def of_error(error: Exception) -> Problem | None:
    """The answer for an error of ours, None when it is none that can be explained."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, BodyInvalid):
        return failures(422, "What was sent cannot be written.", [(one.path, one.message, one.hint) for one in error.faults])
    if isinstance(error, RateLimited):
        return _limited(error)
    for kinds, make in _WORDS:
        if isinstance(error, kinds):
            return make()
    return None


_WORDS: Final[tuple[tuple[tuple[type[Exception], ...], Callable[[], Problem]], ...]] = (
    ((CredentialsRefused,), lambda: Problem(401, CREDENTIALS, remote=True)),
    ((NoAnswer,), lambda: Problem(504, UNCLEAR, remote=True)),
    ((SystemDown, UnreadableRecord), lambda: Problem(502, UNUSABLE, remote=True)),
    ((Misconfigured,), lambda: Problem(503, "This connection is not set up; its operator must mend its settings.")),
    ((QueueAway, redis.RedisError), lambda: Problem(503, AWAY, headers={"Retry-After": "5"})),
)


def _limited(error: RateLimited) -> Problem:
    seconds = max(math.ceil(error.wait_ms / 1000), 1)
    insight = {"rate_limit_error": {"description": "Capsule's hourly limit is used up.", "value": {"retry_after": seconds}}}
    said = f"Capsule's hourly limit is used up; try again in {seconds} s. A cursor stays good."
    return Problem(429, said, headers={"Retry-After": str(seconds)}, remote=error.status is not None, insight=insight)
