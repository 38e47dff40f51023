"""A short outage of Redis under load, on whole processes; ten minutes of it: `python -m tests.faults.outage MINUTES=10`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from tests.faults.outage import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


def test_an_outage_of_redis_costs_no_delivery_and_doubles_nothing(tmp_path: Path) -> None:
    figures = run(tmp_path, away_s=10, rate=20, records=40)
    print(asdict(figures))
    assert set(figures.answers) == {"202"}
    assert figures.spool_bytes > 0
    assert figures.in_step == figures.records == 40
    assert (figures.doubled, figures.written_twice, figures.hooks_dropped) == (0, 0, 0)
    assert figures.clean
