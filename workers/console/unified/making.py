"""The writing endpoints: the body, the Idempotency-Key, the write, the answer."""

from __future__ import annotations

import contextlib
import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import orjson
import redis
from starlette.responses import Response

from workers.console.unified import keeping
from workers.console.unified.keeping import Keeping
from workers.console.unified.problems import Problem
from workers.console.unified.writes import Writer, Written
from workers.errors import NoAnswer

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from workers.console.unified.keeping import Kept
    from workers.console.unified.queries import Ask
    from workers.console.unified.reading import Reader

SETTLE_MS: Final = 30_000  # how long after its last attempt a write may still land: the agenda's stray time and a call's deadline
OVERLAP_MS: Final = 5_000  # Capsule's clock is not Redis', and tells whole seconds
CREATED: Final = 201


def create(reader: Reader, model: str, request: Request, body: bytes, ask: Ask) -> Response:
    """POST of a model."""
    document = _json(request, body)
    writer = Writer(reader, model)

    def do() -> Response:
        return _answer(reader, writer.create(document), ask, CREATED)

    def look(since: str) -> Response | None:
        found = writer.made(document, since)
        return None if found is None else _answer(reader, found, ask, CREATED)

    return _once(reader, request, body, do, look)


def update(reader: Reader, model: str, request: Request, body: bytes, ask: Ask) -> Response:
    """PATCH of a record. A repetition compares anew, so it needs no look."""
    document = _json(request, body)
    writer = Writer(reader, model)
    number = request.path_params["id"]
    return _once(reader, request, body, lambda: _answer(reader, writer.update(number, document), ask))


def delete(reader: Reader, model: str, request: Request, body: bytes) -> Response:
    """DELETE of a record. After one whose answer was lost, a record that is gone was deleted by it."""
    writer = Writer(reader, model)
    number = request.path_params["id"]

    def gone() -> Response:
        return Response(orjson.dumps({"id": number}), media_type="application/json")

    def do() -> Response:
        writer.delete(number)
        return gone()

    return _once(reader, request, body, do, lambda _: gone() if reader.body(model, number) is None else None)


def _once(
    reader: Reader,
    request: Request,
    body: bytes,
    do: Callable[[], Response],
    look: Callable[[str], Response | None] = lambda _: None,
) -> Response:
    """Does it once per Idempotency-Key. `look` finds what an earlier attempt did whose answer was lost."""
    text = request.headers.get(keeping.HEADER)
    if text is None:
        return do()
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    kept = Keeping(reader.services, reader.connection, text, method=request.method, path=target, body=body)
    found = kept.begin()
    if found.state == "another":
        raise Problem(422, keeping.ANOTHER)
    if found.state == "done":
        return Response(found.body, found.status, {keeping.REPLAYED: "true"}, media_type="application/json")
    if found.state == "busy":
        raise Problem(409, "The same request is under way. Ask again in a moment.", headers={"Retry-After": "2"})
    answer = _looked(kept, found, look) if found.state == "unclear" else None
    try:
        answer = answer or do()
    except NoAnswer:
        kept.unclear()
        raise
    except BaseException:
        # It had no effect. While the store is away the key stays as running: the next attempt finds it unclear, and looks.
        with contextlib.suppress(redis.RedisError):
            kept.forget()
        raise
    kept.done(answer.status_code, bytes(answer.body))
    return answer


def _looked(kept: Keeping, found: Kept, look: Callable[[str], Response | None]) -> Response | None:
    """What an attempt did whose answer was lost; None when it did nothing and cannot any more."""
    since = dt.datetime.fromtimestamp((found.since_ms - OVERLAP_MS) / 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    try:
        answer = look(since)
    except BaseException:
        kept.unclear(found.at_ms)
        raise
    left = found.at_ms + SETTLE_MS - found.now_ms
    if answer is None and left > 0:
        kept.unclear(found.at_ms)
        said = "The answer of the first attempt was lost, and it may yet take effect. Ask again with the same key."
        raise Problem(409, said, headers={"Retry-After": str(-(-left // 1000))})
    return answer


def _answer(reader: Reader, written: Written, ask: Ask, status: int = 200) -> Response:
    record: Any = reader.shown(written.record, written.body, ask)
    return Response(orjson.dumps(record), status, media_type="application/json")


def _json(request: Request, body: bytes) -> object:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, "The body must be JSON (Content-Type: application/json).")
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise Problem(400, "The body is not JSON.") from None
    if not isinstance(found, dict):
        raise Problem(422, "The body is not a JSON object.")
    return found
