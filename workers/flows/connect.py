"""Connecting a Capsule account by OAuth, and disconnecting it (reference/capsule.md §2.2).

A person asks for a link at the terminal; whoever opens it within a quarter of an hour, once, is sent to Capsule with a state
that is signed, bound to that browser and good once; Capsule sends the browser back with a code; the code becomes tokens.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import orjson
import redis

from mapping.agenda import key
from mapping.keys import is_signed, signature
from workers.accounts import sharing
from workers.capsule import oauth
from workers.errors import CredentialsRefused, Misconfigured, NoAnswer, Permanent, QueueAway, SystemDown, WorkerError
from workers.flows import subscribe
from workers.flows.reconcile import full_sync, was_synced

if TYPE_CHECKING:
    from workers.capsule.tokens import OAuthTokens
    from workers.services import Services
    from workers.settings import Settings

LINK_SECONDS: Final = 15 * 60
STATE_SECONDS: Final = 10 * 60
USED: Final = key("connect-used:")  # key per link that was opened, gone when the link is too old anyway
STATE: Final = key("connect-state:")  # key per sign-in under way: its verifier, encrypted
CONNECTED: Final = key("connected")  # hash account -> what happened since its last sign-in, JSON
CALLBACK: Final = "/oauth/callback"
_LINK: Final = "connect-link"
_STATE: Final = "connect-state"


class LinkRefused(Exception):
    """The link or the way back cannot be used. The text is for the person at the browser."""


@dataclass(frozen=True, slots=True)
class Departure:
    """Where the browser is sent, and the mark that it must bring back in a cookie."""

    url: str
    mark: str


def redirect_uri(settings: Settings) -> str:
    """The address that the application at Capsule must allow as its redirect."""
    return settings.console_base + CALLBACK


def link(settings: Settings, owner: str, *, now_s: float) -> str:
    """A one-time link that begins the sign-in of this account. Nothing is stored before it is opened."""
    text = f"{owner}.{round(now_s) + LINK_SECONDS}.{secrets.token_urlsafe(12)}"
    return f"{settings.console_base}/connect/{text}.{signature(settings.secret_keys[0], _LINK, text)}"


def begin(services: Services, ticket: str) -> Departure:
    """Opens a link: uses it up, and answers where to go.

    Raises:
        LinkRefused: it is not ours, too old, or was used before.
        Misconfigured: the account has no application, or signs in with a personal token.
        QueueAway: Redis did not answer.
    """
    text, _, signed = ticket.rpartition(".")
    if not is_signed(services.settings.secret_keys, _LINK, text, signed):
        raise LinkRefused("This link is not one of ours, or it is incomplete.")
    owner, until, nonce = text.split(".")
    if time.time() > int(until):
        raise LinkRefused("This link is older than a quarter of an hour.")
    if owner not in services.connections:
        raise LinkRefused(f"There is no connection {owner} any more.")
    tokens = _oauth(services, owner)
    rules = services.connections[owner].capsule
    state, verifier, mark = secrets.token_urlsafe(24), secrets.token_urlsafe(48), secrets.token_urlsafe(24)
    held = services.vault.seal({"owner": owner, "verifier": verifier, "mark": _hash(mark)})
    try:
        if not services.redis.set(USED + _hash(nonce), 1, nx=True, ex=LINK_SECONDS + 60):
            raise LinkRefused("This link was used before.")
        services.redis.set(STATE + _hash(state), held, ex=STATE_SECONDS)
    except redis.RedisError as error:
        raise _away(error) from error
    signed_state = f"{state}.{signature(services.settings.secret_keys[0], _STATE, state)}"
    url = oauth.authorise_url(
        rules.oauth_url,
        client_id=tokens.client_id,
        redirect_uri=redirect_uri(services.settings),
        state=signed_state,
        verifier=verifier,
    )
    return Departure(url, mark)


def finish(services: Services, *, state: str, code: str, mark: str) -> str:
    """Takes the browser back from Capsule: exchanges the code and keeps the tokens. Returns the account's owner.

    Raises:
        LinkRefused: the state is not ours, was used, is too old, or another browser brings it.
        ReconnectNeeded, CredentialsRefused, Temporary: Capsule does not give tokens for the code.
        QueueAway: Redis did not answer.
    """
    owner, verifier = _state(services, state=state, mark=mark)
    tokens = _oauth(services, owner)
    try:
        granted = tokens.trade(code=code, redirect_uri=redirect_uri(services.settings), verifier=verifier)
    except NoAnswer as error:
        raise SystemDown(str(error), system=oauth.SYSTEM) from error
    tokens.install(granted)
    _tell(services, owner, {"connected": True})
    return owner


def give_up(services: Services, *, state: str, mark: str) -> str:
    """The same when Capsule sends back a refusal in place of a code: the state is used up. Returns the account's owner."""
    owner, _ = _state(services, state=state, mark=mark)
    return owner


