"""Which addresses a rule may name: https anywhere, plain http only to this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit


def checked_url(value: str) -> str:
    """The address without a slash at its end.

    Raises:
        ValueError: it is no address that may be used; the message says why and holds nothing of the address.
    """
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no web address") from None
    if any(character.isspace() for character in value) or parts.scheme not in {"https", "http"} or not host or port == 0:
        raise ValueError("is no web address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("holds a user name or a password")
    if parts.query or parts.fragment:
        raise ValueError("holds a query or a fragment")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError("is plain http to another machine")
    return value.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
