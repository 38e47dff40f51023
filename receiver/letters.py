"""Dead letters of kind `delivery`: authentic bodies that could not be read, kept so that a person can look at them.

They are bounded on every side (DESIGN.md §6): the first 4 KiB and a hash, equal bodies counted, at most 1,000 of a
connection and only a counter beyond. An address that leaked must not fill Redis.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from mapping.agenda import deliveries_key
from mapping.keys import fernet_keys
from receiver.store import StoreAway

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cryptography.fernet import MultiFernet

    from receiver.store import Store

MOST_LETTERS: Final = 1_000
KEPT_BYTES: Final = 4_096
_TRIES: Final = 20

LOOK: Final = r"""
-- look key field -> {what stands there or '', number of letters, now in ms}
local t = redis.call('TIME')
return {redis.call('HGET', ARGV[1], ARGV[2]) or '', redis.call('HLEN', ARGV[1]),
        string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))}
"""

KEEP: Final = r"""
-- keep key field expected value most -> kept | changed | full
-- The value is encrypted, so its count cannot be raised here: it is exchanged if nobody else did so meanwhile.
local there = redis.call('HGET', ARGV[1], ARGV[2]) or ''
if there ~= ARGV[3] then return 'changed' end
if there == '' and redis.call('HLEN', ARGV[1]) >= tonumber(ARGV[5]) then return 'full' end
redis.call('HSET', ARGV[1], ARGV[2], ARGV[4])
return 'kept'
"""


@dataclass(frozen=True, slots=True)
class Letter:
    """What is kept of one unreadable delivery. `field` stands for its body: equal bodies have the same."""

    field: str
    said: dict[str, Any]


class Letters:
    """Keeps unreadable deliveries, encrypted."""

    def __init__(self, store: Store, secret_keys: Sequence[str]) -> None:
        self._store = store
        self._secret_keys = tuple(secret_keys)
        # One at a time: a flood of them leaves Redis to admissions, and equal bodies do not get in each other's way.
        self._turn = asyncio.Lock()
        self._cipher: MultiFernet | None = None

    @staticmethod
    def letter(*, body: bytes, reason: str, event: str, encoding: str, opened: int) -> Letter:
        """`reason` must hold nothing of the body. `opened` is the number of records that could be read all the same."""
        said = {
            "reason": reason,
            "event": event,
            "encoding": encoding,
            "opened": opened,
            "body": base64.b64encode(body[:KEPT_BYTES]).decode(),
            "size": len(body),
        }
        return Letter(hashlib.sha256(body).hexdigest()[:32], said)

    async def keep(self, connection: str, letter: Letter, *, by: float, hopeless: Callable[[], bool] | None = None) -> bool:
        """Whether the letter is kept; False when the connection has as many as it may have.

        `by` is the time of the event loop's clock at which to give up; `hopeless` is asked when it is this letter's turn.

        Raises:
            StoreAway: Redis did not take it in time.
        """
        try:
            async with asyncio.timeout_at(by), self._turn:
                if hopeless is not None and hopeless():
                    raise StoreAway("it was away a moment ago")
                return await self._keep(deliveries_key(connection), letter.field, letter.said)
        except TimeoutError:
            raise StoreAway("no answer in time") from None

    def seal(self, letter: Letter) -> str:
        """What a letter says, encrypted, for the spool."""
        return self._fernet().encrypt(orjson.dumps(letter.said)).decode()

    async def keep_again(self, connection: str, field: str, sealed: str, *, ago_ms: int) -> bool:
        """Keeps a letter that `seal` made so long ago. False when it cannot be read any more, or there is no room for it.

        Raises:
            StoreAway: Redis did not take it.
        """
        said = self._open(sealed.encode())
        if not said:
            return False
        async with self._turn:
            return await self._keep(deliveries_key(connection), field, said, ago_ms=ago_ms)

    async def _keep(self, key: str, field: str, letter: dict[str, Any], *, ago_ms: int = 0) -> bool:
        for _ in range(_TRIES):
            there, number, now = await self._look(key, field)
            if not there and number >= MOST_LETTERS:
                return False
            before = self._open(there)
            at = now - ago_ms
            times = {
                "count": before.get("count", 0) + 1,
                "first": before.get("first", at),
                "last": max(before.get("last", at), at),
            }
            value = self._fernet().encrypt(orjson.dumps({**letter, **times}))
            answer = await self._store.script("keep", key, field, there, value, MOST_LETTERS)
            if answer != b"changed":
                return answer == b"kept"
        # Other processes wrote the same body each time in between: it is kept, only the count is short by one.
        return True

    async def _look(self, key: str, field: str) -> tuple[bytes, int, int]:
        answer = await self._store.script("look", key, field)
        if not isinstance(answer, list):
            raise StoreAway("unexpected answer")
        there, number, now = answer
        return there, number, int(now)

    def _open(self, there: bytes) -> dict[str, Any]:
        """What an earlier letter says; nothing if there is none or its key is no longer known."""
        if not there:
            return {}
        from cryptography.fernet import InvalidToken  # noqa: PLC0415 - see _fernet

        try:
            read = orjson.loads(self._fernet().decrypt(there))
        except (InvalidToken, orjson.JSONDecodeError):
            return {}
        return read if isinstance(read, dict) else {}

    def _fernet(self) -> MultiFernet:
        if self._cipher is None:
            from cryptography.fernet import Fernet, MultiFernet  # noqa: PLC0415 - heavy, and most receivers never need it

            self._cipher = MultiFernet([Fernet(key) for key in fernet_keys(self._secret_keys)])
        return self._cipher
