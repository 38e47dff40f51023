"""OpenTelemetry spans of real processes, taken in by a small collector; and nothing of it where nobody asked."""

from __future__ import annotations

import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.acceptance.harness import ROOT, System, until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]


class Collector:
    """Takes OTLP over HTTP as a collector does. `spans` are dictionaries with ids in hexadecimal digits."""

    def __init__(self) -> None:
        self.spans: list[dict[str, Any]] = []
        collector = self

        class Door(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers.get("content-encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(body)
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Nothing is printed."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Self:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def take(self, body: bytes) -> None:
        request = ExportTraceServiceRequest.FromString(body)
        for sent in request.resource_spans:
            whose = {one.key: one.value.string_value for one in sent.resource.attributes}
            for scope in sent.scope_spans:
                for span in scope.spans:
                    self.spans.append(
                        {
                            "name": span.name,
                            "trace": span.trace_id.hex(),
                            "id": span.span_id.hex(),
                            "parent": span.parent_span_id.hex(),
                            "process": whose.get("relay.process"),
                            "service": whose.get("service.name"),
                            "attributes": {one.key: one.value.string_value or one.value.int_value for one in span.attributes},
                        }
                    )

    def named(self, name: str) -> list[dict[str, Any]]:
        return [span for span in self.spans if span["name"] == name]


def test_a_delivery_its_run_and_each_call_are_spans_of_one_trace(tmp_path: Path) -> None:
    with Collector() as collector:
        wanted = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
        with System(tmp_path, environment=wanted | {"RELAY_LOG_FORMAT": "json"}) as system:
            person = int(
                system.party(
                    type="person",
                    firstName="Ada",
                    lastName="Canarylast",
                    emailAddresses=[{"address": "canary@example.org"}],
                    tags=[{"name": "member"}],
                )["id"]
            )
            until(lambda: system.linked("members", person), "the member", seconds=60)
            until(system.idle, "nothing is open")
            until(lambda: collector.named("POST /members"), "the span of the write", seconds=30)
            assert system.run("sync", "acme", "--full").returncode == 0
        (write,) = collector.named("POST /members")
        runs = [span for span in collector.named("record") if span["id"] == write["parent"]]
        assert len(runs) == 1, collector.spans
        run = runs[0]
        deliveries = [span for span in collector.spans if span["id"] == run["parent"]]
        assert [span["name"] for span in deliveries] == ["POST /hooks/capsule/{connection}/{token}"]
        assert {write["trace"], run["trace"]} == {deliveries[0]["trace"]}
        assert (deliveries[0]["process"], run["process"], write["service"]) == ("web", "worker", "capsule-relay")
        assert write["attributes"]["http.response.status_code"] in {200, 201}
        assert run["attributes"]["relay.end"] == "in_step"
        # The log names the same trace
        said = [line.partition("| ")[2] for line in system.log().splitlines()]
        lines = [json.loads(line) for line in said if line.startswith("{")]
        events = {line["event"] for line in lines if line.get("trace") == run["trace"]}
        assert {"delivery.admitted", "record"} <= events
        # And no span holds an address with an id, a token or anything personal
        held = json.dumps(collector.spans).lower()
        token = system.hook_url().rsplit("/", 1)[1].lower()
        for canary in ("canary", "example.org", token, "capsule-token", f"/members/{person}"):
            assert canary not in held
        assert len({span["id"] for span in collector.spans}) == len(collector.spans)


# redis-py loads the parts for metrics by itself where they are installed. What is compared is all beside that.
IMPORTS = """
import sys
import redis.asyncio
FOREIGN = "opentelemetry", "google.protobuf", "requests"
before = set(sys.modules)
{start}
print(sorted(name for name in sys.modules if name.startswith(FOREIGN) and name not in before))
"""
DOORS = {
    "receiver": "import receiver.main; receiver.main.app()",
    "worker": "import workers.main; workers.main.setup()",
    "console": "import workers.console.main; workers.console.main.app()",
}


def door(tmp_path: Path, which: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a door has loaded once it has built everything."""
    system = System(tmp_path, environment=environment | {"REDIS_URL": "redis://127.0.0.1:1/0"})
    (tmp_path / "relay.toml").write_text(system.rules(), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-c", IMPORTS.format(start=DOORS[which])],
        cwd=ROOT,
        env={name: value for name, value in system.env.items() if not name.startswith("OTEL_")} | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("which", DOORS)
@pytest.mark.parametrize(
    "environment",
    [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}],
    ids=["without variables", "switched off"],
)
def test_nothing_of_opentelemetry_is_loaded_unasked(tmp_path: Path, which: str, environment: dict[str, str]) -> None:
    done = door(tmp_path, which, **environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("which", DOORS)
def test_it_is_loaded_when_asked(tmp_path: Path, which: str) -> None:
    done = door(tmp_path, which, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1")
    assert done.returncode == 0, done.stderr
    assert "opentelemetry.sdk.trace" in done.stdout


@pytest.mark.parametrize("which", DOORS)
def test_missing_packages_are_one_warning_and_no_fault(tmp_path: Path, which: str) -> None:
    hidden = tmp_path / "hidden" / "opentelemetry"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError('hidden', name='opentelemetry')\n")
    path = os.pathsep.join([str(hidden.parent), str(ROOT)])
    done = door(tmp_path, which, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1", PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    warnings = [json.loads(line) for line in done.stderr.splitlines() if '"tracing"' in line]
    assert [(one["level"], one["module"]) for one in warnings] == [("warning", "opentelemetry")]
    assert "capsule-relay[tracing]" in warnings[0]["advice"]
