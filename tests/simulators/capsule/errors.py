"""Refusals, worded as the server words them (reference/capsule.md §3.10).

Refusal            any answer that is not a success: status, body, headers
└── NotFound       404; `what` is the record's kind, for the switch not_found_text
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

COULD_NOT_FIND = "Could not find resource"


class Refusal(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.document = dict(document)
        self.headers = dict(headers or {})


class NotFound(Refusal):
    """No such record, or one that the user may not see."""

    def __init__(self, what: str | None = None) -> None:
        super().__init__(404, {"message": COULD_NOT_FIND})
        self.what = what


def bad_request(message: str) -> Refusal:
    """400: the request or its JSON is malformed."""
    return Refusal(400, {"message": message})


def invalid(message: str, *, resource: str, field: str | None = None) -> Refusal:
    """422 with one error, in the documented form."""
    error: dict[str, Any] = {"message": message, "resource": resource}
    if field is not None:
        error["field"] = field
    return Refusal(422, {"message": "Validation Failed", "errors": [error]})


def required(field: str, *, resource: str) -> Refusal:
    """422 for a missing value."""
    return invalid(f"{field} is required", resource=resource, field=field)
