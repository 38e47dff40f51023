"""Dead letters tried again (C2 27), beside a load: twice at once, while the downstream still refuses, cancelled, and killed."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from tests.acceptance.harness import NAME, ROOT, until
from tests.faults.mischief import REFUSED, post
from tests.faults.scene import Case, last

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.faults.scene import Scene
    from tests.faults.verdict import Verdict

PEOPLE = 20
ACCEPTED = 202
BUSY = {"statusCode": 503, "message": "busy"}


class Letters:
    """People of our own whom the load does not know, each of whom OfficeRnD refuses by an order of its own."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.installation = scene.installation
        made = [
            self.installation.party(type="person", firstName="Letter", lastName="r00000000", tags=[{"name": "member"}])
            for _ in range(PEOPLE)
        ]
        self.numbers = [int(one["id"]) for one in made]
        self.tell()
        until(lambda: len(self.members()) == PEOPLE, "they came over", seconds=60, every=0.2)
        self.ids = self.members()

    def members(self) -> dict[int, str]:
        """Their members in OfficeRnD, by Capsule's ids."""
        found = {
            str((one.get("properties") or {}).get("capsule_link_id")): one["_id"] for one in self.installation.records("members")
        }
        return {number: found[str(number)] for number in self.numbers if str(number) in found}

    def tell(self) -> None:
        """One delivery for all of them, again until it is accepted."""
        for start in range(0, PEOPLE, 10):
            payload = [{"id": number} for number in self.numbers[start : start + 10]]
            body = orjson.dumps({"event": "party/updated", "payload": payload})
            accepted = partial(self._accepted, body)
            until(accepted, "the delivery is accepted", seconds=60, every=0.3)

    def _accepted(self, body: bytes) -> bool:
        return post(self.installation.hook_url(), body) == ACCEPTED

    def refuse(self) -> None:
        """Every write to one of them is refused for good from now on."""
        for member in self.ids.values():
            self.scene.strike("officernd", route="PUT *", path=member, kind="status", status=400, body=REFUSED)

    def dead(self) -> int:
        """How many of them are dead letters."""
        with self.installation.store() as store:
            there = {one.decode() for one in store.hkeys("relay:letters")}
        return sum(1 for number in self.numbers if f"{NAME}|party|{number}" in there)

    def waiting(self) -> int:
        """How many of them are open."""
        with self.installation.store() as store:
            return sum(1 for number in self.numbers if store.zscore("relay:open", f"{NAME}|party|{number}") is not None)

    def under_way(self) -> int:
        """How many replays run."""
        with self.installation.store() as store:
            return int(store.hlen("relay:dead:jobs"))

    def written(self, since: int) -> Counter[str]:
        """How often each was written to after a request."""
        paths = (one["path"].rpartition("/")[2] for one in self.installation.writes(since) if one["method"] == "PUT")
        return Counter(path for path in paths if path in self.ids.values())

    def replay(self, *words: str) -> subprocess.Popen[bytes]:
        """`capsule-relay dead replay` of all letters, begun."""
        command = [sys.executable, "-m", "workers", "dead", "replay", "--all", "--yes", *words, "--json"]
        environment = self.installation.env | {"REDIS_URL": self.installation.redis_url()}
        self.scene.faults["replay"] += 1
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def replays(scene: Scene) -> None:
    """Refused for good: each letter once more and a letter again. Down, killed, cancelled: what is left stays a letter."""
    letters = Letters(scene)
    letters.refuse()
    for number in letters.numbers:
        scene.installation.edit(number, firstName="Refused")
    letters.tell()
    until(lambda: letters.dead() == PEOPLE, "all are dead letters", seconds=60, every=0.2)

    # Twice at the same time, as by two clicks, while OfficeRnD refuses as before.
    since = last(scene.installation.officernd)
    ended = results([letters.replay("--keep-going", "--rate", "4") for _ in range(2)])
    until(lambda: letters.dead() == PEOPLE and not letters.waiting(), "each was decided again", seconds=60, every=0.2)
    scene.figures["handed over by two replays at once"] = [one["done"] for one in ended]
    scene.figures["writes to each meanwhile"] = sorted(set(letters.written(since).values()))

    # OfficeRnD is down for everybody: replays wait, one is killed and one cancelled.
    scene.peace()
    scene.strike("officernd", route="PUT *", kind="status", status=503, body=BUSY)
    with letters.replay("--rate", "5") as killed, letters.replay("--rate", "5") as cancelled:
        until(lambda: letters.under_way() == 2, "both are under way", seconds=60, every=0.2)
        scene.wait(1.0, 3.0)
        killed.kill()
        killed.communicate()
        scene.faults["replay killed"] += 1
        scene.kill("worker child")
        asked = scene.installation.run("dead", "cancel")
        assert asked.returncode == 0, asked.stderr
        scene.faults["replay cancelled"] += 1
        cancelled.communicate(timeout=60)
    scene.wait(scene.left(), scene.left())
    scene.peace()

    # What is left is brought over, by two at once again.
    results([letters.replay("--rate", "200") for _ in range(2)])
    with contextlib.suppress(AssertionError):
        until(lambda: not letters.dead(), "no letter is left", seconds=60, every=0.2)
    scene.figures["letters left"] = letters.dead()
    audit = orjson.loads(scene.installation.run("dead", "audit", "--limit", "1000", "--json").stdout)
    scene.figures["actions written down"] = len(entries(audit))


def entries(audit: Any) -> list[Any]:
    """The entries of the answer of `dead audit`."""
    found: list[Any] = audit if isinstance(audit, list) else next(one for one in audit.values() if isinstance(one, list))
    return found


def results(begun: Sequence[subprocess.Popen[bytes]]) -> list[dict[str, Any]]:
    """What each says when it has ended."""
    found = []
    for one in begun:
        said, complained = one.communicate(timeout=120)
        assert said, f"a replay ended with {one.returncode}: {complained[-500:].decode(errors='replace')}"
        found.append(orjson.loads(said))
    return found


def once_more(scene: Scene, verdict: Verdict) -> None:
    """Each letter was tried once by two replays at once, none is left, and each action stands in the audit list."""
    figures = scene.figures
    if figures["writes to each meanwhile"] != [1]:
        verdict.bugs += 1
        verdict.say(f"two replays at once wrote to a record {figures['writes to each meanwhile']} times")
    if figures["letters left"]:
        verdict.bugs += 1
        verdict.say(f"{figures['letters left']} letters left")
    actions = scene.faults["replay"] + scene.faults["replay cancelled"]
    if figures["actions written down"] != actions:
        verdict.bugs += 1
        verdict.say(f"{figures['actions written down']} actions written down, not {actions}")


REPLAY = Case(
    "replay",
    "27",
    "letters replayed twice at once, while refused and down, cancelled, killed",
    replays,
    short=False,
    check=once_more,
)
