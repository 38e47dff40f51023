"""What of a letter may be seen: by default no value that came from a person's record, only its form.

E-mail addresses are masked, and so is whatever of the body that we sent is echoed in an answer, and any run of seven digits or
more. Ids of OfficeRnD (24 hex digits) say nothing about a person and stay, since they are needed to look something up.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import orjson

from workers.answers import mask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.letters.letter import Letter

HIDDEN: Final = "‹hidden›"  # noqa: RUF001 - marks that no text of a record begins with
SHORTEST_ECHO: Final = 3
_DOWNSTREAM_ID: Final = re.compile(r"[0-9a-f]{24}")
_DIGITS: Final = re.compile(r"(?<![0-9a-f])\+?\d(?:[ ().-]{0,2}\d){6,}(?![0-9a-f])")


def hide_values(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """The same JSON with each text and number replaced by its type and length."""
    if isinstance(value, dict):
        return {name: hide_values(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [hide_values(inner) for inner in value]
    if isinstance(value, str):
        return value if not value or _DOWNSTREAM_ID.fullmatch(value) else f"{HIDDEN} text, {len(value)} characters"
    if isinstance(value, bool) or value is None:
        return value
    return f"{HIDDEN} number"


def body_of(letter: Letter, *, reveal: bool = False) -> Any:  # noqa: ANN401 - any JSON
    """What was sent or would have been, as JSON; a text where it is none."""
    if not letter.body:
        return None
    try:
        document = orjson.loads(letter.body)
    except orjson.JSONDecodeError:
        return letter.body if reveal else f"{HIDDEN} {len(letter.body)} characters that are not JSON"
    return document if reveal else hide_values(document)


def said(letter: Letter, text: str, *, reveal: bool = False) -> str:
    """A text of this letter (`text`, `answer`) as it may be shown."""
    if reveal:
        return text
    for echo in sorted(set(_texts(letter.body)), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(echo)}(?!\w)", HIDDEN, text, flags=re.IGNORECASE)
    return _DIGITS.sub(HIDDEN, mask(text))


def _texts(body: str) -> Iterator[str]:
    """Every text value of a body that is long enough to be known again."""
    try:
        yield from _walk(orjson.loads(body) if body else None)
    except orjson.JSONDecodeError:
        return


def _walk(value: Any) -> Iterator[str]:  # noqa: ANN401 - any JSON
    if isinstance(value, dict):
        for inner in value.values():
            yield from _walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner)
    elif isinstance(value, str) and len(value) >= SHORTEST_ECHO and not _DOWNSTREAM_ID.fullmatch(value):
        yield value
        for word in value.split():
            if len(word) >= SHORTEST_ECHO:
                yield word
