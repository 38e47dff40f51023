"""How texts for an operator read: not which words they use, but that they are whole."""

from __future__ import annotations

import re

_HINT = re.compile(r'(?:[A-Z"]|\w+ is a setting of ).*[a-z0-9>")\]].*[.?]', re.DOTALL)
_REASON = re.compile(r"""(?:[a-z"`0-9]|Capsule|OfficeRnD|Twitter).*(?:[a-z0-9_"'`)>\]]|OfficeRnD|\b[A-Z])""", re.DOTALL)
_NAMES = ("Capsule", "OfficeRnD")
_NAMED = re.compile(r"""(?<![\w/.'"])(?:capsule|officernd)(?![\w/."]|'(?!s\b))""", re.IGNORECASE)


def is_hint(text: object) -> bool:
    """Whether it is a sentence that says what to do: with a capital, a full stop, and the names as their owners write them."""
    return isinstance(text, str) and _HINT.fullmatch(text) is not None and _is_text(text)


def is_reason(text: object) -> bool:
    """Whether it is a clause that goes after a name and a colon: without capital and full stop."""
    return isinstance(text, str) and _REASON.fullmatch(text) is not None and _is_text(text)


def _is_text(text: str) -> bool:
    """Neither shouted nor spoilt, and with Capsule and OfficeRnD spelt right where they are not part of a path or a name."""
    if text.isupper() or re.search(r"\bNone\b", text):
        return False
    return all(found in _NAMES for found in _NAMED.findall(text))
