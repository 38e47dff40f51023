"""The settings of the workers: what is read, and that everything wrong is named at once and no secret shown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from workers.settings import SettingsInvalid, load, strangers, variable

if TYPE_CHECKING:
    from collections.abc import Callable

KEY = "k" * 32
RULES = """
[connections.acme]
downstream = "officernd"
[connections.acme.capsule]
auth = "token"
[connections.acme.officernd]
organization = "acme-spaces"
"""
SHARED = (
    RULES
    + """
[connections.b]
downstream = "unified"
[connections.b.capsule]
account = "acme"
"""
)
Environ = dict[str, str]


@pytest.fixture
def environ(tmp_path: Path) -> Callable[..., Environ]:
    """Makes a good environment over a rules file; keyword arguments set (or, with None, remove) variables."""

    def make(rules: str = RULES, **changes: str | None) -> Environ:
        path = tmp_path / "relay.toml"
        path.write_text(rules, encoding="utf-8")
        good: dict[str, str | None] = {
            "RELAY_CONFIG": str(path),
            "RELAY_SECRET_KEY": KEY,
            "RELAY_ACME_CAPSULE_TOKEN": "pat-canary",
            "RELAY_ACME_OFFICERND_CLIENT_ID": "id-canary",
            "RELAY_ACME_OFFICERND_CLIENT_SECRET": "secret-canary",
        }
        return {name: value for name, value in (good | changes).items() if value is not None}

    return make


def faults(environ: Environ) -> dict[str, str]:
    with pytest.raises(SettingsInvalid) as caught:
        load(environ)
    return {fault.path: f"{fault.message} {fault.hint}" for fault in caught.value.faults}


def test_what_is_not_set_has_the_documented_default(environ: Callable[..., Environ]) -> None:
    settings = load(environ())
    assert (settings.web_host, settings.web_port, settings.console_port) == ("127.0.0.1", 8080, 8081)
    assert (settings.redis_url, settings.public_url, settings.console_url) == (None, None, None)
    assert settings.data_dir == Path(".relay")
    assert (settings.call_deadline_s, settings.stray_s) == (10.0, 20.0)
    assert (settings.lease_ms, settings.window_ms) == (20_000, 30_000)


def test_every_variable_is_read(environ: Callable[..., Environ]) -> None:
    settings = load(
        environ(
            RELAY_SECRET_KEY=f" {KEY} , {'o' * 40}",
            REDIS_URL="rediss://cache.example.org:6380/3",
            RELAY_PUBLIC_URL="https://relay.example.org/crm/",
            RELAY_WEB_HOST="192.0.2.1",
            RELAY_WEB_PORT="9000",
            RELAY_CONSOLE_PORT="9001",
            RELAY_CONSOLE_URL="http://localhost:9001",
            RELAY_DATA_DIR="/var/lib/relay",
            RELAY_CALL_DEADLINE="0.5",
            RELAY_STRAY="0.25",
            RELAY_LOG_LEVEL="debug",
            RELAY_LOG_FORMAT="json",
        )
    )
    assert settings.secret_keys == (KEY, "o" * 40)
    assert settings.redis_url == "rediss://cache.example.org:6380/3"
    assert (settings.public_url, settings.console_url) == ("https://relay.example.org/crm", "http://localhost:9001")
    assert (settings.web_host, settings.web_port, settings.console_port) == ("192.0.2.1", 9000, 9001)
    assert settings.data_dir == Path("/var/lib/relay")
    assert (settings.lease_ms, settings.window_ms) == (1_000, 750)
    assert (settings.log_level, settings.log_format) == ("DEBUG", "json")


def test_an_empty_variable_counts_as_not_set(environ: Callable[..., Environ]) -> None:
    assert load(environ(REDIS_URL="", RELAY_PUBLIC_URL="  ", RELAY_WEB_PORT="")).web_port == 8080


def test_no_secret_shows_in_the_settings_printed(environ: Callable[..., Environ]) -> None:
    settings = load(environ(REDIS_URL="redis://user:redis-canary@localhost/0"))
    for text in (repr(settings), str(settings), f"{settings.credentials}"):
        assert "canary" not in text
        assert KEY not in text


def test_credentials_are_the_connection_s_own(environ: Callable[..., Environ]) -> None:
    acme = load(environ()).credentials["acme"]
    assert acme.capsule_token is not None
    assert acme.capsule_token.get_secret_value() == "pat-canary"
    assert acme.signing_secret is None


def test_a_connection_that_shares_an_account_needs_no_credentials_of_capsule(environ: Callable[..., Environ]) -> None:
    assert set(load(environ(SHARED)).credentials) == {"acme", "b"}


@pytest.mark.parametrize(
    ("changes", "path", "said"),
    [
        pytest.param({"RELAY_SECRET_KEY": None}, "RELAY_SECRET_KEY", "not set", id="no key"),
        pytest.param({"RELAY_SECRET_KEY": f"{KEY},short"}, "RELAY_SECRET_KEY", "key 2 of 2", id="short older key"),
        pytest.param({"RELAY_WEB_PORT": "0"}, "RELAY_WEB_PORT", "not a port", id="port 0"),
        pytest.param({"RELAY_WEB_PORT": "65536"}, "RELAY_WEB_PORT", "not a port", id="port too high"),
        pytest.param({"RELAY_CONSOLE_PORT": "web"}, "RELAY_CONSOLE_PORT", "not a port", id="port in letters"),
        pytest.param({"RELAY_CONSOLE_PORT": "8080"}, "RELAY_CONSOLE_PORT", "same port", id="one port for both"),
        pytest.param({"REDIS_URL": "localhost:6379"}, "REDIS_URL", "redis://", id="redis without scheme"),
        pytest.param({"RELAY_PUBLIC_URL": "http://relay.example.org"}, "RELAY_PUBLIC_URL", "plain http", id="public http"),
        pytest.param({"RELAY_PUBLIC_URL": "relay.example.org"}, "RELAY_PUBLIC_URL", "https://", id="public without scheme"),
        pytest.param({"RELAY_PUBLIC_URL": "https://r.example.org/?a=b"}, "RELAY_PUBLIC_URL", "query", id="public with query"),
        pytest.param({"RELAY_PUBLIC_URL": "https://r.example.org:x"}, "RELAY_PUBLIC_URL", "https://", id="public with bad port"),
        pytest.param({"RELAY_CALL_DEADLINE": "0"}, "RELAY_CALL_DEADLINE", "seconds", id="no deadline"),
        pytest.param({"RELAY_CALL_DEADLINE": "soon"}, "RELAY_CALL_DEADLINE", "seconds", id="deadline in letters"),
        pytest.param({"RELAY_STRAY": "nan"}, "RELAY_STRAY", "seconds", id="stray not a number"),
        pytest.param({"RELAY_LOG_LEVEL": "LOUD"}, "RELAY_LOG_LEVEL", "DEBUG", id="unknown log level"),
        pytest.param({"RELAY_ACME_CAPSULE_TOKEN": None}, "RELAY_ACME_CAPSULE_TOKEN", "not set", id="no token"),
        pytest.param({"RELAY_ACME_SIGNING_SECRET": "whsec_c2hvcnQ="}, "RELAY_ACME_SIGNING_SECRET", "Standard", id="short secret"),
        pytest.param({"RELAY_CONFIG": "nowhere.toml"}, "RELAY_CONFIG", "does not exist", id="no rules file"),
    ],
)
def test_one_fault_is_named_and_no_other(
    environ: Callable[..., Environ], changes: dict[str, str | None], path: str, said: str
) -> None:
    found = faults(environ(**changes))
    assert list(found) == [path]
    assert said in found[path]


def test_oauth_needs_an_application(environ: Callable[..., Environ]) -> None:
    found = faults(environ(RULES.replace('auth = "token"', 'auth = "oauth"')))
    assert set(found) == {"RELAY_ACME_CAPSULE_CLIENT_ID", "RELAY_ACME_CAPSULE_CLIENT_SECRET"}


def test_everything_wrong_is_named_at_once(environ: Callable[..., Environ]) -> None:
    found = faults(
        environ(
            RULES.replace('organization = "acme-spaces"', "organization = 5"),
            RELAY_SECRET_KEY="short",
            RELAY_WEB_PORT="no",
            RELAY_ACME_OFFICERND_CLIENT_SECRET=None,
        )
    )
    assert set(found) == {
        "RELAY_SECRET_KEY",
        "RELAY_WEB_PORT",
        "RELAY_ACME_OFFICERND_CLIENT_SECRET",
        "connections.acme.officernd.organization",
    }


@pytest.mark.parametrize("content", [b"[connections", b"\xff\xfe"], ids=["broken TOML", "not UTF-8"])
def test_a_file_that_cannot_be_read_is_one_fault(environ: Callable[..., Environ], content: bytes) -> None:
    given = environ()
    Path(given["RELAY_CONFIG"]).write_bytes(content)
    assert list(faults(given)) == [given["RELAY_CONFIG"]]


def test_a_folder_in_place_of_the_rules_file_is_named(environ: Callable[..., Environ], tmp_path: Path) -> None:
    assert "cannot be read" in faults(environ(RELAY_CONFIG=str(tmp_path)))["RELAY_CONFIG"]


def test_faults_show_no_value_of_a_secret(environ: Callable[..., Environ]) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load(environ(RELAY_SECRET_KEY="canary", RELAY_ACME_SIGNING_SECRET="canary", REDIS_URL="http://:canary@host"))
    assert len(caught.value.faults) == 3
    assert "canary" not in f"{caught.value} {caught.value.faults}"


def test_a_misspelt_variable_is_told_with_its_right_name(environ: Callable[..., Environ]) -> None:
    given = environ(RELAY_ACM_CAPSULE_TOKEN="x", RELAY_SERVICE_HOST="10.0.0.1", RELAY_MAX_BODY="1048576", OTHER="1")
    found = {fault.path: fault.hint for fault in strangers(given, load(given).connections)}
    assert set(found) == {"RELAY_ACM_CAPSULE_TOKEN", "RELAY_SERVICE_HOST"}
    assert "RELAY_ACME_CAPSULE_TOKEN" in found["RELAY_ACM_CAPSULE_TOKEN"]


def test_a_connection_s_variables_are_in_upper_case() -> None:
    assert variable("acme_2", "CAPSULE_TOKEN") == "RELAY_ACME_2_CAPSULE_TOKEN"
