"""The overview in Prometheus' form, as the console serves it at `/metrics`. Every metric stands in deploy/METRICS.md.

The figures of all processes are added up in Redis, so one scrape of one console shows the whole. Labels take few values: names of
connections, accounts and organisations from relay.toml, and words of this program. Nothing personal is among them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from mapping.running import PARTS
from workers.counts import LAG_BUCKETS_MS
from workers.overview import LAG, OUTCOMES, PLACES
from workers.overview_words import REASONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric

    from workers.views import ConnectionView, Overview

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OTHER: Final = "other"
_PLAIN: Final = re.compile(r"[a-z0-9_]{1,40}")


def render(overview: Callable[[], Overview | None]) -> bytes:
    """The answer to one scrape. `overview` gives None when the data store does not answer; then only that is said."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Shown(overview()))
    return generate_latest(registry)


class _Shown(Collector):
    """What one look has found, as metrics."""

    def __init__(self, found: Overview | None) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        """Every metric."""
        up = GaugeMetricFamily("relay_data_store_up", "1 when the data store answers; without it there are no other metrics.")
        up.add_metric([], float(self._found is not None))
        yield up
        if self._found is None:
            return
        yield from _whole(self._found)
        yield from _states(self._found.connections)
        yield from _ages(self._found.connections)
        yield from _counters(self._found)
        yield _lag(self._found.connections)


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"relay_{name}", text, labels=labels)


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"relay_{name}", text, labels=labels)


def _whole(found: Overview) -> Iterator[Metric]:
    info = InfoMetricFamily("relay", "Versions of this code and of the data store's server.")
    info.add_metric([], found.versions)
    yield info
    running = _gauge(
        "processes", "Processes that gave a sign of life within ten seconds, by part and version.", "part", "version"
    )
    for part in PARTS:
        alive = [one.version for one in found.processes if one.part == part and one.alive]
        # A part of which none runs has a line too, or nobody could tell that it is missing.
        for version in sorted(set(alive)) or [""]:
            running.add_metric([part, version], alive.count(version))
    yield running
    seen = _gauge("process_last_seen_seconds", "Time since the last sign of life of any process of this part.", "part")
    for part in PARTS:
        ages = [one.silent_ms for one in found.processes if one.part == part]
        if ages:
            seen.add_metric([part], min(ages) / 1000)
    yield seen
    ready = _gauge("oldest_ready_seconds", "How long what is ready the longest in a lane has waited; 0 if none.", "lane")
    for lane, seconds in found.oldest_ready_s.items():
        ready.add_metric([lane], seconds)
    yield ready
    labels = ("system", "who", "window")
    limit = _gauge("api_budget_calls", "Calls that a window of a vendor's limit allows; 0 while not known.", *labels)
    left = _gauge("api_budget_left_calls", "Calls left in it. Not there while the limit is not known.", *labels)
    refused = _counter("api_refused_calls", "Times that a vendor said the window was used up (429).", *labels)
    for one in found.budgets:
        named = [one.system, one.who, one.window]
        limit.add_metric(named, one.limit)
        refused.add_metric(named, one.refused)
        if one.limit:
            left.add_metric(named, one.left)
    yield from (limit, left, refused)


def _states(views: tuple[ConnectionView, ...]) -> Iterator[Metric]:
    records = _gauge("records", "Records by the outcome of their last run.", "connection", "outcome")
    held = _gauge("held_records", "Held records by the code of the reason.", "connection", "reason")
    opened = _gauge("open_records", "Records with work outstanding, by where they wait.", "connection", "place")
    letters = _gauge("dead_letters", "Records that failed for good and wait for a person.", "connection")
    unreadable = _gauge("unreadable_deliveries", "Different deliveries that could not be read, kept for a person.", "connection")
    paused = _gauge("paused", "1 while no run of the connection begins.", "connection")
    guard = _gauge("guard_stopped_releases", "Releases that the guard stopped, waiting for a person; 0 if none.", "connection")
    hooks = _gauge("hooks_in_trouble", "1 while the hooks cannot be ensured.", "connection")
    gap = _gauge("hooks_gap_open", "1 while a sync is to come that finds what a missing hook did not tell.", "connection")
    signed = _gauge("signed_in", "1 when Capsule can be asked, 0 when a person must connect the account.", "connection")
    for view in views:
        for outcome in OUTCOMES:
            records.add_metric([view.name, outcome], view.tally.get(outcome, 0))
        reasons: dict[str, int] = {}
        for code, number in view.held.items():
            named = code if code in REASONS else OTHER
            reasons[named] = reasons.get(named, 0) + number
        for code, number in reasons.items():
            held.add_metric([view.name, code], number)
        for place in PLACES:
            opened.add_metric([view.name, place], view.places.get(place, 0))
        letters.add_metric([view.name], view.letters)
        unreadable.add_metric([view.name], view.unreadable)
        paused.add_metric([view.name], float(bool(view.paused)))
        guard.add_metric([view.name], view.guard)
        hooks.add_metric([view.name], float(bool(view.hooks_trouble)))
        gap.add_metric([view.name], float(view.gap_open))
        signed.add_metric([view.name], float(view.signed_in is not False))
    yield from (records, held, opened, letters, unreadable, paused, guard, hooks, gap, signed)


