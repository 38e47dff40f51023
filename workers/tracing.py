"""Which trace the work of this thread belongs to, and its OpenTelemetry spans where somebody wants them.

Every piece of work (a run, a page of a reconcile, a replay) is done inside `work`: each log line in it names the trace, and
what it opens in the agenda carries it on. Spans are exported when OpenTelemetry's environment variables ask for it
(`mapping.traceparent.exports`), by packages that are an extra of this project; without those variables nothing of them is
imported. Attributes hold routes and keys of records, never an address, a name or a body.
"""

from __future__ import annotations

import contextlib
import functools
import random
import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, ParamSpec
from urllib.parse import urlsplit

import structlog

from mapping.traceparent import Trace, exports
from workers.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

    from workers.answers import Answer

    Value = str | int | float | bool

FLUSH_SECONDS: Final = 2.0  # a collector that does not answer must not hold up the end of a process
ADVICE: Final = "pip install 'capsule-relay[tracing]' (requirements-tracing.txt), or set OTEL_SDK_DISABLED=true"

FIRST_REFUSAL: Final = 400
P = ParamSpec("P")

_current: ContextVar[Trace | None] = ContextVar("relay_trace", default=None)
_spans: _Spans | None = None


def current() -> Trace | None:
    """The trace of the work that this thread does, None outside any."""
    return _current.get()


def current_packed() -> str:
    """The same as the agenda carries it; empty outside any."""
    trace = _current.get()
    return trace.pack() if trace is not None else ""


class Work:
    """One piece of work. `trace.id` is what its log lines name; what `tell` was given ends up on its span."""

    def __init__(self, trace: Trace, span: Span | None) -> None:
        self.trace = trace
        self._span = span

    def tell(self, **attributes: Value) -> None:
        """Adds to the span, if there is one. No personal data."""
        if self._span is not None:
            self._span.set_attributes({f"relay.{name}": value for name, value in attributes.items()})

    def answered(self, status: int) -> None:
        """Notes an HTTP answer's status; 4xx and 5xx count as failed."""
        if self._span is not None:
            self._span.set_attribute("http.response.status_code", status)
            if status >= FIRST_REFUSAL:
                self.failed(str(status))

    def failed(self, error: str) -> None:
        """Marks the span as failed by an error of this type."""
        if self._span is not None:
            from opentelemetry.trace import StatusCode  # noqa: PLC0415 - an extra, loaded only where spans are exported

            self._span.set_attribute("error.type", error)
            self._span.set_status(StatusCode.ERROR)


@contextlib.contextmanager
def work(name: str, *, follows: Trace | None = None, **attributes: Value) -> Iterator[Work]:
    """Everything inside belongs to the trace that it follows, or to a new one."""
    made = Trace(
        id=follows.id if follows else f"{random.getrandbits(128):032x}",
        span=f"{random.getrandbits(64):016x}",
        sampled=follows.sampled if follows else True,
    )
    span = None
    if _spans is not None:
        span, made = _spans.begin(name, made, follows, attributes)
    token = _current.set(made)
    try:
        with structlog.contextvars.bound_contextvars(trace=made.id):
            yield Work(made, span)
    finally:
        _current.reset(token)
        if span is not None:
            span.end()


@contextlib.contextmanager
def call(method: str, url: str, *, system: str, route: str) -> Iterator[Work]:
    """One outgoing call. Of `url` only the host is told; `route` is its template."""
    trace = _current.get()
    span = None
    if _spans is not None and trace is not None:
        host = urlsplit(url).hostname or ""
        seen: dict[str, Value] = {"http.request.method": method, "url.template": route, "server.address": host}
        span = _spans.child(route, trace, {**seen, "relay.system": system})
    made = Work(trace or Trace("", ""), span)
    try:
        yield made
    except Exception as error:
        made.failed(type(error).__name__)
        raise
    finally:
        if span is not None:
            span.end()


