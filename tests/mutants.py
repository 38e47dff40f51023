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
# mutmut has no command that only makes the mutants.
MAKE: Final = """
import sys
from mutmut import __main__ as mutmut
mutmut.copy_src_dir()
mutmut.copy_also_copy_files()
mutmut.setup_source_paths()
mutmut.create_mutants(int(sys.argv[1]))
"""
# These use parts of mapping/ with the data store or a whole receiver: too slow to be run for every mutant.
SLOW_TESTS: Final = frozenset({"test_cli.py", "test_connect.py", "test_console.py", "test_overview.py", "test_receiver_door.py"})
COLUMNS: Final = ("killed", "timeout", "survived", "no tests", "not checked")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one mutant. `change` is its difference on one line; empty for one that was killed."""

    module: str
    word: str
    change: str


def main() -> int:
    """Runs the mutants, prints the figures and the survivors; 1 if one is not explained, 2 if the run did not come to its end."""
    asked = argparse.ArgumentParser(prog="make mutants", description=__doc__)
    asked.add_argument("files", nargs="*", help="default: all of mapping/ but the Lua texts")
    asked.add_argument("--folder", type=Path, default=ROOT / "build" / "mutants", help="where the copy is made")
    asked.add_argument("--jobs", type=int, default=2, help="processes at once")
    asked.add_argument("--minutes", type=float, default=120.0, help="after this time it is broken off; the next run goes on")
    asked.add_argument("--show", action="store_true", help="run nothing, print what is known so far")
    given = asked.parse_args()
    # So that the runner, which has a session of its own, is ended as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    there = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "mapping").rglob("*.py"))
    every = [name for name in there if name not in LEFT_OUT]
    for name in given.files:
        if name not in every:
            asked.error(f"{name} is no file of mapping/ that is mutated; there are {', '.join(every)}")
    files, copy = given.files or every, given.folder / "copy"
    if not given.show:
        copied(copy, every, jobs=given.jobs)
        run(copy, files, jobs=given.jobs, minutes=given.minutes)
    known = verdicts(copy)
    results = [one for name in files for one in read(copy / "mutants", name, known)]
    print(table(results))
    lost = shown(results)
    if not results or any(one.word == "not checked" for one in results):
        print("The run did not come to its end.", file=sys.stderr)
        return 2
    return 1 if lost else 0


def selected() -> list[str]:
    """The tests that are run, in their own folder."""
    return sorted(
        f"tests/unit/{path.name}"
        for path in (ROOT / "tests" / "unit").glob("test_*.py")
        if path.name not in SLOW_TESTS and re.search(r"^(from|import) mapping", path.read_text(), re.MULTILINE)
    )


def copied(folder: Path, files: list[str], *, jobs: int) -> None:
    """Makes a copy of what the tests need, with all mutants in it, unless the last copy is of the same state."""
    settings = {
        "source_paths": ["mapping"],
        "only_mutate": files,
        "do_not_mutate": sorted(LEFT_OUT),
        "also_copy": [name for name in COPIED if name != "mapping"],
    }
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    held, now = folder / "state", state(lines)
    if held.exists() and held.read_text() == now:
        print("Neither code nor tests have changed since the last run: it is gone on with.", flush=True)
        return
    old = folder / "verdicts"
    hints = old.read_text() if old.exists() else ""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "hints").write_text(hints)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / name)
    with (folder / "pyproject.toml").open("a") as project:
        project.write(f"\n[tool.mutmut]\n{lines}")
    print("Making the mutants.", flush=True)
    with (folder / "mutmut.log").open("wb") as log:
        subprocess.run([sys.executable, "-c", MAKE, str(jobs)], cwd=folder, stdout=log, stderr=subprocess.STDOUT, check=True)
    # Written last: a copy that was broken off is made again.
    held.write_text(now)


def state(settings: str) -> str:
    """A digest of everything that a verdict on a mutant depends on."""
    found = hashlib.sha256(f"{sys.version}\n{settings}".encode())
    paths = [path for name in (*COPIED, *ENVIRONMENT) for path in (ROOT / name, *sorted((ROOT / name).rglob("*")))]
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        if path.is_file() and "__pycache__" not in path.parts and name not in WITHOUT_EFFECT:
            found.update(f"{name}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return found.hexdigest()


def run(copy: Path, files: list[str], *, jobs: int, minutes: float) -> None:
    """Has those mutants of the files tried that have not been; breaks off when the time is over."""
    known = verdicts(copy)
    mutants = [mutant for name in files for mutant in made(copy / "mutants", name) if mutant not in known]
    if not mutants:
        return
    (copy / "asked").write_text("\n".join(mutants))
    where = [str((copy / name).absolute()) for name in ("asked", "verdicts", "reached", "hints")]
    runner = subprocess.Popen(
        [sys.executable, "-m", "tests.mutants_run", "--jobs", str(jobs), *where, *selected()],
        cwd=copy / "mutants",
        # CI makes Hypothesis take the same examples each time, so that a mutant dies in every run or in none.
        env={**os.environ, "CI": "1"},
        start_new_session=True,
    )
    try:
        runner.wait(minutes * 60)
    except subprocess.TimeoutExpired:
        print(f"Broken off after {minutes:g} minutes (--minutes); the next run goes on from here.", file=sys.stderr)
    finally:
        if runner.poll() is None:
            os.killpg(runner.pid, signal.SIGKILL)
            runner.wait()


def verdicts(copy: Path) -> dict[str, str]:
    """Mutant -> its verdict, as far as it is known. The last line may have been broken off."""
    held = copy / "verdicts"
    lines = held.read_text().split("\n")[:-1] if held.exists() else []
    rows = [line.split("\t") for line in lines]
    return {row[0]: row[1] for row in rows if len(row) == len(("mutant", "verdict", "test that failed"))}


def made(folder: Path, name: str) -> list[str]:
    """The mutants of a file."""
    meta = folder / f"{name}.meta"
    return list(json.loads(meta.read_text())["exit_code_by_key"]) if meta.exists() else []


def read(folder: Path, name: str, known: dict[str, str]) -> list[Result]:
    """What became of the mutants of one file."""
    module = name.removeprefix("mapping/").removesuffix(".py")
    mutants = made(folder, name)
    if not mutants:
        return []
    bodies: dict[str, list[str]] = {}
    lines = (folder / name).read_text().splitlines()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.FunctionDef):
            bodies[node.name] = [line.strip() for line in lines[node.lineno - 1 : node.end_lineno]]
    found = []
    for mutant in mutants:
        word = known.get(mutant, "not checked")
        alive = word in {"survived", "no tests"}
        found.append(Result(module, word, change(module, mutant.rpartition(".")[2], bodies) if alive else ""))
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
    alive = [one.change for one in results if one.change]
    lost = [line for line in alive if line not in explained]
    print(f"Survived: {len(alive)}, of which tests/MUTATION.md explains {len(alive) - len(lost)}.")
    if lost:
        print("Not explained (kill it by a test, or add the line to tests/MUTATION.md with the reason):")
        print("\n".join(lost))
    return lost


if __name__ == "__main__":
    sys.exit(main())
