"""The console's pages as HTML. What comes from elsewhere is escaped; there is no script and nothing from other places."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from mapping.agenda import key, tally_key
from workers.accounts import HOOKS_ALIVE, HOOKS_TROUBLE, owner_of
from workers.flows import connect
from workers.flows.reconcile import was_synced
from workers.overview import OUTCOMES, reason, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.services import Services

REFRESH_SECONDS: Final = 2
STYLE: Final = """
body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;background:#fff}
h1{font-size:1.4rem}dt{font-weight:600;margin-top:.6rem}dd{margin:0}code{background:#eee;padding:.1rem .3rem}
.bad{border-left:4px solid #b00020;padding-left:.8rem}.good{border-left:4px solid #1b7f3b;padding-left:.8rem}
@media(prefers-color-scheme:dark){body{color:#eee;background:#161616}code{background:#333}a{color:#8ab4f8}}
"""


@dataclass(frozen=True, slots=True)
class State:
    """What a page shows of one connection. `signed_in` is None with a personal token; `hooks` is how they are, in words."""

    name: str
    owner: str
    signed_in: bool | None
    paused: str
    hooks: str
    trouble: str
    synced: bool
    waiting: int
    tally: dict[str, int]

    @property
    def under_way(self) -> bool:
        """Whether the page will look different soon."""
        return bool(self.waiting) or (self.signed_in is not False and not self.synced and not self.paused)


def headers(*, secure: bool) -> dict[str, str]:
    """What every answer of the console carries."""
    style = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    found = {
        "content-security-policy": f"default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'",
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=()",
    }
    return found | ({"strict-transport-security": "max-age=31536000"} if secure else {})


def states(services: Services) -> tuple[State, ...]:
    """Every connection."""
    return tuple(state(services, name) for name in services.connections)


def state(services: Services, name: str) -> State:
    """One connection, from Redis alone.

    Raises:
        QueueAway, redis.RedisError: Redis did not answer.
    """
    store, owner = services.redis, owner_of(services.connections, name)
    tokens = services.oauth(owner)
    paused = store.hget(key("paused"), name)
    seen, trouble = store.hget(HOOKS_ALIVE, owner), store.hget(HOOKS_TROUBLE, owner)
    told = connect.told(services, owner)
    tally = {text(outcome): int(number) for outcome, number in store.hgetall(tally_key(name)).items()}
    open_records = sum(1 for packed, _ in store.zscan_iter(key("open"), match=f"{name}|*", count=1000))
    hooks = "not managed: hooks need OAuth" if tokens is None else "all there" if seen else "not subscribed yet"
    problems = [text(trouble)] if trouble else [str(told["hooks"])] if told.get("hooks", "ensured") != "ensured" else []
    problems += [str(told["sync"])] if "sync" in told else []
    return State(
        name=name,
        owner=owner,
        signed_in=None if tokens is None else tokens.signed_in(),
        paused=reason(text(paused)) if paused else "",
        hooks=hooks,
        trouble=" ".join(problems),
        synced=was_synced(services, name),
        waiting=open_records,
        tally=dict.fromkeys(OUTCOMES, 0) | tally,
    )


def home(found: Sequence[State]) -> str:
    """Every connection with a word on how it is."""
    items = "".join(
        f'<dt><a href="connections/{escape(one.name)}">{escape(one.name)}</a></dt><dd>{escape(_sentence(one))}</dd>'
        for one in found
    )
    return _document("Capsule Relay", f"<h1>Connections</h1><dl>{items}</dl>")


def connection(one: State) -> str:
    """One connection and how far it is."""
    numbers = ", ".join(f"{number} {outcome.replace('_', ' ')}" for outcome, number in one.tally.items())
    first = "every record was looked at" if one.synced else "under way" if one.under_way else "not begun"
    body = [
        f"<h1>{escape(one.name)}</h1>",
        f'<p class="{"bad" if one.signed_in is False or one.paused else "good"}">{escape(_sentence(one))}</p>',
        f"<dl><dt>Hooks</dt><dd>{escape(one.hooks)}</dd>",
        f"<dt>First sync</dt><dd>{first}</dd>",
        f"<dt>To do</dt><dd>{one.waiting} waiting or under way</dd>",
        f"<dt>Records</dt><dd>{escape(numbers)}</dd></dl>",
        f'<p class="bad">{escape(one.trouble)}</p>' if one.trouble else "",
        '<p><a href="../">All connections</a></p>',
    ]
    return _document(one.name, "".join(body), refresh=one.under_way)


def refused(owner: str, *, denied: bool) -> str:
    """Capsule sent back a refusal."""
    said = "It was declined at Capsule." if denied else "Capsule did not allow it."
    return message(f"{owner} is not connected", said, f"Run `capsule-relay connect {owner}` to try again.")


def message(title: str, said: str, advice: str = "") -> str:
    """A page with one message and what to do."""
    more = f"<p>{escape(advice)}</p>" if advice else ""
    return _document(title, f'<h1>{escape(title)}</h1><p class="bad">{escape(said)}</p>{more}')


def _sentence(one: State) -> str:
    if one.signed_in is False:
        return f"Not connected to Capsule. Run: capsule-relay connect {one.owner}"
    if one.paused:
        return f"Paused: {one.paused}"
    how = "Signed in with a personal token" if one.signed_in is None else "Connected to Capsule"
    return f"{how}; {'work is under way' if one.under_way else 'nothing to do'}."


def _document(title: str, body: str, *, refresh: bool = False) -> str:
    again = f'<meta http-equiv="refresh" content="{REFRESH_SECONDS}">' if refresh else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">{again}'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>{body}</body></html>"
    )
