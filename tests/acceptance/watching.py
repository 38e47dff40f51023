"""A real Prometheus that scrapes a console, and whether the alarms of deploy/alerts.yaml fire on what it has seen."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final, Self

import httpx
import pytest

from tests.acceptance.harness import until
from tests.simulators.run import free_port
from tests.unit.test_alerts import rules

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

PROMETHEUS: Final = shutil.which("prometheus")
INSTALL: Final = "SKIPPED: no Prometheus here (Debian: apt-get install prometheus)"


def prometheus_or_skip() -> None:
    """Skips the test, and says how to install it, where there is no Prometheus."""
    if PROMETHEUS is None:
        print(INSTALL)
        pytest.skip(INSTALL)


class Watcher:
    """A Prometheus server on loopback that scrapes one console every second, and what has fired so far."""

    def __init__(self, folder: Path, console_port: int) -> None:
        self.port = free_port()
        self.fired: list[str] = []
        target = {"job_name": "capsule-relay", "static_configs": [{"targets": [f"127.0.0.1:{console_port}"]}]}
        scrape = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [target]}
        (folder / "prometheus.yml").write_text(json.dumps(scrape), encoding="utf-8")
        assert PROMETHEUS is not None
        with (folder / "prometheus.log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    PROMETHEUS,
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--query.lookback-delta=5s",
                ],
                stdout=log,
                stderr=log,
            )

    def __enter__(self) -> Self:
        """Waits for the first scrape."""
        until(lambda: self.query("relay_data_store_up == 1"), "the first scrape", seconds=60)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Stops it."""
        print("fired:", ", ".join(self.fired))
        self.process.terminate()
        self.process.wait(20)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What an expression gives now."""
        with contextlib.suppress(httpx.HTTPError, KeyError):
            url = f"http://127.0.0.1:{self.port}/api/v1/query"
            answer = httpx.get(url, params={"query": expression}, timeout=5, trust_env=False).json()
            found: list[dict[str, Any]] = answer["data"]["result"]
            return found
        return []

    def is_quiet(self) -> None:
        """Nothing is wrong yet: no alarm may fire."""
        for name, expression in rules().items():
            assert self.query(expression) == [], name

    def fires(self, name: str, *, seconds: float = 60, sooner: tuple[str, str] | None = None, **labels: str) -> None:
        """Waits until an alarm fires, with these labels if there are any.

        `sooner` puts another threshold in the place of one of hours, of which nobody waits for the end in a test.
        """
        expression, shown = rules()[name], name
        if sooner is not None:
            assert sooner[0] in expression
            expression, shown = expression.replace(*sooner), f"{name} (with {sooner[1]} for {sooner[0]})"

        def those() -> list[dict[str, Any]]:
            return [one for one in self.query(expression) if labels.items() <= one["metric"].items()]

        until(those, f"{shown} fires", seconds=seconds, every=0.2)
        self.fired.append(shown)

    def ends(self, name: str, *, seconds: float = 60) -> None:
        """Waits until an alarm does not fire any more."""
        until(lambda: self.query("relay_data_store_up == 1") and not self.query(rules()[name]), f"{name} ends", seconds=seconds)
