"""The OpenAPI document of the unified API, and schemathesis against it (issue 8, "Shown by" 3).

Capsule's simulator and the console run as processes of their own, and schemathesis as a third. Its seed and the number of its
examples are fixed. All its checks are on; what a schema cannot say is in EXPECTED.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
import redis
from starlette.routing import Mount, Route

from tests.acceptance.unified_desk import UnifiedDesk
from workers.console.unified import document
from workers.console.unified.app import mounts
from workers.services import build
from workers.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from workers.embedded import EmbeddedServer

pytestmark = pytest.mark.processes
SEED = 8
EXAMPLES = 10
# A cursor must be one of ours, which no schema describes, so the empty one is sent. 422 answers a body whose form is good:
# the id of a list's entry that is not there, a country that Capsule does not know, two parents of a task.
EXPECTED = """
[parameters]
next_cursor = ""
prev_cursor = ""
integrated_account_id = "acme"
X-Connection = "acme"

[checks.positive_data_acceptance]
expected-statuses = ["2xx", 401, 403, 404, 409, 422, 429]

[checks.negative_data_rejection]
expected-statuses = [400, 401, 403, 404, 405, 409, 413, 415, 422, 429]
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory, server: EmbeddedServer) -> Iterator[UnifiedDesk]:
    """A small account."""
    with redis.Redis.from_url(server.url) as store:
        store.flushall()
    directory = tmp_path_factory.mktemp("unified-document")
    with UnifiedDesk(directory, server.url, organisations=5, people=8, opportunities=5, tags="a,b") as running:
        yield running


def test_every_route_is_in_the_document_and_nothing_else(desk: UnifiedDesk) -> None:
    served = httpx.get(f"{desk.url}/unified/openapi.json", trust_env=False)
    assert served.status_code == 200
    assert served.json() == document.document()
    told = {
        (method.upper(), path)
        for path, operations in served.json()["paths"].items()
        for method in operations
        if method != "parameters"
    }
    services = build(load(desk.env))
    there = set()
    for mount in mounts(services):
        assert isinstance(mount, Mount)
        for route in mount.routes:
            assert isinstance(route, Route)
            path = mount.path + route.path.replace("{path:path}", "{path}")
            there |= {(method, path) for method in route.methods or () if method != "HEAD"}
    services.close()
    assert told == there - {("GET", "/unified/openapi.json")}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_schemathesis_finds_no_failure(desk: UnifiedDesk, tmp_path: Path) -> None:
    (tmp_path / "schemathesis.toml").write_text(EXPECTED, encoding="utf-8")
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(tmp_path / "schemathesis.toml"), "run"),
        *(f"{desk.url}/unified/openapi.json", "--header", f"Authorization: Bearer {desk.product().token}"),
        *("--seed", str(SEED), "--max-examples", str(EXAMPLES), "--generation-deterministic"),
        *("--exclude-path-regex", "^/proxy", "--suppress-health-check", "all", "--no-color"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=850, check=False)
    print(done.stdout[done.stdout.rfind("SUMMARY") :])
    assert done.returncode == 0, done.stdout[-6000:]
    generated = re.search(r"(\d+) generated", done.stdout)
    assert generated is not None
    assert int(generated.group(1)) > 1_000
