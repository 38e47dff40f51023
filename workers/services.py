"""Builds everything that works, once per process, from the settings. Nothing here decides anything."""

from __future__ import annotations

import os
import random
import secrets
import socket
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, MultiFernet

from mapping.agenda import RecordKey
from mapping.keys import fernet_keys, lookup_hash, split_secrets
from workers import retry, tracing
from workers.accounts import SignInPause, owner_of
from workers.agenda import Agenda, Timing, connect
from workers.breaker import Breaker
from workers.capsule.caller import Caller
from workers.capsule.client import Capsule
from workers.capsule.hooks import RestHooks
from workers.capsule.tokens import OAuthTokens
from workers.counts import Counts
from workers.downstream.officernd import wire as officernd_wire
from workers.downstream.officernd.adapter import OfficeRnDDownstream
from workers.downstream.officernd.client import OfficeRnD
from workers.downstream.officernd.index import Index
from workers.downstream.officernd.rehearsal import MemoryIndex, RehearsedOfficeRnD
from workers.downstream.unified.adapter import RehearsedUnified, UnifiedDownstream, UntoldUnified
from workers.downstream.unified.client import SYSTEM as product_system  # noqa: N811 - a name of this module's own
from workers.downstream.unified.client import Product
from workers.downstream.unified.copies import Copies
from workers.downstream.unified.echoes import Echoes
from workers.downstream.unified.references import References
from workers.downstream.unified.versions import Versions
from workers.errors import Misconfigured
from workers.http import Http
from workers.ledger import Ledger, Vault
from workers.letters import Letters
from workers.limits import Limits
from workers.log import get
from workers.tokens import ClientCredentials, PersonalToken
from workers.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    import redis
    import structlog

    from mapping.rules import Connection
    from workers.downstream.port import Downstream
    from workers.limits import Usage
    from workers.settings import Credentials, Settings
    from workers.tokens import Tokens


