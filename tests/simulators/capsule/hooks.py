"""REST hooks: subscriptions, and deliveries by real HTTP with their retries and the drop (reference/capsule.md §1).

A delivery is `POST {"event", "payload": [item, …]}` and nothing else: no account, no hook id, no signature. What counts as
success is 2xx; redirects are not followed; 410 drops the hook at once; anything else is tried again after 5 s, 1 min, 5 min,
15 min and 15 min, and then the hook is dropped without notice. Deliveries of one hook do not wait for each other (§1.10).
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import orjson

from tests.simulators.capsule.errors import Refusal, invalid, required
from tests.simulators.capsule.post import Poster
from tests.simulators.capsule.shapes import NOTHING, Embed, Shapes, moment

if TYPE_CHECKING:
    import contextlib
    from collections.abc import Coroutine

    from tests.simulators.capsule.account import Account, Record

Document = dict[str, Any]

EVENTS = frozenset(
    f"{kind}/{operation}"
    for kind, operations in {
        "party": "created updated deleted",
        "kase": "created updated deleted closed moved",
        "opportunity": "created updated deleted closed moved",
        "task": "created updated completed",
        "user": "created updated deleted",
    }.items()
    for operation in operations.split()
)
WAITS = (5.0, 60.0, 300.0, 900.0, 900.0)
LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]")
OK, MULTIPLE, GONE = 200, 300, 410


@dataclass(frozen=True, slots=True)
class Hook:
    """One subscription. `client` is the registered application that owns it."""

    id: int
    event: str
    target_url: str
    embed: str | None
    description: str | None
    client: str
    user: int
    at: int

    def embeds(self) -> Embed:
        """The names in `embed`."""
        return frozenset(part.strip() for part in self.embed.split(",")) if self.embed else NOTHING


class Hooks:
    """The account's hooks and everything that is on its way to them."""

    def __init__(self, account: Account, shapes: Shapes) -> None:
        self._account = account
        self._control = account.control
        self._shapes = shapes
        self._poster = Poster()
        self._tasks: set[asyncio.Task[None]] = set()
        self.clear()

    def clear(self) -> None:
        """Forget every hook and everything on its way."""
        for task in self._tasks:
            task.cancel()
        self._tasks.clear()
        self.hooks: dict[int, Hook] = {}
        self.attempts: list[Document] = []
        self.dropped: list[Document] = []
        self._batches: dict[int, list[Document]] = {}
        self._deliveries = 0
        self._random = random.Random(1)
        self._gate: asyncio.Semaphore | None = None

    async def close(self) -> None:
        """End what is on its way, and the connections."""
        self.clear()
        await self._poster.close()

    def pending(self) -> int:
        """How many deliveries are on their way or wait for another attempt; incomplete batches count as one each."""
        return len(self._tasks) + sum(1 for batch in self._batches.values() if batch)

    def subscribe(self, body: Document, *, client: str, user: int) -> Hook:
        """A new hook. Raises 422: an unknown event, no usable URL, or more than 20 in the account whoever owns them (§1.3)."""
        event, url = body.get("event"), body.get("targetUrl")
        if not event:
            raise required("event", resource="restHook")
        if event not in EVENTS:
            raise invalid("event: invalid value", resource="restHook", field="event")
        if not isinstance(url, str) or not url:
            raise required("targetUrl", resource="restHook")
        if not url.startswith("https://") and not url.startswith(LOOPBACK):
            raise invalid("targetUrl: must be https", resource="restHook", field="targetUrl")
        embed = body.get("embed")
        if embed is not None and not isinstance(embed, str):
            raise Refusal(400, {"message": "embed: invalid type"})
        if len(self.hooks) >= int(self._control.limits["hooks"]):
            raise invalid("maximum number of REST hooks reached", resource="restHook")
        twin = any((hook.event, hook.target_url) == (event, url) for hook in self.hooks.values())
        if twin and self._control.switches["duplicate_hooks"] == "refused":
            raise invalid("already subscribed", resource="restHook", field="targetUrl")
        number = self._account.next_id("restHook")
        hook = Hook(number, event, url, embed, body.get("description"), client, user, self._account.now())
        self.hooks[number] = hook
        return hook

    def unsubscribe(self, number: int) -> None:
        """Take a hook away: its events stop at once."""
        del self.hooks[number]
        self._batches.pop(number, None)

    def document(self, hook: Hook) -> Document:
        """A hook as the server prints it (§1.1; switch hook_shape)."""
        shown: Document = {"id": hook.id, "event": hook.event, "targetUrl": hook.target_url, "embed": hook.embed, "batched": True}
        if self._control.switches["hook_shape"] == "full":
            user = self._account.reference["user"][hook.user]
            shown |= {
                "user": {"id": user["id"], "username": user["username"], "name": user["name"]},
                "clientId": hook.client,
                "description": hook.description,
                "createdAt": moment(hook.at),
                "updatedAt": moment(hook.at),
            }
        return shown

    def notice(self, event: str, record: Record) -> None:
        """An event happened: send it to every hook that is subscribed to it."""
        for hook in [hook for hook in self.hooks.values() if hook.event == event]:
            size = int(self._control.switches["batched"])
            item = self._item(hook, record)
            if size == 1:
                self._send(hook, [item])
                continue
            batch = self._batches.setdefault(hook.id, [])
            batch.append(item)
            if len(batch) >= size:
                self._flush(hook)
            elif len(batch) == 1:
                asyncio.get_running_loop().call_later(float(self._control.limits["batch_seconds"]), self._flush, hook)

    def _item(self, hook: Hook, record: Record) -> Document:
        """A record as an item of `payload`: as Show prints it with the hook's embed, at the moment of the event (§1.5, §1.6)."""
        kind, _, operation = hook.event.partition("/")
        if operation == "deleted" and self._control.switches["deleted_payload"] == "minimal":
            when = {} if kind == "user" else {"deletedAt": moment(self._account.now())}
            return {"id": record["id"], **when}
        return self._shapes.record(kind, record, hook.embeds())

    def _flush(self, hook: Hook) -> None:
        """Send what a hook has collected."""
        batch = self._batches.pop(hook.id, None)
        if batch and hook.id in self.hooks:
            self._send(hook, batch)

    def _send(self, hook: Hook, items: list[Document]) -> None:
        """Put a delivery on its way; now and then one is sent twice (limit duplicate_every)."""
        self._deliveries += 1
        every = int(self._control.limits["duplicate_every"])
        body = orjson.dumps({"event": hook.event, "payload": items})
        ids = [item["id"] for item in items]
        for _ in range(2 if every and self._deliveries % every == 0 else 1):
            self._start(self._deliver(self._deliveries, hook, ids, body))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the requests."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, number: int, hook: Hook, ids: list[int], body: bytes) -> None:
        """Try one delivery until it is taken, or the hook is dropped."""
        jitter = float(self._control.limits["delivery_jitter"])
        if jitter:
            await asyncio.sleep(self._random.uniform(0.0, jitter))
        for attempt, wait in enumerate((*WAITS, None), start=1):
            if hook.id not in self.hooks:
                return
            status, problem = await self._post(number, attempt, hook, ids, body)
            if status is not None and OK <= status < MULTIPLE:
                return
            if status == GONE or wait is None:
                self._drop(hook, "410 Gone" if status == GONE else f"last attempt failed: {status or problem}")
                return
            await asyncio.sleep(wait * float(self._control.limits["time_scale"]))

    async def _post(self, number: int, attempt: int, hook: Hook, ids: list[int], body: bytes) -> tuple[int | None, str | None]:
        """One attempt, written down: the status, or what went wrong."""
        status: int | None = None
        problem: str | None = None
        at, began = self._control.now(), time.perf_counter()
        json_type = self._control.switches["delivery_content_type"] == "json"
        headers = {"Content-Type": "application/json"} if json_type else {}
        try:
            async with self._turn(), asyncio.timeout(float(self._control.limits["delivery_timeout"])):
                status = await self._poster.post(hook.target_url, body, headers)
        except (httpx.HTTPError, OSError, EOFError, ValueError) as error:
            problem = type(error).__name__
        self.attempts.append(
            {
                "n": len(self.attempts) + 1,
                "delivery": number,
                "attempt": attempt,
                "at": at,
                "hook": hook.id,
                "event": hook.event,
                "ids": ids,
                "status": status,
                "problem": problem,
                "seconds": round(time.perf_counter() - began, 6),
            },
        )
        return status, problem

    def _drop(self, hook: Hook, reason: str) -> None:
        """The hook is dead: unsubscribed without a word to anyone (§1.9)."""
        if self.hooks.pop(hook.id, None) is not None:
            self.dropped.append({"hook": hook.id, "event": hook.event, "at": self._control.now(), "reason": reason})

    def _turn(self) -> contextlib.AbstractAsyncContextManager[None]:
        """A turn among the deliveries under way (limit delivery_concurrency, as it was at the first delivery)."""
        if self._gate is None:
            self._gate = asyncio.Semaphore(int(self._control.limits["delivery_concurrency"]))
        return self._gate
