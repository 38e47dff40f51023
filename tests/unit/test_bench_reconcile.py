"""The pure parts of the benchmark of reconciles: what a tap printed, how calls are told apart, and what is judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.benchmarks.parts import reconcile
from tests.benchmarks.parts.reconcile import HEADS, Made, flat, line, markdown
from tests.benchmarks.processes import Took
from tests.benchmarks.readers import EMBED, PER_PAGE, READERS, singer, tap_settings
from tests.benchmarks.report import Result
from workers.capsule import wire

if TYPE_CHECKING:
    from pathlib import Path

TOOK = Took(seconds=2.0, cpu=1.5, peak_mib=70.0)


def test_peers_read_as_the_relay_does() -> None:
    assert PER_PAGE == wire.MOST_PER_PAGE
    assert wire.EMBED["party"] == EMBED
    assert tap_settings("http://127.0.0.1:1")["streams"][0]["params"] == {"perPage": PER_PAGE, "embed": EMBED}


def test_what_a_tap_printed(tmp_path: Path) -> None:
    said = tmp_path / "said"
    lines = ['{"type": "SCHEMA"}', '{"type": "STATE", "value": 1}', '{"type": "RECORD"}', '{"type": "RECORD"}']
    said.write_text("\n".join([*lines, '{"type": "STATE", "value": {"bookmarks": {}}}']), encoding="utf-8")

    assert singer(said) == (2, {"bookmarks": {}})


def test_a_tap_without_a_bookmark_was_broken_off(tmp_path: Path) -> None:
    said = tmp_path / "said"
    said.write_text('{"type": "RECORD"}\n', encoding="utf-8")

    with pytest.raises(ValueError, match="no bookmark"):
        singer(said)


def test_a_tap_goes_on_from_its_bookmark(tmp_path: Path) -> None:
    tap, said = READERS[-1], tmp_path / "said"
    said.write_text('{"type": "STATE", "value": {"bookmarks": {}}}\n', encoding="utf-8")
    fresh = tap.command("http://127.0.0.1:1", tmp_path)

    assert tap.found(tmp_path, said) == 0
    assert tap.command("http://127.0.0.1:1", tmp_path) == [*fresh, "--state", str(tmp_path / "state.json")]


def test_no_peer_has_telemetry_or_a_way_past_this_machine(tmp_path: Path) -> None:
    for reader in READERS:
        env = reader.env(tmp_path)
        assert env["RUNTIME__DLTHUB_TELEMETRY"] == "false"
        assert not any("proxy" in name.lower() and name != "NO_PROXY" for name in env)


def test_calls_are_told_apart() -> None:
    capsule = {"GET /parties": 10, "POST /parties/filters/results": 2, "GET /parties/{ids}": 3}
    officernd = {"GET /members": 5, "POST /oauth/token": 1, "GET /members/{id}": 4, "POST /members": 7, "PUT /members/{id}": 8}
    made = Made(1000, TOOK, capsule, officernd, {"found": 1000})

    assert (made.capsule_calls, made.lists, made.others, made.writes) == (15, 6, 3 + 4, 7 + 8)
    assert line(1000, "1 %", "full pass", [made]) == [
        "1,000",
        "1 %",
        "full pass",
        "15",
        "6",
        "7",
        "15",
        "2.0",
        "500",
        "1.5",
        "70",
    ]


def test_a_reading_has_no_calls_to_officernd_to_tell_of() -> None:
    cells = line(1000, "0 %", "a peer", [Made(1000, TOOK, {"GET /parties": 10})])

    assert cells[4:7] == ["", "", ""]
    assert markdown([cells]).splitlines()[0].count("|") == len(HEADS) + 1


@pytest.mark.parametrize(("largest", "met"), [(76.9, True), (77.1, False)])
def test_memory_that_grows_with_the_account_is_a_miss(largest: float, met: bool) -> None:
    result = Result("reconcile", "")

    flat(result, (10, 100), [[69.0, 70.0, 71.0], [largest]])

    assert result.rows[0].met is met


def test_the_sizes_of_the_issue() -> None:
    assert reconcile.SIZES["full"].parties == (10_000, 100_000)
