"""Puts five bugs into a throw-away copy of the product, one at a time, and says which tests notice.

`python -m tests.faults.bugs`. With --all the whole of tests/faults runs against each of them, else the tests that were
written for such moments.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("receiver", "mapping", "workers", "tests", "deploy")
FILES = ("pyproject.toml", "README.md", "Procfile", "Makefile")
MINUTES = 20


@dataclass(frozen=True, slots=True)
class Bug:
    """A text of the product and what is put in its place. Each text must be there exactly once."""

    name: str
    file: str
    changes: tuple[tuple[str, str], ...]


EARLY = """
        if self.entry is not None:
            from dataclasses import replace
            from mapping.agenda import ledger_key
            services, record = self.run.services, self.run.record
            early = replace(self.entry, wrote=dict(downstream.remembered(wanted, plan, there.have, ours=self.ours)))
            services.redis.hset(ledger_key(record.connection), record.field, b"1in_step\\n" + services.ledger.seal(early))
"""
BUGS = (
    Bug(
        "`done` does not compare the newest event",
        "mapping/scripts.py",
        (("local newer = seq ~= l.seq ", "local newer = false      "),),
    ),
    Bug("no intent before a write", "mapping/scripts.py", (("if writing then ", "if false then "),)),
    Bug(
        "a lease's expiry is ignored",
        "mapping/scripts.py",
        (("in ipairs(redis.call('ZRANGEBYSCORE', 'relay:leases', '-inf', now, 'LIMIT', 0, 100)) do", "in ipairs({}) do"),),
    ),
    Bug(
        "the fingerprint is saved before the write",
        "workers/flows/upsert.py",
        (("        for write in writes:\n", EARLY + "        for write in writes:\n"),),
    ),
    Bug(
        "a reconcile's snapshot is used without its mark",
        "mapping/scripts.py",
        (("    and cur < mark ", "    and true "), ("    and hnum('relay:seen', R) < mark ", "    and true ")),
    ),
)


def main() -> int:
    """Exit status 0 when the suite is clean without a bug and notices each of them."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.bugs", description=__doc__)
    parser.add_argument("--all", action="store_true", help="the whole of tests/faults, not only test_protocol.py")
    given = parser.parse_args()
    tests = "tests/faults" if given.all else "tests/faults/test_protocol.py"
    missed = 0
    for bug in (None, *BUGS):
        failed, said = run(bug, tests)
        right = bool(failed) if bug is not None else said.startswith("0")
        missed += not right
        print(f"{bug.name if bug is not None else '(no bug)'}:", flush=True)
        for name in failed or ["nothing failed"]:
            print(f"    {name}", flush=True)
    return int(missed > 0)


def run(bug: Bug | None, tests: str) -> tuple[list[str], str]:
    """The tests that fail in a copy with this bug, and pytest's exit status with its last line."""
    with tempfile.TemporaryDirectory(prefix="bug-") as folder:
        copy = Path(folder)
        for name in FOLDERS:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in FILES:
            shutil.copy(ROOT / name, copy / name)
        if bug is not None:
            plant(copy / bug.file, bug)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tests],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=MINUTES * 60,
            check=False,
        )
    failed = re.findall(r"^(?:FAILED|ERROR) \S+::(\S+)", done.stdout, flags=re.MULTILINE)
    return failed, f"{done.returncode} {done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-500:]}"


def plant(file: Path, bug: Bug) -> None:
    """Puts the bug in. Raises ValueError when the product has changed, so that its text is not there once."""
    text = file.read_text(encoding="utf-8")
    for old, new in bug.changes:
        if text.count(old) != 1:
            raise ValueError(f"{bug.name}: {old!r} is in {bug.file} {text.count(old)} times")
        text = text.replace(old, new)
    file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