def _ages(views: tuple[ConnectionView, ...]) -> Iterator[Metric]:
    oldest = _gauge("oldest_open_seconds", "Age of the record that has been open the longest; 0 if none is.", "connection")
    delivered = _gauge("last_delivery_seconds", "Time since the last authentic delivery.", "connection")
    passes = _gauge("reconcile_age_seconds", "Time since the beginning of the last completed pass.", "connection", "pass")
    seen = _gauge("hooks_seen_seconds", "Time since all hooks were seen to be there.", "connection")
    expires = _gauge("token_expires_seconds", "Time until Capsule's access token ends; negative when it has.", "connection")
    overdue = _gauge("token_overdue_seconds", "Time since it should have been renewed; 0 before.", "connection")
    for view in views:
        oldest.add_metric([view.name], view.oldest_open_s or 0)
        known: tuple[tuple[GaugeMetricFamily, list[str], int | None], ...] = (
            (delivered, [view.name], view.last_delivery_s),
            (passes, [view.name, "full"], view.full_s),
            (passes, [view.name, "incremental"], view.incremental_s),
            (passes, [view.name, "tags"], view.tags_s),
            (seen, [view.name], view.hooks_seen_s),
            (expires, [view.name], view.token_expires_s),
            (overdue, [view.name], view.token_overdue_s),
        )
        for metric, labels, seconds in known:
            if seconds is not None:
                metric.add_metric(labels, seconds)
    yield from (oldest, delivered, passes, seen, expires, overdue)


def _counters(found: Overview) -> Iterator[Metric]:
    deliveries = _counter(
        "deliveries", "Deliveries by what became of them; some belong to no connection.", "connection", "result"
    )
    calls = _counter("api_calls", "Calls to other systems by how they ended.", "system", "ended")
    for name, counts in (("", found.counts), *((view.name, view.counts) for view in found.connections)):
        for what, number in sorted(counts.items()):
            sort, _, rest = what.partition(".")
            if sort == "delivery" and _PLAIN.fullmatch(rest):
                deliveries.add_metric([name, rest], number)
            elif sort == "calls" and not name:
                system, _, ended = rest.partition(".")
                calls.add_metric([system, ended], number)
    yield from (deliveries, calls)
    per_connection = (
        ("writes", "writes", "Writes sent to the downstream that succeeded."),
        ("runs", "runs", "Records whose run came to an end."),
        ("dead", "buried", "Records that became dead letters."),
        ("drift", "drift_repaired", "Records that differed downstream from what was written, found and put right."),
        ("pauses", "breaker_pauses", "Times that repeated failures, or refused credentials, paused a connection."),
        ("reconciles", "reconciles", "Reconcile passes that came to their end."),
    )
    for counter, name, text in per_connection:
        metric = _counter(name, text, "connection")
        for view in found.connections:
            metric.add_metric([view.name], view.counts.get(counter, 0))
        yield metric


def _lag(views: tuple[ConnectionView, ...]) -> HistogramMetricFamily:
    metric = HistogramMetricFamily(
        "relay_lag_seconds",
        "Time from a delivery until its record was in step downstream.",
        labels=["connection"],
    )
    for view in views:
        buckets, most = [], 0
        for bound in LAG_BUCKETS_MS:
            # Two counters may be read a moment apart, and a histogram never falls.
            most = max(most, view.counts.get(f"{LAG}{bound}", 0))
            buckets.append((f"{bound / 1000:g}", float(most)))
        whole = float(max(most, view.counts.get(f"{LAG}inf", 0)))
        metric.add_metric([view.name], [*buckets, ("+Inf", whole)], sum_value=view.counts.get("lag.sum_ms", 0) / 1000)
    return metric
