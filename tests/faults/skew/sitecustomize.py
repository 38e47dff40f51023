"""Puts a process' clock ahead or behind: found by Python at its start when this folder is on PYTHONPATH.

`FAULTS_CLOCK` names the seconds for each kind of process, such as `worker=120,clock=-120`. It reaches what asks Python's
`time.time`; file times and Redis' own clock stay true.
"""

from __future__ import annotations

import os
import sys
import time

MARKS = {"receiver.main:app": "receiver", "solo": "solo", "live": "worker", "clock": "clock"}


def offset() -> float:
    """The seconds by which this process' clock is wrong."""
    kind = next((kind for mark, kind in MARKS.items() if mark in sys.orig_argv), "")
    wanted = dict(part.split("=") for part in os.environ.get("FAULTS_CLOCK", "").split(",") if part)
    return float(wanted.get(kind, 0))


def shift(seconds: float) -> None:
    """Makes `time.time` and `time.time_ns` wrong by so much."""
    true_time, true_time_ns = time.time, time.time_ns
    time.time = lambda: true_time() + seconds
    time.time_ns = lambda: true_time_ns() + int(seconds * 1e9)


if by := offset():
    shift(by)
