"""Deliveries from another process: wrk where it is installed, else a client of our own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.processes import OTHERS
from tests.benchmarks.report import ROOT

SCRIPT = Path(__file__).with_name("wrk.lua")
WRK = shutil.which("wrk")
CORES = ",".join(str(core) for core in sorted(OTHERS))


@dataclass(frozen=True, slots=True)
class Load:
    """What one round is: connections that each send the next delivery once the one before is answered, for `seconds`.

    A body holds `records` records. Their ids begin at `first` and are the same in every body, or all `distinct`.
    """

    connections: int
    seconds: float
    records: int = 1
    distinct: bool = False
    first: int = 1


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of it. `deliveries` were answered 202, `refused` otherwise or not at all; p50 and p99 in milliseconds."""

    deliveries: int
    refused: int
    seconds: float
    p50: float
    p99: float


def run(url: str, load: Load) -> Loaded:
    """Sends one load to `url`."""
    wanted = [str(load.records), str(int(load.distinct)), str(load.first)]
    connections, seconds = str(load.connections), f"{load.seconds:g}"
    if WRK is not None:
        # wrk takes whole seconds.
        words = [
            WRK,
            "-t",
            "1",
            "-c",
            connections,
            "-d",
            f"{max(1, round(load.seconds))}s",
            "-s",
            str(SCRIPT),
            url,
            "--",
            *wanted,
        ]
    else:
        words = [sys.executable, "-m", "tests.benchmarks.load.client", url, connections, seconds, *wanted]
    if shutil.which("taskset"):
        words = ["taskset", "-c", CORES, *words]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=load.seconds + 60)
    return Loaded(**json.loads(said.stdout.strip().splitlines()[-1]))
