"""What is derived from RELAY_SECRET_KEY: hook tokens, keys of the encryption at rest, hashes to look things up by.

Each use has a label of its own, so that knowing one derived value says nothing about another. All of it is HMAC-SHA256
(as HKDF's expanding step, RFC 5869) over keys that are long and random already. Receiver, workers and the command line
derive the same values without asking anybody, so a hook's address stays good whatever happens to Redis.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORTEST_SECRET: Final = 32
"""Characters that each key of RELAY_SECRET_KEY must have."""

HOOKS: Final = "/hooks/capsule/"
SIGNED_HOOKS: Final = "/hooks/signed/"

_LABEL: Final = b"capsule-relay/1/"


def split_secrets(listed: str) -> tuple[str, ...]:
    """The keys of a comma list such as RELAY_SECRET_KEY, newest first, without surrounding space and empty places."""
    return tuple(part for part in (piece.strip() for piece in listed.split(",")) if part)


@lru_cache(maxsize=64)
def _derive(secret: str, use: bytes) -> bytes:
    """A 256-bit key for one use."""
    return hmac.new(secret.encode(), _LABEL + use + b"\x01", hashlib.sha256).digest()


def hook_token(secret: str, connection: str, generation: int) -> str:
    """The last part of a hook's address: 256 bits in 43 characters of url-safe base64.

    `connection` is the account's owner (see `hook_owner`), `generation` its `hook_generation`.
    """
    mac = hmac.new(_derive(secret, b"hook"), f"{connection}|{generation}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def hook_tokens(secrets: Iterable[str], connection: str, generation: int) -> tuple[str, ...]:
    """Every token that is good now: of this generation and of the one before, under each secret (DESIGN.md §6).

    The first is the one to hand out. Generations begin at 1, so the first has none before it.
    """
    generations = (generation, generation - 1) if generation > 1 else (generation,)
    return tuple(hook_token(secret, connection, number) for secret in secrets for number in generations)


def hook_path(connection: str, token: str) -> str:
    """The path that Capsule posts to."""
    return f"{HOOKS}{connection}/{token}"


def signed_path(connection: str) -> str:
    """The path that a relay posts to which signs by Standard Webhooks."""
    return f"{SIGNED_HOOKS}{connection}"


def hook_owner(connection: str, account: str | None) -> str:
    """The connection whose hooks serve this one: the one that its `capsule.account` names, else itself."""
    return account or connection


def signature(secret: str, use: str, text: str) -> str:
    """43 characters of url-safe base64 that only a holder of the secret can make for `text` and this use."""
    mac = hmac.new(_derive(secret, b"signed/" + use.encode()), text.encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(mac).rstrip(b"=").decode()


def is_signed(secrets: Iterable[str], use: str, text: str, given: str) -> bool:
    """Whether `given` is the signature of `text` for this use under one of the secrets. Takes the same time for any `given`."""
    good = [hmac.compare_digest(signature(secret, use, text).encode(), given.encode()) for secret in secrets]
    return any(good)


def fernet_keys(secrets: Iterable[str]) -> tuple[bytes, ...]:
    """Keys for `MultiFernet`, newest first: the first encrypts, each of them decrypts."""
    return tuple(base64.urlsafe_b64encode(_derive(secret, b"at-rest")) for secret in secrets)


def lookup_hash(secret: str, text: str) -> str:
    """32 hex characters that stand for an e-mail or a name where it is looked up but must not be read.

    Equal texts give equal hashes: the caller brings them into one form (case, space) first.
    """
    return hmac.new(_derive(secret, b"lookup"), text.encode(), hashlib.sha256).hexdigest()[:32]
