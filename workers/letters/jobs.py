"""Who did what with dead letters, and what is being done now: an audit list and the jobs under way.

An action is written down when it begins and when it has ended, so that one which was killed shows as interrupted. The list
keeps the newest ten thousand actions and no personal data: who asked (the user of this machine, or of the console), when, what,
the filter, numbers. Times are ms of Redis' clock.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, cast

import orjson
import redis

from mapping.agenda import key
from workers.errors import QueueAway

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Action = Literal["replay", "discard", "reveal", "cancel"]

JOBS: Final = key("dead:jobs")  # hash job -> JSON, while it is under way
CANCELLED: Final = key("dead:cancelled")  # set of jobs that are to stop
AUDIT: Final = key("dead:audit")  # list of JSON, newest first; two entries for an action with an end
MOST_ENTRIES: Final = 20_000
SILENT_MS: Final = 15_000  # a job that gave no sign of life for so long was killed
FORGET_MS: Final = 3_600_000


@dataclass(frozen=True, slots=True)
class Job:
    """One action under way. `done` of `total` letters were dealt with at `beat_ms`."""

    id: str
    action: Action
    who: str
    filter: Mapping[str, Any]
    total: int
    began_ms: int
    beat_ms: int
    done: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the audit list. `result` is `under way`, `interrupted`, or how it ended, with its numbers in `counts`."""

    id: str
    action: Action
    who: str
    filter: Mapping[str, Any]
    total: int
    began_ms: int
    ended_ms: int | None
    result: str
    counts: Mapping[str, int]


class Jobs:
    """Jobs and the audit list over one Redis client."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def begin(self, action: Action, *, who: str, asked: Mapping[str, Any], total: int) -> Job:
        """Writes down that an action begins."""
        now = self._now()
        job = Job(secrets.token_hex(4), action, who, asked, total, now, now)
        self._away(lambda: self._write(job))
        self._note({**_document(job), "result": "under way"})
        return job

    def beat(self, job: Job, done: int) -> bool:
        """A sign of life; True when somebody has cancelled the job."""
        self._away(lambda: self._write(replace(job, done=done, beat_ms=self._now())))
        return bool(self._away(lambda: self.client.sismember(CANCELLED, job.id)))

    def end(self, job: Job, result: str, counts: Mapping[str, int]) -> None:
        """Writes down how it ended."""
        self._note({**_document(job), "ended_ms": self._now(), "result": result, "counts": dict(counts)})
        self._away(lambda: self.client.hdel(JOBS, job.id))
        self._away(lambda: self.client.srem(CANCELLED, job.id))

    def active(self) -> list[Job]:
        """What is under way, oldest first. One that was killed hours ago is forgotten."""
        now, found = self._now(), []
        for name, stored in cast("dict[bytes, bytes]", self._away(lambda: self.client.hgetall(JOBS))).items():
            job = Job(**orjson.loads(stored))
            if now - job.beat_ms <= SILENT_MS:
                found.append(job)
            elif now - job.beat_ms > FORGET_MS:
                self.client.hdel(JOBS, name)
                self.client.srem(CANCELLED, name)
        return sorted(found, key=lambda job: job.began_ms)

    def cancel(self, name: str, *, who: str) -> list[Job]:
        """Asks the job of that name to stop, or all of them if it is empty. Returns those that were asked."""
        asked = [job for job in self.active() if name in ("", job.id)]
        if asked:
            self._away(lambda: self.client.sadd(CANCELLED, *(job.id for job in asked)))
            own = self.begin("cancel", who=who, asked={"jobs": [job.id for job in asked]}, total=len(asked))
            self.end(own, "done", {})
        return asked

    def audit(self, limit: int) -> list[Entry]:
        """The newest actions, newest first."""
        alive = {job.id for job in self.active()}
        found: dict[str, Entry] = {}
        for stored in cast("list[bytes]", self._away(lambda: self.client.lrange(AUDIT, 0, min(2 * limit, MOST_ENTRIES) - 1))):
            told = orjson.loads(stored)
            if told["id"] in found:
                continue  # its end, which is newer, says more
            if len(found) == limit:
                break
            result = told["result"]
            found[told["id"]] = Entry(
                id=told["id"],
                action=told["action"],
                who=told["who"],
                filter=told["filter"],
                total=told["total"],
                began_ms=told["began_ms"],
                ended_ms=told.get("ended_ms"),
                result="interrupted" if result == "under way" and told["id"] not in alive else result,
                counts=told.get("counts", {}),
            )
        return list(found.values())

    def _write(self, job: Job) -> object:
        return self.client.hset(JOBS, job.id, orjson.dumps({**_document(job), "beat_ms": job.beat_ms, "done": job.done}))

    def _note(self, told: Mapping[str, Any]) -> None:
        def push() -> None:
            pipe = self.client.pipeline(transaction=True)
            pipe.lpush(AUDIT, orjson.dumps(told))
            pipe.ltrim(AUDIT, 0, MOST_ENTRIES - 1)
            pipe.execute()

        self._away(push)

    def _now(self) -> int:
        seconds, micros = cast("tuple[int, int]", self._away(self.client.time))
        return seconds * 1000 + micros // 1000

    @staticmethod
    def _away(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever the command answers
        try:
            return call()
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error


def _document(job: Job) -> dict[str, Any]:
    return {
        "id": job.id,
        "action": job.action,
        "who": job.who,
        "filter": dict(job.filter),
        "total": job.total,
        "began_ms": job.began_ms,
    }
