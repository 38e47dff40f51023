"""`/metrics`: what is served is documented, what is documented is served, and nobody outside can make labels grow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mapping.agenda import COUNTS, LETTERS, RecordKey, held_key, tally_key
from mapping.rules import parse
from mapping.running import SIGN
from workers import metrics, overview
from workers.agenda import Agenda, Timing
from workers.counts import Counts
from workers.http import Http
from workers.limits import Limits, Observation, Window

if TYPE_CHECKING:
    import redis
    from prometheus_client.metrics_core import Metric

    from workers.views import Overview

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = parse({"connections": {"acme": {"downstream": "unified", "capsule": {"auth": "token"}}}})


def scrape(store: redis.Redis) -> dict[str, Metric]:
    served = metrics.render(lambda: overview.read(store, CONNECTIONS)).decode()
    return {family.name: family for family in text_string_to_metric_families(served)}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    family = next(one for one in families.values() for sample in one.samples if sample.name == name)
    (found,) = [sample.value for sample in family.samples if sample.name == name and sample.labels == labels]
    return found


def documented() -> dict[str, tuple[str, set[str]]]:
    """Metric -> its sort and its labels, from deploy/METRICS.md."""
    text = (ROOT / "deploy" / "METRICS.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*) \|", text, flags=re.MULTILINE)
    return {name: (sort, {label.strip() for label in labels.split(",") if label.strip()}) for name, sort, labels in rows}


def fill(store: redis.Redis) -> None:
    """Something of everything."""
    seconds, _ = store.time()
    now = int(seconds) * 1000
    store.register_script(SIGN)(args=["host:1:x", "web", "1.0"])
    counts = Counts(store)
    counts.lag("acme", 70)
    counts.lag("acme", 3_000)
    for name in ("delivery.admitted", "delivery.refused_401", "writes", "runs", "dead", "drift", "pauses", "reconciles"):
        counts.add(name, "acme", 3)
    counts.call("capsule", "2xx")
    counts.call("officernd", "no_answer")
    counts.flush()
    store.hset(COUNTS, mapping={"last_delivery|acme": now, "delivery.refused_404": 2})
    store.hset(tally_key("acme"), mapping={"in_step": 5, "held": 3})
    store.hset(held_key("acme"), mapping={"party|1": "no_location", "party|2": "no_status", "party|3": "of a later version"})
    store.hset(LETTERS, "acme|party|9", b"x")
    store.hset("relay:reconcile:acme", mapping={"full": now, "since": now + 1, "tagged": now, "guard": 2})
    store.hset("relay:hooks-alive", "acme", now)
    Agenda(store, Timing()).open([RecordKey("acme", "party", 1)], lane="live", why="event")
    hour = Window("capsule:acme", 4000, 3_600_000)
    Limits(store).reserve([hour], lane="live")
    Limits(store).learn([hour], [Observation(hour.name, limit=4000, remaining=100, reset_in_ms=1000)])


def test_the_document_lists_exactly_what_is_served(store: redis.Redis) -> None:
    fill(store)
    served = {}
    for family in scrape(store).values():
        name = {"counter": f"{family.name}_total"}.get(family.type, family.name)
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        served[name] = (family.type, labels)
    wanted = documented()
    assert set(served) == set(wanted)
    for name, (sort, labels) in served.items():
        assert sort == wanted[name][0], name
        # Two need an OAuth account; whatever has no sample has no labels.
        assert labels == wanted[name][1] or (not labels and name.startswith("relay_token")), name


def test_the_figures_are_those_of_the_data_store(store: redis.Redis) -> None:
    fill(store)
    found = scrape(store)
    assert value(found, "relay_data_store_up") == 1
    assert value(found, "relay_processes", part="web", version="1.0") == 1
    assert value(found, "relay_processes", part="clock", version="") == 0
    assert value(found, "relay_records", connection="acme", outcome="held") == 3
    assert value(found, "relay_held_records", connection="acme", reason="no_location") == 1
    assert value(found, "relay_open_records", connection="acme", place="live") == 1
    assert value(found, "relay_dead_letters", connection="acme") == 1
    assert value(found, "relay_guard_stopped_releases", connection="acme") == 2
    assert value(found, "relay_deliveries_total", connection="acme", result="admitted") == 3
    assert value(found, "relay_deliveries_total", connection="", result="refused_404") == 2
    assert value(found, "relay_api_calls_total", system="officernd", ended="no_answer") == 1
    assert value(found, "relay_api_budget_left_calls", system="capsule", who="acme", window="hour") == 100
    assert value(found, "relay_lag_seconds_bucket", connection="acme", le="0.05") == 0
    assert value(found, "relay_lag_seconds_bucket", connection="acme", le="0.1") == 1
    assert value(found, "relay_lag_seconds_bucket", connection="acme", le="+Inf") == 2
    assert value(found, "relay_lag_seconds_sum", connection="acme") == pytest.approx(3.07)


def test_a_label_takes_no_value_that_is_not_ours(store: redis.Redis) -> None:
    fill(store)
    store.hset(COUNTS, mapping={"delivery.Ada <ada@example.com>|acme": 1, "delivery.admitted|a stranger": 5, "x.y|acme": 1})
    text = metrics.render(lambda: overview.read(store, CONNECTIONS)).decode()
    assert "ada@" not in text
    assert "stranger" not in text
    assert 'reason="other"' in text
    assert "of a later version" not in text


def test_buckets_never_fall_when_counters_were_read_a_moment_apart(store: redis.Redis) -> None:
    store.hset(COUNTS, mapping={"lag.le.50|acme": 5, "lag.le.100|acme": 4, "lag.le.inf|acme": 4})
    family = scrape(store)["relay_lag_seconds"]
    buckets = [sample.value for sample in family.samples if sample.name.endswith("_bucket")]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 5


def test_without_the_data_store_only_that_is_said() -> None:
    assert [family.name for family in text_string_to_metric_families(metrics.render(_nothing).decode())] == [
        "relay_data_store_up"
    ]


def _nothing() -> Overview | None:
    return None


def test_calls_are_counted_by_how_they_ended() -> None:
    ended: list[tuple[str, str]] = []
    with (
        Http(user_agent="test", counted=lambda system, how: ended.append((system, how))) as http,
        pytest.raises(Exception, match="nothing was sent"),
    ):
        http.request("GET", "http://127.0.0.1:1/", system="capsule", route="GET /", deadline_s=2)
    assert ended == [("capsule", "not_sent")]
