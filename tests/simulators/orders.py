"""The values that control a simulator: an order to fail, a switch, an entry of the request log."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import orjson
from starlette.responses import Response

Kind = Literal["status", "html", "slow", "stall", "drip", "cut", "lost", "token_expired"]
Number = int | float
Document = dict[str, Any]

HEADERS_OF_INTEREST = ("authorization", "user-agent", "accept", "content-type", "idempotency-key")
LOG_LENGTH = 200_000


class Json(Response):
    """An answer of compact JSON, as both vendors print it."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """The bytes of the document."""
        return orjson.dumps(content)


class ControlRefused(Exception):
    """A control request that makes no sense: answered 400 with this text, so that a mistyped test fails at once."""


@dataclass(frozen=True, slots=True)
class Switch:
    """One thing that the reference does not know: its positions (the first is the default) and where it is discussed.

    The position `<n>` stands for any whole number from 1.
    """

    name: str
    positions: tuple[str, ...]
    section: str
    meaning: str

    def accepts(self, value: str) -> bool:
        """Whether the switch has this position."""
        return value in self.positions or ("<n>" in self.positions and value.isdigit() and int(value) > 0)


@dataclass(slots=True)
class Fault:
    """One order to fail; see the top of this module."""

    route: str
    kind: Kind
    count: int | None = 1
    skip: int = 0
    status: int | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    path: str | None = None
    chance: float = 1.0
    struck: int = 0

    def concerns(self, name: str, path: str) -> bool:
        """Whether the fault speaks of this request at all."""
        if self.path is not None and not path.endswith(self.path):
            return False
        if self.route in {"*", name}:
            return True
        method, _, template = self.route.partition(" ")
        its_method, _, its_template = name.partition(" ")
        return method in {"*", its_method} and template in {"*", its_template}

    def document(self) -> Document:
        """The fault as `GET /_control/faults` prints it."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class Seen:
    """One request that the simulator received. `status` is None while it is worked on or when the connection was ended."""

    n: int
    at: float
    method: str
    route: str
    path: str
    query: str
    headers: dict[str, str]
    body: Any
    status: int | None = None
    fault: str | None = None
    seconds: float | None = None

    def document(self) -> Document:
        """The entry as `GET /_control/requests` prints it."""
        return {name: getattr(self, name) for name in self.__slots__}
