"""The receiver's settings: read once, judged all at once, and never shown."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from receiver.main import app
from receiver.settings import Connection, SettingsInvalid, load

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "s" * 32
SIGNING = bytes(range(24))
SIGNING_TEXT = base64.b64encode(SIGNING).decode()

RULES = """
[connections.acme]
downstream = "officernd"
hook_generation = 3
tags_to_sync = "member"
[connections.acme.officernd]
organization = "acme-spaces"

[connections.b]
downstream = "unified"
[connections.b.capsule]
account = "acme"
"""


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with which the receiver starts."""
    rules = tmp_path / "relay.toml"
    rules.write_text(RULES, encoding="utf-8")
    return {"RELAY_CONFIG": str(rules), "RELAY_SECRET_KEY": SECRET, "REDIS_URL": "redis://127.0.0.1:6379/0"}


def faults_of(environ: dict[str, str]) -> dict[str, str]:
    with pytest.raises(SettingsInvalid) as caught:
        load(environ)
    return {fault.path: fault.message for fault in caught.value.faults}


def test_connections_are_read_with_what_decides_an_answer(environ: dict[str, str]) -> None:
    settings = load(environ)
    assert settings.connections == (
        Connection(name="acme", owner="acme", generation=3, downstream="officernd"),
        Connection(name="b", owner="acme", generation=1, downstream="unified"),
    )
    assert settings.max_body == 1024 * 1024


def test_the_config_file_is_relay_toml_in_the_working_directory_unless_named(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del environ["RELAY_CONFIG"]
    monkeypatch.chdir(tmp_path)
    assert [connection.name for connection in load(environ).connections] == ["acme", "b"]


@pytest.mark.parametrize("listed", [SIGNING_TEXT, f"whsec_{SIGNING_TEXT}", f"whsec_{SIGNING_TEXT.rstrip('=')}"])
def test_a_signing_secret_may_have_its_prefix_and_its_padding_or_not(environ: dict[str, str], listed: str) -> None:
    settings = load({**environ, "RELAY_B_SIGNING_SECRET": listed})
    assert [connection.signing_secrets for connection in settings.connections] == [(), (SIGNING,)]


def test_signing_secrets_may_be_listed_for_a_rotation(environ: dict[str, str]) -> None:
    other = base64.b64encode(bytes(32)).decode()
    settings = load({**environ, "RELAY_ACME_SIGNING_SECRET": f"whsec_{SIGNING_TEXT}, {other}"})
    assert settings.connections[0].signing_secrets == (SIGNING, bytes(32))


def test_nothing_secret_is_shown_by_repr(environ: dict[str, str]) -> None:
    settings = load({**environ, "REDIS_URL": "redis://:canary-password@host/0", "RELAY_ACME_SIGNING_SECRET": SIGNING_TEXT})
    shown = repr(settings)
    assert SECRET not in shown
    assert "canary-password" not in shown
    assert repr(SIGNING) not in shown


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    rules = tmp_path / "bad.toml"
    rules.write_text(
        """
[connections.Bad-Name]
downstream = "salesforce"
[connections.acme]
downstream = "officernd"
hook_generation = 0
[connections.b]
downstream = "officernd"
[connections.b.capsule]
account = "nobody"
[connections.c]
downstream = "officernd"
[connections.c.capsule]
account = "d"
[connections.d]
downstream = "officernd"
[connections.d.capsule]
account = "acme"
""",
        encoding="utf-8",
    )
    faults = faults_of(
        {
            "RELAY_CONFIG": str(rules),
            "RELAY_SECRET_KEY": f"{SECRET},short",
            "RELAY_MAX_BODY": "1 MiB",
            "RELAY_ACME_SIGNING_SECRET": "not base64!",
            "RELAY_C_SIGNING_SECRET": base64.b64encode(b"too short").decode(),
        }
    )
    assert set(faults) == {
        "RELAY_SECRET_KEY",
        "REDIS_URL",
        "RELAY_MAX_BODY",
        "connections.Bad-Name",
        "connections.Bad-Name.downstream",
        "connections.acme.hook_generation",
        "RELAY_ACME_SIGNING_SECRET",
        "connections.b.capsule.account",
        "RELAY_C_SIGNING_SECRET",
        "connections.c.capsule.account",
    }
    assert faults["RELAY_SECRET_KEY"] == "key 2 of 2 has 5 characters and needs at least 32"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        pytest.param({"RELAY_SECRET_KEY": ""}, "RELAY_SECRET_KEY", id="no secret key"),
        pytest.param({"RELAY_SECRET_KEY": "x" * 31}, "RELAY_SECRET_KEY", id="secret key too short"),
        pytest.param({"REDIS_URL": ""}, "REDIS_URL", id="no Redis"),
        pytest.param({"REDIS_URL": "http://host"}, "REDIS_URL", id="not an address of Redis"),
        pytest.param({"REDIS_URL": "redis://host:port/0"}, "REDIS_URL", id="port is no number"),
        pytest.param({"RELAY_MAX_BODY": "-1"}, "RELAY_MAX_BODY", id="negative limit"),
        pytest.param({"RELAY_MAX_BODY": "10"}, "RELAY_MAX_BODY", id="limit below any delivery"),
    ],
)
def test_each_variable_is_judged(environ: dict[str, str], change: dict[str, str], path: str) -> None:
    assert set(faults_of({**environ, **change})) == {path}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "the file names no connection", id="empty"),
        pytest.param("connections = 3", "the file names no connection", id="connections is no table"),
        pytest.param("[connections", "is not TOML", id="not TOML"),
        pytest.param("[connections]\nacme = 1", "is not a table", id="connection is no table"),
        pytest.param("[connections.a]\ncapsule.account = 1", "must be the name of a connection", id="account is no text"),
        pytest.param(
            "[connections.a]\nhook_generation = true", "must be a whole number from 1", id="generation is a truth value"
        ),
    ],
)
def test_each_fault_of_the_file_is_named(environ: dict[str, str], tmp_path: Path, text: str, message: str) -> None:
    rules = tmp_path / "bad.toml"
    rules.write_text(text, encoding="utf-8")
    assert any(message in fault for fault in faults_of({**environ, "RELAY_CONFIG": str(rules)}).values())


def test_a_missing_file_and_one_that_is_no_text_are_named(environ: dict[str, str], tmp_path: Path) -> None:
    absent = tmp_path / "absent.toml"
    assert faults_of({**environ, "RELAY_CONFIG": str(absent)}) == {str(absent): "there is no such file"}
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    assert "cannot be read" in faults_of({**environ, "RELAY_CONFIG": str(binary)})[str(binary)]


def test_the_receiver_says_what_to_mend_and_does_not_start(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RELAY_SECRET_KEY", "canary-too-short")
    with pytest.raises(SystemExit) as ended:
        app()
    told = capsys.readouterr().err
    assert ended.value.code == 2
    assert "REDIS_URL: is not set" in told
    assert "secrets.token_urlsafe" in told
    assert "canary" not in told