def follow_up(services: Services, owner: str) -> None:
    """What comes after a sign-in: the hooks, then the first sync of each connection that never had one, or the closing of a gap.

    Notes what went wrong for the page that the person looks at, and raises nothing of it: the clock does the same later.
    """
    said: dict[str, object] = {"connected": True}
    try:
        subscribe.ensure(services, owner)
        said["hooks"] = "ensured"
    except WorkerError as error:
        said["hooks"] = f"{error} {error.advice}"
        services.log.warning("connect", account=owner, step="hooks", error=type(error).__name__, text=str(error))
    _tell(services, owner, said)
    try:
        subscribe.close_gap(services, owner)
        for connection in sharing(services.connections, owner):
            if not was_synced(services, connection.name):
                full_sync(services, connection.name, wait=False)
    except Misconfigured as error:
        # Most likely the clock was faster.
        services.log.info("connect", account=owner, step="first sync", text=str(error))
    except (WorkerError, redis.RedisError) as error:
        said["sync"] = str(error)
        services.log.warning("connect", account=owner, step="first sync", error=type(error).__name__, text=str(error))
    _tell(services, owner, said)


def told(services: Services, owner: str) -> dict[str, object]:
    """What was noted since the last sign-in: `connected`, `hooks`, `sync`; empty without any."""
    try:
        found = services.redis.hget(CONNECTED, owner)
    except redis.RedisError as error:
        raise _away(error) from error
    document = orjson.loads(found) if found is not None else {}
    return document if isinstance(document, dict) else {}


@dataclass(frozen=True, slots=True)
class Disconnected:
    """What was undone: hooks taken away, tokens ended at Capsule. `trouble` says what could not be."""

    account: str
    hooks: int
    revoked: bool
    trouble: tuple[str, ...]


def disconnect(services: Services, owner: str) -> Disconnected:
    """Takes our hooks away, ends the tokens at Capsule and forgets them; the connections wait until they are connected again.

    Where nobody is signed in any more, hooks cannot be taken away; Capsule drops them when their address answers no more.

    Raises:
        Misconfigured: it signs in with a personal token.
        Temporary: Capsule did not answer; nothing was forgotten, so it can be done again.
        QueueAway: Redis did not answer.
    """
    tokens = _oauth(services, owner)
    trouble: list[str] = []
    hooks = 0
    try:
        hooks = len(subscribe.remove(services, owner))
    except (CredentialsRefused, Permanent) as error:
        trouble.append(f"the hooks are still there: {error}")
    grant = tokens.forget()
    revoked = False
    if grant is not None:
        try:
            tokens.revoke(grant)
            revoked = True
        except WorkerError as error:
            trouble.append(f"the tokens are forgotten here, and not ended at Capsule: {error}")
    with contextlib.suppress(redis.RedisError):
        services.redis.hdel(CONNECTED, owner)
    return Disconnected(owner, hooks, revoked, tuple(trouble))


def _oauth(services: Services, owner: str) -> OAuthTokens:
    tokens = services.oauth(owner)
    if tokens is None:
        advice = f'Set capsule.auth = "oauth" for {owner}, or keep the token: then hooks are subscribed by hand.'
        raise Misconfigured(f"{owner} signs in with a personal token, so there is nothing to connect.", advice=advice)
    return tokens


def _state(services: Services, *, state: str, mark: str) -> tuple[str, str]:
    """The owner and the verifier of a sign-in under way, which is over with this."""
    text, _, signed = state.rpartition(".")
    if not is_signed(services.settings.secret_keys, _STATE, text, signed):
        raise LinkRefused("Capsule sent you back without a state of ours.")
    try:
        held = services.redis.getdel(STATE + _hash(text))
    except redis.RedisError as error:
        raise _away(error) from error
    if held is None:
        raise LinkRefused("This sign-in was finished before, or it took longer than ten minutes.")
    document = services.vault.open(held if isinstance(held, bytes) else held.encode())
    if not secrets.compare_digest(str(document["mark"]), _hash(mark)):
        raise LinkRefused("This sign-in was begun in another browser.")
    return str(document["owner"]), str(document["verifier"])


def _tell(services: Services, owner: str, said: dict[str, object]) -> None:
    try:
        services.redis.hset(CONNECTED, owner, orjson.dumps(said))
    except redis.RedisError as error:
        raise _away(error) from error


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _away(error: redis.RedisError) -> QueueAway:
    return QueueAway(f"Redis did not answer: {type(error).__name__}")
