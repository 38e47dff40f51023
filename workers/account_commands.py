"""What `capsule-relay connect`, `disconnect` and `hooks` do, and how they say it: a JSON document and lines for a person."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from mapping.hooks import MOST_HOOKS
from workers.accounts import owner_of
from workers.errors import Misconfigured
from workers.flows import connect, subscribe
from workers.log import configure, hide
from workers.services import build

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mapping.hooks import Hook
    from workers.services import Services
    from workers.settings import Settings

ACTIONS: Final = ("url", "list", "ensure", "remove")


@dataclass(frozen=True, slots=True)
class Said:
    """What a command answers: as a document, as lines on standard output, and as lines beside it on standard error."""

    document: dict[str, Any]
    lines: tuple[str, ...]
    beside: tuple[str, ...] = field(default=())
    in_order: bool = True


def print_link(settings: Settings, name: str) -> Said:
    """A one-time link to connect this connection's account.

    Raises:
        Misconfigured: it signs in with a personal token.
    """
    owner = owner_of(settings.connections, name)
    if settings.connections[owner].capsule.auth != "oauth":
        raise Misconfigured(
            f"{owner} signs in with a personal token, so there is nothing to connect.",
            advice=f'Set auth = "oauth" in [connections.{owner}.capsule] to let the relay subscribe hooks; or keep the token.',
        )
    link, redirect = connect.link(settings, owner, now_s=time.time()), connect.redirect_uri(settings)
    beside = (
        f"Open this within {connect.LINK_SECONDS // 60} minutes, once, in the browser of a Capsule administrator.",
        f"The application at Capsule must allow this redirect address: {redirect}",
    )
    document = {"connection": name, "account": owner, "link": link, "redirect": redirect, "seconds": connect.LINK_SECONDS}
    return Said(document, (link,), beside)


def disconnect(settings: Settings, name: str, *, redis_url: str) -> Said:
    """Takes hooks and tokens away. Raises as `connect.disconnect`."""
    with _services(settings, redis_url) as services:
        owner = owner_of(services.connections, name)
        done = connect.disconnect(services, owner)
    words = [f"{owner} is disconnected: {_counted(done.hooks, 'hook')} removed, tokens forgotten"]
    words += ["tokens ended at Capsule"] if done.revoked else []
    document = {"account": owner, "hooks_removed": done.hooks, "revoked": done.revoked, "trouble": list(done.trouble)}
    return Said(document, (", ".join(words),), done.trouble, in_order=not done.trouble)


def hooks(settings: Settings, name: str, action: str, *, redis_url: str) -> Said:
    """Lists, ensures or removes the hooks of this connection's account. Raises as `flows.subscribe`."""
    with _services(settings, redis_url) as services:
        owner = owner_of(services.connections, name)
        if action == "ensure":
            return _ensured(services, owner)
        if action == "remove":
            gone = subscribe.remove(services, owner)
            again = f"The clock subscribes them again; `capsule-relay disconnect {owner}` ends that too."
            return Said(
                {"account": owner, "removed": [hook.id for hook in gone]}, (f"{_counted(len(gone), 'hook')} removed",), (again,)
            )
        return _listed(services, owner)


def _ensured(services: Services, owner: str) -> Said:
    done = subscribe.ensure(services, owner)
    words = f"{_counted(done.kept, 'hook')} kept, {len(done.subscribed)} subscribed, {len(done.removed)} removed"
    beside = ("Events may have been missed meanwhile: the clock looks at every record again.",) if done.missing else ()
    document = {"account": owner, "kept": done.kept, "subscribed": list(done.subscribed), "removed": list(done.removed)}
    return Said(document, (words,), beside)


def _listed(services: Services, owner: str) -> Said:
    found = subscribe.look(services, owner)
    wrong = {hook.id: "to be removed" for step in found.steps for hook in step.unsubscribe}
    shown = [(hook, "right") for hook in found.kept]
    shown += [(hook, wrong[hook.id]) for step in found.steps for hook in step.unsubscribe]
    shown += [(hook, "not ours") for hook in found.foreign]
    absent = tuple(step.event for step in found.steps if step.subscribe is not None)
    lines = [f"{hook.id}  {hook.event:<22}  {state}" for hook, state in shown]
    lines += [f"-  {event:<22}  missing" for event in absent]
    total = (
        f"{_counted(len(shown), 'hook')} of our application; Capsule allows {MOST_HOOKS} in an account, all integrations together"
    )
    document = {
        "account": owner,
        "hooks": [_hook(hook, state) for hook, state in shown],
        "missing": list(absent),
        "limit": MOST_HOOKS,
    }
    return Said(document, (*lines, total), in_order=not found.steps)


def _hook(hook: Hook, state: str) -> dict[str, object]:
    # The address is the key to the receiver, so it is shown by `hooks NAME url` alone.
    return {"id": hook.id, "event": hook.event, "url": hide(hook.url), "embed": hook.embed, "state": state}


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


@contextlib.contextmanager
def _services(settings: Settings, redis_url: str) -> Iterator[Services]:
    configure(settings.log_format, "WARNING")
    services = build(replace(settings, redis_url=redis_url))
    services.start()
    try:
        yield services
    finally:
        services.close()
