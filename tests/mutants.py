"""The mutation test of `mapping/`: `make mutants`, or `make mutants FILES="mapping/tags.py mapping/unified/deals.py"`.

mutmut changes a copy of `mapping/` in one place at a time; the unit tests must notice each change. A change that they do not
notice is a survivor: it is killed by a new test, or tests/MUTATION.md says why it may live. All is written below `--folder`.

As long as neither code nor tests change, the copy is kept with what is known of its mutants: a run that was broken off is gone
on with, and several runs of some files each end in one table.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
EXPLAINED: Final = ROOT / "tests" / "MUTATION.md"
COPIED: Final = ("mapping", "receiver", "workers", "tests", "deploy", "README.md", "Makefile", "Procfile", "pyproject.toml")
# Lua texts: tests/conformance and the model judge them, and no unit test runs them.
LEFT_OUT: Final = frozenset(
    {"mapping/__init__.py", "mapping/unified/__init__.py", "mapping/scripts.py", "mapping/scripts_letters.py"}
)
# What the verdict on a mutant depends on beside the copied tree, and what of the tree it does not depend on.
ENVIRONMENT: Final = ("requirements.txt", "requirements-mutation.txt")
WITHOUT_EFFECT: Final = frozenset({"tests/MUTATION.md", "tests/mutants.py"})
# What each process of mutmut's does: it collects the tests anew. Prints those that are then called by another name.
TWICE: Final = """
import contextlib, sys, pytest
class Names:
    def pytest_collection_modifyitems(self, items):
        self.found = {item.nodeid for item in items}
names = Names(), Names()
for one in names:
    with contextlib.redirect_stdout(sys.stderr):
        pytest.main(["--collect-only", "-qq", *sys.argv[1:]], plugins=[one])
print(*sorted(names[0].found - names[1].found), sep="\\n")
"""
# mutmut says this once all mutants are made; a copy from before that is of no use.
MADE: Final = b"Running mutation testing"
# These use parts of mapping/ with the data store or a whole receiver: too slow to be run for every mutant.
SLOW_TESTS: Final = frozenset({"test_cli.py", "test_connect.py", "test_console.py", "test_overview.py", "test_receiver_door.py"})
PROGRESS_S: Final = 15.0

# mutmut's exit codes of a mutant's tests; all others are a kill by a signal or by the time limit.
WORDS: Final = {0: "survived", 1: "killed", 3: "killed", 5: "no tests", 33: "no tests", 34: "not checked", None: "not checked"}
COLUMNS: Final = ("killed", "timeout", "survived", "no tests", "not checked")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one mutant. `change` is its difference on one line; empty for one that was killed."""

    module: str
    word: str
    change: str


def main() -> int:
    """Runs mutmut, prints the figures and the survivors; 1 if one is not explained, 2 if the run did not come to its end."""
    asked = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    asked.add_argument("files", nargs="*", help="default: all of mapping/ but the Lua texts")
    asked.add_argument("--folder", type=Path, default=ROOT / "build" / "mutants", help="where the copy is made")
    asked.add_argument("--jobs", type=int, default=2, help="processes at once")
    asked.add_argument("--minutes", type=float, default=180.0, help="after this time it is broken off; the next run goes on")
    asked.add_argument("--show", action="store_true", help="run nothing, print what is known so far")
    given = asked.parse_args()
    there = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "mapping").rglob("*.py"))
    every = [name for name in there if name not in LEFT_OUT]
    for name in given.files:
        if name not in every:
            asked.error(f"{name} is no file of mapping/ that is mutated; there are {', '.join(every)}")
    files, copy = given.files or every, given.folder / "copy"
    ended = True
    if not given.show:
        if nameless := copied(copy, every):
            # mutmut would run into an error for each mutant of such a test, and would count the mutant as killed.
            print(
                "Give these tests ids of ASCII letters, or mutmut cannot find them again:", *nameless, sep="\n", file=sys.stderr
            )
            return 2
        # mutmut tries again what is named to it, and without names only what has not been tried.
        names = [f"{name.removesuffix('.py').replace('/', '.')}.*" for name in given.files if not known(copy / "mutants", name)]
        if names or not given.files:
            ended = run(copy, names, jobs=given.jobs, minutes=given.minutes)
    results = [one for name in files for one in read(copy / "mutants", name)]
    print(table(results))
    lost = shown(results)
    if not ended or not results or any(one.word == "not checked" for one in results):
        print(f"The run did not come to its end; mutmut's own words are in {copy / 'mutmut.log'}.", file=sys.stderr)
        return 2
    return 1 if lost else 0


