"""Settings of the workers and the commands, read from an environment and the rules file that it names.

A door hands in the environment (`os.environ`, or a dictionary in a test); nothing here reads it by itself. Everything
that is wrong is collected and raised at once, so that one run of `capsule-relay check` shows all there is to mend.

SettingsError
└── SettingsInvalid    a person must mend the environment or the rules file; carries every fault found
"""

from __future__ import annotations

import base64
import binascii
import difflib
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from mapping.agenda import CONNECTION_NAME
from mapping.errors import Fault, RulesInvalid
from mapping.keys import SHORTEST_SECRET, split_secrets
from mapping.rules import parse
from workers import console_settings
from workers.console_settings import ConsoleAccess
from workers.environment import Reader

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import SecretStr

    from mapping.rules import Connection

SHORTEST_SIGNING_SECRET: Final = 24  # bytes
HOW_TO_MAKE: Final = "Make one with `openssl rand -base64 32`."

# Every variable without a connection's name in it. Those of the receiver alone are here too, so that `strangers` knows them.
KNOWN: Final = frozenset(
    {
        "RELAY_CONFIG",
        "RELAY_SECRET_KEY",
        "RELAY_PUBLIC_URL",
        "RELAY_WEB_HOST",
        "RELAY_WEB_PORT",
        "RELAY_CONSOLE_PORT",
        "RELAY_CONSOLE_URL",
        "RELAY_DATA_DIR",
        "RELAY_CALL_DEADLINE",
        "RELAY_STRAY",
        "RELAY_HOOKS_EVERY",
        "RELAY_MAX_BODY",
        "RELAY_SPOOL",
        "RELAY_SPOOL_BYTES",
        "RELAY_LOG_LEVEL",
        "RELAY_LOG_FORMAT",
        *console_settings.VARIABLES,
    }
)
PER_CONNECTION: Final = (
    "CAPSULE_TOKEN",
    "CAPSULE_CLIENT_ID",
    "CAPSULE_CLIENT_SECRET",
    "OFFICERND_CLIENT_ID",
    "OFFICERND_CLIENT_SECRET",
    "SIGNING_SECRET",
    "WEBHOOK_SECRETS",
)


class SettingsError(Exception):
    """Root of what reading the settings raises."""


class SettingsInvalid(SettingsError):
    """The environment or the rules file cannot be used as it is.

    `faults` names all that is wrong, in the order of reading. The text holds names of variables and settings and what is
    wrong with them, never a secret's value.
    """

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(f"{fault.path}: {fault.message}" for fault in faults))
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Credentials:
    """What one connection signs in with. Absent means not set; which ones are needed depends on the connection's rules."""

    capsule_token: SecretStr | None = None
    capsule_client_id: SecretStr | None = None
    capsule_client_secret: SecretStr | None = None
    officernd_client_id: SecretStr | None = None
    officernd_client_secret: SecretStr | None = None
    signing_secret: SecretStr | None = None
    webhook_secrets: SecretStr | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that a process other than the receiver is told from outside.

    `redis_url` is None when the embedded server is to be used. `call_deadline_s` is D of the agenda: the total time that
    one HTTP call may take, in seconds; `stray_s` is S: how long after that the other side may still apply it, in seconds.
    `hooks_every_s` is how often the clock compares the hooks with those that are needed, in seconds.
    `public_url` has no slash at its end.
    """

    secret_keys: tuple[str, ...] = field(repr=False)
    redis_url: str | None = field(repr=False)
    public_url: str | None
    config_path: Path
    data_dir: Path
    connections: Mapping[str, Connection]
    credentials: Mapping[str, Credentials]
    web_host: str = "127.0.0.1"
    web_port: int = 8080
    console_port: int = 8081
    console_url: str | None = None
    call_deadline_s: float = 10.0
    stray_s: float = 20.0
    hooks_every_s: float = 180.0
    console: ConsoleAccess = field(default_factory=ConsoleAccess)
    log_level: str = "INFO"
    log_format: str = "auto"

    @property
    def console_base(self) -> str:
        """Where a browser reaches the console, without a slash at its end."""
        return self.console_url or f"http://127.0.0.1:{self.console_port}"

    @property
    def public_base(self) -> str:
        """Where Capsule reaches the receiver, without a slash at its end; this machine's loopback when nothing is set."""
        return self.public_url or f"http://127.0.0.1:{self.web_port}"

    @property
    def lease_ms(self) -> int:
        """Length of a lease in milliseconds: twice the deadline of a call (agenda.md §2)."""
        return round(2000 * self.call_deadline_s)

    @property
    def window_ms(self) -> int:
        """The stray window W in milliseconds: until when a write may still land (agenda.md §2)."""
        return round(1000 * (self.call_deadline_s + self.stray_s))


