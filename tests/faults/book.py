"""The file of results, a JSON document on each line, and the table that is made of it.

A line is one run of one case. The table adds up the lines of a commit (or of all), so several runs make one table.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.cases import CASES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.faults.verdict import Verdict

ROOT = Path(__file__).resolve().parents[2]
DEFAULT = ROOT / "build" / "faults.jsonl"
WRONG = ("lost", "doubled", "stale", "stuck", "leaked", "bugs")
ADDED = (*WRONG, "records", "deliveries", "changes", "late", "undone", "writes", "buried", "refused")
PROCESSES = ("receiver", "worker child", "worker master", "solo child", "clock", "redis")


def commit() -> str:
    """The commit of this folder, with a plus sign when something is not committed; `?` outside a repository."""
    try:
        found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "?"
    return found.stdout.strip() + ("+" if changed.stdout.strip() else "")


def write(
    path: Path, *, name: str, seed: int, seconds: float, verdict: Verdict, faults: Mapping[str, int], figures: Mapping[str, Any]
) -> None:
    """Adds one run to the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = {
        "commit": commit(),
        "case": name,
        "seed": seed,
        "seconds": seconds,
        "faults": dict(faults),
        "figures": dict(figures),
        **verdict.document(),
    }
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def read(path: Path) -> list[dict[str, Any]]:
    """Every run in the file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


@dataclass
class Row:
    """The runs of one case, added up."""

    runs: int = 0
    faults: int = 0
    sums: Counter[str] = field(default_factory=Counter)
    catch_up: float = 0.0
    lag: float = 0.0

    def add(self, run: Mapping[str, Any]) -> None:
        """One run more."""
        self.runs += 1
        self.faults += sum(run["faults"].values())
        self.sums.update({name: run[name] for name in ADDED})
        self.catch_up = max(self.catch_up, run["catch_up_s"])
        self.lag = max(self.lag, run["longest_lag_s"])


def table(runs: Iterable[Mapping[str, Any]]) -> str:
    """The table in Markdown, with the bound that its zeros allow."""
    rows: dict[str, Row] = {}
    total, kinds = Row(), Counter[str]()
    for run in runs:
        rows.setdefault(run["case"], Row()).add(run)
        total.add(run)
        kinds.update(run["faults"])
    head = ["case", "runs", "faults", "records", "deliveries", "changes", *WRONG, "late", "undone", "catch-up", "lag"]
    lines = ["| " + " | ".join(["C2", *head]) + " |", "|---" * (len(head) + 1) + "|"]
    for name, row in [*sorted(rows.items(), key=_order), ("all", total)]:
        sums = row.sums
        cells: list[object] = [CASES[name].numbers if name in CASES else "", name, row.runs, row.faults]
        cells += [sums[one] for one in ("records", "deliveries", "changes", *WRONG, "late", "undone")]
        cells += [f"{row.catch_up:.1f} s", f"{row.lag:.1f} s"]
        lines.append("| " + " | ".join(f"{one:,}" if isinstance(one, int) else str(one) for one in cells) + " |")
    lines += ["", *_bounds(total, kinds)]
    return "\n".join(lines)


def _order(entry: tuple[str, Row]) -> tuple[int, str]:
    names = list(CASES)
    return (names.index(entry[0]) if entry[0] in names else len(names), entry[0])


def _bounds(total: Row, kinds: Counter[str]) -> list[str]:
    """What follows from the zeros (0 of N: at most 3/N at 95 %), and how often each kind of process was killed."""
    lines = []
    for what, name in (("lost", "deliveries"), ("lost", "changes"), ("doubled", "records"), ("stale", "writes")):
        number, found = total.sums[name], total.sums[what]
        if number and not found:
            lines.append(f"{what}: 0 of {number:,} {name}, so at most {3 / number:.1e} of them at 95 %.")
        elif number:
            lines.append(f"{what}: {found:,} of {number:,} {name}.")
    killed = ", ".join(f"{kind} {kinds[f'kill -9 {kind}']:,}" for kind in PROCESSES)
    lines += [f"kill -9: {killed}."]
    others = ", ".join(f"{name} {number:,}" for name, number in sorted(kinds.items()) if not name.startswith("kill -9"))
    return [*lines, f"Other faults: {others}."] if others else lines
