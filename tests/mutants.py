"""The mutation test of `mapping/`: `make mutants`, or `make mutants FILES="mapping/tags.py mapping/values.py"`.

mutmut changes a copy of `mapping/` in one place at a time; the unit tests must notice each change. A change that they do not
notice is a survivor: it is killed by a new test, or tests/MUTATION.md says why it may live. All is written below `--folder`.
"""

from __future__ import annotations

import argparse
import ast
import difflib
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
LEFT_OUT: Final = frozenset({"mapping/__init__.py", "mapping/scripts.py", "mapping/scripts_letters.py"})
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
    asked.add_argument("files", nargs="*", help="default: all of mapping/ but its folders and the Lua texts")
    asked.add_argument("--folder", type=Path, default=ROOT / "build" / "mutants", help="where the copy is made")
    asked.add_argument("--jobs", type=int, default=2, help="processes at once")
    asked.add_argument("--minutes", type=float, default=60.0, help="after this time it is broken off")
    given = asked.parse_args()
    there = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "mapping").rglob("*.py"))
    files = given.files or [name for name in there if name not in LEFT_OUT and name.count("/") == 1]
    for name in files:
        if name not in there or name in LEFT_OUT:
            asked.error(f"{name} is no file of mapping/ that is mutated; there are {', '.join(sorted(set(there) - LEFT_OUT))}")
    copy = copied(given.folder / "copy", files)
    ended = run(copy, jobs=given.jobs, minutes=given.minutes)
    results = [one for name in files for one in read(copy / "mutants", name)]
    print(table(results))
    lost = shown(results)
    if not ended or not results or any(one.word == "not checked" for one in results):
        print(f"The run did not come to its end; mutmut's own words are in {copy / 'mutmut.log'}.", file=sys.stderr)
        return 2
    return 1 if lost else 0


def copied(folder: Path, files: list[str]) -> Path:
    """A fresh copy of what the tests need, with mutmut's settings in its pyproject.toml."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(ROOT / name, folder / name)
    tests = sorted(
        f"tests/unit/{path.name}"
        for path in (folder / "tests" / "unit").glob("test_*.py")
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
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    with (folder / "pyproject.toml").open("a") as project:
        project.write("\n".join(["", "[tool.mutmut]", *lines, ""]))
    return folder


def run(copy: Path, *, jobs: int, minutes: float) -> bool:
    """Runs mutmut with a line of progress now and then; False if it failed or had to be broken off."""
    began, log, last = time.monotonic(), copy / "mutmut.log", ""
    with log.open("wb") as written:
        mutmut = subprocess.Popen(
            [sys.executable, "-m", "mutmut", "run", "--max-children", str(jobs)],
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
            print(f"Broken off after {minutes:g} minutes (--minutes).", file=sys.stderr)
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
    compared = difflib.unified_diff(bodies[f"{function}__mutmut_orig"], bodies[name], n=0, lineterm="")
    differing = [line for line in compared if "__mutmut_" not in line and not line.startswith(("---", "+++", "@@"))]
    before, after = (" ".join(line[1:] for line in differing if line[0] == sign) for sign in "-+")
    readable = function.replace("xǁ", "").replace("ǁ", ".").removeprefix("x_")
    return f"{module}.{readable}: {before} => {after}"


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
