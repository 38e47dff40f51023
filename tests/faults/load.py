"""The load of the fault suite: somebody who edits records in Capsule, and the deliveries that follow, written down one by one.

Every edit goes through Capsule's simulated API and gives its record a name with a number that only grows, so a write downstream
tells by itself how old the value is that it carries. The deliveries are posted from here rather than by the simulator's hooks,
because so each of them is known with the moment of its answer: now and then several times, late and in any order, and again
until it is accepted, as Capsule does.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import orjson

from tests.faults.wire import Wire

if TYPE_CHECKING:
    from tests.faults.installation import Installation

TOKEN = "load-person"
AGAIN_SECONDS = (0.1, 0.6)
POST_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Profile:
    """What the load is like. `edits` a second; `copies` of each delivery at most, over `spread` seconds; shares from 0 to 1."""

    edits: float = 15.0
    copies: int = 4
    spread: float = 1.0
    batched: float = 0.1
    created: float = 0.05
    deleted: float = 0.0
    renamed: float = 0.05
    deals: float = 0.1
    burst: int = 1
    kept: bool = True  # connections to the receiver are used again


@dataclass(slots=True)
class Delivery:
    """One body that was posted. Times are seconds since the epoch; `accepted` is 0 until it was answered 202."""

    kind: str
    ids: tuple[int, ...]
    sent: float
    accepted: float = 0.0
    tries: int = 1


@dataclass
class Sent:
    """Everything that was done and posted."""

    edits: int = 0
    created: int = 0
    deleted: set[int] = field(default_factory=set)
    edited: set[tuple[str, int]] = field(default_factory=set)
    deliveries: list[Delivery] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    longest_refusal_s: float = 0.0
    accept_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        """Deliveries that were answered 202."""
        return sum(1 for one in self.deliveries if one.accepted)


class Load:
    """Edits and delivers in a thread of its own, reproducibly for a seed as far as the machine allows."""

    def __init__(self, installation: Installation, *, seed: int, profile: Profile, first: int = 1) -> None:
        self.installation = installation
        self.profile = profile
        self.sent = Sent()
        self.number = first
        self._chance = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._hook = installation.hook_url().partition(f":{installation.web_port}")[2]
        state = installation.capsule.control("GET", "state")
        self._people = [
            (one["id"], one["emailAddresses"][0]["id"] if one["emailAddresses"] else None)
            for one in state["parties"]
            if one["type"] == "person"
        ]
        self._companies = [one["id"] for one in state["parties"] if one["type"] == "organisation"]
        self._deals = [one["id"] for one in state["opportunities"]]
        # Records that nothing else rests on, so that a deletion is theirs alone.
        with_deals = {one["party"]["id"] for one in state["opportunities"]}
        self._free = [number for number, _ in self._people if number not in with_deals]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(120)
        assert not self._thread.is_alive(), "the load did not end"

    def stop(self) -> None:
        """Ends the edits, and returns when every delivery was accepted or two minutes have passed."""
        self.__exit__()

    # ------------------------------------------------------------------ the loop
    def _run(self) -> None:
        asyncio.run(self._work())

    async def _work(self) -> None:
        bearer = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        self._capsule = Wire(self.installation.capsule.port, bearer)
        self._web = Wire(self.installation.front_port, {"Content-Type": "application/json"}, keep=self.profile.kept)
        self._turn = asyncio.Semaphore(POST_AT_ONCE)
        self._give_up = float("inf")
        tasks: set[asyncio.Task[None]] = set()
        recent: list[tuple[str, int]] = []
        next_at = time.monotonic()
        while not self._stop.is_set():
            for _ in range(self.profile.burst):
                try:
                    event, number = await self._edit()
                except (OSError, EOFError, ValueError, TimeoutError) as problem:
                    self.sent.failures.append(f"{type(problem).__name__}: {problem}")
                    await asyncio.sleep(0.2)
                    continue
                recent.append((event, number))
                for body in self._bodies(event, number, recent):
                    task = asyncio.create_task(self._deliver(*body))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                del recent[:-20]
            next_at += self.profile.burst / self.profile.edits
            await asyncio.sleep(max(0.0, next_at - time.monotonic()))
            next_at = max(next_at, time.monotonic() - 1)
        self._give_up = time.monotonic() + 110
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=False)
        await self._capsule.close()
        await self._web.close()

    def _bodies(self, event: str, number: int, recent: list[tuple[str, int]]) -> list[tuple[str, tuple[int, ...], float]]:
        """The bodies that tell of an edit, each with its delay: one, or several copies, or one together with others' edits."""
        chance, profile = self._chance, self.profile
        copies = 1 if chance.random() < 0.5 else chance.randint(1, profile.copies)
        bodies = []
        for _ in range(copies):
            ids = [number]
            if chance.random() < profile.batched:
                ids += [other for its_event, other in recent if its_event == event and other != number][-9:]
            bodies.append((event, tuple(ids), chance.uniform(0, profile.spread)))
        return bodies

    async def _deliver(self, event: str, ids: tuple[int, ...], delay: float) -> None:
        """Posts one body until it is accepted."""
        if delay:
            await asyncio.sleep(delay)
        body = orjson.dumps({"event": event, "payload": [{"id": number, "note": "canary-of-a-body"} for number in ids]})
        delivery = Delivery(event.partition("/")[0], ids, time.time())
        self.sent.deliveries.append(delivery)
        while time.monotonic() < self._give_up:
            delivery.sent = time.time()
            began = time.perf_counter()
            try:
                async with self._turn:
                    began = time.perf_counter()
                    status, _ = await self._web.request("POST", self._hook, body)
            except (OSError, EOFError, ValueError, TimeoutError) as problem:
                self.sent.answers[type(problem).__name__] += 1
            else:
                self.sent.answers[str(status)] += 1
                seconds = time.perf_counter() - began
                if status == 202:
                    delivery.accepted = time.time()
                    self.sent.accept_ms.append(seconds * 1000)
                    return
                self.sent.longest_refusal_s = max(self.sent.longest_refusal_s, seconds)
            delivery.tries += 1
            await asyncio.sleep(self._chance.uniform(*AGAIN_SECONDS))

    # ------------------------------------------------------------------ edits
    async def _edit(self) -> tuple[str, int]:
        """One edit; the event that it causes, and the record."""
        chance, profile = self._chance, self.profile
        self.number += 1
        mark = f"r{self.number:08d}"
        self.sent.edits += 1
        which = chance.random()
        if which < profile.created:
            return "party/created", await self._create(mark)
        if which < profile.created + profile.deleted and self._free:
            return "party/deleted", await self._delete()
        if which < profile.created + profile.deleted + profile.renamed and self._companies:
            number = chance.choice(self._companies)
            await self._call("PUT", f"/parties/{number}", {"party": {"name": f"Company {mark}"}})
            return "party/updated", self._note("party", number)
        if self._deals and chance.random() < profile.deals:
            number = chance.choice(self._deals)
            await self._call("PUT", f"/opportunities/{number}", {"opportunity": {"name": f"Deal {mark}"}})
            return "opportunity/updated", self._note("opportunity", number)
        number, address = chance.choice(self._people)
        changes: dict[str, Any] = {"lastName": mark}
        if address is not None and chance.random() < 0.3:
            changes["emailAddresses"] = [{"id": address, "address": f"{mark}.{number}@canary.example.com"}]
        await self._call("PUT", f"/parties/{number}", {"party": changes})
        return "party/updated", self._note("party", number)

    async def _create(self, mark: str) -> int:
        party = {
            "type": "person",
            "firstName": "New",
            "lastName": mark,
            "emailAddresses": [{"type": "Work", "address": f"{mark}@canary.example.com"}],
            "tags": [{"name": "member"}],
        }
        made = (await self._call("POST", "/parties", {"party": party}))["party"]
        self._people.append((made["id"], None))
        self._free.append(made["id"])
        self.sent.created += 1
        return self._note("party", made["id"])

    async def _delete(self) -> int:
        number = self._free.pop(self._chance.randrange(len(self._free)))
        self._people = [one for one in self._people if one[0] != number]
        await self._call("DELETE", f"/parties/{number}")
        self.sent.deleted.add(number)
        # An update that was on its way arrives after the deletion.
        with contextlib.suppress(RuntimeError):
            asyncio.get_running_loop().create_task(self._deliver("party/updated", (number,), self.profile.spread))
        return self._note("party", number)

    def _note(self, kind: str, number: int) -> int:
        self.sent.edited.add((kind, number))
        return number

    async def _call(self, method: str, path: str, body: object = None) -> Any:
        status, content = await self._capsule.request(method, f"/api/v2{path}", orjson.dumps(body) if body is not None else b"")
        if not 200 <= status < 300:
            raise ValueError(f"{method} {path}: {status}")
        return orjson.loads(content) if content else None
