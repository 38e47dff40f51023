"""What the overview consists of, as values. Ages are in whole seconds of Redis' clock; nothing here is personal."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from mapping.running import Process

State = Literal["reconnect", "paused", "guard", "first_sync", "working", "in_order"]


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """One connection. `tally` counts records by the outcome of their last run; `counts` are counters since the first start.

    `places` says where its open records wait; `waiting` is their number, `oldest_open_s` the age of the oldest. `held` counts
    held records by code of the reason. `paused` is the reason of a pause, or empty. `signed_in` is None with a personal token;
    `token_overdue_s` is how long ago the token should have been renewed, 0 when it is not yet time. `hooks_seen_s`: how long ago
    all hooks were seen to be there, None when they never were (or are subscribed by hand); `hooks_trouble`: why they cannot be
    ensured; `gap_open`: a hook was missing, and the sync that finds what it did not tell is not done yet. `full_s`,
    `incremental_s` and `tags_s` are the ages of the last completed passes, `guard` the releases that wait for a person.
    `lag_p50_ms` and `lag_p95_ms` are upper bounds, None when nothing was counted or the slowest were slower than the last bucket.
    """

    name: str
    account: str
    state: State
    tally: dict[str, int]
    held: dict[str, int]
    waiting: int
    places: dict[str, int]
    parked: int
    oldest_open_s: int | None
    letters: int
    unreadable: int
    paused: str
    signed_in: bool | None
    token_expires_s: int | None
    token_overdue_s: int | None
    hooks_seen_s: int | None
    hooks_trouble: str
    gap_open: bool
    last_delivery_s: int | None
    synced: bool
    full_s: int | None
    incremental_s: int | None
    tags_s: int | None
    tags_under_way: bool
    reconciling: bool
    guard: int
    lag_p50_ms: int | None
    lag_p95_ms: int | None
    counts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Budget:
    """One window of a vendor's limit. `who`: a Capsule account or an OfficeRnD organisation; `limit` is 0 while not known."""

    system: str
    who: str
    window: str
    limit: int
    used: int
    left: int
    ends_in_s: int
    refused: int


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything. `agenda` holds the sizes of its places, `oldest_ready_s` the age of what waits longest in each lane.

    `counts` are the counters that belong to no connection, `versions` those of this code and of the data store's server.
    """

    agenda: dict[str, int]
    oldest_open_s: int | None
    oldest_ready_s: dict[str, int]
    connections: tuple[ConnectionView, ...]
    budgets: tuple[Budget, ...]
    processes: tuple[Process, ...]
    versions: dict[str, str]
    counts: dict[str, int]

    def document(self) -> dict[str, Any]:
        """The same as a JSON document."""
        return asdict(self)
