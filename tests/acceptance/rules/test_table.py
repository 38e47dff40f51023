"""README.md of this folder: the table of the design's lines and the tests that prove them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]


def named() -> set[tuple[Path, str]]:
    """The tests that the table names."""
    text = (HERE / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"`([\w/]*test_\w+\.py)::(\w+)`", text)
    return {((ROOT if "/" in file else HERE) / file, name) for file, name in found}


def defined_in(file: Path) -> set[str]:
    """The tests that a module defines."""
    body = ast.parse(file.read_text(encoding="utf-8")).body
    return {node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_test_that_the_table_names_exists() -> None:
    missing = [f"{file.name}::{name}" for file, name in sorted(named()) if not file.exists() or name not in defined_in(file)]
    assert missing == []


def test_every_test_of_this_folder_is_in_the_table() -> None:
    there = {(file, name) for file in HERE.glob("test_*.py") for name in defined_in(file)}
    assert sorted(f"{file.name}::{name}" for file, name in there - named()) == []
