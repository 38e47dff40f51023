"""The rules that the README tells the operator are those that there are, and every example in it is accepted."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from mapping import rules

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
SECTION = README.partition("\n## Rules\n")[2].partition("\n## ")[0]


def rows() -> list[tuple[str, str, str]]:
    """Table, setting and example of every row."""
    found, table = [], ""
    for line in SECTION.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("|") and "---" not in line and cells[0] != "table":
            table = re.search(r"\[[^\]]+\]", cells[0])[0] if cells[0] else table  # type: ignore[index]
            example = re.search(r"(?<!`)`([^`]+ = [^`]+)`", cells[-1])
            assert example is not None, line
            found.append((table, cells[1].strip("| `"), example[1]))
    return found


@pytest.mark.parametrize(("table", "setting", "example"), rows(), ids=[example for _, _, example in rows()])
def test_every_example_is_accepted(table: str, setting: str, example: str) -> None:
    # Given the smallest good file, in which the example takes its place
    base = {
        "[connections.acme]": 'downstream = "officernd"',
        "[connections.acme.capsule]": "",
        "[connections.acme.officernd]": 'organization = "x"',
        "[connections.acme.unified]": 'url = "https://x.example"',
        "[connections.acme.locations]": "",
        "[connections.acme.opportunity_statuses]": "",
        "[connections.acme.fields]": "",
        "[connections.acme.fields.person]": "",
    }
    kept = base[table] if setting not in base[table] else ""
    text = "\n".join(f"{header}\n{lines}" for header, lines in {**base, table: f"{kept}\n{example}"}.items())
    # Then it is read without a fault
    connections = rules.parse(tomllib.loads(text + '\n[connections.north]\ndownstream = "unified"\n'))
    assert connections["acme"].downstream == "officernd"


@pytest.mark.parametrize(
    ("model", "table"),
    [
        (rules.Connection, "[connections.acme]"),
        (rules.CapsuleRules, "[connections.acme.capsule]"),
        (rules.OfficerndRules, "[connections.acme.officernd]"),
        (rules.UnifiedRules, "[connections.acme.unified]"),
    ],
    ids=["connection", "capsule", "officernd", "unified"],
)
def test_every_setting_has_a_row(model: type[rules.Connection], table: str) -> None:
    told = {setting for where, setting, _ in rows() if where == table}
    tables = {"name", "capsule", "officernd", "unified", "locations", "opportunity_statuses", "fields"}
    assert told == set(model.model_fields) - tables
