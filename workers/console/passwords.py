"""The console's password, kept as scrypt keeps it, and how often it may be tried.

scrypt with n = 2^14, r = 8, p = 1 takes about 16 MiB and 50 ms for each try (RFC 7914 §2). Tries are counted in Redis over all
consoles, by a keyed hash of the address: an address itself is not stored.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from typing import TYPE_CHECKING, Final, cast

from mapping.agenda import key
from mapping.keys import lookup_hash
from workers.console_settings import HASHED, KEY_BYTES, SALT_BYTES, Hashed, parse_hash

if TYPE_CHECKING:
    import redis

TRIES: Final = key("console-tries:")
WINDOW_SECONDS: Final = 900
MOST_OF_ONE: Final = 10
MOST_OF_ALL: Final = 100
_V6_SITE: Final = 64  # one site has so many bits of an IPv6 address, and may use a new address for each try


class TooManyTries(Exception):
    """The password was tried too often; nothing was compared. `wait_s` is how long until it may be tried again."""

    def __init__(self, wait_s: int, *, all_: bool) -> None:
        super().__init__("The password was tried too often" + (", from several places." if all_ else " from your address."))
        self.wait_s = wait_s


def make_hash(password: str) -> Hashed:
    """The hash of a password, with a salt of its own."""
    salt = secrets.token_bytes(SALT_BYTES)
    return Hashed(salt, _scrypt(password, salt))


def kept(password: str) -> Hashed:
    """RELAY_CONSOLE_PASSWORD as a hash: what it holds, or the hash of the password that it holds."""
    found = parse_hash(password) if password.startswith(HASHED) else None
    return found or make_hash(password)


def matches(held: Hashed, given: str) -> bool:
    """Whether this is the password."""
    return hmac.compare_digest(_scrypt(given, held.salt), held.key)


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1, dklen=KEY_BYTES)


class Tries:
    """Counts tries: MOST_OF_ONE of one address and MOST_OF_ALL in all within WINDOW_SECONDS."""

    def __init__(self, store: redis.Redis, secret: str) -> None:
        self._store = store
        self._secret = secret

    def count(self, address: str) -> None:
        """Counts one try before anything is compared.

        Raises:
            TooManyTries: it may not be made.
            redis.RedisError: the data store does not answer, so nothing may be tried either.
        """
        # The sum first: it bounds the number of keys that strangers can make.
        self._take(TRIES + "all", MOST_OF_ALL, all_=True)
        self._take(self._of(address), MOST_OF_ONE, all_=False)

    def succeeded(self, address: str) -> None:
        """Forgets the tries of an address that had the right one in the end."""
        self._store.delete(self._of(address))

    def _of(self, address: str) -> str:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return TRIES + "unknown"
        whose = str(ipaddress.ip_network(f"{ip}/{_V6_SITE}", strict=False)) if ip.version == 6 else str(ip)  # noqa: PLR2004 - IPv6
        return TRIES + lookup_hash(self._secret, whose)

    def _take(self, name: str, most: int, *, all_: bool) -> None:
        pipe = self._store.pipeline(transaction=True)
        pipe.incr(name)
        pipe.expire(name, WINDOW_SECONDS, nx=True)
        pipe.ttl(name)
        number, _, left = cast("list[int]", pipe.execute())
        if number > most:
            raise TooManyTries(max(left, 1), all_=all_)
