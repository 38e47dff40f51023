"""The trace that joins the log lines and spans of one piece of work, from a delivery to the last write. Pure.

It has the parts of W3C Trace Context (https://www.w3.org/TR/trace-context/), so that a platform that relays deliveries can
name its own trace in the header `traceparent`. Nothing is ever decided by a trace.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

WIDTH: Final = 52
"""Characters of a packed trace. They all have the same length, so many of them need no separator."""

_PACKED: Final = re.compile(r"([0-9a-f]{32})-([0-9a-f]{16})-(0[01])")
_HEADER: Final = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class Trace:
    """`id` is what log lines name, `span` the step that made it (32 and 16 small hexadecimal digits); `sampled` is W3C's flag."""

    id: str
    span: str
    sampled: bool = True

    def pack(self) -> str:
        """The form in which the agenda carries it: `id-span-flags`, WIDTH characters."""
        return f"{self.id}-{self.span}-{'01' if self.sampled else '00'}"

    @classmethod
    def unpack(cls, packed: str) -> Trace | None:
        """Reads back what `pack` wrote; None for nothing, or for anything else."""
        found = _PACKED.fullmatch(packed)
        return cls(found[1], found[2], found[3] == "01") if found else None


def of_header(value: bytes) -> Trace | None:
    """The trace that a `traceparent` header names, with the caller's span; None if it is not valid.

    A later version than 00 may have more parts behind a hyphen, which are left alone (W3C Trace Context §4.3).
    """
    found = _HEADER.fullmatch(value)
    if found is None or (found[1] == b"00" and found[5] is not None):
        return None
    return Trace(found[2].decode(), found[3].decode(), sampled=bool(int(found[4], 16) & 1))


def exports(environ: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's environment variables ask for spans to be sent to somebody.

    They do by an endpoint, or by the exporter's name alone; OTEL_SDK_DISABLED=true goes before both
    (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
    """

    def given(name: str) -> str:
        return environ.get(name, "").strip()

    if given("OTEL_SDK_DISABLED").lower() == "true":
        return False
    exporters = [one.strip().lower() for one in given("OTEL_TRACES_EXPORTER").split(",") if one.strip()]
    if exporters:
        return "otlp" in exporters
    return bool(given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or given("OTEL_EXPORTER_OTLP_ENDPOINT"))
