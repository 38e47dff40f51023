"""What came back from another system, before anybody knows what it means. Pure: no I/O.

Replies are not trusted (OWASP API10): a type other than JSON, a broken text or a page of a proxy is never taken for data,
and what is kept of a refusal is short, without control characters and with e-mail addresses masked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers import errors

Body: TypeAlias = dict[str, Any]

EXCERPT: Final = 1024
_EMAIL: Final = re.compile(r"[^\s\"'<>,;:@]{1,64}@[^\s\"'<>,;:@]{1,255}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class NotJson(ValueError):
    """The answer is not the JSON that was asked for, whatever its status says."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole HTTP answer; names of headers in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - JSON can be anything; the caller narrows it
        """The body as JSON.

        Raises:
            NotJson: the content type is another one, or the text is broken.
        """
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json" and not kind.endswith("+json"):
            raise NotJson(f"the content type is {kind[:60] or 'missing'}")
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise NotJson("the text is broken") from None

    def message(self) -> str:
        """The texts under `message`, `error_description` or `error` of a refusal, joined; empty without any.

        OfficeRnD sends a list for validation errors and a string otherwise (reference/officernd.md §2.7).
        """
        try:
            document = self.json()
        except NotJson:
            return ""
        if not isinstance(document, dict):
            return ""
        for name in ("message", "error_description", "error"):
            told = document.get(name)
            if isinstance(told, str):
                return told
            if isinstance(told, list):
                return "; ".join(str(line) for line in told)
        return ""

    def excerpt(self) -> str:
        """The first KiB of the body as one printable line, e-mail addresses masked."""
        return mask(self.body[: 2 * EXCERPT].decode("utf-8", "replace"))[:EXCERPT]


def mask(text: str) -> str:
    """The text on one line, with everything that looks like an e-mail address replaced."""
    return _EMAIL.sub("(e-mail)", _CONTROL.sub(" ", text))


def copy_of(error: errors.WorkerError) -> errors.WorkerError:
    """The same error as an object of its own, so that several threads can raise what one of them met."""
    twin = error.__class__.__new__(error.__class__)
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    return twin
