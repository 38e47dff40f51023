"""deploy/env.example, the Procfile, the version and the lock files say the same as the code."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

import receiver.settings
from workers.local import programs
from workers.settings import KNOWN, PER_CONNECTION, load, strangers, variable
from workers.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
RULES = """
[connections.acme]
downstream = "officernd"
[connections.acme.officernd]
organization = "acme-spaces"
"""


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The variables of deploy/env.example, and the rules file that it names in the working folder."""
    found = {}
    for line in (ROOT / "deploy" / "env.example").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            # The same for a shell, systemd and docker: no quotes, no spaces, nothing to expand.
            assert re.fullmatch(r"[A-Z_]+", name)
            assert shlex.quote(value) == value
            found[name] = value
    (tmp_path / "relay.toml").write_text(RULES, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return found


def test_the_example_environment_is_valid_for_the_workers(example: dict[str, str]) -> None:
    settings = load(example)
    assert settings.config_path == Path("relay.toml")
    assert strangers(example, settings.connections) == ()


def test_the_example_environment_is_valid_for_the_receiver(example: dict[str, str]) -> None:
    settings = receiver.settings.load(example)
    assert [connection.name for connection in settings.connections] == ["acme"]
    assert len(settings.connections[0].signing_secrets) == 1


def test_the_example_environment_holds_every_variable(example: dict[str, str]) -> None:
    assert set(example) == KNOWN | {"REDIS_URL"} | {variable("acme", what) for what in PER_CONNECTION}


def test_the_procfile_starts_what_up_starts(example: dict[str, str]) -> None:
    """Every word of a program that `up` runs stands in the Procfile's line of the same name, in the same order."""
    lines = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text(encoding="utf-8").splitlines())
    started = {program.name: program for program in programs(load(example), {})}
    assert set(lines) == set(started)
    for name, program in started.items():
        words = [re.sub(r"\$\{\w+:-(.*)\}", r"\1", word) for word in shlex.split(lines[name])]
        tuned = [f"{name}={value}" for name, value in program.environ.items()]
        command = list(program.command[2:])  # without `python -m`
        if command[0] == "workers":
            command[0] = "capsule-relay"
        assert words == ["exec", *(["env", *tuned] if tuned else []), *command]


def test_the_version_is_that_of_the_package() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert document["project"]["version"] == VERSION


@pytest.mark.parametrize("name", ["requirements", "requirements-build", "requirements-dev"])
def test_a_lock_file_pins_everything_by_hash_and_names_no_index(name: str) -> None:
    text = (ROOT / f"{name}.txt").read_text(encoding="utf-8")
    pinned = re.findall(r"^([a-z0-9.-]+)==\S+ \\$", text, flags=re.MULTILINE)
    wanted = re.findall(r"^([a-z0-9][a-z0-9.-]*)", (ROOT / f"{name}.in").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(wanted) <= set(pinned)
    assert len(pinned) == len(re.findall(r"==[^\n]*\\\n    --hash=sha256:[0-9a-f]{64}", text))
    assert not re.search(r"index[-]url|find[-]links|trusted-host|https?://", text)
