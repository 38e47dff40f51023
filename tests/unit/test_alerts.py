"""Alarms: Prometheus reads them, each has a page in the runbook, and each fires on what it is for and on nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_metrics import documented

ROOT = Path(__file__).resolve().parents[2]
ALERTS = ROOT / "deploy" / "alerts.yaml"
PROMTOOL = shutil.which("promtool")
INSTALL = "SKIPPED: no promtool here (Debian: apt-get install prometheus)"
SUFFIXES = ("_bucket", "_sum", "_count")
# Alarm -> labels and series that it must fire on at their end, and series that it must not fire on.
CASES: dict[str, tuple[dict[str, str], str]] = {
    "RelayMetricsMissing": ({"relay_other": "1+0x100"}, "relay_data_store_up"),
    "RelayDataStoreDown": ({"relay_data_store_up": "0+0x100"}, "1+0x100"),
    "RelayProcessMissing": ({'relay_processes{part="web",version=""}': "0+0x100"}, "1+0x100"),
    "RelayReconnectNeeded": ({'relay_signed_in{connection="a"}': "0+0x100"}, "1+0x100"),
    "RelayTokenOverdue": ({'relay_token_overdue_seconds{connection="a"}': "1801+0x100"}, "1800+0x100"),
    "RelayPaused": (
        {'relay_paused{connection="a"}': "1+0x100", 'relay_signed_in{connection="a"}': "1+0x100"},
        "0+0x100",
    ),
    "RelayHooksInTrouble": ({'relay_hooks_in_trouble{connection="a"}': "1+0x100"}, "0+0x100"),
    "RelayWorkNotPickedUp": ({'relay_oldest_ready_seconds{lane="live"}': "61+0x100"}, "60+0x100"),
    "RelayLagHigh": (
        {
            'relay_lag_seconds_bucket{connection="a",le="10"}': "0+0x100",
            'relay_lag_seconds_bucket{connection="a",le="60"}': "0+1x100",
            'relay_lag_seconds_bucket{connection="a",le="+Inf"}': "0+1x100",
        },
        "0+1x100",
    ),
    "RelayRecordOpenLong": ({'relay_oldest_open_seconds{connection="a"}': "21601+0x100"}, "21600+0x100"),
    "RelayDeadLetters": ({'relay_dead_letters{connection="a"}': "1+0x100"}, "0+0x100"),
    "RelayUnreadableDeliveries": ({'relay_unreadable_deliveries{connection="a"}': "1+0x100"}, "0+0x100"),
    "RelayDeliveriesRefused": ({'relay_deliveries_total{result="refused_503"}': "0+0x90 1+0x9"}, "7+0x100"),
    "RelayReconcileOld": ({'relay_reconcile_age_seconds{connection="a",pass="full"}': "172801+0x100"}, "172800+0x100"),
    "RelayGuardStopped": ({'relay_guard_stopped_releases{connection="a"}': "12+0x100"}, "0+0x100"),
    "RelayBudgetLow": (
        {
            'relay_api_budget_left_calls{system="s",who="a",window="hour"}': "199+0x100",
            'relay_api_budget_calls{system="s",who="a",window="hour"}': "4000+0x100",
        },
        "200+0x100",
    ),
    "RelayVendorErrors": (
        {
            'relay_api_calls_total{system="s",ended="5xx"}': "0+6x100",
            'relay_api_calls_total{system="s",ended="2xx"}': "0+5x100",
        },
        "0+4x100",
    ),
    "RelayRecordsHeld": ({'relay_held_records{connection="a",reason="no_status"}': "1+0x1600"}, "0+0x1600"),
    "RelayMixedVersions": (
        {'relay_processes{part="web",version="1"}': "1+0x100", 'relay_processes{part="clock",version="2"}': "1+0x100"},
        "0+0x100",
    ),
}


def rules() -> dict[str, str]:
    """Alarm -> expression."""
    text = ALERTS.read_text(encoding="utf-8")
    return {name: json.loads(expr) for name, expr in re.findall(r"- alert: (\w+)\n\s+expr: (.+)\n", text)}


def names(expression: str) -> set[str]:
    """The metrics of an expression, a histogram by its own name."""
    plain = re.sub(r'"[^"]*"', "", expression)
    found = set(re.findall(r"\brelay_\w+", plain))
    return {next((name.removesuffix(end) for end in SUFFIXES if name.endswith(end)), name) for name in found}


def test_every_alarm_is_read_and_has_a_case_here() -> None:
    assert set(rules()) == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_every_alarm_has_a_page_and_names_metrics_that_exist(name: str) -> None:
    runbook = (ROOT / "deploy" / "RUNBOOK.md").read_text(encoding="utf-8")
    page = runbook.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    for part in ("**Meaning.**", "**Look at.**", "**Do.**", "**It ends with.**"):
        assert part in page
    assert f"deploy/RUNBOOK.md#{name.lower()}" in ALERTS.read_text(encoding="utf-8")
    assert names(rules()[name]) <= set(documented())


def test_the_runbook_names_no_alarm_and_no_metric_that_is_not_there() -> None:
    runbook = (ROOT / "deploy" / "RUNBOOK.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## (\w+)$", runbook, flags=re.MULTILINE)) == set(rules())
    assert set(re.findall(r"\bRelay[A-Z]\w+", runbook)) <= set(rules())
    assert names(runbook.replace('"', "")) <= set(documented())


def test_the_dashboard_shows_metrics_that_exist() -> None:
    board = json.loads((ROOT / "deploy" / "dashboard.json").read_text(encoding="utf-8"))
    shown = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(shown) > 10
    for expression in shown:
        assert names(expression)
        assert names(expression) <= set(documented()), expression


def promtool(*words: str) -> str:
    """Runs promtool; skips where there is none."""
    if PROMTOOL is None:
        print(INSTALL)
        pytest.skip(INSTALL)
    done = subprocess.run([PROMTOOL, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_reads_the_rules() -> None:
    assert f"{len(rules())} rules found" in promtool("check", "rules", str(ALERTS))


@pytest.mark.parametrize("fires", [True, False], ids=["fires", "is silent"])
@pytest.mark.parametrize("name", CASES)
def test_an_alarm_fires_on_what_it_is_for_and_on_nothing_less(name: str, fires: bool, tmp_path: Path) -> None:
    """Series with a value a minute. For silence, the first series takes harmless values instead."""
    series, harmless = CASES[name]
    given = dict(series)
    if not fires:
        first = next(iter(given))
        given = {"relay_data_store_up": "1+0x100"} if name == "RelayMetricsMissing" else given | {first: harmless}
    count: dict[str, Any] = {
        "expr": f'count(ALERTS{{alertname="{name}",alertstate="firing"}}) or vector(0)',
        "eval_time": "1590m" if name == "RelayRecordsHeld" else "98m",
        "exp_samples": [{"labels": "{}", "value": int(fires)}],
    }
    document = {
        "rule_files": [str(ALERTS)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": one, "values": values} for one, values in given.items()],
                "promql_expr_test": [count],
            }
        ],
    }
    (tmp_path / "case.yaml").write_text(json.dumps(document), encoding="utf-8")  # every JSON document is YAML
    promtool("test", "rules", str(tmp_path / "case.yaml"))
