"""One beat for all processes of a machine.

What an idle process does once a second is little; that it wakes is most of the price, since by then its memory has left the
processor's caches. So they wake together, at the full second of the monotonic clock, which all processes of a machine share:
the first loads what the others need as well, and the data store is asked by all of them in one go.
"""

from __future__ import annotations

import time


def until_beat(every: float) -> float:
    """Seconds until the clock next stands at a multiple of `every`; who wakes a moment too early is not sent there again."""
    left = every - time.monotonic() % every
    return left if left > every / 100 else left + every