def load(environ: Mapping[str, str]) -> Settings:
    """Reads the settings from `environ` and from the rules file that RELAY_CONFIG names (DESIGN.md §6, Environment).

    Raises:
        SettingsInvalid: with every fault of the environment and of the rules file.
    """
    read = Reader(environ)
    secret_keys = _secret_keys(read)
    config_path = Path(read.text("RELAY_CONFIG") or "relay.toml")
    connections, needs = _rules(read, config_path)
    settings = Settings(
        secret_keys=secret_keys,
        redis_url=read.url("REDIS_URL", schemes=("redis", "rediss", "unix"), hint="For example redis://127.0.0.1:6379/0."),
        public_url=read.web_url("RELAY_PUBLIC_URL", "https://relay.example.org"),
        config_path=config_path,
        data_dir=Path(read.text("RELAY_DATA_DIR") or ".relay"),
        connections=connections,
        credentials={need.connection: _credentials(read, need) for need in needs},
        web_host=read.text("RELAY_WEB_HOST") or "127.0.0.1",
        web_port=read.port("RELAY_WEB_PORT", 8080),
        console_port=read.port("RELAY_CONSOLE_PORT", 8081),
        console_url=read.web_url("RELAY_CONSOLE_URL", "https://relay-console.example.org"),
        call_deadline_s=read.seconds("RELAY_CALL_DEADLINE", 10.0, least=0.1, most=60.0),
        stray_s=read.seconds("RELAY_STRAY", 20.0, least=0.0, most=600.0),
        hooks_every_s=read.seconds("RELAY_HOOKS_EVERY", 180.0, least=0.1, most=86_400.0),
        console=console_settings.read(read),
        log_level=read.one_of("RELAY_LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR")),
        log_format=read.one_of("RELAY_LOG_FORMAT", "auto", ("auto", "text", "json")),
    )
    if settings.web_port == settings.console_port:
        read.fault("RELAY_CONSOLE_PORT", "is the same port as RELAY_WEB_PORT", "Give one of them another port.")
    if read.faults:
        raise SettingsInvalid(tuple(read.faults))
    return settings


def strangers(environ: Mapping[str, str], connections: Mapping[str, Connection]) -> tuple[Fault, ...]:
    """Variables that begin with RELAY_ and that nobody reads, each with the name that it probably should have.

    A warning and no error: other programs may use the same beginning (Kubernetes writes RELAY_SERVICE_HOST by itself).
    """
    known = KNOWN | {variable(name, what) for name in connections for what in PER_CONNECTION}
    found = []
    for name in sorted(environ):
        if not name.startswith("RELAY_") or name in known:
            continue
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        hint = f"Did you mean {close[0]}?" if close else "Remove it if it was meant for Capsule Relay."
        found.append(Fault(path=name, message="is not read by anything", hint=hint))
    return tuple(found)


def variable(connection: str, what: str) -> str:
    """The environment variable that holds `what` of a connection: `RELAY_ACME_CAPSULE_TOKEN`."""
    return f"RELAY_{connection.upper()}_{what}"


def _secret_keys(read: Reader) -> tuple[str, ...]:
    keys = split_secrets(read.text("RELAY_SECRET_KEY") or "")
    if not keys:
        read.fault("RELAY_SECRET_KEY", "is not set", HOW_TO_MAKE)
    for place, key in enumerate(keys, start=1):
        if len(key) < SHORTEST_SECRET:
            read.fault(
                "RELAY_SECRET_KEY", f"key {place} of {len(keys)} is shorter than {SHORTEST_SECRET} characters", HOW_TO_MAKE
            )
    return keys


@dataclass(frozen=True, slots=True)
class _Needs:
    """What decides which credentials a connection needs."""

    connection: str
    downstream: object
    auth: object
    account: object
    product: bool


def _rules(read: Reader, path: Path) -> tuple[Mapping[str, Connection], tuple[_Needs, ...]]:
    """The connections of the rules file, and what each needs from the environment, known even where its rules have faults."""
    document = _document(read, path)
    if document is None:
        return {}, ()
    try:
        connections = parse(document)
    except RulesInvalid as error:
        read.faults.extend(error.faults)
        return {}, tuple(_needs_of_tables(document))
    return connections, tuple(
        _Needs(name, rules.downstream, rules.capsule.auth, rules.capsule.account, product=rules.unified is not None)
        for name, rules in connections.items()
    )


