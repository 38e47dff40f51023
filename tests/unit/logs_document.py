"""What `deploy/LOGS.md` says, for the tests that compare it with the source and with what processes write."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "deploy" / "LOGS.md"


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the table of events."""

    levels: frozenset[str]
    fields: frozenset[str]


def _rows(heading: str) -> list[list[str]]:
    text = DOCUMENT.read_text(encoding="utf-8")
    part = text.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def _named(cell: str) -> frozenset[str]:
    return frozenset(re.findall(r"`([^`]+)`", cell))


EVENTS: Final = {
    name: Event(levels=frozenset(row[1].split(", ")), fields=_named(row[3])) for row in _rows("Events") for name in _named(row[0])
}
FIELDS: Final = frozenset().union(*(_named(row[0]) for row in _rows("Fields")))


def everywhere() -> frozenset[str]:
    """Fields that any line may have."""
    return frozenset().union(*(_named(row[0]) for row in _rows("On every line")))
