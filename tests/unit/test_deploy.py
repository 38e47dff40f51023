"""The files of deploy/ start the same processes as the Procfile, and leave nothing out that the image needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE: dict[str, Any] = yaml.safe_load(Path("deploy/compose.yaml").read_text())
PROCESSES = dict(line.split(": ", 1) for line in Path("Procfile").read_text().splitlines() if line)


@pytest.mark.parametrize("name", PROCESSES)
def test_compose_starts_what_the_procfile_starts(name: str) -> None:
    command = COMPOSE["services"][name]["command"]
    said = command[2].replace("$$", "$") if command[0] == "sh" else "exec " + " ".join(command)
    assert said == PROCESSES[name]


def test_compose_has_no_other_process_but_the_data_store() -> None:
    assert set(COMPOSE["services"]) == {*PROCESSES, "redis"}


def test_the_spool_and_the_store_lie_on_volumes() -> None:
    services = COMPOSE["services"]
    assert "spool:/data" in services["web"]["volumes"]
    assert "store:/data" in services["redis"]["volumes"]


def test_only_loopback_is_published() -> None:
    published = [port for one in COMPOSE["services"].values() for port in one.get("ports", [])]
    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_the_data_store_keeps_what_it_is_given() -> None:
    lines = Path("deploy/redis.conf").read_text().splitlines()
    assert {"appendonly yes", "appendfsync everysec", "maxmemory-policy noeviction"} <= set(lines)


def test_the_image_is_made_of_files_that_are_there() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+)$", Path("deploy/Dockerfile").read_text(), flags=re.MULTILINE)
    names = [name for line in copied for name in line.split()[:-1]]
    assert {"receiver", "mapping", "workers", "requirements.txt"} <= set(names)
    assert [name for name in names if not Path(name).exists()] == []
