"""Where one record stands in the agenda at one moment: what waits, until when, and why. Looking changes nothing.

The keys and their forms are those of `mapping/scripts.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson
import redis

from mapping.agenda import LETTERS, RecordKey, key
from workers.errors import QueueAway

if TYPE_CHECKING:
    from collections.abc import Mapping

FOR_EVER: Final = "inf"
NEVER: Final = "-"


@dataclass(frozen=True, slots=True)
class Pause:
    """Why no run of a connection begins, and until when in ms of Redis' clock; None until somebody or a probe ends it.

    `probe_ms` is when one record is tried next to see whether it goes again, None without probes.
    """

    reason: str
    until_ms: int | None
    probe_ms: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """One record in the agenda. Times are ms of Redis' clock, None for what is not so.

    `place` is `live`, `bulk` or `solo` (ready on that lane), `due` (at `due_ms`), `parked` (its connection is paused), `lease`
    (a worker has it until `lease_ms`), or "" when nothing waits. `attempts` counts the failures of what is waiting, `deaths` the
    runs that ended with their worker; `error` and `text` are the last failure's. `doubt_ms` is until when a write of ours may
    still land. `pause` is its connection's.
    """

    now_ms: int
    place: str = ""
    lane: str = ""
    opened_ms: int | None = None
    due_ms: int | None = None
    lease_ms: int | None = None
    attempts: int = 0
    deaths: int = 0
    error: str = ""
    text: str = ""
    doubt_ms: int | None = None
    letter: bool = False
    pause: Pause | None = None


def standing_of(client: redis.Redis, record: RecordKey) -> Standing:
    """Reads it in one step.

    Raises:
        QueueAway: Redis did not answer.
    """
    packed = record.pack()
    try:
        pipe = client.pipeline(transaction=True)
        pipe.time()
        for name in ("place", "seq", "attempts", "deaths", "trouble", "intent"):
            pipe.hget(key(name), packed)
        for name in ("open", "due", "leases"):
            pipe.zscore(key(name), packed)
        pipe.hexists(LETTERS, packed)
        pipe.hget(key("paused"), record.connection)
        (seconds, micros), place, seq, attempts, deaths, trouble, intent, opened, due, lease, letter, paused = pipe.execute()
    except redis.RedisError as error:
        raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
    now_ms = seconds * 1000 + micros // 1000
    failure: Mapping[str, Any] = orjson.loads(trouble) if trouble else {}
    return Standing(
        now_ms=now_ms,
        place=_text(place),
        lane=_text(seq).rpartition(" ")[2],
        opened_ms=_ms(opened),
        due_ms=_ms(due),
        lease_ms=_ms(lease),
        attempts=int(attempts or 0),
        deaths=int(deaths or 0),
        error=str(failure.get("error", "")),
        text=str(failure.get("text", "")),
        doubt_ms=_ms(intent),
        letter=bool(letter),
        pause=pause_of(_text(paused), now_ms),
    )


def pause_of(held: str, now_ms: int) -> Pause | None:
    """A field of `relay:paused`, `until next_probe every reason`; None when there is none or its time is over."""
    if not held:
        return None
    until, probe, _, reason = [*held.split(" ", 3), "", "", ""][:4]
    if until != FOR_EVER and float(until) <= now_ms:
        return None
    return Pause(
        reason=reason or "paused",
        until_ms=None if until == FOR_EVER else round(float(until)),
        probe_ms=None if probe in {NEVER, ""} else round(float(probe)),
    )


def _text(found: bytes | str | None) -> str:
    return "" if found is None else found.decode() if isinstance(found, bytes) else found


def _ms(found: bytes | float | str | None) -> int | None:
    return None if found is None else round(float(found))
