"""The commands: what they print where, their exit status, and mistakes told in sentences."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import orjson
import pytest

from mapping.keys import hook_path, hook_token
from workers.cli import main
from workers.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import redis

    from workers.embedded import EmbeddedServer

    Run = Callable[..., tuple[int, str, str]]

KEY = "k" * 32
RULES = """
[connections.acme]
downstream = "unified"
hook_generation = 3
[connections.acme.capsule]
auth = "token"
[connections.b]
downstream = "unified"
[connections.b.capsule]
account = "acme"
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in a folder with a good relay.toml: exit status, standard output, standard error."""
    (tmp_path / "relay.toml").write_text(RULES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RELAY_SECRET_KEY", KEY)
    monkeypatch.setenv("RELAY_ACME_CAPSULE_TOKEN", "canary")

    def one(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["capsule-relay", *words])
        with pytest.raises(SystemExit) as left:
            main()
        said = capsys.readouterr()
        assert "canary" not in said.out + said.err
        assert "Traceback" not in said.out + said.err
        return int(left.value.code or 0), said.out, said.err

    return one


def test_the_version_is_printed(run: Run) -> None:
    assert run("--version") == (0, f"capsule-relay {VERSION}\n", "")


def test_without_a_command_the_commands_are_listed(run: Run) -> None:
    status, out, err = run()
    assert status == 2
    assert all(name in out + err for name in ("up", "check", "hooks", "sync", "status", "clock"))


def test_settings_in_order_are_said_to_be(run: Run) -> None:
    assert run("check") == (0, "relay.toml and the environment are in order: 2 connections.\n", "")


def test_all_faults_are_listed_with_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_SECRET_KEY", "short")
    monkeypatch.setenv("RELAY_WEB_PORT", "web")
    status, out, err = run("check")
    assert (status, out) == (1, "")
    assert "2 things are wrong" in err
    assert "RELAY_SECRET_KEY: key 1 of 1 is shorter than 32 characters" in err
    assert "openssl rand" in err
    status, out, _ = run("check", "--json")
    assert status == 1
    assert [fault["path"] for fault in orjson.loads(out)["faults"]] == ["RELAY_SECRET_KEY", "RELAY_WEB_PORT"]


@pytest.mark.parametrize("command", [("up",), ("status",), ("hooks", "acme", "url"), ("sync", "acme", "--full")])
def test_no_command_begins_with_settings_that_have_faults(
    run: Run, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("RELAY_CONFIG", "nowhere.toml")
    status, out, err = run(*command)
    assert (status, out) == (1, "")
    assert "1 thing is wrong" in err


def test_a_misspelt_variable_is_a_warning(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_WEBPORT", "80")
    status, _, err = run("check")
    assert status == 0
    assert "warning: RELAY_WEBPORT" in err
    assert "RELAY_WEB_PORT" in err


def test_the_hooks_address_is_the_public_one(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELAY_PUBLIC_URL", "https://relay.example.org/crm/")
    path = hook_path("acme", hook_token(KEY, "acme", 3))
    assert run("hooks", "acme", "url") == (0, f"https://relay.example.org/crm{path}\n", "")


def test_without_a_public_url_the_address_is_loopback_with_a_warning(run: Run) -> None:
    status, out, err = run("hooks", "acme", "url")
    assert status == 0
    assert out.startswith("http://127.0.0.1:8080/hooks/capsule/acme/")
    assert "RELAY_PUBLIC_URL" in err


def test_connections_that_share_an_account_share_the_address(run: Run) -> None:
    assert run("hooks", "b", "url")[1] == run("hooks", "acme", "url")[1]
    assert orjson.loads(run("hooks", "b", "url", "--json")[1])["owner"] == "acme"


def test_a_link_to_connect_is_printed_with_what_to_do_beside_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "relay.toml").write_text(RULES.replace('auth = "token"', 'auth = "oauth"'), encoding="utf-8")
    monkeypatch.setenv("RELAY_ACME_CAPSULE_CLIENT_ID", "id")
    monkeypatch.setenv("RELAY_ACME_CAPSULE_CLIENT_SECRET", "canary")
    monkeypatch.setenv("RELAY_CONSOLE_URL", "https://console.example/")
    status, out, err = run("connect", "b")
    assert status == 0
    assert out.startswith("https://console.example/connect/acme.")
    assert "within 15 minutes" in err
    assert "https://console.example/oauth/callback" in err
    assert orjson.loads(run("connect", "acme", "--json")[1])["account"] == "acme"


@pytest.mark.parametrize("words", [("connect", "acme"), ("disconnect", "b"), ("hooks", "acme", "list"), ("hooks", "b", "ensure")])
def test_with_a_personal_token_it_is_said_that_hooks_need_oauth(
    run: Run, monkeypatch: pytest.MonkeyPatch, server: EmbeddedServer, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("REDIS_URL", server.url)
    status, out, err = run(*words)
    assert (status, out) == (1, "")
    assert "personal token" in err
    assert "oauth" in err


def test_what_hooks_cannot_do_is_told(run: Run) -> None:
    status, _, err = run("hooks", "acme", "mend")
    assert status == 1
    assert "url, list, ensure, remove" in err


def test_an_unknown_connection_is_told_with_those_there_are(run: Run) -> None:
    status, out, err = run("hooks", "nobody", "url")
    assert (status, out) == (1, "")
    assert "there is no connection nobody" in err
    assert "acme, b" in err


def test_without_a_running_relay_status_says_how_to_start_one(run: Run) -> None:
    status, out, err = run("status")
    assert (status, out) == (1, "")
    assert "capsule-relay up" in err


def test_a_data_store_that_does_not_answer_is_a_sentence(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    status, _, err = run("status")
    assert status == 1
    assert "the data store does not answer" in err


def test_status_reads_the_data_store(
    run: Run, monkeypatch: pytest.MonkeyPatch, server: EmbeddedServer, store: redis.Redis
) -> None:
    store.hset("relay:tally:acme", "in_step", 4)
    monkeypatch.setenv("REDIS_URL", server.url)
    assert "4 in step" in run("status")[1]
    found = orjson.loads(run("status", "--json")[1])
    assert found["connections"][0]["tally"]["in_step"] == 4
    assert found["agenda"]["open"] == 0