def copied(folder: Path, files: list[str]) -> list[str]:
    """Makes a copy of what the tests need, with mutmut's settings in its pyproject.toml, unless the last is of the same state.

    Answers the tests that mutmut could not call by their names.
    """
    tests = sorted(
        f"tests/unit/{path.name}"
        for path in (ROOT / "tests" / "unit").glob("test_*.py")
        if path.name not in SLOW_TESTS and re.search(r"^(from|import) mapping", path.read_text(), re.MULTILINE)
    )
    settings = {
        "source_paths": ["mapping"],
        "only_mutate": files,
        "do_not_mutate": sorted(LEFT_OUT),
        "pytest_add_cli_args_test_selection": tests,
        "pytest_add_cli_args": ["-p", "no:cacheprovider", "-q"],
        "also_copy": [name for name in COPIED if name != "mapping"],
    }
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    now = state(lines)
    if usable(folder, now):
        print("Neither code nor tests have changed since the last run: it is gone on with.")
        return []
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / name)
    with (folder / "pyproject.toml").open("a") as project:
        project.write(f"\n[tool.mutmut]\n{lines}")
    (folder / "state").write_text(now)
    twice = subprocess.run([sys.executable, "-c", TWICE, *tests], cwd=folder, capture_output=True, text=True, check=True)
    return [name for name in twice.stdout.split("\n") if name]


