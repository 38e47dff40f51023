"""Is this delivery authentic: the token of a hook's address, and the signature of a relay.

Capsule signs nothing (reference/capsule.md §1.8), so its hooks carry 256 bits in their address. Relays sign by Standard
Webhooks (reference/unified-crm.md §7). Whatever is secret is compared in constant time and as bytes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Final

from mapping.keys import hook_tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from receiver.settings import Connection

TOLERANCE_S: Final = 300
"""How far the time of a signature may lie from ours, in seconds, either way."""

_STAMP: Final = re.compile(rb"[0-9]{1,12}")
_SIGNATURE_HEADERS: Final = (b"webhook-id", b"webhook-timestamp", b"webhook-signature")


class Tokens:
    """The tokens of every account, worked out once at start; neither Redis nor a file is asked afterwards."""

    def __init__(self, secret_keys: Sequence[str], connections: Iterable[Connection]) -> None:
        good = {
            connection.name: tuple(token.encode() for token in hook_tokens(secret_keys, connection.name, connection.generation))
            for connection in connections
            if connection.owner == connection.name
        }
        # Every name costs the same number of comparisons, an unknown one too: nobody learns from the time of an answer
        # which connections there are.
        decoy = secrets.token_urlsafe(32).encode()
        longest = max((len(tokens) for tokens in good.values()), default=1)
        self._decoys = (decoy,) * longest
        self._good = {name: tokens + (decoy,) * (longest - len(tokens)) for name, tokens in good.items()}

    def admit(self, connection: str, token: str) -> bool:
        """Whether `token` opens the hooks of `connection`."""
        given = token.encode("utf-8", "surrogateescape")
        known = self._good.get(connection)
        right = False
        for expected in known or self._decoys:
            # No early end, for the same reason.
            right |= hmac.compare_digest(expected, given)
        return right and known is not None


def signature_headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[bytes, bytes, bytes] | None:
    """Id, timestamp and signature list of a signed request; None when one is missing or comes twice."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in _SIGNATURE_HEADERS:
            if name in found:
                return None
            found[name] = value
    if len(found) < len(_SIGNATURE_HEADERS):
        return None
    identity, stamp, listed = (found[name] for name in _SIGNATURE_HEADERS)
    return identity, stamp, listed


def timely(stamp: bytes, *, now: float) -> bool:
    """Whether a signature's time, Unix seconds in plain digits, is within TOLERANCE_S of `now`."""
    return _STAMP.fullmatch(stamp) is not None and abs(int(stamp) - now) <= TOLERANCE_S


def signed(signing_secrets: Iterable[bytes], *, identity: bytes, stamp: bytes, listed: bytes, body: bytes) -> bool:
    """Whether one of the signatures in `listed` was made over the raw body with one of the secrets.

    Signatures are compared as text: a list item that is malformed, of another version or in another spelling of base64
    equals nothing and is thereby skipped, without being decoded. An id with a dot is refused, since the signed text
    `id.timestamp.body` could then be cut in two ways.
    """
    if not identity or b"." in identity:
        return False
    content = b".".join((identity, stamp, body))
    candidates = [
        signature
        for version, comma, signature in (item.partition(b",") for item in listed.split(b" "))
        if version == b"v1" and comma
    ]
    right = False
    for secret in signing_secrets:
        expected = base64.b64encode(hmac.digest(secret, content, hashlib.sha256))
        for candidate in candidates:
            right |= hmac.compare_digest(expected, candidate)
    return right
