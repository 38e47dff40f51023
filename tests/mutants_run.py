"""Runs the unit tests against the mutants that mutmut made: a process that tests/mutants.py starts in its copy of the tree.

mutmut could run them itself. But it collects the tests anew for every mutant, which takes nearly all of its time; it looks for
them by their names, and where a name has letters that pytest escapes once more, it counts the failed search as a kill; and it
measures by the clock, so that a busy machine kills mutants. Here the tests are collected once, each mutant gets a fork of that
process, and time is what the processor spent. Each verdict is a line of a file, so that a run can go on where it was broken off.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import resource
import signal
import sys
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import hypothesis
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRESS_S: Final = 15.0
# The processor's seconds of a mutant: this many, and so many times as many as its tests take without a change.
LIMIT_S: Final = 3
LIMIT_TIMES: Final = 5
MOST_MEMORY: Final = 2 << 30
KILLED: Final = 1


class Mutants:
    """A plug-in of pytest that has the collected tests run against each mutant, in place of once."""

    def __init__(self, mutants: list[str], *, verdicts: Path, reached: Path, hints: dict[str, str], jobs: int) -> None:
        self.mutants = mutants
        self.verdicts = verdicts
        self.reached = reached
        # Mutant -> the test that killed it when the tree was another one. It is asked first, and nothing else follows from it.
        self.hints = hints
        self.jobs = jobs
        self.failed = False
        # Of each fork its mutant, and where it tells which test failed.
        self.running: dict[int, tuple[str, int]] = {}
        # Of each function and module the tests that killed a mutant of it, the last one at the end.
        self.killers: dict[str, dict[str, None]] = defaultdict(dict)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Notes that a test failed."""
        self.failed = self.failed or report.failed

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """All mutants, `jobs` at once."""
        if not self.reached.exists():
            os.waitpid(forked(partial(self.reach, session)), 0)
        tests = json.loads(self.reached.read_text()) if self.reached.exists() else {}
        if not tests:
            pytest.exit("The tests fail without any change of mapping/, or do not call it.", returncode=3)
        items = {item.nodeid: item for item in session.items}
        # Else each fork's first collection of garbage would copy all memory of this process.
        gc.freeze()
        began = told = time.monotonic()
        with self.verdicts.open("a", buffering=1) as written:
            for number, mutant in enumerate(self.mutants):
                if time.monotonic() - told > PROGRESS_S:
                    told = time.monotonic()
                    print(f"{told - began:6.0f} s  {number} of {len(self.mutants)} mutants", flush=True)
                function = mutant.rpartition("__mutmut_")[0]
                called = tests.get(function, {})
                if not called:
                    print(mutant, "no tests", "", sep="\t", file=written)
                    continue
                while len(self.running) >= self.jobs:
                    self.ended(written.write)
                # Who killed a mutant of this function or module will likely kill this one; then the quickest first.
                likely = [
                    self.hints.get(mutant, ""),
                    *reversed(self.killers[function]),
                    *reversed(self.killers[module_of(mutant)]),
                ]
                chosen = [items[name] for name in dict.fromkeys([*likely, *called]) if name in called]
                heard, told_by = os.pipe()
                limit = LIMIT_S + round(LIMIT_TIMES * sum(called.values()))
                self.running[forked(partial(self.judge, mutant, chosen, limit, told_by))] = mutant, heard
                os.close(told_by)
            while self.running:
                self.ended(written.write)
        return True

    def ended(self, write: Callable[[str], object]) -> None:
        """Waits for one mutant and writes what became of it, with the test that killed it."""
        pid, status = os.wait()
        mutant, heard = self.running.pop(pid)
        with os.fdopen(heard) as told:
            killer = told.read()
        # Whatever ends the process otherwise (memory, a signal) is due to the mutant as well.
        word = {0: "survived", -signal.SIGXCPU: "timeout"}.get(os.waitstatus_to_exitcode(status), "killed")
        write(f"{mutant}\t{word}\t{killer}\n")
        if killer:
            for known in (self.killers[mutant.rpartition("__mutmut_")[0]], self.killers[module_of(mutant)]):
                known.pop(killer, None)
                known[killer] = None

    def reach(self, session: pytest.Session) -> int:
        """Which functions each test calls, and how long it takes: every test once, without a change."""
        under_test("stats")
        hits: set[str] = importlib.import_module("mutmut.state").state()._stats
        found: dict[str, dict[str, float]] = defaultdict(dict)
        for item in session.items:
            hits.clear()
            began = time.process_time()
            if not self.passes(item):
                print(f"This test fails without any change of mapping/: {item.nodeid}", file=sys.stderr, flush=True)
                return KILLED
            took = time.process_time() - began
            for function in hits:
                found[function][item.nodeid] = took
        # The quickest first: most mutants die by any of them.
        quickest = {function: dict(sorted(tests.items(), key=lambda one: one[1])) for function, tests in found.items()}
        self.reached.write_text(json.dumps(quickest))
        return 0

    def judge(self, mutant: str, chosen: list[pytest.Item], limit: int, told_by: int) -> int:
        """Runs the tests of one mutant until one of them fails, and tells its name."""
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 1))
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
        os.dup2(1, 2)
        under_test(mutant)
        for item in chosen:
            if not self.passes(item):
                os.write(told_by, item.nodeid.encode())
                return KILLED
        return 0

    def passes(self, item: pytest.Item) -> bool:
        """Whether a test passes."""
        self.failed = False
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return not self.failed


def module_of(mutant: str) -> str:
    """`mapping.tags.x_parse__mutmut_1` -> `mapping.tags`."""
    return mutant.rpartition(".")[0]


def under_test(mutant: str) -> None:
    """From now on calls of the mutated function go to this mutant."""
    importlib.import_module("mutmut.mutation.trampoline").set_mutant_under_test(mutant)


def forked(work: Callable[[], int]) -> int:
    """Does it in a fork of this process, silently, with its answer as exit code; answers the fork's number."""
    sys.stdout.flush()
    if pid := os.fork():
        return pid
    code = KILLED
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = work()
    finally:
        # Also an exception must not come back into the copy of the loop that goes on in the parent.
        os._exit(code)


def main() -> int:
    """Tries the mutants that are named in a file, one a line."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("mutants", type=Path)
    asked.add_argument("verdicts", type=Path)
    asked.add_argument("reached", type=Path)
    asked.add_argument("hints", type=Path)
    asked.add_argument("--jobs", type=int, default=2)
    asked.add_argument("tests", nargs="+")
    given = asked.parse_args()
    mutants = given.mutants.read_text().split()
    old = [line.split("\t") for line in given.hints.read_text().splitlines()]
    hints = {row[0]: row[-1] for row in old}
    plugin = Mutants(mutants, verdicts=given.verdicts, reached=given.reached, hints=hints, jobs=given.jobs)
    # Which example fails, and how, concerns nobody here, and to find and to tell it would take most of the time.
    phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
    hypothesis.settings.register_profile("mutants", hypothesis.settings.get_profile("ci"), phases=phases)
    hypothesis.settings.load_profile("mutants")
    quiet = ["-qq", "-s", "--no-summary", "--tb=no", "--assert=plain", "-p", "no:cacheprovider"]
    return int(pytest.main([*quiet, *given.tests], plugins=[plugin]))


if __name__ == "__main__":
    sys.exit(main())