def state(settings: str) -> str:
    """A digest of everything that a verdict on a mutant depends on."""
    found = hashlib.sha256(f"{sys.version}\n{settings}".encode())
    paths = [path for name in (*COPIED, *ENVIRONMENT) for path in (ROOT / name, *sorted((ROOT / name).rglob("*")))]
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        if path.is_file() and "__pycache__" not in path.parts and name not in WITHOUT_EFFECT:
            found.update(f"{name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def usable(folder: Path, now: str) -> bool:
    """Whether a copy is of the state `now`, has all its mutants, and its notes were not broken off in the middle of a word."""
    held, log = folder / "state", folder / "mutmut.log"
    if not held.exists() or held.read_text() != now or not log.exists() or MADE not in log.read_bytes():
        return False
    try:
        for path in (folder / "mutants").rglob("*.meta"):
            json.loads(path.read_text())
    except ValueError:
        return False
    return True


def known(folder: Path, name: str) -> bool:
    """Whether all mutants of a file have been tried."""
    meta = folder / f"{name}.meta"
    return meta.exists() and None not in json.loads(meta.read_text())["exit_code_by_key"].values()


def run(copy: Path, names: list[str], *, jobs: int, minutes: float) -> bool:
    """Runs mutmut with a line of progress now and then; False if it failed or had to be broken off."""
    began, log, last = time.monotonic(), copy / "mutmut.log", ""
    # The log is added to, since it also tells whether the mutants were all made once.
    with log.open("ab") as written:
        mutmut = subprocess.Popen(
            [sys.executable, "-m", "mutmut", "run", "--max-children", str(jobs), *names],
            cwd=copy,
            # CI makes Hypothesis take the same examples each time, so that a mutant dies in every run or in none.
            env={**os.environ, "CI": "1"},
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while time.monotonic() - began < minutes * 60:
                try:
                    return mutmut.wait(PROGRESS_S) == 0
                except subprocess.TimeoutExpired:
                    now = progress(log)
                    if now != last:
                        print(f"{time.monotonic() - began:6.0f} s  {now}", flush=True)
                    last = now
            print(f"Broken off after {minutes:g} minutes (--minutes); the next run goes on from here.", file=sys.stderr)
            return False
        finally:
            if mutmut.poll() is None:
                os.killpg(mutmut.pid, signal.SIGKILL)
                mutmut.wait()


def progress(log: Path) -> str:
    """How far mutmut has come, by the last count in its log."""
    with log.open("rb") as text:
        text.seek(max(0, log.stat().st_size - 400))
        counts = re.findall(r"(\d+)/(\d+)", text.read().decode(errors="replace"))
    return f"{counts[-1][0]} of {counts[-1][1]} mutants" if counts else "making mutants, and a first run of the tests"


def read(folder: Path, name: str) -> list[Result]:
    """What became of the mutants of one file."""
    meta, source = folder / f"{name}.meta", folder / name
    module = name.removeprefix("mapping/").removesuffix(".py")
    if not meta.exists():
        return []
    bodies: dict[str, list[str]] = {}
    lines = source.read_text().splitlines()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.FunctionDef):
            bodies[node.name] = [line.strip() for line in lines[node.lineno - 1 : node.end_lineno]]
    found = []
    for key, code in json.loads(meta.read_text())["exit_code_by_key"].items():
        word = WORDS.get(code, "timeout")
        found.append(
            Result(module, word, "" if word in {"killed", "timeout"} else change(module, key.rpartition(".")[2], bodies))
        )
    return found


def change(module: str, name: str, bodies: dict[str, list[str]]) -> str:
    """The difference that a mutant makes, as `module.function: before => after`."""
    function = name.rpartition("__mutmut_")[0]
    before, after = ([re.sub(r"__mutmut_\w+\(", "(", line) for line in bodies[one]] for one in (f"{function}__mutmut_orig", name))
    compared = difflib.unified_diff(before, after, n=0, lineterm="")
    differing = [line for line in compared if not line.startswith(("---", "+++", "@@"))]
    was, becomes = (" ".join(line[1:] for line in differing if line[0] == sign) for sign in "-+")
    readable = function.replace("xǁ", "").replace("ǁ", ".").removeprefix("x_")
    return f"{module.replace('/', '.')}.{readable}: {was} => {becomes}"


def table(results: list[Result]) -> str:
    """The figures, file by file."""
    rows = [(f"mapping/{module}.py", Counter(one.word for one in results if one.module == module)) for module in modules(results)]
    rows.append(("all", Counter(one.word for one in results)))
    written = ["| file | mutants | " + " | ".join(COLUMNS) + " |", "|---" + "|--:" * (len(COLUMNS) + 1) + "|"]
    written += [
        f"| {name} | {count.total()} | " + " | ".join(str(count[column]) for column in COLUMNS) + " |" for name, count in rows
    ]
    dead = sum(one.word in {"killed", "timeout"} for one in results)
    return "\n".join([*written, "", f"Killed: {dead} of {len(results)} ({dead / max(len(results), 1):.1%})."])


def modules(results: list[Result]) -> list[str]:
    """The modules in their order, each once."""
    return list(dict.fromkeys(one.module for one in results))


def shown(results: list[Result]) -> list[str]:
    """Prints the survivors; answers those that tests/MUTATION.md does not explain."""
    explained = {line.strip() for line in EXPLAINED.read_text().splitlines()} if EXPLAINED.exists() else set()
    alive = [one.change for one in results if one.word in {"survived", "no tests"}]
    lost = [line for line in alive if line not in explained]
    print(f"Survived: {len(alive)}, of which tests/MUTATION.md explains {len(alive) - len(lost)}.")
    if lost:
        print("Not explained (kill it by a test, or add the line to tests/MUTATION.md with the reason):")
        print("\n".join(lost))
    return lost


if __name__ == "__main__":
    sys.exit(main())
