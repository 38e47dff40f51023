"""A trace as it crosses the agenda, and the header by which a trusted sender names its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mapping.traceparent import WIDTH, Trace, exports, of_header

ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HEX = "0123456789abcdef"


@given(trace=st.text(HEX, min_size=32, max_size=32), span=st.text(HEX, min_size=16, max_size=16), sampled=st.booleans())
def test_what_was_packed_is_read_back_and_is_always_as_long(trace: str, span: str, sampled: bool) -> None:
    made = Trace(trace, span, sampled=sampled)
    assert len(made.pack()) == WIDTH
    assert Trace.unpack(made.pack()) == made


@pytest.mark.parametrize("text", ["", "x", ID, f"{ID}-{SPAN}", f"{ID}-{SPAN}-02", f"{ID}-{SPAN}-01 ", f"{ID.upper()}-{SPAN}-01"])
def test_anything_else_is_no_trace(text: str) -> None:
    assert Trace.unpack(text) is None


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        pytest.param(f"00-{ID}-{SPAN}-01", True, id="sampled"),
        pytest.param(f"00-{ID}-{SPAN}-00", False, id="not sampled"),
        pytest.param(f"00-{ID}-{SPAN}-03", True, id="flags of a later level"),
        pytest.param(f"00-{ID}-{SPAN}-1f", True, id="flags with letters"),
        pytest.param(f"01-{ID}-{SPAN}-01-what.will.be", True, id="a later version with more parts"),
        pytest.param(f"cc-{ID}-{SPAN}-01", True, id="a later version without"),
    ],
)
def test_a_valid_traceparent_is_understood(header: str, sampled: bool) -> None:
    assert of_header(header.encode()) == Trace(ID, SPAN, sampled=sampled)


@pytest.mark.parametrize(
    "header",
    [
        pytest.param("", id="empty"),
        pytest.param(f"00-{'0' * 32}-{SPAN}-01", id="an id of zeros"),
        pytest.param(f"00-{ID}-{'0' * 16}-01", id="a span of zeros"),
        pytest.param(f"ff-{ID}-{SPAN}-01", id="the version that is none"),
        pytest.param(f"00-{ID.upper()}-{SPAN}-01", id="capital letters"),
        pytest.param(f"00-{ID}-{SPAN}-01-more", id="more than version 00 has"),
        pytest.param(f"01-{ID}-{SPAN}-01more", id="more without a hyphen"),
        pytest.param(f"00-{ID}-{SPAN}-01\n", id="a line feed behind it"),
        pytest.param(f"00-{ID}-{SPAN}", id="no flags"),
        pytest.param("00-canary@example.org-1-1", id="something else"),
    ],
)
def test_an_invalid_traceparent_is_none(header: str) -> None:
    assert of_header(header.encode()) is None


@pytest.mark.parametrize(
    ("environ", "wanted"),
    [
        pytest.param({}, False, id="nothing"),
        pytest.param({"OTEL_SERVICE_NAME": "relay"}, False, id="a name alone"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True, id="an endpoint"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": " "}, False, id="an empty endpoint"),
        pytest.param({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True, id="one for traces"),
        pytest.param({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://collector:4318/v1/metrics"}, False, id="one for metrics"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "True"}, False, id="switched off"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "no"}, True, id="not switched off"),
        pytest.param({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "none"}, False, id="no exporter"),
        pytest.param({"OTEL_TRACES_EXPORTER": "console, otlp"}, True, id="the exporter by name"),
        pytest.param({"OTEL_TRACES_EXPORTER": "console,otlp"}, True, id="the exporter by name, without a space"),
    ],
)
def test_spans_are_exported_only_when_the_environment_asks_for_it(environ: dict[str, str], wanted: bool) -> None:
    assert exports(environ) is wanted
