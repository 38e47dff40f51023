"""Who may use the console: the part of the settings that says so.

Without a password and without a proxy that names the user, the console listens on loopback only, shows the status, and changes
nothing.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from workers.environment import Reader

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

VARIABLES: Final = (
    "RELAY_CONSOLE_HOST",
    "RELAY_CONSOLE_PASSWORD",
    "RELAY_CONSOLE_USER_HEADER",
    "RELAY_CONSOLE_TRUSTED_PROXIES",
    "RELAY_METRICS_TOKEN",
)
SHORTEST_PASSWORD: Final = 12
SHORTEST_TOKEN: Final = 16
LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")
HASHED: Final = "scrypt:"
SALT_BYTES: Final = 16
KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Hashed:
    """A password as scrypt keeps it; `text` is the form `scrypt:SALT:KEY` in url-safe base64."""

    salt: bytes
    key: bytes

    @property
    def text(self) -> str:
        """As RELAY_CONSOLE_PASSWORD takes it in place of the password."""
        return HASHED + ":".join(base64.urlsafe_b64encode(part).decode() for part in (self.salt, self.key))


@dataclass(frozen=True, slots=True)
class ConsoleAccess:
    """`password` is the password, or its hash in the form that `parse_hash` reads. `user_header` is in lower case."""

    host: str = "127.0.0.1"
    password: str | None = field(default=None, repr=False)
    user_header: str | None = None
    trusted_proxies: tuple[Network, ...] = ()
    metrics_token: str | None = field(default=None, repr=False)

    @property
    def open(self) -> bool:
        """Whether nobody has to say who they are; then nothing can be changed."""
        return self.password is None and self.user_header is None


def read(reader: Reader) -> ConsoleAccess:
    """Reads the variables; what is wrong is noted with the reader."""
    password, token = reader.text("RELAY_CONSOLE_PASSWORD"), reader.text("RELAY_METRICS_TOKEN")
    if password is not None and password.startswith(HASHED) and parse_hash(password) is None:
        reader.fault("RELAY_CONSOLE_PASSWORD", "is not a hash of ours", "Make one with `capsule-relay console-password`.")
    elif password is not None and len(password) < SHORTEST_PASSWORD:
        reader.fault(
            "RELAY_CONSOLE_PASSWORD",
            f"is shorter than {SHORTEST_PASSWORD} characters",
            "Make one with `openssl rand -base64 18`.",
        )
    if token is not None and len(token) < SHORTEST_TOKEN:
        reader.fault(
            "RELAY_METRICS_TOKEN", f"is shorter than {SHORTEST_TOKEN} characters", "Make one with `openssl rand -hex 24`."
        )
    header = reader.text("RELAY_CONSOLE_USER_HEADER")
    if header is not None and not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]{0,63}", header):
        reader.fault("RELAY_CONSOLE_USER_HEADER", "is not the name of a header", "For example X-Forwarded-User.")
    proxies = _networks(reader)
    if header is not None and not proxies:
        reader.fault(
            "RELAY_CONSOLE_TRUSTED_PROXIES",
            "is not set, and RELAY_CONSOLE_USER_HEADER is: anybody could name themselves",
            "Give the address of the proxy, such as 127.0.0.1.",
        )
    found = ConsoleAccess(
        host=reader.text("RELAY_CONSOLE_HOST") or "127.0.0.1",
        password=password,
        user_header=header.lower() if header is not None else None,
        trusted_proxies=proxies,
        metrics_token=token,
    )
    if found.open and found.host not in LOOPBACK:
        reader.fault(
            "RELAY_CONSOLE_HOST",
            "is not loopback, and nobody has to sign in",
            "Set RELAY_CONSOLE_PASSWORD, or RELAY_CONSOLE_USER_HEADER behind a proxy; or leave RELAY_CONSOLE_HOST out.",
        )
    return found


def parse_hash(text: str) -> Hashed | None:
    """Reads what `Hashed.text` wrote; None when it is not of that form."""
    try:
        salt, key = (base64.b64decode(part, altchars=b"-_", validate=True) for part in text.removeprefix(HASHED).split(":"))
    except (binascii.Error, ValueError):
        return None
    return Hashed(salt, key) if len(salt) >= SALT_BYTES and len(key) == KEY_BYTES else None


def _networks(reader: Reader) -> tuple[Network, ...]:
    found: list[Network] = []
    for part in (reader.text("RELAY_CONSOLE_TRUSTED_PROXIES") or "").split(","):
        if not part.strip():
            continue
        try:
            found.append(ipaddress.ip_network(part.strip(), strict=False))
        except ValueError:
            reader.fault(
                "RELAY_CONSOLE_TRUSTED_PROXIES", "is not a list of addresses", "Addresses or networks: 127.0.0.1,10.0.0.0/24."
            )
    return tuple(found)