def traced(request: Callable[P, Answer]) -> Callable[P, Answer]:
    """For `Http.request` alone: each call made in some work is a span of it."""

    @functools.wraps(request)
    def wrapped(*args: P.args, **named: P.kwargs) -> Answer:
        if _spans is None:
            return request(*args, **named)
        method, url = str(args[1]), str(args[2])
        with call(method, url, system=str(named["system"]), route=str(named["route"])) as told:
            answer = request(*args, **named)
            told.answered(answer.status)
            return answer

    return wrapped


def start(environ: Mapping[str, str], *, process: str) -> None:
    """Exports the spans of this process from now on, if the environment asks for it. Called by doors, after any fork."""
    global _spans  # noqa: PLW0603 - like the configuration of the log, it is the process's
    if _spans is not None or not exports(environ):
        return
    try:
        _spans = _Spans(environ, process)
    except ImportError as error:
        log: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger("relay")
        log.warning("tracing", error=type(error).__name__, module=error.name or "", advice=ADVICE)


def end() -> None:
    """Sends what has not been sent; gives up after FLUSH_SECONDS."""
    global _spans
    spans, _spans = _spans, None
    if spans is not None:
        sending = threading.Thread(target=spans.provider.shutdown, name="spans", daemon=True)
        sending.start()
        sending.join(FLUSH_SECONDS)


class _Spans:
    """OpenTelemetry's side: a provider that sends by OTLP over HTTP, with ids that are ours."""

    def __init__(self, environ: Mapping[str, str], process: str) -> None:
        from opentelemetry import trace as api  # noqa: PLC0415 - an extra, loaded only where spans are exported
        from opentelemetry.context import Context  # noqa: PLC0415 - the same
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - the same
        from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415 - the same
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator  # noqa: PLC0415 - the same

        class OurIds(RandomIdGenerator):
            """The ids of the work that begins now; random ones for its calls."""

            def __init__(self) -> None:
                self.next: ContextVar[Trace | None] = ContextVar("relay_next_ids", default=None)

            def generate_trace_id(self) -> int:
                given = self.next.get()
                return int(given.id, 16) if given else super().generate_trace_id()

            def generate_span_id(self) -> int:
                given = self.next.get()
                return int(given.span, 16) if given else super().generate_span_id()

        self._api = api
        self._empty = Context()
        self._ids = OurIds()
        told = {SERVICE_VERSION: VERSION, "relay.process": process}
        if not environ.get("OTEL_SERVICE_NAME"):
            told[SERVICE_NAME] = "capsule-relay"
        self.provider: TracerProvider = TracerProvider(
            resource=Resource.create(told), id_generator=self._ids, shutdown_on_exit=False
        )
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self.provider.get_tracer("capsule-relay", VERSION)

    def begin(self, name: str, made: Trace, follows: Trace | None, attributes: Mapping[str, Value]) -> tuple[Span, Trace]:
        """A span with the ids of `made`, and `made` with the sampler's decision."""
        kind = self._api.SpanKind.CONSUMER if follows else self._api.SpanKind.INTERNAL
        token = self._ids.next.set(made)
        try:
            named = {f"relay.{key}": value for key, value in attributes.items()}
            span = self._tracer.start_span(name, self._below(follows), kind=kind, attributes=named)
        finally:
            self._ids.next.reset(token)
        return span, Trace(made.id, made.span, sampled=span.get_span_context().trace_flags.sampled)

    def child(self, name: str, trace: Trace, attributes: Mapping[str, Value]) -> Span:
        """The span of a call within the work that `trace` names."""
        return self._tracer.start_span(name, self._below(trace), kind=self._api.SpanKind.CLIENT, attributes=dict(attributes))

    def _below(self, parent: Trace | None) -> Context:
        if parent is None:
            return self._empty
        flags = self._api.TraceFlags(self._api.TraceFlags.SAMPLED if parent.sampled else self._api.TraceFlags.DEFAULT)
        where = self._api.SpanContext(int(parent.id, 16), int(parent.span, 16), is_remote=True, trace_flags=flags)
        return self._api.set_span_in_context(self._api.NonRecordingSpan(where), self._empty)
