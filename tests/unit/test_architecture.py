"""Rules of the tree that the import contracts cannot say."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import dramatiq.brokers.redis as dramatiq_redis
import pytest

from workers import broker

ROOT = Path(__file__).resolve().parents[2]
DOORS = {"main.py", "__main__.py", "cli.py", "local.py", "settings.py"}
PACKAGES = ("receiver", "mapping", "workers")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_doors_read_the_environment(path: Path) -> None:
    names = {
        node.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "os"
    }
    if path.name not in DOORS:
        assert not names & {"environ", "getenv"}


def test_importing_everything_starts_nothing() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in SOURCES
        if path.name != "__main__.py"
    ]
    code = (
        f"import importlib, threading, logging; [importlib.import_module(m) for m in {modules!r}]; "
        "assert threading.active_count() == 1, threading.enumerate(); assert not logging.getLogger().handlers"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_what_we_lean_on_in_dramatiq_is_still_there() -> None:
    for name in broker.LEANS_ON:
        assert hasattr(dramatiq_redis, name)
    consumer = dramatiq_redis._RedisConsumer(broker=None, queue_name="live", prefetch=1, timeout=1)  # type: ignore[no-untyped-call]
    assert consumer.message_cache == []
    assert consumer.queued_message_ids == set()
    assert consumer.outstanding_message_count == 0
