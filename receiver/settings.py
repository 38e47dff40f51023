"""The few settings that the receiver needs, read without the workers' models so that it stays light.

The whole of `relay.toml` is judged by `capsule-relay check`; here only what decides an answer is read: names of
connections, whose account they share, generation of their address, downstream, and the secrets of signed relays.
"""

from __future__ import annotations

import base64
import binascii
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from mapping.agenda import CONNECTION_NAME
from mapping.errors import Fault
from mapping.events import DOWNSTREAMS
from mapping.keys import SHORTEST_SECRET, hook_owner, split_secrets

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_CONFIG: Final = "./relay.toml"
DEFAULT_MAX_BODY: Final = 1024 * 1024
SMALLEST_MAX_BODY: Final = 1024
DEFAULT_DATA_DIR: Final = "./.relay"
DEFAULT_SPOOL_BYTES: Final = 64 * 1024 * 1024
SPOOL_BYTES: Final = range(64 * 1024, 1024 * 1024 * 1024 + 1)
"""What RELAY_SPOOL_BYTES may be: room for one delivery at least, and no more than a disk should give to it."""
SHORTEST_SIGNING_SECRET: Final = 24
"""Bytes; the least that Standard Webhooks allows (reference/unified-crm.md §7)."""

_MAKE_KEY: Final = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"


class SettingsInvalid(Exception):
    """The receiver cannot start; `faults` names everything that is wrong, each with what to do about it."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("\n".join(f"  {fault}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Connection:
    """What the receiver knows of one connection. `owner` is the connection whose hooks serve it, often itself."""

    name: str
    owner: str
    generation: int
    downstream: str
    signing_secrets: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the receiver is told. `max_body` and `spool_bytes` are in bytes; without a `spool` there is none."""

    secret_keys: tuple[str, ...] = field(repr=False)
    redis_url: str = field(repr=False)
    connections: tuple[Connection, ...]
    max_body: int = DEFAULT_MAX_BODY
    spool: Path | None = None
    spool_bytes: int = DEFAULT_SPOOL_BYTES


def load(environ: Mapping[str, str]) -> Settings:
    """Reads the environment and the file that it names.

    Raises:
        SettingsInvalid: something is missing or wrong; all faults at once.
    """
    faults: list[Fault] = []
    secret_keys = _secret_keys(environ, faults)
    redis_url = _redis_url(environ, faults)
    max_body = _bytes(environ, faults, "RELAY_MAX_BODY", DEFAULT_MAX_BODY, least=SMALLEST_MAX_BODY)
    spool_bytes = _bytes(
        environ, faults, "RELAY_SPOOL_BYTES", DEFAULT_SPOOL_BYTES, least=SPOOL_BYTES.start, most=SPOOL_BYTES.stop - 1
    )
    spool = _spool(environ, faults)
    connections = _connections(environ, faults)
    if faults:
        raise SettingsInvalid(tuple(faults))
    return Settings(
        secret_keys=secret_keys,
        redis_url=redis_url,
        connections=connections,
        max_body=max_body,
        spool=spool,
        spool_bytes=spool_bytes,
    )


def _secret_keys(environ: Mapping[str, str], faults: list[Fault]) -> tuple[str, ...]:
    keys = split_secrets(environ.get("RELAY_SECRET_KEY", ""))
    if not keys:
        faults.append(Fault("RELAY_SECRET_KEY", "is not set", _MAKE_KEY))
    for position, key in enumerate(keys, start=1):
        if len(key) < SHORTEST_SECRET:
            which = "" if len(keys) == 1 else f"key {position} of {len(keys)} "
            faults.append(
                Fault("RELAY_SECRET_KEY", f"{which}has {len(key)} characters and needs at least {SHORTEST_SECRET}", _MAKE_KEY)
            )
    return keys


def _redis_url(environ: Mapping[str, str], faults: list[Fault]) -> str:
    url = environ.get("REDIS_URL", "").strip()
    if not url:
        hint = "`capsule-relay up` starts a server of its own and sets it; alone, the receiver needs redis://host:6379/0"
        faults.append(Fault("REDIS_URL", "is not set", hint))
        return url
    try:
        parts = urlsplit(url)
        _ = parts.port  # Reading it is what finds a port that is no number.
        usable = (parts.scheme in {"redis", "rediss"} and bool(parts.hostname)) or (parts.scheme == "unix" and bool(parts.path))
    except ValueError:
        usable = False
    if not usable:
        # The value may hold a password, so it is not repeated here.
        faults.append(Fault("REDIS_URL", "is not an address of Redis", "such as redis://host:6379/0, rediss://… or unix:///path"))
    return url


