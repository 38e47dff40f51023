"""`deploy/LOGS.md` names every event of the log with its levels and fields: compared with the source."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.unit.logs_document import EVENTS, FIELDS, everywhere

ROOT = Path(__file__).resolve().parents[2]
LEVELS = {"debug": "debug", "info": "info", "warning": "warning", "error": "error", "exception": "error"}


def calls() -> list[tuple[str, str, str, list[str]]]:
    """Place, event, level and named fields of each log call whose event is a literal."""
    found = []
    for path in sorted((ROOT / "workers").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS):
                continue
            event = node.args[0] if node.args else None
            if ast.unparse(node.func.value).endswith("log") and isinstance(event, ast.Constant) and "%s" not in str(event.value):
                named = [keyword.arg for keyword in node.keywords if keyword.arg and keyword.arg != "exc_info"]
                found.append((f"{path.name}:{node.lineno}", str(event.value), LEVELS[node.func.attr], named))
    return found


@pytest.mark.parametrize(("place", "event", "level", "named"), calls(), ids=lambda value: str(value)[:40])
def test_each_line_of_the_workers_is_documented(place: str, event: str, level: str, named: list[str]) -> None:
    assert event in EVENTS, f"{place}: the event is not in deploy/LOGS.md"
    assert level in EVENTS[event].levels, f"{place}: not at this level in deploy/LOGS.md"
    assert not set(named) - EVENTS[event].fields - everywhere(), f"{place}: a field is not in deploy/LOGS.md"


def test_the_receiver_s_events_are_documented() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "receiver").glob("*.py"))
    said = set(re.findall(r'(?:say|say_error|_refusals\.say|refusals\.say)\(\s*"([\w.]+)"', source))
    said |= set(re.findall(r'"(delivery\.(?:admitted|not_of_interest|unreadable\w*))"', source))
    assert len(said) > 6
    assert not said - EVENTS.keys()


def test_each_field_of_an_event_is_explained() -> None:
    used = set().union(*(event.fields for event in EVENTS.values()))
    assert not used - FIELDS - everywhere()
    assert not FIELDS - used, "explained, and on no event"
