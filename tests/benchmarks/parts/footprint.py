"""What the whole of `capsule-relay up` takes when it is idle: memory of each process, start-up, processor time, bytes in Redis.

It runs in an environment without the packages of the tests, as `make install` makes one. Memory is PSS: what processes share is
counted once in all. Start-up runs from the start of `up` to its first 202. The idle time begins when everything has run for a
while. Beside it stand how often all processes wake in a second, and what a Python process takes that does nothing but sleep for
a second each time: on a virtual machine at rest a wake may cost more than what is done in it. Bytes in Redis are those of the
ledger after a first sync, for each record.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx

from mapping.agenda import ledger_key
from tests.acceptance.harness import NAME, ROOT, System, until
from tests.benchmarks.processes import Process, below, pss_mib
from tests.benchmarks.report import Result

MEMORY_MIB: Final = 300.0
START_S: Final = 3.0
IDLE_SHARE: Final = 1.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """Starts, seconds of idling, and records in the ledger."""

    starts: int
    idle_seconds: float
    records: int


PLAIN: Final = ROOT / "build" / "plain-venv" / "bin" / "python"
SLEEPER: Final = "import time\nwhile True: time.sleep(1)"

SIZES: Final = {"reduced": Sizes(2, 30.0, 300), "full": Sizes(7, 120.0, 5_000)}


class Timed(System):
    """Notes how long `up` takes to its first 202."""

    seconds = 0.0

    def up(self) -> None:
        log = (self.directory / "up.log").open("ab")
        began = time.perf_counter()
        self.process = subprocess.Popen(
            [_python(), "-m", "workers", "up"], cwd=ROOT, env=self.env, stdout=log, stderr=log, start_new_session=True
        )
        log.close()
        until(self._accepts, "a delivery is accepted", seconds=60, every=0.005)
        self.seconds = time.perf_counter() - began

    def _accepts(self) -> bool:
        try:
            body = {"event": "task/updated", "payload": [{"id": 1}]}
            return httpx.post(self.hook_url(), json=body, timeout=5, trust_env=False).status_code == httpx.codes.ACCEPTED
        except httpx.HTTPError:
            return False


def run(sizes: Sizes) -> Result:
    """Starts it a few times, then looks at the last one."""
    result = Result("footprint", (__doc__ or "").partition("\n\n")[2].replace("\n", " ").strip())
    starts = []
    for number in range(sizes.starts):
        with tempfile.TemporaryDirectory() as name, Timed(Path(name), hooks=False) as system:
            starts.append(system.seconds)
            if number + 1 == sizes.starts:
                _idle(result, system, sizes)
                _ledger(result, system, sizes)
    result.add("start of `up` to the first 202", "s", starts, most=START_S)
    return result


def _idle(result: Result, system: System, sizes: Sizes) -> None:
    assert system.process is not None
    until(lambda: len(below(system.process.pid)) >= 8, "everything runs", seconds=60)  # type: ignore[union-attr]
    time.sleep(10.0)  # Until what is done once at the start is over; nothing shows the end of it.
    pids = below(system.process.pid)
    with Process([_python(), "-c", SLEEPER], env={}) as sleeper:
        before, woken = {pid: running_s(pid) for pid in (*pids, sleeper.pid)}, {pid: wakes(pid) for pid in pids}
        began = time.perf_counter()
        time.sleep(sizes.idle_seconds)
        took = time.perf_counter() - began
        shares = {pid: 100 * (running_s(pid) - used) / took for pid, used in before.items()}
        often = {pid: (wakes(pid) - number) / took for pid, number in woken.items()}
        control = shares[sleeper.pid]
    memory = {pid: pss_mib(pid) for pid in pids}
    for pid in pids:
        result.add(f"memory, {_name(pid)}", "MiB PSS", [memory[pid]])
        result.add(f"idle, {_name(pid)}", "% of a core", [shares[pid]])
        result.add(f"wakes, {_name(pid)}", "/s", [often[pid]])
    result.add("memory, all", "MiB PSS", [sum(memory.values())], most=MEMORY_MIB)
    ratios = {"a process that sleeps a second at a time": sum(shares[pid] for pid in pids) / control}
    result.add("idle, all", "% of a core", [sum(shares[pid] for pid in pids)], most=IDLE_SHARE, ratios=ratios)
    result.add("idle, wakes of all", "/s", [sum(often.values())])
    result.add("idle, a process that sleeps a second at a time", "% of a core", [control])


def _python() -> str:
    """The interpreter of the environment that holds nothing but what is run."""
    return str(PLAIN.absolute()) if PLAIN.exists() else sys.executable


def running_s(pid: int) -> float:
    """Seconds for which the threads of a process that live now have had a processor, finer than ticks."""
    return sum(int((thread / "schedstat").read_text(encoding="ascii").split()[0]) for thread in _threads(pid)) / 1e9


def wakes(pid: int) -> int:
    """How often the threads of a process that live now have waited and gone on."""
    lines = (line for thread in _threads(pid) for line in (thread / "status").read_text(encoding="utf-8").splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def _threads(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def _name(pid: int) -> str:
    """What a process is, with its number, since some are alike."""
    words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    marks = {
        "receiver.main:app": "receiver",
        "workers.console.main:app": "console",
        "clock": "clock",
        "up": "up",
        "solo": "solo worker",
        "bulk": "worker",
    }
    found = next((name for mark, name in marks.items() if mark in words), "")
    if not found:
        found = "data store" if "valkey-server" in words[0] else "guard" if words[0] == "/bin/sh" else Path(words[0]).name
    return f"{found} ({pid})"


def _ledger(result: Result, system: System, sizes: Sizes) -> None:
    system.capsule.control("POST", "seed", {"people": sizes.records, "tags": ["member"], "seed": 1})
    done = system.run("sync", NAME, "--full", "--json", timeout=900)
    if done.returncode:
        raise RuntimeError(done.stdout[-1000:] + done.stderr[-1000:])
    with system.store() as store:
        number = int(store.hlen(ledger_key(NAME)))
        result.add("ledger", "bytes a record", [int(store.memory_usage(ledger_key(NAME), samples=0) or 0) / number])
        lengths = [len(value) for value in store.hvals(ledger_key(NAME))]
        result.add("ledger, the entry alone", "bytes", [statistics.median(lengths)])
        keys = list(store.scan_iter("relay:*"))
        result.add(
            "all keys of ours", "bytes a record", [sum(int(store.memory_usage(key, samples=0) or 0) for key in keys) / number]
        )
        result.extra["records"] = number