def _document(read: Reader, path: Path) -> Mapping[str, object] | None:
    hint = "Set RELAY_CONFIG to the rules file, or write one (README, Configuration)."
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        read.fault("RELAY_CONFIG", f"names the file {path}, which does not exist", hint)
    except OSError as error:
        read.fault("RELAY_CONFIG", f"names the file {path}, which cannot be read: {error.strerror}", hint)
    except UnicodeDecodeError:
        read.fault(str(path), "is not UTF-8 text", "Save the file as UTF-8.")
    except tomllib.TOMLDecodeError as error:
        read.fault(str(path), f"is not TOML: {error}", "Mend that line; see https://toml.io for the form.")
    return None


def _needs_of_tables(document: Mapping[str, object]) -> Iterator[_Needs]:
    tables = document.get("connections")
    for name, table in tables.items() if isinstance(tables, dict) else ():
        if CONNECTION_NAME.fullmatch(name) and isinstance(table, dict):
            capsule = table.get("capsule")
            capsule = capsule if isinstance(capsule, dict) else {}
            yield _Needs(
                name, table.get("downstream"), capsule.get("auth", "oauth"), capsule.get("account"), product="unified" in table
            )


def _credentials(read: Reader, need: _Needs) -> Credentials:
    name = need.connection
    found = Credentials(
        capsule_token=read.secret(variable(name, "CAPSULE_TOKEN")),
        capsule_client_id=read.secret(variable(name, "CAPSULE_CLIENT_ID")),
        capsule_client_secret=read.secret(variable(name, "CAPSULE_CLIENT_SECRET")),
        officernd_client_id=read.secret(variable(name, "OFFICERND_CLIENT_ID")),
        officernd_client_secret=read.secret(variable(name, "OFFICERND_CLIENT_SECRET")),
        signing_secret=read.secret(variable(name, "SIGNING_SECRET")),
        webhook_secrets=read.secret(variable(name, "WEBHOOK_SECRETS")),
    )
    needed: list[tuple[str, SecretStr | None, str]] = []
    # A connection that shares another's Capsule account shares its tokens too (DESIGN.md §6, Hooks).
    if need.account is None and need.auth == "token":
        where = "Capsule shows it under My Preferences, API Authentication Tokens."
        needed.append(("CAPSULE_TOKEN", found.capsule_token, where))
    elif need.account is None and need.auth == "oauth":
        where = 'Register an application in Capsule\'s developer portal, or set auth = "token" for this connection.'
        needed.append(("CAPSULE_CLIENT_ID", found.capsule_client_id, where))
        needed.append(("CAPSULE_CLIENT_SECRET", found.capsule_client_secret, where))
    if need.downstream == "officernd":
        where = "OfficeRnD shows it under Settings, Data & Extensibility, Developer Tools, Applications."
        needed.append(("OFFICERND_CLIENT_ID", found.officernd_client_id, where))
        needed.append(("OFFICERND_CLIENT_SECRET", found.officernd_client_secret, where))
    if need.downstream == "unified" and need.product:
        where = "Make one with `printf whsec_; openssl rand -base64 32`, and give it to the product too."
        needed.append(("WEBHOOK_SECRETS", found.webhook_secrets, where))
    for what, value, hint in needed:
        if value is None:
            read.fault(variable(name, what), f"is not set, and connection {name} needs it", hint)
    for what, value in (("SIGNING_SECRET", found.signing_secret), ("WEBHOOK_SECRETS", found.webhook_secrets)):
        listed = split_secrets(value.get_secret_value()) if value is not None else ()
        if not all(map(_is_signing_secret, listed)):
            hint = "It is `whsec_` and base64 of at least 24 bytes; several with commas between, the newest first."
            read.fault(variable(name, what), "is not a Standard Webhooks secret", hint)
    return found


def _is_signing_secret(text: str) -> bool:
    """Whether it has the form of reference/unified-crm.md §7, with `whsec_` before it or not."""
    try:
        return len(base64.b64decode(text.removeprefix("whsec_"), validate=True)) >= SHORTEST_SIGNING_SECRET
    except (binascii.Error, ValueError):
        return False
