"""The trace of each delivery: made here, or taken over from a signed relay; and its span where somebody wants spans.

The agenda carries it to the workers, so that their log lines and spans name the same. OpenTelemetry is an extra of this
project and is loaded only when its environment variables ask for spans (`mapping.traceparent.exports`).
"""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Final

from mapping.traceparent import Trace, exports, of_header
from mapping.version import VERSION
from receiver.log import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from opentelemetry.trace import Span

FLUSH_SECONDS: Final = 2.0  # a collector that does not answer must not hold up the end of the process
ADVICE: Final = "pip install 'capsule-relay[tracing]' (requirements-tracing.txt), or set OTEL_SDK_DISABLED=true"


class Delivery:
    """One delivery's trace, packed for the agenda (`packed`), its id, and its span if there is one."""

    __slots__ = ("id", "packed", "span")

    def __init__(self, trace_id: str, packed: str, span: Span | None = None) -> None:
        self.id = trace_id
        self.packed = packed
        self.span = span

    def end(self, status: int, fields: Mapping[str, str | int | float] | None = None) -> None:
        """Ends the span, if there is one, with the answer's status and what the log line says."""
        if self.span is None:
            return
        self.span.set_attribute("http.response.status_code", status)
        for name in ("connection", "hook", "records"):
            if fields and name in fields:
                self.span.set_attribute(f"relay.{name}", fields[name])
        self.span.end()


class Traces:
    """Makes a trace for each delivery. `spans` is None where nobody wants spans."""

    def __init__(self, spans: Spans | None = None) -> None:
        self._spans = spans

    def begin(self, headers: Iterable[tuple[bytes, bytes]] = (), *, route: str = "") -> Delivery:
        """A new trace, or the one that a trusted sender's `traceparent` names; two such headers count as none."""
        theirs = [value for name, value in headers if name == b"traceparent"] if headers else ()
        parent = of_header(theirs[0]) if len(theirs) == 1 else None
        # A number of 128 bits costs less than any other part of a delivery, and samplers rely on its lower half.
        own = f"{random.getrandbits(128):032x}"
        if parent is None and self._spans is None:
            return Delivery(own, f"{own}-{own[:16]}-01")
        trace = Trace(parent.id if parent else own, own[:16], sampled=parent.sampled if parent else True)
        if self._spans is None:
            return Delivery(trace.id, trace.pack())
        return self._spans.begin(trace, parent, route)

    def close(self) -> None:
        """Sends the spans that have not been sent."""
        if self._spans is not None:
            self._spans.close()


class Spans:
    """OpenTelemetry's side: a provider that sends by OTLP over HTTP, from a thread of its own.

    Raises:
        ImportError: the packages are not installed.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        from opentelemetry import trace as api  # noqa: PLC0415 - an extra, loaded only where spans are exported
        from opentelemetry.context import Context  # noqa: PLC0415 - the same
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - the same
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace.id_generator import IdGenerator  # noqa: PLC0415 - the same

        class OurIds(IdGenerator):
            """The ids of the delivery that begins now. One thread, and nothing is awaited in between."""

            def __init__(self) -> None:
                self.next = Trace("0" * 32, "0" * 16)

            def generate_trace_id(self) -> int:
                return int(self.next.id, 16)

            def generate_span_id(self) -> int:
                return int(self.next.span, 16)

        self._api = api
        self._empty = Context()
        self._ids = OurIds()
        told = {SERVICE_VERSION: VERSION, "relay.process": "web"}
        if not environ.get("OTEL_SERVICE_NAME"):
            told[SERVICE_NAME] = "capsule-relay"
        self._provider = TracerProvider(resource=Resource.create(told), id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("capsule-relay", VERSION)

    def begin(self, trace: Trace, parent: Trace | None, route: str) -> Delivery:
        """The span of a delivery, below the sender's if it named one."""
        api, context = self._api, self._empty
        if parent is not None:
            flags = api.TraceFlags(api.TraceFlags.SAMPLED if parent.sampled else api.TraceFlags.DEFAULT)
            above = api.SpanContext(int(parent.id, 16), int(parent.span, 16), is_remote=True, trace_flags=flags)
            context = api.set_span_in_context(api.NonRecordingSpan(above), context)
        self._ids.next = trace
        seen = {"http.request.method": "POST", "http.route": route}
        span = self._tracer.start_span(f"POST {route}", context, kind=api.SpanKind.SERVER, attributes=seen)
        made = Trace(trace.id, trace.span, sampled=span.get_span_context().trace_flags.sampled)
        return Delivery(made.id, made.pack(), span)

    def close(self) -> None:
        """Sends what has not been sent; gives up after FLUSH_SECONDS."""
        sending = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)


def start(environ: Mapping[str, str]) -> Spans | None:
    """What exports spans, if the environment asks for it; one warning when the packages for it are missing."""
    if not exports(environ):
        return None
    try:
        return Spans(environ)
    except ImportError as error:
        say("tracing", {"error": type(error).__name__, "module": error.name or "", "advice": ADVICE}, level="warning")
        return None
