"""How long a live edit takes while a reconcile brings many records in step: `python -m tests.benchmarks.live_during_reconcile`.

One edit a second is made in Capsule, its hook is delivered, and the delay is taken from the edit's answer to the end of the
write in OfficeRnD, both by the clock of this machine. First with nothing else to do, then while `sync --full` creates `--records`
members, then while it updates all of them after edits that no hook told. Both simulators and the relay run as processes of their
own, with the vendors' limits raised. `--json FILE` keeps the figures. It ends by itself: a phase lasts as long as its reconcile.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.acceptance.harness import EVENTS, NAME, ROOT, System, until
from tests.benchmarks.report import machine, versions

if TYPE_CHECKING:
    from collections.abc import Callable

LIVE_MEMBERS = 60
EDIT_EVERY_S = 1.0
CAPSULE_EDITORS = 4


def main() -> None:
    """Prints one JSON document for each phase, and one for the whole to `--json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=20_000, help="how many records the reconcile brings in step")
    parser.add_argument("--alone", type=int, default=60, help="seconds of live edits without a reconcile")
    parser.add_argument("--most", type=int, default=900, help="the longest that a phase may last, in seconds")
    parser.add_argument("--json", type=Path, default=None, help="the file that takes the figures")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Everybody(Path(folder), hooks=False) as system:
        found = Bench(system, given.records, given.most).run(given.alone)
    whole = {
        "machine": machine(),
        "versions": versions()["ours"],
        "records": given.records,
        "edit_every_s": EDIT_EVERY_S,
        "phases": found,
    }
    print(json.dumps(whole), flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")


class Everybody(System):
    """Without a rule on tags: every party is in."""

    def rules(self) -> str:
        """The rules without the tag."""
        return super().rules().replace('tags_to_sync = "member"', 'tags_to_sync = ""')


@dataclass
class Bench:
    """The phases, one after the other, on one system."""

    system: System
    records: int
    most: int
    live: list[int] = field(default_factory=list)
    edits: int = 0

    def run(self, alone: int) -> dict[str, Any]:
        """The figures of each phase by its name."""
        system = self.system
        system.capsule.control("POST", "seed", {"people": LIVE_MEMBERS, "seed": 1})
        self.live = sorted(one["id"] for one in system.capsule.control("GET", "state")["parties"] if one["type"] == "person")
        assert self._sync().wait() == 0
        self._hooks(there=True)
        phases = {"alone": self._phase("alone", lambda past: past < alone)}
        system.capsule.control("POST", "seed", {"people": self.records, "seed": 2})
        phases["creating"] = self._during_sync("creating")
        self._hooks(there=False)
        self._edit_all()
        self._hooks(there=True)
        phases["alone again"] = self._phase("alone again", lambda past: past < alone)
        phases["updating"] = self._during_sync("updating")
        return phases

    def _during_sync(self, name: str) -> dict[str, Any]:
        before, began = self.system.last_request(), time.monotonic()
        sync = self._sync()
        ended: list[float] = []

        def wait() -> None:
            sync.wait()
            ended.append(time.monotonic())

        waiter = threading.Thread(target=wait)
        waiter.start()
        found = self._phase(name, lambda past: not ended and past < self.most)
        until(self.system.idle, "nothing is open", seconds=self.most)
        waiter.join(self.most)
        writes = len(self.system.writes(before))
        seconds = ended[0] - began
        return found | {"reconcile_s": round(seconds, 1), "writes": writes, "writes_per_s": round(writes / seconds, 1)}

    def _phase(self, name: str, goes_on: Callable[[float], bool]) -> dict[str, Any]:
        """One edit a second as long as `goes_on` says; the delays of all of them once they have arrived."""
        before, began = self.system.last_request(), time.monotonic()
        edited: dict[str, float] = {}
        late, beat = 0.0, threading.Event()
        while goes_on(past := time.monotonic() - began):
            late = max(late, past - len(edited) * EDIT_EVERY_S)
            self.edits += 1
            last = f"Live{self.edits}"
            self.system.edit(self.live[self.edits % len(self.live)], lastName=last)
            edited[last] = time.time()
            beat.wait(max(0.0, began + len(edited) * EDIT_EVERY_S - time.monotonic()))
        arrived: dict[str, float] = {}

        def all_arrived() -> bool:
            for one in self.system.writes(before):
                last = str((one["body"] or {}).get("name", "")).rpartition(" ")[2] if one["method"] == "PUT" else ""
                if last in edited and one["seconds"] is not None and one["status"] == 200:
                    arrived.setdefault(last, one["at"] + one["seconds"])
            return len(arrived) == len(edited)

        until(all_arrived, "every live edit arrives", seconds=120, every=1.0)
        delays = sorted(1000 * (arrived[last] - edited[last]) for last in edited)
        figures = {"edits": len(delays), **{f"p{share}_ms": round(quantile(delays, share / 100), 1) for share in (50, 95, 99)}}
        figures |= {"max_ms": round(delays[-1], 1), "editor_late_s": round(late, 2)}
        print(json.dumps({"phase": name, **figures}), flush=True)
        return figures

    def _sync(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "workers", "sync", NAME, "--full", "--json"],
            cwd=ROOT,
            env=self.system.env | {"REDIS_URL": self.system.redis_url()},
            stdout=subprocess.DEVNULL,
        )

    def _hooks(self, *, there: bool) -> None:
        capsule = self.system.capsule
        if there:
            url = self.system.hook_url()
            capsule.control("POST", "hooks", [{"event": event, "targetUrl": url} for event in EVENTS])
            return
        token = capsule.control("POST", "tokens", {})["access_token"]
        for hook in capsule.control("GET", "hooks")["restHooks"]:
            url = f"{capsule.url}/api/v2/resthooks/{hook['id']}"
            httpx.delete(url, headers={"Authorization": f"Bearer {token}"}, trust_env=False).raise_for_status()

    def _edit_all(self) -> None:
        """Edits every record but the live ones, as a person or program would, while no hook is subscribed."""
        parties = self.system.capsule.control("GET", "state")["parties"]
        others = [one["id"] for one in parties if one["id"] not in set(self.live)]
        with ThreadPoolExecutor(CAPSULE_EDITORS) as editors:
            list(editors.map(lambda number: self.system.edit(number, lastName=f"Silent{number}"), others))


def quantile(ordered: list[float], share: float) -> float:
    """The smallest value that is not below this share of all of them (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


if __name__ == "__main__":
    main()