@dataclass(slots=True)
class Services:
    """What flows and doors work with. `proc` names this process; `stopping` is set when it was asked to end.

    `rehearsal`: nothing may be written anywhere; `workers.flows.rehearse` makes such services from others.
    """

    settings: Settings
    redis_url: str
    redis: redis.Redis
    proc: str
    timing: Timing
    agenda: Agenda
    vault: Vault
    ledger: Ledger
    letters: Letters
    counts: Counts
    limits: Limits
    breaker: Breaker
    http: Http
    connections: Mapping[str, Connection]
    log: structlog.stdlib.BoundLogger
    rehearsal: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _sign_ins: dict[str, Tokens] = field(default_factory=dict)
    _capsules: dict[str, Capsule] = field(default_factory=dict)
    _downstreams: dict[str, Downstream] = field(default_factory=dict)

    def start(self) -> None:
        """Starts what needs a thread. Call it in the process that will work, after any fork."""
        self.http.start()

    def close(self) -> None:
        """Ends connections and threads."""
        self.stopping.set()
        self.http.close()
        self.redis.close()
        tracing.end()

    def exchange(self, connections: Mapping[str, Connection]) -> None:
        """Takes over other rules, all at once. Runs under way end with those that they began with."""
        with self._lock:
            for name in {*connections, *self.connections}:
                old, new = self.connections.get(name), connections.get(name)
                if new == old:
                    continue
                self._capsules.pop(name, None)
                self._downstreams.pop(name, None)
                if old is None or new is None or new.capsule != old.capsule:
                    self._sign_ins.pop(name, None)
            self.connections = dict(connections)

    def again(self, error: Exception, attempts: int) -> tuple[int, bool] | None:
        """(ms to wait, whether an attempt is spent), or None to give up (`workers/retry.py`)."""
        decision = retry.again(error, attempts, random=random.random())  # noqa: S311 - jitter needs no secrecy
        return None if isinstance(decision, retry.GiveUp) else (decision.wait_ms, decision.spend)

    def capsule(self, connection: str) -> Capsule:
        """The client of one connection's Capsule account.

        Raises:
            Misconfigured: no token, or no application, is set for it.
        """
        with self._lock:
            if connection not in self._capsules:
                self._capsules[connection] = self._make_capsule(connection)
            return self._capsules[connection]

    def downstream(self, connection: str) -> Downstream:
        """The system that follows this connection.

        Raises:
            Misconfigured: its credentials are not set.
        """
        capsule = self.capsule(connection)
        with self._lock:
            if connection not in self._downstreams:
                unified = self.connections[connection].downstream == "unified"
                make = self._make_unified if unified else self._make_officernd
                self._downstreams[connection] = make(connection, capsule)
            return self._downstreams[connection]

    def _credentials(self, connection: str) -> Credentials:
        return self.settings.credentials[connection]

    def oauth(self, owner: str) -> OAuthTokens | None:
        """The OAuth sign-in of an account, None when it signs in with a personal token.

        Raises:
            Misconfigured: its application's id and secret are not set.
        """
        with self._lock:
            found = self._sign_in(owner)
        return found if isinstance(found, OAuthTokens) else None

    def signed_in(self, connection: str) -> bool:
        """Whether Capsule can be asked for this connection, as far as we know: always with a personal token.

        Raises:
            QueueAway: Redis did not answer.
        """
        tokens = self.oauth(owner_of(self.connections, connection))
        return tokens is None or tokens.signed_in()

    def usage(self, connection: str) -> tuple[Usage, ...]:
        """The windows of the limits that this connection's calls are counted in.

        Raises:
            QueueAway: Redis did not answer.
        """
        rules = self.connections[connection]
        account = f"capsule:{owner_of(self.connections, connection)}"
        organization = None if rules.officernd is None else f"officernd:{rules.officernd.organization}:"
        return tuple(
            one
            for one in self.limits.usage()
            if one.name == account or (organization is not None and one.name.startswith(organization))
        )

    def rest_hooks(self, owner: str) -> RestHooks:
        """Manages the hooks of an account. Raises as `capsule`."""
        with self._lock:
            tokens = self._sign_in(owner)
        api_url, deadline_s = self.connections[owner].capsule.api_url, self.timing.call_ms / 1000
        return RestHooks(owner, self.http, self.limits, tokens, api_url=api_url, deadline_s=deadline_s)

    def caller(self, connection: str) -> Caller:
        """Calls a connection's Capsule account for a product, within the account's budget. Raises as `capsule`."""
        window = self.capsule(connection).window
        with self._lock:
            tokens = self._sign_in(owner_of(self.connections, connection))
        api_url, deadline_s = self.connections[connection].capsule.api_url, self.timing.call_ms / 1000
        return Caller(self.http, self.limits, tokens, api_url=api_url, window=window, deadline_s=deadline_s)

    def _sign_in(self, owner: str) -> Tokens:
        if owner not in self._sign_ins:
            self._sign_ins[owner] = self._make_sign_in(owner)
        return self._sign_ins[owner]

    def _make_sign_in(self, owner: str) -> Tokens:
        rules, credentials = self.connections[owner].capsule, self._credentials(owner)
        if rules.auth == "token":
            if credentials.capsule_token is None:
                variable = f"RELAY_{owner.upper()}_CAPSULE_TOKEN"
                raise Misconfigured(f"{owner}: no Capsule token.", advice=f"Set {variable} to a personal access token.")
            return PersonalToken(credentials.capsule_token.get_secret_value())
        client_id, client_secret = credentials.capsule_client_id, credentials.capsule_client_secret
        if client_id is None or client_secret is None:
            variables = f"RELAY_{owner.upper()}_CAPSULE_CLIENT_ID and _SECRET"
            raise Misconfigured(f"{owner}: no Capsule application.", advice=f"Set {variables}.")
        return OAuthTokens(
            owner,
            http=self.http,
            store=self.redis,
            vault=MultiFernet([Fernet(one) for one in fernet_keys(self.settings.secret_keys)]),
            pause=SignInPause(self.agenda, self.connections, owner),
            oauth_url=rules.oauth_url,
            client_id=client_id.get_secret_value(),
            client_secret=client_secret.get_secret_value(),
            deadline_s=self.timing.call_ms / 1000,
        )

    def _make_capsule(self, name: str) -> Capsule:
        owner = owner_of(self.connections, name)
        return Capsule(
            name,
            self.http,
            self.limits,
            self._sign_in(owner),
            api_url=self.connections[name].capsule.api_url,
            account=owner,
            deadline_s=self.timing.call_ms / 1000,
        )

    def _make_unified(self, name: str, capsule: Capsule) -> Downstream:
        rules, secrets_ = self.connections[name], self._credentials(name).webhook_secrets
        if rules.unified is None:
            return UntoldUnified(rules, References(capsule), Versions(self.redis))
        if secrets_ is None:
            raise Misconfigured(f"{name}: no secret to sign with.", advice=f"Set RELAY_{name.upper()}_WEBHOOK_SECRETS.")
        product = Product(
            name,
            self.http,
            self.limits,
            url=rules.unified.url,
            secrets=split_secrets(secrets_.get_secret_value()),
            public_only=not rules.unified.allow_private_addresses,
            deadline_s=self.timing.call_ms / 1000,
        )
        made = RehearsedUnified if self.rehearsal else UnifiedDownstream
        copies = Copies(self.redis, self.vault, name) if rules.unified.keep_copy else None
        echoes = Echoes(self.redis, product_system)
        return made(rules, References(capsule), Versions(self.redis), product, echoes=echoes, copies=copies)

    def _make_officernd(self, name: str, capsule: Capsule) -> Downstream:
        rules, credentials = self.connections[name], self._credentials(name)
        if rules.officernd is None:
            raise Misconfigured(f"{name}: no OfficeRnD organisation.", advice=f"Add [connections.{name}.officernd].")
        client_id, client_secret = credentials.officernd_client_id, credentials.officernd_client_secret
        if client_id is None or client_secret is None:
            variables = f"RELAY_{name.upper()}_OFFICERND_CLIENT_ID and _SECRET"
            raise Misconfigured(f"{name}: no OfficeRnD credentials.", advice=f"Set {variables}.")
        keys = self.settings.secret_keys
        tokens = ClientCredentials(
            name,
            http=self.http,
            store=self.redis,
            limits=self.limits,
            vault=MultiFernet([Fernet(one) for one in fernet_keys(keys)]),
            token_url=rules.officernd.token_url,
            client_id=client_id.get_secret_value(),
            client_secret=client_secret.get_secret_value(),
            scopes=officernd_wire.SCOPES,
            deadline_s=self.timing.call_ms / 1000,
        )
        client = OfficeRnD(
            name,
            self.http,
            self.limits,
            tokens,
            organization=rules.officernd.organization,
            api_url=rules.officernd.api_url,
            deadline_s=self.timing.call_ms / 1000,
        )

        def link(kind: str, number: int) -> str | None:
            entry = self.ledger.get(RecordKey(name, kind, number))
            return entry.id if entry is not None and entry.outcome == "in_step" else None

        def milestones(alive: Any) -> Any:  # noqa: ANN401 - the port's types, without importing them at run time
            return capsule.milestones(alive=alive)

        if self.rehearsal:
            return RehearsedOfficeRnD(rules, client, MemoryIndex(client), milestones=milestones, link=link)
        index = Index(name, client, self.redis, partial(lookup_hash, keys[0]))
        return OfficeRnDDownstream(rules, client, index, milestones=milestones, link=link)


def build(settings: Settings) -> Services:
    """Everything for one process. Connects to nothing until it is used.

    Raises:
        Misconfigured: REDIS_URL is not set (`capsule-relay up` sets it for what it starts).
    """
    if settings.redis_url is None:
        raise Misconfigured(
            "REDIS_URL is not set.", advice="Start everything with `capsule-relay up`, or set REDIS_URL to the server it uses."
        )
    client = connect(settings.redis_url)
    timing = Timing(call_ms=round(settings.call_deadline_s * 1000), stray_ms=round(settings.stray_s * 1000))
    agenda = Agenda(client, timing)
    vault = Vault(settings.secret_keys)
    counts = Counts(client)
    return Services(
        settings=settings,
        redis_url=settings.redis_url,
        redis=client,
        proc=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}",
        timing=timing,
        agenda=agenda,
        vault=vault,
        ledger=Ledger(client, vault),
        letters=Letters(agenda, vault),
        counts=counts,
        limits=Limits(client),
        breaker=Breaker(agenda),
        http=Http(user_agent=f"capsule-relay/{VERSION}", counted=counts.call),
        connections=settings.connections,
        log=get("relay"),
    )
