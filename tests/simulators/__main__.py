"""`python -m tests.simulators capsule|officernd|product --port N [--host H] [--log-level warning] [--OPTION VALUE …]`.

Every further `--some-option value` goes to the simulator's `build` as `some_option=value`: a number where it reads as one.
For Capsule: `--token`, `--limit` (requests an hour), `--time-scale` (seconds between delivery attempts are multiplied by it),
`--seed-organisations`, `--seed-people`, `--seed-opportunities`, `--seed`. For the product: `--secrets`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

NAMES = ("capsule", "officernd", "product")


def options_of(arguments: Sequence[str]) -> dict[str, str | int | float]:
    """`--some-option value` pairs as keyword arguments. Exits with a message for anything else."""
    if len(arguments) % 2:
        sys.exit(f"an option without a value: {arguments[-1]}")
    found = {}
    for name, value in zip(arguments[::2], arguments[1::2], strict=True):
        if not name.startswith("--"):
            sys.exit(f"not an option: {name}")
        found[name[2:].replace("-", "_")] = number(value)
    return found


def number(text: str) -> str | int | float:
    """A number where the text reads as one, else the text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def end_at_once(_signal: int, _frame: FrameType | None) -> None:
    """End without ceremony: a simulator keeps nothing that could be lost, and a test that stops one is waiting for it."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one simulator until it is told to end (SIGTERM, SIGINT)."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulators", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--log-level", default="warning", choices=("critical", "error", "warning", "info", "debug", "trace"))
    known, rest = parser.parse_known_args(arguments)
    app = importlib.import_module(f"tests.simulators.{known.name}.app").build(**options_of(rest))
    config = uvicorn.Config(
        app, host=known.host, port=known.port, log_level=known.log_level, access_log=known.log_level in {"debug", "trace"}
    )
    server = _Server(config)
    server.run()


class _Server(uvicorn.Server):
    """A uvicorn server that ends at once on a signal, whatever connections are open."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by uvicorn for SIGINT and SIGTERM."""
        end_at_once(sig, frame)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, end_at_once)
    main()
