"""How the vendor answers (reference/officernd.md §2.7): the NestJS error body, the headers of every answer, and times."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from tests.simulators.control import Json

if TYPE_CHECKING:
    from collections.abc import Mapping

JSON_TYPE = "application/json; charset=utf-8"
ALWAYS = {"X-Powered-By": "Express", "Server": "cloudflare"}
ERRORS = {400: "Bad Request", 401: "Unauthorized", 404: "Not Found", 500: "Internal Server Error", 504: "Gateway Timeout"}
CAST_MESSAGE = "input must be a 24 character hex string, 12 byte Uint8Array, or an integer"

_OBJECT_ID = re.compile(r"[0-9a-fA-F]{24}")
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?")


class Refusal(Exception):
    """An answer that is an error (§2.7): `status` and the vendor's `message`, a list for validation errors."""

    def __init__(self, status: int, message: str | list[str]) -> None:
        super().__init__(f"{status} {message}")
        self.status = status
        self.message = message

    def answer(self, headers: Mapping[str, str] | None = None) -> Response:
        """The answer that carries it."""
        body = {"statusCode": self.status, "message": self.message, "error": ERRORS[self.status]}
        return as_json(body, status=self.status, headers=headers)


def unauthorized() -> Refusal:
    """The one answer for no, a bad and an expired token, and for a missing scope (§2.7)."""
    return Refusal(401, "Unauthorized access")


def no_such_item(identity: str) -> Refusal:
    """The answer for an id that is unknown or no ObjectId (§2.7)."""
    return Refusal(404, f"Item with Id ({identity})")


def as_json(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer of JSON with the vendor's headers."""
    return Json(body, status_code=status, headers={**ALWAYS, **(headers or {})}, media_type=JSON_TYPE)


def empty(*, status: int = 204, headers: Mapping[str, str] | None = None) -> Response:
    """An answer without a body."""
    return Response(status_code=status, headers={**ALWAYS, **(headers or {})})


def is_object_id(value: object) -> bool:
    """Whether a value has the form of an ObjectId: 24 hexadecimal digits."""
    return isinstance(value, str) and _OBJECT_ID.fullmatch(value) is not None


def printed(seconds: float) -> str:
    """A moment, in seconds since the epoch, as the vendor prints it: UTC with milliseconds (§3)."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_date(value: Any) -> str | None:
    """An ISO 8601 date or time as the vendor keeps it, midnight UTC without a time; None when it is not one."""
    if not isinstance(value, str) or _ISO_DATE.fullmatch(value) is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
