"""Capsule's API one to one, with the connection's own sign-in and budget: `/proxy/capsule/{connection}/{path}`.

The path goes below the connection's `api_url` and nowhere else: it is made anew of its parts, each encoded, so that neither a
host nor a way upwards can be hidden in it. What comes back is Capsule's answer with those of its headers that a client needs.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from starlette.responses import Response

from workers.capsule.caller import Call
from workers.console.unified.problems import Problem

if TYPE_CHECKING:
    from starlette.requests import Request

    from workers.console.unified.access import Entrance
    from workers.console.unified.app import Desk

MOST_BYTES: Final = 1_048_576
MOST_PARTS: Final = 10
# A read despite its method (reference/capsule.md §3.9).
READS: Final = re.compile(r"(parties|opportunities|kases|tasks)/filters/results|opportunities/value|activities/filters/results")
PASSED_BACK: Final = (
    "content-type",
    "link",
    "location",
    "www-authenticate",
    "x-pagination-has-more",
    "x-ratelimit-limit",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
)
_PART: Final = re.compile(r"[A-Za-z0-9_.,:-]{1,200}")


def passed(desk: Desk, request: Request, entrance: Entrance, body: bytes) -> Response:
    """Hands a request on.

    Raises:
        Problem: 400, the path is not one below Capsule's API. Also as `Caller.ask`.
    """
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if body and kind != "application/json":
        raise Problem(415, "Only JSON is handed on.")
    parts = _parts(request.path_params["path"])
    path = "/".join(parts)
    reads = request.method == "GET" or (request.method == "POST" and READS.fullmatch(path) is not None)
    query = tuple((name, value) for name, value in request.query_params.multi_items() if name != "integrated_account_id")
    method = request.method
    call = Call(method, f"/{path}", f"{method} {_route(parts)}", query, body or None, reads=reads)
    answer = desk.services.caller(entrance.connection).ask(call)
    headers = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
    return Response(answer.body, answer.status, headers)


def _parts(path: str) -> list[str]:
    # Once more than the server decoded: what is still encoded then could be read as a way upwards by whoever decodes it next.
    parts = path.split("/")
    plain = [unquote(part) for part in parts]
    if len(parts) > MOST_PARTS or not all(_PART.fullmatch(part) and set(part) != {"."} for part in plain):
        raise Problem(400, "This is not a path of Capsule's API: letters, digits and . , : _ - between single slashes.")
    return [quote(part, safe=",:") for part in plain]


def _route(parts: list[str]) -> str:
    """The template: what is not a word of the API may be anybody's name."""
    return "/".join(["", *(part if part.isalpha() and part.islower() else "{id}" for part in parts)])