def _bytes(
    environ: Mapping[str, str], faults: list[Fault], name: str, default: int, *, least: int, most: int | None = None
) -> int:
    text = environ.get(name, "").strip()
    if not text:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1  # noqa: PLR2004 - more than any size has
    if number < least or (most is not None and number > most):
        bounds = f"at least {least}" if most is None else f"{least} to {most}"
        faults.append(Fault(name, f"must be a whole number of {bounds}", f"bytes, such as {default}"))
        return default
    return number


def _spool(environ: Mapping[str, str], faults: list[Fault]) -> Path | None:
    wanted = environ.get("RELAY_SPOOL", "").strip().lower() or "on"
    if wanted not in {"on", "off"}:
        faults.append(Fault("RELAY_SPOOL", "is none of the values that it can have", "on (or leave it out), or off"))
    return Path(environ.get("RELAY_DATA_DIR", "").strip() or DEFAULT_DATA_DIR) / "spool" if wanted == "on" else None


def _connections(environ: Mapping[str, str], faults: list[Fault]) -> tuple[Connection, ...]:
    document = _document(environ, faults)
    if document is None:
        return ()
    tables = document.get("connections")
    if not isinstance(tables, dict) or not tables:
        faults.append(Fault("connections", "the file names no connection", "add a table such as [connections.acme]"))
        return ()
    found = [_connection(str(name), table, environ=environ, faults=faults) for name, table in tables.items()]
    owners = {connection.name: connection.owner for connection in found}
    for name, owner in owners.items():
        path = f"connections.{name}.capsule.account"
        if owner not in owners:
            faults.append(
                Fault(path, f"there is no connection {owner!r}", "name the connection whose Capsule account this one shares")
            )
        elif owners[owner] != owner:
            faults.append(Fault(path, f"{owner!r} itself shares another's account", f"name {owners[owner]!r} here"))
    return tuple(found)


def _document(environ: Mapping[str, str], faults: list[Fault]) -> dict[str, object] | None:
    where = Path(environ.get("RELAY_CONFIG", "").strip() or DEFAULT_CONFIG)
    try:
        return tomllib.loads(where.read_text(encoding="utf-8"))
    except FileNotFoundError:
        faults.append(Fault(str(where), "there is no such file", "write it, or name another with RELAY_CONFIG"))
    except (OSError, UnicodeDecodeError) as error:
        faults.append(
            Fault(str(where), f"cannot be read: {type(error).__name__}", "it must be a text file in UTF-8 that we may read")
        )
    except tomllib.TOMLDecodeError as error:
        faults.append(Fault(str(where), f"is not TOML: {error}", "mend that line; `capsule-relay check` reads it the same way"))
    return None


def _connection(name: str, table: object, *, environ: Mapping[str, str], faults: list[Fault]) -> Connection:
    path = f"connections.{name}"
    if not CONNECTION_NAME.fullmatch(name):
        hint = "a small letter, then at most 30 of a-z, 0-9 and _"
        faults.append(Fault(path, "this is no name for a connection", hint))
    if not isinstance(table, dict):
        faults.append(Fault(path, "is not a table", f"write [connections.{name}]"))
        table = {}
    generation = table.get("hook_generation", 1)
    if type(generation) is not int or generation < 1:
        faults.append(
            Fault(f"{path}.hook_generation", "must be a whole number from 1", "raise it by one to replace the hook's address")
        )
        generation = 1
    downstream = table.get("downstream", "officernd")
    if not isinstance(downstream, str) or downstream not in DOWNSTREAMS:
        faults.append(Fault(f"{path}.downstream", "is not known", "one of " + ", ".join(DOWNSTREAMS)))
        downstream = DOWNSTREAMS[0]
    capsule = table.get("capsule", {})
    account = capsule.get("account") if isinstance(capsule, dict) else None
    if account is not None and not isinstance(account, str):
        faults.append(Fault(f"{path}.capsule.account", "must be the name of a connection"))
        account = None
    return Connection(
        name=name,
        owner=hook_owner(name, account),
        generation=generation,
        downstream=downstream,
        signing_secrets=_signing_secrets(name, environ=environ, faults=faults),
    )


def _signing_secrets(name: str, *, environ: Mapping[str, str], faults: list[Fault]) -> tuple[bytes, ...]:
    variable = f"RELAY_{name.upper()}_SIGNING_SECRET"
    secrets: list[bytes] = []
    for listed in split_secrets(environ.get(variable, "")):
        text = listed.removeprefix("whsec_").rstrip("=")
        try:
            secret = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            faults.append(Fault(variable, "is not base64", "copy the secret that the sender shows; it begins with whsec_"))
            continue
        if len(secret) < SHORTEST_SIGNING_SECRET:
            message = f"has {len(secret)} bytes and needs at least {SHORTEST_SIGNING_SECRET}"
            faults.append(Fault(variable, message, "have the sender make a longer one"))
            continue
        secrets.append(secret)
    return tuple(secrets)
