"""The fields of a form that a browser has sent, bounded, or a refusal in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from workers.console.access import Refused

if TYPE_CHECKING:
    from starlette.requests import Request

MOST_BYTES: Final = 16_384
MOST_FIELDS: Final = 50
_KIND: Final = "application/x-www-form-urlencoded"


async def read(request: Request) -> dict[str, str]:
    """The form's fields; of a field that comes twice the last.

    Raises:
        Refused: it is not a form, or too large; no more than the limit was read.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _KIND:
        raise Refused("This is not a form of this console. Nothing was changed.", "Send it from its page.", status=415)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise Refused(f"The form is larger than {MOST_BYTES} bytes. Nothing was changed.", "Give it less text.", status=413)
        parts.append(part)
    try:
        return dict(
            parse_qsl(b"".join(parts).decode("ascii"), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
        )
    except ValueError:
        raise Refused("The form cannot be read. Nothing was changed.", "Send it from its page.", status=400) from None
