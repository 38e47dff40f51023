"""The hook guard: sees to it that a Capsule account has the hooks that its connections need, each exactly once.

Capsule drops a hook without a word when its receiver failed for about 36 minutes (reference/capsule.md §1.9). So the hooks are
compared every few minutes. What is missing is subscribed again, and what happened meanwhile is found by a reconcile: the
gap is noted before the new hook is there and crossed out when the reconcile has opened everything, so that no crash forgets it.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import redis

from mapping.agenda import key
from mapping.hooks import Comparison, compare, wanted
from mapping.keys import HOOKS, hook_path, hook_token
from mapping.urls import is_loopback
from workers.accounts import HOOKS_ALIVE, HOOKS_TROUBLE, sharing
from workers.capsule.hooks import NEEDS_OAUTH
from workers.errors import Misconfigured, QueueAway
from workers.flows.reconcile import full_sync, was_synced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mapping.hooks import Hook
    from workers.services import Services

GAP: Final = key("hooks-gap")  # hash account -> ms since which events may not have been told
KNOWN: Final = key("hooks-known:")  # set per account: ids of hooks that we subscribed
LOCK_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Ensured:
    """What was done: events subscribed, ids removed, hooks kept; `missing` were those that nothing of ours carried."""

    account: str
    subscribed: tuple[str, ...]
    removed: tuple[int, ...]
    kept: int
    missing: tuple[str, ...]


def address(services: Services, owner: str) -> str:
    """The address that the account's hooks post to.

    Raises:
        Misconfigured: RELAY_PUBLIC_URL is not set, and Capsule is not on this machine.
    """
    settings = services.settings
    api_host = urlsplit(services.connections[owner].capsule.api_url).hostname or ""
    if settings.public_url is None and not is_loopback(api_host):
        advice = "Set it to the address at which Capsule reaches the receiver, through your TLS proxy."
        raise Misconfigured("RELAY_PUBLIC_URL is not set, so Capsule could not reach the hooks' address.", advice=advice)
    token = hook_token(settings.secret_keys[0], owner, services.connections[owner].hook_generation)
    return settings.public_base + hook_path(owner, token)


def look(services: Services, owner: str) -> Comparison:
    """The account's hooks compared with those that are needed; changes nothing.

    Raises:
        Misconfigured: the account signs in with a personal token, or may not manage hooks.
        Temporary: Capsule did not answer, or must be connected first.
        QueueAway: Redis did not answer.
    """
    _need_oauth(services, owner)
    url = address(services, owner)
    want = wanted(sharing(services.connections, owner), url)
    return compare(services.rest_hooks(owner).list(), want, base=_base(services, owner), known=_known(services, owner))


def ensure(services: Services, owner: str) -> Ensured:
    """Makes the hooks what they should be: new before old, event by event; foreign ones are left alone.

    Where an event had no hook of ours, the gap is noted for `close_gap`. One at a time for each account.

    Raises:
        Refused: Capsule takes no more hooks; the advice says what to do. Otherwise as `look`.
    """
    try:
        with _only_one(services, owner):
            found = look(services, owner)
            done = _carry_out(services, owner, found)
            services.redis.hset(HOOKS_ALIVE, owner, services.agenda.hello())
            services.redis.hdel(HOOKS_TROUBLE, owner)
            return done
    except redis.RedisError as error:
        raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error


def remove(services: Services, owner: str) -> tuple[Hook, ...]:
    """Takes away every hook of ours. Raises as `look`."""
    _need_oauth(services, owner)
    hooks = services.rest_hooks(owner)
    try:
        with _only_one(services, owner):
            base, known = _base(services, owner), _known(services, owner)
            ours = tuple(hook for hook in hooks.list() if hook.url.startswith(base) or hook.id in known)
            for hook in ours:
                hooks.unsubscribe(hook.id)
            services.redis.delete(KNOWN + owner)
            services.redis.hdel(HOOKS_ALIVE, owner)
            services.redis.hdel(HOOKS_TROUBLE, owner)
    except redis.RedisError as error:
        raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
    return ours


def gap_since(services: Services, owner: str) -> int | None:
    """Since when, in ms of Redis' clock, events of this account may not have been told; None when there is no such gap."""
    try:
        found = services.redis.hget(GAP, owner)
    except redis.RedisError as error:
        raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
    return None if found is None else int(found)


def close_gap(services: Services, owner: str) -> int:
    """Looks at everything again that may have changed untold. Returns the number of records opened.

    A connection whose first sync has not begun is left to that, which finds the same. The gap stays noted until this ends.

    Raises:
        Misconfigured: another sync is under way; it may have begun before the hook was back, so this must be done after it.
        Temporary, Permanent: from reading the lists.
    """
    since = gap_since(services, owner)
    if since is None:
        return 0
    opened = 0
    for connection in sharing(services.connections, owner):
        if was_synced(services, connection.name):
            opened += full_sync(services, connection.name, wait=False).found
        elif _is_syncing(services, connection.name):
            raise Misconfigured(f"The first sync of {connection.name} is under way.", advice="Wait for it.")
    try:
        # A gap that was noted meanwhile is another one.
        if gap_since(services, owner) == since:
            services.redis.hdel(GAP, owner)
    except redis.RedisError as error:
        raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
    return opened


def _is_syncing(services: Services, connection: str) -> bool:
    """Whether the lock of `full_sync` is held: that sync may have read pages before the hook was back."""
    try:
        return bool(services.redis.exists(f"{key('sync')}:{connection}"))
    except redis.RedisError as error:
        raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error


def _carry_out(services: Services, owner: str, found: Comparison) -> Ensured:
    hooks, store = services.rest_hooks(owner), services.redis
    subscribed: list[str] = []
    removed: list[int] = []
    if found.missing:
        alive = store.hget(HOOKS_ALIVE, owner)
        # An older gap that is not closed yet stays: it begins earlier.
        store.hsetnx(GAP, owner, int(alive) if alive is not None else 0)
    for step in found.steps:
        if step.subscribe is not None:
            one = step.subscribe
            store.sadd(KNOWN + owner, hooks.subscribe(one.event, one.url, embed=one.embed))
            subscribed.append(step.event)
        for old in step.unsubscribe:
            hooks.unsubscribe(old.id)
            store.srem(KNOWN + owner, old.id)
            removed.append(old.id)
    return Ensured(owner, tuple(subscribed), tuple(removed), len(found.kept), found.missing)


def _need_oauth(services: Services, owner: str) -> None:
    if services.oauth(owner) is None:
        raise Misconfigured(f"{owner} signs in with a personal token, and hooks need OAuth.", advice=NEEDS_OAUTH)


def _base(services: Services, owner: str) -> str:
    return f"{services.settings.public_base}{HOOKS}{owner}/"


def _known(services: Services, owner: str) -> frozenset[int]:
    try:
        return frozenset(int(number) for number in services.redis.smembers(KNOWN + owner))
    except redis.RedisError as error:
        raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error


@contextlib.contextmanager
def _only_one(services: Services, owner: str) -> Iterator[None]:
    """Two at a time could both find a hook missing and subscribe it twice."""
    lock = services.redis.lock(f"{key('hooks')}:{owner}", timeout=LOCK_SECONDS, blocking_timeout=LOCK_SECONDS, thread_local=False)
    if not lock.acquire():
        raise Misconfigured(f"The hooks of {owner} are being changed.", advice="Try again in a minute.")
    try:
        yield
    finally:
        with contextlib.suppress(redis.RedisError):
            lock.release()
