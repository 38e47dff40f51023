"""Peers of a reconcile's reading: programs that read all parties of Capsule, or those changed since they last did.

They read one side, compare nothing and repair nothing; what they read is kept in files. Each has pages of 100 and embeds what the
relay embeds, and asks for what was changed since by the bookmark that it kept. None may reach anything but this machine: dlt's
telemetry is off, and their homes are folders of the benchmark, so that no settings of this machine's user count either.
"""

from __future__ import annotations

import json
import os
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.benchmarks.report import PEERS, ROOT, TAP

if TYPE_CHECKING:
    from pathlib import Path

TOKEN: Final = "capsule-token"
PER_PAGE: Final = 100
EMBED: Final = "tags,fields,organisation"
SINCE: Final = "updatedAt"


@dataclass(frozen=True, slots=True)
class Reader(ABC):
    """A peer. What it keeps between two readings is in `folder`; a new folder begins anew."""

    name: str

    @property
    def reads_alone(self) -> bool:
        """Whether it does no more than read; else it takes so much longer that it has one turn."""
        return True

    @abstractmethod
    def there(self) -> bool:
        """Whether it is installed."""

    @abstractmethod
    def prepare(self, url: str, folder: Path) -> None:
        """What is done once for an account and is no part of a reading."""

    @abstractmethod
    def command(self, url: str, folder: Path) -> list[str]:
        """The program that reads."""

    @abstractmethod
    def found(self, folder: Path, said: Path) -> int:
        """How many records the reading brought, by what it printed into `said`; keeps its bookmark."""

    def env(self, folder: Path) -> dict[str, str]:
        """Its whole environment."""
        own = {"HOME": str(folder), "PYTHONPATH": str(ROOT), "RUNTIME__DLTHUB_TELEMETRY": "false", "NO_PROXY": "*"}
        return {"PATH": os.environ.get("PATH", ""), **own}


@dataclass(frozen=True, slots=True)
class Dlt(Reader):
    """dlt's REST source: `extract` reads alone, `load` brings it into DuckDB as a pipeline does."""

    what: str

    @property
    def reads_alone(self) -> bool:
        return self.what == "extract"

    def there(self) -> bool:
        """Whether the peers' environment is there, with dlt in it."""
        return PEERS.exists() and not subprocess.run([str(PEERS), "-c", "import dlt"], check=False).returncode

    def prepare(self, url: str, folder: Path) -> None:
        """Nothing: it finds its schema as it reads."""

    def command(self, url: str, folder: Path) -> list[str]:
        return [str(PEERS), "-m", "tests.benchmarks.peers.with_dlt", self.what, url, str(folder)]

    def found(self, folder: Path, said: Path) -> int:  # noqa: ARG002 - a reader's shape
        return int(json.loads(said.read_text(encoding="utf-8").splitlines()[-1])["records"])


@dataclass(frozen=True, slots=True)
class Tap(Reader):
    """tap-rest-api-msdk, a Singer tap for any REST service. It prints records, and its bookmark last.

    Its paginator for Link headers knows answers that are a bare list alone, so it counts pages and stops after one that is not
    full: one call more than there are pages when the last one is. The schema is found once, and is no part of a reading.
    """

    def there(self) -> bool:
        """Whether the tap's own environment is there."""
        return TAP.exists()

    def prepare(self, url: str, folder: Path) -> None:
        settings = tap_settings(url)
        self._write(folder / "tap.json", settings)
        asked = [str(TAP), "--config", str(folder / "tap.json"), "--discover"]
        said = subprocess.run(asked, env=self.env(folder), cwd=folder, capture_output=True, check=True).stdout
        (folder / "catalog.json").write_bytes(said)
        self._write(folder / "schema.json", json.loads(said)["streams"][0]["schema"])
        settings["streams"][0]["schema"] = str(folder / "schema.json")
        self._write(folder / "tap.json", settings)

    def command(self, url: str, folder: Path) -> list[str]:  # noqa: ARG002 - a reader's shape
        command = [str(TAP), "--config", str(folder / "tap.json"), "--catalog", str(folder / "catalog.json")]
        state = folder / "state.json"
        return [*command, "--state", str(state)] if state.exists() else command

    def found(self, folder: Path, said: Path) -> int:
        records, state = singer(said)
        self._write(folder / "state.json", state)
        return records

    @staticmethod
    def _write(path: Path, document: object) -> None:
        path.write_text(json.dumps(document), encoding="utf-8")


def tap_settings(url: str) -> dict[str, Any]:
    """What tap-rest-api-msdk is told."""
    stream = {
        "name": "parties",
        "path": "/parties",
        "records_path": "$.parties[*]",
        "params": {"perPage": PER_PAGE, "embed": EMBED},
        "primary_keys": ["id"],
        "replication_key": SINCE,
        "source_search_field": "since",
        "source_search_query": "$last_run_date",
        "num_inference_records": PER_PAGE,
    }
    return {
        "api_url": f"{url}/api/v2",
        "auth_method": "bearer_token",
        "bearer_token": TOKEN,
        "pagination_request_style": "page_number_paginator",
        "pagination_response_style": "page",
        # There are more when the page has a last record: the path of it is what this paginator takes for an answer.
        "next_page_token_path": f"$.parties[{PER_PAGE - 1}]",
        "streams": [stream],
    }


def singer(said: Path) -> tuple[int, Any]:
    """How many records a tap printed, and the last bookmark.

    Raises:
        ValueError: it printed no bookmark, so it was broken off.
    """
    records, state = 0, None
    with said.open(encoding="utf-8") as lines:
        for line in lines:
            message = json.loads(line)
            records += message["type"] == "RECORD"
            if message["type"] == "STATE":
                state = message["value"]
    if state is None:
        raise ValueError("the tap printed no bookmark")
    return records, state


READERS: Final[tuple[Reader, ...]] = (
    Dlt("dlt REST source", "extract"),
    Dlt("dlt REST source into DuckDB", "load"),
    Tap("Singer tap-rest-api-msdk"),
)


def readers() -> tuple[Reader, ...]:
    """Those that can run here."""
    return tuple(one for one in READERS if one.there())
